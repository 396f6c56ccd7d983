"""States on a GPU, real or emulated: when weights are packed again, what is found late, whose memory is whose.

Run by ``python -m tests.host --context gpu|emulated tests/host/test_gpu_state.py``.
"""

import unittest

import mxnet as mx
import numpy as np

from mxq.native import library as native

from ..ops.test_packed_weights import CONV, conv_inputs, expected
from . import abi

if not hasattr(mx, "host"):
    raise unittest.SkipTest("runs under python -m tests.host only")
if native.info()["context"] != "gpu":
    raise unittest.SkipTest("about GPU contexts")
LIBRARY, DEVICE = mx.host.library, mx.host.make_device()


def versions(inputs, version=1):
    """Buffers on the device and what an operator sees of them."""
    buffers = [DEVICE.put(a) for a in inputs]
    return buffers, [b.array._replace(version=version) for b in buffers]


def forward(state, arrays, shape, dtype="int8"):
    out = DEVICE.empty(dtype, shape)
    state.forward(arrays, [out.array])
    DEVICE.synchronize()
    DEVICE.take_fault(LIBRARY)
    out.check()
    return out.numpy()


def state_of(inputs, **attrs):
    node = LIBRARY.operators["mxq_conv"].bind({**CONV, "node": "layer", **attrs})
    return node.create_state(DEVICE, [str(a.dtype) for a in inputs], [a.shape for a in inputs])


def test_many_forwards_of_one_state():
    inputs = conv_inputs(0)
    want = expected(inputs)
    buffers, arrays = versions(inputs)
    for backend in native.info()["ops"]["mxq_conv"]:
        if backend == "depthwise":
            continue
        with state_of(inputs, backend=backend) as state:
            for _ in range(4):
                assert np.array_equal(forward(state, arrays, want.shape), want), backend
    for buffer in buffers:
        buffer.check()


def test_parameters_written_in_place_have_another_version():
    inputs, other = conv_inputs(1), conv_inputs(2)
    buffers, arrays = versions(inputs)
    with state_of(inputs) as state:
        for version in range(2, 6):
            for i in (1, 2, 3):
                source = (other, inputs)[version % 2]
                buffers[i].write(source[i])
                inputs_now = [b.numpy() for b in buffers]
                arrays[i] = arrays[i]._replace(version=version)
                for _ in range(3):
                    want = expected(inputs_now)
                    assert np.array_equal(forward(state, arrays, want.shape), want), (version, i)


def test_a_new_state_trusts_no_address_and_no_version():
    inputs, other = conv_inputs(3), conv_inputs(4)
    buffers, arrays = versions(inputs)
    for source in (inputs, other, inputs):  # the same memory and version, other weights: an array freed and made anew
        for buffer, values in zip(buffers[1:], source[1:]):
            buffer.write(values)
        with state_of(inputs) as state:
            want = expected([inputs[0]] + source[1:])
            for _ in range(3):
                assert np.array_equal(forward(state, arrays, want.shape), want)


def test_one_state_for_changing_shapes():
    inputs = conv_inputs(5)
    buffers, arrays = versions(inputs)
    with state_of(inputs) as state:
        for batch in (1, 3, 1, 1, 2):
            data = np.random.RandomState(batch).randint(0, 256, (batch, 6, 6, 32)).astype(np.uint8)
            put = DEVICE.put(data)
            want = expected([data] + inputs[1:])
            assert np.array_equal(forward(state, [put.array] + arrays[1:], want.shape), want)


def test_data_that_starts_anywhere():
    inputs = conv_inputs(6)
    for offset in (1, 2, 4, 8, 16):
        data = np.concatenate([np.zeros(offset, np.uint8), inputs[0].reshape(-1)])
        put = DEVICE.put(data)
        array = put.array._replace(pointer=put.array.pointer + offset, shape=inputs[0].shape)
        buffers, arrays = versions(inputs)
        for backend in native.info()["ops"]["mxq_conv"]:
            if backend == "depthwise":
                continue
            with state_of(inputs, backend=backend) as state:
                want = expected(inputs)
                assert np.array_equal(forward(state, [array] + arrays[1:], want.shape), want), (offset, backend)


def test_what_a_kernel_finds_is_raised_by_the_next_call():
    inputs = conv_inputs(7)
    inputs[2] = inputs[2].copy()
    inputs[2][3] = 0
    buffers, arrays = versions(inputs)
    shape = expected(conv_inputs(7)).shape
    with state_of(inputs) as state:
        out = DEVICE.empty("int8", shape)
        state.forward(arrays, [out.array])
        DEVICE.synchronize()
        try:
            state.forward(arrays, [out.array])
        except abi.HostError as error:
            for part in ("mxq_conv 'layer'", "weight_scale[3] = 0", "earlier call"):
                assert part in str(error), error
        else:
            raise AssertionError("expected a HostError")
        good = conv_inputs(7)
        buffers[2].write(good[2])
        arrays[2] = arrays[2]._replace(version=9)
        assert np.array_equal(forward(state, arrays, shape), expected(good))
