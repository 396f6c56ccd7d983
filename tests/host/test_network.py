"""Saved int8 networks run by the host, on the processor and on the emulated GPU, as MXNet runs them."""

import os
import tempfile

import numpy as np
from parameterized import parameterized

import mxq

from ..networks import NETWORKS, batch, forward
from . import abi, devices, standin
from .network import Network, read_params
from .test_emulated import build

#: Those of the networks whose int8 operators reach to the outputs.
NAMES = ("residual", "depthwise", "inception", "conv1d")


def saved(name: str, folder: str):
    """(prefix, data, what MXNet computes)"""
    net = NETWORKS[name]()
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, data_names=list(net[3]))
    prefix = os.path.join(folder, name)
    model.save(prefix)
    return prefix, data["data"], forward(model, data)


def check(library: abi.Library, device, prefix: str, data: np.ndarray, expected) -> None:
    network = Network(library, device, prefix, data)
    for _ in range(3):
        network.forward()
        device.synchronize()
    got = [buffer.numpy() for buffer in network.outputs]
    compared = [(a, b) for a, b in zip(got, expected) if a.shape == b.shape]
    assert compared and all(np.array_equal(a, b) for a, b in compared), prefix


@parameterized.expand([(name,) for name in NAMES])
def test_as_mxnet(name):
    with tempfile.TemporaryDirectory() as folder:
        prefix, data, expected = saved(name, folder)
        check(abi.Library(mxq.library_path()), devices.Cpu(), prefix, data, expected)


@parameterized.expand([(name,) for name in NAMES])
def test_on_the_emulated_gpu(name):
    build()
    library = abi.Library(os.path.join(standin.REPO, "mxq", "lib", "libmxq_emulated.so"))
    with tempfile.TemporaryDirectory() as folder:
        check(library, devices.Cpu("gpu"), *saved(name, folder))


def test_parameters_are_read_as_mxnet_reads_them():
    import mxnet as mx

    arrays = {"arg:a": np.arange(6, dtype=np.int8).reshape(2, 3), "aux:b": np.float32([0.5]), "c": np.int32([[7]])}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.params")
        mx.nd.save(path, {name: mx.nd.array(a, dtype=a.dtype) for name, a in arrays.items()})
        read = read_params(path)
    assert sorted(read) == ["a", "b", "c"]
    for name, array in arrays.items():
        got = read[name.partition(":")[2] or name]
        assert got.dtype == array.dtype and np.array_equal(got, array)
