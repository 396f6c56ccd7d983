"""Activations of 11 bits: what reads them in two parts, what in float, and how much closer the network comes."""

import json

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.arithmetic.parts import round_sums

from ..networks import NETWORKS, batch, bn, conv, fill, forward, relu
from .test_lower import sqnr

#: Networks with a layer that is neither grouped nor behind an operator that needs 8-bit integers.
NAMES = [name for name in NETWORKS if name != "nothing_quantizable"]


def _model(net, times=1, **options):
    """The 11-bit network, calibrated with so many times the examples of the network's shapes, and these."""
    data = batch({name: (times * shape[0], *shape[1:]) for name, shape in net[3].items()})
    options = {"activation_bits": 11, "equalize": False, "data_names": list(net[3]), **options}
    return data, mxq.quantize_model(net[0], net[1:3], data, **options)


def _nodes(model, op):
    return [n for n in json.loads(model.operators.symbol().tojson())["nodes"] if n["op"] == op]


@parameterized.expand([(name,) for name in NAMES])
def test_lowered_agrees_with_explicit_quantization_and_is_no_worse_than_8_bits(name):
    net = NETWORKS[name]()
    data, model = _model(net)
    plain = mxq.quantize_model(net[0], net[1:3], data, equalize=False, data_names=list(net[3]))
    assert model.symbol.list_outputs() == net[0].list_outputs()
    for e, q, y, p in zip(forward(net, data), forward(model.qdq, data), forward(model, data), forward(plain, data)):
        assert y.shape == e.shape and y.dtype == e.dtype
        assert sqnr(q, y) > sqnr(e, q) or sqnr(q, y) > 40, (sqnr(q, y), sqnr(e, q))
        # Beyond 40 dB the few outputs of these networks say little.
        assert sqnr(e, y) > min(sqnr(e, p), 40) - 1, (sqnr(e, y), sqnr(e, p))


@parameterized.expand([("plain",), ("residual",), ("inception",), ("conv1d",)])
def test_only_the_rounding_of_weights_is_left(name):
    net = NETWORKS[name]()
    data, model = _model(net, times=8, weight_rounding="nearest")  # of fewer, 1 dB more or less is chance
    graph = model.qdq.copy()
    for node in list(graph.nodes):
        if node.op == "mxq_dequantize" and node.inputs[0].node.op == "mxq_quantize_v2":
            graph.replace(node.out(), node.inputs[0].node.inputs[0])
    for e, y, weights in zip(forward(net, data), forward(model, data), forward(graph, data)):
        assert sqnr(e, y) > min(sqnr(e, weights), 46) - 1.5, (sqnr(e, y), sqnr(e, weights))


def test_residual_pooling_and_concat_read_float():
    data = mx.sym.var("data")
    x = relu(conv(data, "a", 6), "a_relu")
    y = relu(conv(x, "b", 6, pad=(1, 1)) + x, "b_relu")
    pooled = mx.sym.Pooling(y, kernel=(2, 2), pool_type="max", name="pool")
    z = mx.sym.Concat(conv(pooled, "c", 3), conv(pooled, "d", 4), dim=1, name="cat")
    net = fill(conv(z, "e", 5), {"data": (2, 3, 11, 11)})
    _, model = _model(net)
    quantized = sorted(n["name"] for n in _nodes(model, "mxq_quantize_v2"))
    assert quantized == ["a_relu_quantize", "cat_quantize", "data_quantize", "pool_quantize"], quantized
    assert all(n["attrs"]["fine_steps"] == "8" for n in _nodes(model, "mxq_quantize_v2"))
    assert all(n["attrs"]["out_type"] == "float32" for n in _nodes(model, "mxq_conv") + _nodes(model, "mxq_concat"))
    assert [n["name"] for n in _nodes(model, "mxq_transpose") + _nodes(model, "transpose")] == ["e"], (
        "the layout changes only at the output"
    )
    assert model.operators.params["a_weight_quantize_parts"].shape == (6, 6, 3, 3)


@parameterized.expand([(2, False), (6, False), (6, True)])
def test_a_grouped_convolution_reads_its_parts_one_after_the_other(groups, residual):
    x = relu(conv(mx.sym.var("data"), "a", 6), "a_relu")
    y = conv(x, "b", 6, num_group=groups)
    net = fill(conv(relu(y + x if residual else y, "b_relu"), "c", 5), {"data": (2, 3, 9, 9)})
    data, model = _model(net)
    parts = {n["name"]: n["attrs"].get("fine_steps") for n in _nodes(model, "mxq_quantize_v2")}
    assert parts == {"data_quantize": "8", "a_relu_quantize": "8", "b_relu_quantize": "8"}, parts
    by_name = {n["name"]: n["attrs"] for n in _nodes(model, "mxq_conv")}
    whole, rest = by_name["b_whole"], by_name["b"]
    assert float(rest["in_scale"]) == float(whole["in_scale"]) / 8
    assert (whole.get("sum", "none"), rest["sum"], rest["act"]) == (
        "before_act" if residual else "none",
        "before_act",
        "relu",
    )
    # The weights of both parts are the same integers: in the layer alone nothing but the order of sums differs.
    data, alone = _model(net, excluded_sym_names=["a", "c"])
    assert sqnr(forward(alone.qdq, data)[0], forward(alone, data)[0]) > 60


def test_a_grouped_convolution_that_adds_behind_its_activation_reads_8_bits():
    x = relu(conv(mx.sym.var("data"), "a", 6), "a_relu")
    net = fill(conv(relu(conv(x, "b", 6, num_group=6), "b_relu") + x, "c", 5), {"data": (2, 3, 9, 9)})
    _, model = _model(net)
    by_name = {n["name"]: n["attrs"] for n in _nodes(model, "mxq_conv")}
    assert by_name["a"]["out_type"] == "uint8" and by_name["b"]["sum"] == "after_act"


def test_a_table_and_a_batchnorm_in_front_of_a_layer_write_11_bits():
    x = mx.sym.tanh(conv(mx.sym.var("data"), "a", 6), name="table")
    x = conv(x, "b", 6)
    x = bn(relu(x, "r"), "norm")
    net = fill(conv(x, "c", 5), {"data": (2, 3, 9, 9)})
    data, model = _model(net)
    parts = {n["name"]: n["attrs"].get("fine_steps") for n in _nodes(model, "mxq_quantize_v2")}
    assert parts["table_quantize"] == parts["norm_quantize"] == "8", parts
    assert len(_nodes(model, "mxq_lut")) == len(_nodes(model, "mxq_affine")) == 1


def test_raw_integers_stay_as_they_are():
    net = fill(conv(mx.sym.var("data"), "a", 2), {"data": (1, 3, 6, 6)})
    raw = np.random.RandomState(0).randint(0, 256, (1, 3, 6, 6)).astype("uint8")
    model = mxq.quantize_model(net[0], net[1:3], raw, input_dtype="uint8", activation_bits=11)
    assert not _nodes(model, "mxq_quantize_v2")


def test_ranges_leave_a_margin():
    net = NETWORKS["depthwise"]()
    _, fine = _model(net, range_headroom=0)
    _, plain = _model(net, activation_bits=8, range_headroom=0)
    wider = {k for k in plain.table.ranges if fine.table.range(k)[1] > 1.2 * plain.table.range(k)[1]}
    assert wider == set(plain.table.ranges), wider


def test_preset():
    net = NETWORKS["residual"]()
    data = batch(net[3])
    best = mxq.quantize_model(net[0], net[1:3], data, preset="best")
    assert any("fine_steps" in n["attrs"] for n in _nodes(best, "mxq_quantize_v2"))
    given = mxq.quantize_model(net[0], net[1:3], data, preset="best", activation_bits=8)
    assert not any("fine_steps" in n["attrs"] for n in _nodes(given, "mxq_quantize_v2"))


def _rows():
    """Layers that multiply rows of the last axis: recurrent heads, attention, text recognition."""
    x = relu(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=24, flatten=False, name="a"), "a_relu")
    y = relu(mx.sym.FullyConnected(x, num_hidden=32, flatten=False, name="b"), "b_relu")
    y = relu(mx.sym.FullyConnected(y, num_hidden=24, flatten=False, name="c") + x, "c_relu")
    return fill(mx.sym.FullyConnected(y, num_hidden=5, flatten=False, name="d"), {"data": (4, 7, 16)})


@parameterized.expand([(name,) for name in [*NAMES, "rows"]])
def test_best_is_never_below_the_default(name):
    net = _rows() if name == "rows" else NETWORKS[name]()
    shapes = {key: (64 // shape[0] * shape[0], *shape[1:]) for key, shape in net[3].items()}
    calibration, unseen = batch(shapes), batch(shapes, seed=5)
    exact = forward(net, unseen)
    found = []
    for preset in ("default", "best"):
        options = {"data_names": list(net[3]), "verify": False, "preset": preset}
        found.append(forward(mxq.quantize_model(net[0], net[1:3], calibration, **options), unseen))
    for e, default, best in zip(exact, *found):
        assert sqnr(e, best) > sqnr(e, default), (sqnr(e, best), sqnr(e, default))
        assert name != "rows" or sqnr(e, best) > sqnr(e, default) + 5


def test_a_tensor_read_by_rows_and_by_channels_has_its_parts_where_each_reader_wants_them():
    x = relu(conv(mx.sym.var("data"), "a", 6, kernel=(3,), pad=(1,)), "a_relu")
    rows = mx.sym.FullyConnected(x, num_hidden=4, flatten=False, name="rows")
    net = fill(mx.sym.Group([rows, conv(x, "b", 5, kernel=(3,))]), {"data": (2, 3, 9)})
    data, model = _model(net, times=8)
    axes = sorted(n["attrs"].get("axis", "1") for n in _nodes(model, "mxq_quantize_v2") if "a_relu" in n["name"])
    assert axes == ["-1", "1"] or axes == ["-1", "-1"], axes
    for e, q, y in zip(forward(net, data), forward(model.qdq, data), forward(model, data)):
        assert sqnr(e, y) > 45 and sqnr(q, y) > 45, (sqnr(e, y), sqnr(q, y))


def test_sums_of_weights_survive_rounding():
    weight = np.random.RandomState(0).randint(-127, 128, (20, 7, 3, 3)) / 8.0
    rounded = round_sums(weight)
    assert np.abs(rounded - weight).max() < 1 and (rounded == np.rint(rounded)).all()
    assert np.abs((rounded - weight).reshape(20, -1).sum(axis=1)).max() <= 0.5
    assert (np.abs(rounded - weight) <= 0.5).mean() > 0.8
