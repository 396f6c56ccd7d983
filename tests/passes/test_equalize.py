"""Equalization changes no output, and evens out what it may."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.calib.statistics import Statistics
from mxq.calib.table import CalibTable
from mxq.equalization import channel_factors
from mxq.errors import CalibrationError
from mxq.network.graph import Graph
from mxq.network.identity import tensor_key
from mxq.network.shapes import infer_shapes
from mxq.passes import run
from mxq.passes.annotate import annotate
from mxq.passes.channel_ties import FIXED, Ties
from mxq.passes.drop_noops import drop_noops
from mxq.passes.equalize import channel_scales, equalize
from mxq.passes.fold_batchnorm import fold_batchnorm
from mxq.passes.join_clips import join_clips

from ..networks import NETWORKS, batch, bn, fill, forward, graph_of, relu
from ..refusals import refused
from .test_lower import sqnr


def _simplified(net):
    graph = run(graph_of(net), [drop_noops, fold_batchnorm, join_clips])
    graph.shapes = infer_shapes(graph, net[3])
    return graph


def _values(graph, data):
    """Every computed value, by tensor key."""
    found = {}
    for value in [n.out(i) for n in graph.nodes for i in range(4) if not n.is_variable and (n.name, i) in graph.shapes]:
        probe = graph.copy()
        probe.outputs = [probe.node(value.node.name).out(value.index)]
        probe.prune()
        found[tensor_key(value)] = forward(probe, data)[0]
    return found


def _channel_max(graph, data):
    """Largest magnitude per channel of every value that has channels."""
    values = {key: np.abs(y) for key, y in _values(graph, data).items() if y.ndim > 1}
    return {key: y.reshape(*y.shape[:2], -1).max(axis=(0, 2)) for key, y in values.items()}


def _factors(graph, data, steps=()):
    statistics = Statistics([*data, *_values(graph, data)])
    for key, y in {**data, **_values(graph, data)}.items():
        statistics[key].update(y)
    statistics.num_examples = len(next(iter(data.values())))
    return channel_factors(annotate(graph), statistics, dict(steps))


def _any_factors(graph, seed=0):
    """Positive factors for everything that can be scaled."""
    ties = Ties(graph)
    s = 10 ** np.random.RandomState(seed).uniform(-1, 1, ties.count)
    s[FIXED] = 1
    return {node.name: s[ties.of(node.out())] for node in ties.producers if ties.of(node.out()).any()}


def _check_equal(graph, factors, data, rtol=2e-5):
    after = equalize(graph, factors)
    for before, y in zip(forward(graph, data), forward(after, data)):
        # Factors that cancel, each rounded in float32.
        np.testing.assert_allclose(y, before, rtol=rtol, atol=rtol * np.abs(before).max())
    return after


@parameterized.expand([(name,) for name in NETWORKS])
def test_outputs_are_equal_on_every_kind_of_network(name):
    net = NETWORKS[name]()
    data = batch(net[3])
    graph = _simplified(net)
    _check_equal(graph, _factors(graph, data), data)
    _check_equal(graph, _any_factors(graph), data, rtol=1e-4)


@parameterized.expand([(name,) for name in NETWORKS])
def test_scales_are_those_of_the_values(name):
    net = NETWORKS[name]()
    data = batch(net[3])
    graph = _simplified(net)
    factors = _any_factors(graph)
    scales = channel_scales(graph, factors)
    before, after = _values(graph, data), _values(equalize(graph, factors), data)
    for key, y in before.items():
        scale = scales.get(key, np.ones(1)).reshape((1, -1) + (1,) * (y.ndim - 2)) if y.ndim > 1 else 1.0
        np.testing.assert_allclose(after[key], y * scale, rtol=1e-3, atol=1e-4 * np.abs(y * scale).max())
    assert bool(scales) == bool(factors)


def _conv(x, name, channels, **kwargs):
    return mx.sym.Convolution(x, num_filter=channels, kernel=kwargs.pop("kernel", (1, 1)), name=name, **kwargs)


def _prelu(x, name):
    return mx.sym.LeakyReLU(x, act_type="prelu", name=name)


#: What stands between the layers `a` and `b` -> whether it passes factors on.
BETWEEN = {
    "relu": (lambda x: mx.sym.relu(x), True),
    "leaky": (lambda x: mx.sym.LeakyReLU(x, act_type="leaky", slope=0.1), True),
    "prelu": (lambda x: _prelu(x, "p"), True),
    "relu6": (lambda x: mx.sym.minimum(mx.sym.maximum(x, 0), 1.5), True),
    "clip_around_zero": (lambda x: mx.sym.clip(x, a_min=-1, a_max=1.5), False),
    "scalar": (lambda x: mx.sym.sigmoid(x) * 0 + 2 * relu(x, "r"), True),
    "sigmoid": (lambda x: mx.sym.sigmoid(x), False),
    "max_pooling": (lambda x: mx.sym.Pooling(x, kernel=(2, 2), pool_type="max"), True),
    "avg_pooling": (lambda x: mx.sym.Pooling(x, kernel=(2, 2), pool_type="avg", pad=(1, 1)), True),
    "upsampling": (lambda x: mx.sym.UpSampling(x, scale=2, sample_type="nearest"), True),
    "resize": (lambda x: mx.sym.contrib.BilinearResize2D(x, height=7, width=5), True),
    "crop": (lambda x: mx.sym.Crop(x, offset=(1, 1), h_w=(2, 2), num_args=1), True),
    "pad": (lambda x: mx.sym.Pad(x, mode="constant", pad_width=(0, 0, 0, 0, 1, 1, 0, 1)), True),
    "pad_ones": (lambda x: mx.sym.Pad(x, mode="constant", pad_width=(0,) * 4 + (1, 1, 1, 1), constant_value=1), False),
    "pad_edge": (lambda x: mx.sym.Pad(x, mode="edge", pad_width=(0,) * 4 + (1, 1, 1, 1)), True),
    "batchnorm": (lambda x: bn(_prelu(x, "p"), "bn"), True),
    "lrn": (lambda x: mx.sym.LRN(x, nsize=3), False),
    "square": (lambda x: x * x, False),
    "slice": (lambda x: mx.sym.slice_axis(x, axis=1, begin=1, end=3), True),
    "split": (lambda x: mx.sym.concat(*reversed(list(mx.sym.SliceChannel(x, num_outputs=2))), dim=1), True),
    "split_rows": (lambda x: mx.sym.concat(*mx.sym.SliceChannel(x, num_outputs=2, axis=2), dim=1), False),
    "deconvolution": (lambda x: mx.sym.Deconvolution(x, num_filter=4, num_group=2, kernel=(2, 2)), True),
    "transpose": (lambda x: mx.sym.transpose(x, axes=(0, 2, 3, 1)), False),
}


@parameterized.expand([(name,) for name in BETWEEN])
def test_what_passes_factors_on(name):
    function, passes = BETWEEN[name]
    net = fill(_conv(function(_conv(mx.sym.var("data"), "a", 4)), "b", 3), {"data": (2, 3, 4, 4)})
    data = batch(net[3])
    if name == "scalar":  # read as it is by somebody else
        passes = False
    graph = _simplified(net)
    factors = _any_factors(graph)
    assert ("a" in factors) == passes, factors
    after = _check_equal(graph, factors, data, rtol=1e-4)
    assert (np.abs(after.params["a_weight"] - graph.params["a_weight"]).max() > 0.01) == passes


def test_operands_of_a_sum_share_their_factors():
    x = _conv(mx.sym.var("data"), "a", 4)
    y = _conv(relu(x, "r"), "b", 4)
    net = fill(_conv(relu(x + y, "s"), "c", 3), {"data": (2, 3, 4, 4)})
    graph = _simplified(net)
    factors = _factors(graph, batch(net[3]))
    assert set(factors) == {"a", "b"}
    np.testing.assert_array_equal(factors["a"], factors["b"])


def test_a_gate_stays_and_what_it_opens_is_scaled():
    x = relu(_conv(mx.sym.var("data"), "a", 4), "r")
    gate = mx.sym.sigmoid(_conv(mx.sym.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1)), "b", 4))
    net = fill(_conv(mx.sym.broadcast_mul(x, gate), "c", 3), {"data": (2, 3, 4, 4)})
    graph = _simplified(net)
    assert set(_any_factors(graph)) == {"a"}
    _check_equal(graph, _any_factors(graph), batch(net[3]), rtol=1e-4)


def test_through_concat_pooling_grouped_and_fully_connected_readers():
    x = mx.sym.var("data")
    a, b = relu(_conv(x, "a", 4), "ra"), relu(_conv(x, "b", 2), "rb")
    cat = mx.sym.Pooling(mx.sym.Concat(a, b), kernel=(2, 2), pool_type="max")
    c = relu(_conv(cat, "c", 6, num_group=3), "rc")
    net = fill(mx.sym.FullyConnected(c, num_hidden=3, name="fc"), {"data": (2, 3, 4, 4)})
    data = batch(net[3])
    graph = _simplified(net)
    factors = _factors(graph, data)
    assert set(factors) == {"a", "b", "c"}
    after = _check_equal(graph, factors, data, rtol=1e-4)
    assert not np.array_equal(after.params["fc_weight"], graph.params["fc_weight"])
    maxima, before = _channel_max(after, data)["ra"], _channel_max(graph, data)["ra"]
    assert maxima.max() / maxima.min() < before.max() / before.min()


def _branches(ratio):
    x = mx.sym.var("data")
    cat = mx.sym.Concat(*(relu(_conv(x, name, 8), f"r{name}") for name in "ab"), dim=1, name="cat")
    net = fill(_conv(cat, "c", 6), {"data": (8, 3, 6, 6)})
    for part in ("weight", "bias"):
        net[1][f"b_{part}"] = net[1][f"b_{part}"] * ratio
    column = mx.nd.array(np.repeat([1, 1 / ratio], 8).reshape(1, 16, 1, 1))
    net[1]["c_weight"] = mx.nd.broadcast_mul(net[1]["c_weight"], column)
    return net


def test_every_branch_of_a_concat_keeps_its_range():
    """Ranges that differ by 100, and readers that make up for it: 8 dB with one scale for both."""
    results = []
    for ratio in (1.0, 100.0):
        net = _branches(ratio)
        data = batch(net[3])
        model = mxq.quantize_model(net[0], net[1:3], data)
        results.append(sqnr(forward(net, data)[0], forward(model, data)[0]))
    assert results[1] > 37 and abs(results[0] - results[1]) < 0.5, results


def test_who_must_not_be_touched():
    x = mx.sym.var("data")
    a = relu(_conv(x, "a", 3), "ra")  # also read by a sum with what is fixed
    b = mx.sym.sigmoid(_conv(a, "b", 3), name="sigmoid")  # read by no layer
    c = _conv(b + a, "c", 3)  # an output of the network
    net = fill(c, {"data": (2, 3, 4, 4)})
    graph = _simplified(net)
    assert _factors(graph, batch(net[3])) == {}
    ties = Ties(graph)
    assert ties.fixed_by(graph.node("b").out()) == ["sigmoid 'sigmoid'"]
    assert ties.fixed_by(graph.node("a").out()) == ["sigmoid 'sigmoid'"]
    assert ties.fixed_by(graph.node("c").out()) == ["the network's output"]


def test_rows_have_their_channels_last():
    """flatten=False: axis 1 counts rows, here as many as there are channels, so that a mistake fits."""
    x = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=6, flatten=False, name="rows")
    net = fill(mx.sym.FullyConnected(relu(x, "r"), num_hidden=4, name="fc"), {"data": (4, 6, 6)})
    graph = _simplified(net)
    assert _factors(graph, batch(net[3])) == {}


def test_factors_that_do_not_fit_are_refused():
    x = _conv(mx.sym.var("data"), "a", 3)
    net = fill(_conv(relu(x + _conv(x, "b", 3), "r"), "c", 2), {"data": (1, 3, 4, 4)})
    graph = _simplified(net)
    parts = ("2 channel factors", "'a'", "3 channels")
    refused(lambda: equalize(graph, {"a": np.ones(2)}), *parts, error=CalibrationError)
    parts = ("'b'", "do not agree", "calibrate again")
    refused(lambda: equalize(graph, {"a": np.ones(3), "b": np.full(3, 2.0)}), *parts, error=CalibrationError)


def test_shared_weights_are_left_alone():
    x, w = mx.sym.var("data"), mx.sym.var("w")
    a = mx.sym.Convolution(x, weight=w, no_bias=True, num_filter=3, kernel=(1, 1), name="a")
    sym = mx.sym.Convolution(relu(a, "r"), weight=w, no_bias=True, num_filter=3, kernel=(1, 1), name="b")
    graph = Graph.from_symbol(sym, {"w": np.float32(np.random.RandomState(0).randn(3, 3, 1, 1))})
    graph.shapes = infer_shapes(graph, {"data": (1, 3, 4, 4)})
    assert not Ties(graph).producers


def test_factors_are_bounded_where_calibration_saw_little():
    x = mx.sym.var("data")
    net = fill(_conv(relu(_conv(x, "a", 3), "r"), "b", 2), {"data": (1, 3, 4, 4)})
    net[1]["a_bias"][0] = -100  # a channel that is never active
    graph = _simplified(net)
    factor = _factors(graph, batch(net[3]))["a"]
    assert np.isfinite(factor).all() and factor.max() / factor.min() < 1e4, factor


def test_bad_scales_between_layers_do_not_matter():
    x = mx.sym.var("data")
    x = relu(_conv(x, "a", 16), "ra")
    x = relu(_conv(x, "b", 16, kernel=(3, 3), num_group=16), "rb")
    net = fill(_conv(x, "c", 5), {"data": (2, 3, 9, 9)})
    data = batch(net[3])
    good, bad = _simplified(net), _simplified(net)
    scale = 10 ** np.random.RandomState(0).uniform(-2, 2, 16)
    for name, axes in (("b_weight", (-1, 1, 1, 1)), ("b_bias", (-1,))):
        bad.params[name] = (bad.params[name] * scale.reshape(axes)).astype(np.float32)
    bad.params["c_weight"] = (bad.params["c_weight"] / scale.reshape(1, -1, 1, 1)).astype(np.float32)
    after = [equalize(graph, _factors(graph, data)) for graph in (good, bad)]
    for name in ("b_weight", "b_bias", "c_weight"):
        ratio = after[1].params[name] / after[0].params[name]
        np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-3)  # one factor for the whole tensor


# -- limits per channel ----------------------------------------------------------------------------------------------


DATA = mx.sym.var("data")


def _relu6_net(function=lambda x: x, limit=1.0):
    x = mx.sym.clip(_conv(DATA, "a", 6), a_min=0, a_max=limit, name="clip")
    net = fill(_conv(function(x), "b", 4), {"data": (8, 3, 6, 6)})
    scale = np.float32([0.1, 1, 3, 0.3, 0.05, 2])
    for part, axes in (("weight", (-1, 1, 1, 1)), ("bias", (-1,))):
        net[1][f"a_{part}"] = net[1][f"a_{part}"] * mx.nd.array(scale.reshape(axes))
    if net[1]["b_weight"].shape[1] == 6:  # readers to whom small channels matter as much
        net[1]["b_weight"] = net[1]["b_weight"] / mx.nd.array(scale.reshape(1, -1, 1, 1))
    return net


def test_channels_that_reach_a_limit_have_one_factor_and_the_integers_end_there():
    net = _relu6_net()
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data)
    factor = np.float32(model.table.channel_factors["a"])
    largest = _channel_max(_simplified(net), data)["clip"]
    at_limit = largest == 1
    assert 0 < at_limit.sum() < 6
    assert (factor[at_limit] == factor.max()).all() and factor.min() < 0.5 * factor.max(), factor
    ops = [n.op for n in model.operators.nodes if not n.is_variable]
    assert "broadcast_minimum" not in ops and ops.count("mxq_conv") == 2, ops
    plain = mxq.quantize_model(net[0], net[1:3], data, equalize=False)
    wanted = forward(net, data)[0]
    assert sqnr(wanted, forward(model, data)[0]) > sqnr(wanted, forward(plain, data)[0]) + 1


@parameterized.expand(
    [
        ("float", lambda x: x, {"excluded_sym_names": ["b"]}),
        ("summed", lambda x: x + _conv(x, "c", 6), {}),
        ("before_a_sum", lambda x: _conv(DATA, "c", 6) + x, {}),
        ("concat", lambda x: mx.sym.Concat(x, 3 * x, dim=1), {}),
        ("best", lambda x: x, {"preset": "best"}),
        ("pooled", lambda x: mx.sym.Pooling(x, kernel=(2, 2), pool_type="avg"), {"preset": "best"}),
    ]
)
def test_limits_hold_whoever_reads(_, function, options):
    net = _relu6_net(function, limit=0.7)
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, **options)
    wanted = forward(net, data)[0]
    assert sqnr(wanted, forward(model.qdq, data)[0]) > 27
    assert sqnr(wanted, forward(model, data)[0]) > 27


@parameterized.expand([(name,) for name in ("float", "after_act")])
def test_limits_that_integers_do_not_have_are_applied(name):
    """A table from other options: the limits are where nobody put them for these."""
    net = _relu6_net((lambda x: x) if name == "float" else lambda x: _conv(DATA, "c", 6) + x, limit=0.7)
    data = batch(net[3])
    table = mxq.quantize_model(net[0], net[1:3], data).table
    factors = {k: np.float32(np.linspace(0.5, 2, 6)) for k in table.channel_factors}
    ranges = {k: (lo * 4, hi * 4) for k, (lo, hi) in table.ranges.items()}
    other = CalibTable(ranges, "minmax", table.graph_hash, 1, channel_factors=factors, data_shapes=table.data_shapes)
    options = {"excluded_sym_names": ["b"]} if name == "float" else {}
    model = mxq.quantize_model(net[0], net[1:3], calib_table=other, weight_rounding="nearest", **options)
    assert "broadcast_minimum" in {n.op for n in model.operators.nodes}
    wanted, qdq, lowered = (forward(network, data)[0] for network in (net, model.qdq, model))
    assert sqnr(qdq, lowered) > 60 and sqnr(wanted, lowered) > 15, (sqnr(qdq, lowered), sqnr(wanted, lowered))


def test_a_channel_that_hardly_counts_overflows_nothing():
    x = relu(_conv(relu(_conv(DATA, "a", 6), "a_relu"), "b", 6), "b_relu")
    net = fill(_conv(x, "c", 5), {"data": (16, 3, 9, 9)})
    weight = net[1]["b_weight"].asnumpy()
    weight[:, 2] *= 1e-14
    net[1]["b_weight"] = mx.nd.array(weight)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        model = mxq.quantize_model(net[0], net[1:3], batch(net[3]), verify=False)
    factors = np.array(model.table.channel_factors["a"])
    assert np.isfinite(factors).all() and factors[2] > 100 * factors[[0, 1, 3, 4, 5]].max(), factors
