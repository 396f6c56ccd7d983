"""Packed weights are found again only where they are right: changed, swapped, freed and shared parameters."""

import threading

import mxnet as mx
import numpy as np
from parameterized import parameterized

from ..reference.conv import conv
from ..reference.fully_connected import fully_connected
from .linear_cases import run

CONV = dict(
    kernel=(3, 3), num_filter=40, pad_begin=(1, 1), pad_end=(1, 1), in_scale=0.05, out_type="int8", out_scale=2.0
)
DENSE = dict(num_hidden=24, in_scale=0.05, out_type="uint8", out_scale=2.0, out_zero_point=128)
BACKENDS = [("auto",), ("avx",)]


def conv_inputs(seed, channels=32):
    rng = np.random.RandomState(seed)
    data = rng.randint(0, 256, (1, 6, 6, channels)).astype(np.uint8)
    weight = rng.randint(-127, 128, (40, channels, 3, 3)).astype(np.int8)
    return [data, weight, rng.uniform(0.01, 0.02, 40).astype(np.float32), rng.randint(-999, 999, 40).astype(np.int32)]


def arrays(inputs):
    return [mx.nd.array(a, dtype=a.dtype) for a in inputs]


def expected(inputs, attrs=CONV):
    return conv(*inputs, None, None, attrs)


def bind(inputs, backend, attrs=CONV, op="mxq_conv"):
    """An executor, whose node keeps its state between calls."""
    names = ["data", "weight", "scale", "bias"]
    variables = [mx.sym.var(n, shape=a.shape, dtype=a.dtype) for n, a in zip(names, inputs)]
    symbol = getattr(mx.sym, op)(*variables, backend=backend, **attrs)
    return symbol.bind(mx.cpu(), dict(zip(names, arrays(inputs))), grad_req="null")


@parameterized.expand(BACKENDS)
def test_weights_changed_in_place(backend):
    inputs, other = conv_inputs(0), conv_inputs(1)
    nd = arrays(inputs)
    executor = bind(inputs, backend)
    for i in (1, 2, 3):  # weight, scale, bias, one after the other
        for source in (other, inputs, other):
            inputs_now = [a.asnumpy() for a in nd]
            inputs_now[i] = source[i]
            nd[i][:] = mx.nd.array(source[i], dtype=source[i].dtype)
            executor.arg_arrays[i][:] = nd[i]
            want = expected(inputs_now)
            assert np.array_equal(mx.nd.mxq_conv(*nd, backend=backend, **CONV).asnumpy(), want), (i, backend)
            assert np.array_equal(executor.forward()[0].asnumpy(), want), (i, backend)


@parameterized.expand(BACKENDS)
def test_slopes_changed_in_place(backend):
    inputs, attrs = conv_inputs(0), dict(CONV, act="prelu")
    slopes = np.random.RandomState(1).uniform(-1, 1, (2, 40)).astype(np.float32)
    nd = arrays(inputs + [slopes[0]])
    for slope in (slopes[0], slopes[1], slopes[0]):
        nd[4][:] = mx.nd.array(slope)
        got = mx.nd.mxq_conv(*nd, backend=backend, **attrs).asnumpy()
        assert np.array_equal(got, conv(*inputs, slope, None, attrs)), backend
    for alpha in (0.1, 0.3):  # of all channels: an attribute that packed weights may hold
        leaky = dict(CONV, act="leaky", act_alpha=alpha)
        got = mx.nd.mxq_conv(*nd[:4], backend=backend, **leaky).asnumpy()
        assert np.array_equal(got, expected(inputs, leaky)), alpha


@parameterized.expand(BACKENDS)
def test_one_weight_changed_in_place(backend):
    inputs = conv_inputs(2, channels=512)  # far larger than what the fingerprint reads
    executor = bind(inputs, backend)
    executor.forward()[0].wait_to_read()
    weight = executor.arg_dict["weight"]
    for at in ((0, 0, 0, 0), (17, 301, 1, 2), (39, 511, 2, 2)):
        inputs[1] = inputs[1].copy()
        inputs[1][at] = 127 if inputs[1][at] < 0 else -127
        weight[at] = int(inputs[1][at])
        assert np.array_equal(executor.forward()[0].asnumpy(), expected(inputs)), at


@parameterized.expand(BACKENDS)
def test_copy_params_from(backend):
    inputs = conv_inputs(3)
    executor = bind(inputs, backend)
    for seed in range(4, 8):
        new = conv_inputs(seed)
        executor.copy_params_from(dict(zip(["weight", "scale", "bias"], arrays(new[1:]))))
        assert np.array_equal(executor.forward()[0].asnumpy(), expected([inputs[0]] + new[1:]))


@parameterized.expand(BACKENDS)
def test_freed_and_reused_memory(backend):
    for seed in range(12):
        inputs = conv_inputs(seed, channels=64)
        nd = arrays(inputs)
        out = mx.nd.mxq_conv(*nd, backend=backend, **CONV).asnumpy()
        assert np.array_equal(out, expected(inputs)), seed
        del nd


@parameterized.expand(BACKENDS)
def test_same_weights_with_other_scales_and_shapes(backend):
    data, weight, scale, bias = conv_inputs(9)
    nd = arrays([weight, scale, bias])
    for batch in (1, 3, 1):
        for size in (6, 9):
            for extra in ({}, {"in_scale": 0.1}, {"out_scale": 1.0}, {"out_type": "int32"}, {"in_zero_point": 9}):
                attrs = dict(CONV, **extra)
                x = np.random.RandomState(size).randint(0, 256, (batch, size, size, 32)).astype(np.uint8)
                got = mx.nd.mxq_conv(mx.nd.array(x, dtype="uint8"), *nd, backend=backend, **attrs).asnumpy()
                assert np.array_equal(got, expected([x, weight, scale, bias], attrs)), (batch, size, extra)


def test_conv_and_dense_share_one_array():
    rng = np.random.RandomState(0)
    weight = rng.randint(-127, 128, (24, 36)).astype(np.int8)
    scale, bias = rng.uniform(0.01, 0.02, 24).astype(np.float32), rng.randint(-99, 99, 24).astype(np.int32)
    nd = arrays([weight, scale, bias])
    x = rng.randint(0, 256, (2, 36)).astype(np.uint8)
    attrs = dict(DENSE, kernel=(1, 1), num_filter=24)
    del attrs["num_hidden"]
    for _ in range(2):
        dense = mx.nd.mxq_fully_connected(mx.nd.array(x, dtype="uint8"), *nd, **DENSE).asnumpy()
        assert np.array_equal(dense, fully_connected(x, weight, scale, bias, None, None, DENSE))
        grouped = x.reshape(2, 1, 1, 36)
        got = mx.nd.mxq_conv(
            mx.nd.array(grouped, dtype="uint8"), nd[0].reshape((24, 36, 1, 1)), nd[1], nd[2], **attrs
        ).asnumpy()
        assert np.array_equal(got.reshape(2, 24), dense)


def test_many_threads():
    cases = [conv_inputs(seed, channels) for seed, channels in ((0, 8), (1, 32), (2, 32), (3, 33))]
    wanted = [expected(inputs) for inputs in cases]
    failures = []

    def work(start):
        for i in range(24):
            which = (start + i) % len(cases)
            backend = ("auto", "avx")[(start + i // 4) % 2]
            got = run("mxq_conv", cases[which], CONV, backend)
            if not np.array_equal(got, wanted[which]):
                failures.append((start, i, backend))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
