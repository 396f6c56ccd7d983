"""One operator between two convolutions, with attributes of every kind, in every way to calibrate: int8 is near float.

What a network of the other tests has by chance is drawn here: axes in any order, padding that differs on each side,
operands whose shapes are not known, parameters of one number.
"""

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq

from ..networks import conv, fill, forward, relu

SHAPE = (2, 3, 9, 7)
WAYS = {
    "calibrated": {"calib_mode": "minmax"},
    "full": {"calib_mode": "minmax", "quantize_mode": "full"},
    "no_shapes": {"calib_mode": "none", "given": None},
    "at_run_time": {"calib_mode": "none"},
}


def _sqnr(a, b):
    noise = np.square(a.astype(np.float64) - b).sum()
    return 10 * np.log10(np.square(a.astype(np.float64)).sum() / noise) if noise else np.inf


def _agrees(make, **options):
    """The network x -> conv -> make(x) -> conv, int8 beside float, quantized with `options`."""
    x = relu(conv(mx.sym.var("data"), "before", 6), "relu_before")
    y = make(x)
    sym, args, aux, shapes = fill(mx.sym.Group([conv(y, "after", 5), y * 1.5]), {"data": SHAPE})
    # Values that differ from place to place: a wrong axis or a wrong side is far off.
    data = np.random.RandomState(1).uniform(-1, 1, SHAPE).astype(np.float32)
    data *= np.linspace(0.2, 2, SHAPE[2], dtype=np.float32)[:, None] * np.linspace(1, 3, SHAPE[3], dtype=np.float32)
    given = options.pop("given", data)
    model = mxq.quantize_model(sym, (args, aux), given, data_names=["data"], preflight=False, progress=False, **options)
    assert model.report.count("int8")
    for e, y in zip(forward((sym, args, aux), {"data": data}), forward(model, {"data": data})):
        assert e.shape == y.shape
        assert _sqnr(e, y) > 25, (_sqnr(e, y), str(model.report))
    return model


def _moves(draw):
    kind = draw(st.sampled_from(["Pad", "transpose", "slice", "slice_axis", "mean", "flip"]))
    if kind == "Pad":
        width = draw(st.tuples(*[st.integers(0, 3)] * 4))
        mode = draw(st.sampled_from(["edge", "reflect", "constant"]))
        return lambda x: mx.sym.Pad(x, mode=mode, pad_width=(0, 0, 0, 0, *width), name="op")
    if kind == "transpose":
        axes = draw(st.sampled_from([(0, 1, 3, 2), (0, 3, 2, 1), (0, 2, 1, 3), (0, 2, 3, 1), (0, 3, 1, 2)]))
        return lambda x: mx.sym.transpose(x, axes=axes, name="op")
    if kind == "slice":
        begin = draw(st.tuples(st.just(0), st.integers(0, 2), st.integers(0, 4), st.integers(0, 3)))
        end = draw(st.tuples(st.none(), st.integers(4, 6), st.sampled_from([None, 7, -1]), st.integers(5, 7)))
        return lambda x: mx.sym.slice(x, begin=begin, end=end, name="op")
    if kind == "slice_axis":
        axis = draw(st.sampled_from([1, 2, 3, -1, -2, -3]))
        begin, end = draw(st.integers(0, 3)), draw(st.sampled_from([None, 5, -1]))
        return lambda x: mx.sym.slice_axis(x, axis=axis, begin=begin, end=end, name="op")
    if kind == "mean":
        axes = draw(st.sampled_from([(2, 3), (3, 2), (-1, 2), (-2, -1), (-1, -2)]))
        return lambda x: mx.sym.mean(x, axis=axes, keepdims=True, name="op")
    return lambda x: mx.sym.reverse(x, axis=draw(st.sampled_from([2, 3])), name="op")


@settings(derandomize=True, deadline=None, max_examples=40)
@given(data=st.data(), way=st.sampled_from(sorted(WAYS)))
def test_moves_of_data(data, way):
    _agrees(_moves(data.draw), **WAYS[way])


PADS = [("edge", (0, 1, 2, 3)), ("reflect", (3, 0, 1, 2)), ("constant", (2, 1, 0, 3)), ("edge", (3, 2, 1, 0))]


@parameterized.expand([(f"{mode}_{'_'.join(map(str, width))}", mode, width) for mode, width in PADS])
def test_padding_that_differs_on_each_side(_, mode, width):
    _agrees(lambda x: mx.sym.Pad(x, mode=mode, pad_width=(0, 0, 0, 0, *width), name="op"), **WAYS["calibrated"])


@parameterized.expand([("order", (3, 2), False), ("order_kept", (3, 2), True), ("negative", (-1, 2), True)])
def test_means_over_axes_in_any_order(_, axes, keepdims):
    def make(x):
        mean = mx.sym.mean(x, axis=axes, keepdims=keepdims, name="op")
        return mean if keepdims else mx.sym.reshape(mean, shape=(0, 0, 1, 1))

    model = _agrees(make, **WAYS["calibrated"])
    assert "op" not in [line.node for line in model.report.floats()]


def _input(x):
    return x.get_internals()["data"]


#: What is added or multiplied: a tensor of the network, smaller in some axes, or a parameter.
OPERANDS = {
    "same": lambda x: conv(x, "other", 6),
    "one_pixel": lambda x: mx.sym.Pooling(conv(x, "other", 6), global_pool=True, pool_type="avg", kernel=(1, 1)),
    "one_channel": lambda x: conv(x, "other", 1),
    "input": lambda x: mx.sym.slice_axis(_input(x), axis=1, begin=0, end=1),
    "number": lambda x: mx.sym.var("param", shape=(1,)),
    "channels": lambda x: mx.sym.var("param", shape=(1, 6, 1, 1)),
    "channels_behind": lambda x: mx.sym.var("param", shape=(6, 1, 1)),
    "columns": lambda x: mx.sym.var("param", shape=(7,)),
}
SUMS = [(op, operand, way) for op in ("broadcast_add", "broadcast_mul") for operand in OPERANDS for way in sorted(WAYS)]


@parameterized.expand([(f"{op}_{operand}_{way}", op, operand, way) for op, operand, way in SUMS])
def test_operands_of_every_shape(_, op, operand, way):
    _agrees(lambda x: getattr(mx.sym, op)(x, OPERANDS[operand](x), name="op"), **WAYS[way])


def test_data_read_by_flatten_and_by_a_convolution_without_shapes():
    data = mx.sym.var("data")
    flat = mx.sym.FullyConnected(mx.sym.Flatten(data, name="flat"), num_hidden=4, name="fc")
    sym, args, aux, _ = fill(mx.sym.Group([flat, conv(data, "conv", 5)]), {"data": SHAPE})
    model = mxq.quantize_model(sym, (args, aux), None, data_names=["data"], calib_mode="none")
    x = np.random.RandomState(0).uniform(-1, 1, SHAPE).astype(np.float32)
    for e, y in zip(forward((sym, args, aux), {"data": x}), forward(model, {"data": x})):
        assert _sqnr(e, y) > 25


@settings(derandomize=True, deadline=None, max_examples=30)
@given(zeros=st.sets(st.integers(0, 5)), bias=st.booleans(), producer=st.booleans())
def test_batchnorms_with_shifts_of_zero_in_some_channels(zeros, bias, producer):
    """beta equal to mean times scale: the shift of that channel is exactly 0, beside others that are not."""
    from mxq.passes import run
    from mxq.passes.fold_batchnorm import fold_batchnorm

    from ..networks import graph_of

    x = mx.sym.var("data")
    bn = dict(fix_gamma=False, eps=1e-3, name="bn")
    if producer:
        sym = mx.sym.BatchNorm(conv(x, "conv", 6, no_bias=not bias), **bn)
    else:
        sym = conv(mx.sym.BatchNorm(x, **bn), "conv", 6, pad=(0, 0), no_bias=not bias)
    net = fill(sym, {"data": (2, 6, 5, 5)})
    beta, mean = net[1]["bn_beta"].asnumpy(), net[2]["bn_moving_mean"].asnumpy()
    for channel in zeros:
        beta[channel] = mean[channel] = 0
    net[1]["bn_beta"], net[2]["bn_moving_mean"] = mx.nd.array(beta), mx.nd.array(mean)
    folded = run(graph_of(net), [fold_batchnorm])
    assert not any(node.op == "BatchNorm" for node in folded.nodes)
    data = {"data": np.random.RandomState(0).uniform(-1, 1, (2, 6, 5, 5)).astype(np.float32)}
    np.testing.assert_allclose(forward(folded, data)[0], forward(net, data)[0], rtol=1e-5, atol=1e-5)
