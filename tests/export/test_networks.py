"""Whole networks, float and int8, in ONNX Runtime."""

import collections
import os
import tempfile

import numpy as np
import onnx
import onnxruntime
from parameterized import parameterized

import mxq
from mxq.export.targets import TARGETS
from tests.export.running import assert_close, exported
from tests.networks import NETWORKS, batch, forward, graph_of


def quantized(name, **options):
    """A network of tests/networks.py in int8, and its calibration data."""
    net = NETWORKS[name]()
    data = {key: batch({key: (16, *shape[1:])}, seed)[key] for seed, (key, shape) in enumerate(net[3].items())}
    options = {"quantize_mode": "full", "verify": False, "preflight": False, **options}
    return mxq.quantize_model(net[0], net[1:3], data, **options), data


@parameterized.expand([(name,) for name in NETWORKS])
def test_float_networks(name):
    net = NETWORKS[name]()
    data = batch(net[3])
    assert_close(exported(graph_of(net), data), forward(net, data))


@parameterized.expand([(name,) for name in NETWORKS])
def test_every_integer_in_onnx_runtime(name):
    """As ONNX Runtime computes it, with its int8 layers: from the same integers the same integers."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized(name)
        model.export_onnx(path, target="onnxruntime", calib_data=data)
        found = model.check_onnx(path, data)
        assert found.ok, str(found)
        assert sum(value.levels for value in found.compared) == len(_types(onnx.load(path))["QuantizeLinear"])
        layers = [node for node in model.qdq.nodes if node.op == "Convolution"]
        assert len(_types(_optimized(path, folder))["QLinearConv"]) == len(layers)


@parameterized.expand(
    [(name, target) for name in ("residual", "inception", "upsampled", "fully_connected") for target in TARGETS]
)
def test_every_integer_in_files_for_others(name, target):
    """The standard's meaning of each file: ONNX Runtime without optimization."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized(name, quantized_dtype="int8" if target == "tensorrt" else "auto")
        model.export_onnx(path, target=target, calib_data=data)
        found = model.check_onnx(path, data, optimize=False)
        assert found.ok, str(found)


def test_integers_of_the_int8_network():
    """Where the target puts no pair between, its outputs are those of mxq's own operators."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized("inception")
        model.export_onnx(path, calib_data=data)
        expected = forward(model, {key: array[:1] for key, array in data.items()})
        session = onnxruntime.InferenceSession(path)
        assert_close(session.run(None, {key: array[:1] for key, array in data.items()}), expected)


@parameterized.expand([("residual",), ("depthwise",), ("inception",), ("upsampled",)])
def test_out_and_in_again(name):
    """What mxq.load makes of an exported network has the same integers as the network."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized(name)
        shapes = {key: array.shape for key, array in data.items()}
        model.export_onnx(path, target="generic", data_shapes=shapes)
        again = mxq.load(path)
        for got, expected in zip(forward(again, data), forward(model, data)):
            np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_pixels_are_declared_as_integers():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        net = NETWORKS["plain"]()
        pixels = np.random.RandomState(0).randint(0, 256, (16, 3, 13, 11)).astype(np.uint8)
        model = mxq.quantize_model(net[0], net[1:3], pixels, input_dtype="uint8", verify=False, preflight=False)
        model.export_onnx(path, calib_data=pixels)
        file = onnx.load(path)
        assert file.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
        found = model.check_onnx(path, pixels)
        assert found.ok, str(found)


def _types(model):
    found = collections.defaultdict(list)
    for node in model.graph.node:
        found[node.op_type].append(node)
    return found


def _optimized(path, folder):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = os.path.join(folder, "optimized.onnx")
    onnxruntime.InferenceSession(path, options)
    return onnx.load(options.optimized_model_filepath)
