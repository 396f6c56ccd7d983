"""The host against the library for the processor: what MXNet would see, and all operators without MXNet."""

import os
import subprocess
import sys

import numpy as np

import mxq
from mxq.native import library as native

from ..reference.quantize_v2 import quantize_v2
from . import abi, devices, standin

LIBRARY = abi.Library(mxq.library_path())
RANGE = dict(min_calib_range=-2.0, max_calib_range=3.0)


def error_of(body) -> str:
    try:
        body()
    except abi.HostError as error:
        return str(error)
    raise AssertionError("expected a HostError")


def test_registrations():
    assert sorted(LIBRARY.operators) == sorted(native.info()["ops"])
    for operator in LIBRARY.operators.values():
        assert "cpu" in operator.create


def test_types_and_shapes_are_inferred():
    node = LIBRARY.operators["mxq_conv"].bind(dict(kernel=(3, 3), num_filter=8, in_scale=0.1, out_type="uint8"))
    assert (node.num_in, node.num_out) == (4, 1)
    types, outs = node.infer_types(["int8", "", "", ""])
    assert types == ["int8", "int8", "float32", "int32"] and outs == ["uint8"]
    shapes, outs = node.infer_shapes([(2, 9, 7, 4), (8, -1, 3, 3), (-1,), (8,)])
    assert shapes == [(2, 9, 7, 4), (8, 4, 3, 3), (8,), (8,)] and outs == [(2, 7, 5, 8)]


def test_errors_have_the_operators_text():
    op = LIBRARY.operators["mxq_conv"]
    assert "num_filters=8" in error_of(lambda: op.bind(dict(kernel=(1,), num_filter=8, num_filters=8)))
    node = op.bind(dict(kernel=(3, 3), num_filter=8, in_scale=0.1, node="stem"))
    text = error_of(lambda: node.infer_shapes([(1, 2, 9, 3), (8, 3, 3, 3), (8,), (8,)]))
    assert "mxq_conv 'stem'" in text and "only 2" in text
    assert "float32" in error_of(lambda: node.infer_types(["float32", "int8", "float32", "int32"]))


def test_a_library_for_the_processor_has_no_state_on_a_gpu():
    node = LIBRARY.operators["mxq_quantize_v2"].bind(RANGE)
    text = error_of(lambda: node.create_state(devices.Cpu("gpu"), ["float32"], [(3,)]))
    assert "gpu" in text


def test_one_state_for_changing_shapes_and_no_gradient():
    device = devices.Cpu()
    node = LIBRARY.operators["mxq_quantize_v2"].bind(RANGE)
    with node.create_state(device, ["float32"], [(2, 3)]) as state:
        for shape in ((2, 3), (5,), (2, 3), (1, 70, 7)):
            x = np.random.RandomState(1).randn(*shape).astype(np.float32)
            data, out = device.put(x), device.empty("int8", shape)
            state.forward([data.array], [out.array])
            assert np.array_equal(out.numpy(), quantize_v2(x, RANGE)[0])
            out.check()
        text = error_of(lambda: state.forward([data.array], [out.array], is_forward=False))
        assert "gradient" in text


def test_a_write_outside_an_array_is_found():
    buffer = devices.HostBuffer("int8", (5,))
    buffer.check()
    buffer._memory[buffer._start + 5] = 1
    assert "outside" in error_of(buffer.check)


def test_all_operators_without_mxnet():
    command = [sys.executable, "-m", "tests.host", "--context", "cpu", "--examples", "40"]
    done = subprocess.run(
        command,
        cwd=standin.REPO,
        env=dict(os.environ, OMP_WAIT_POLICY="passive"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    passed = int(done.stdout.strip().splitlines()[-1].split()[0])
    assert passed > 300, done.stdout
