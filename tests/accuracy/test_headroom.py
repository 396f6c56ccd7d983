"""range_headroom: ranges are widened where rounding hardly matters, and only there."""

import functools

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.choice.headroom import MOST, _wider, factors, observations, widened
from mxq.network.graph import Graph
from mxq.ops.bounds import bounds
from mxq.passes.annotate import annotate

from ..networks import conv, fill, forward, graph_of, relu
from ..passes.test_lower import sqnr
from ..refusals import refused

OPTIONS = {"preflight": False, "verify": False, "precision_budget": 0}


def _data(n=32, scale=1.0):
    return np.random.RandomState(5).normal(0, scale, (n, 3, 12, 12)).astype(np.float32)


def _network():
    """A branch that hardly counts while it is small, beside one that makes all of the noise."""
    data = mx.sym.var("data")
    loud = relu(conv(data, "a", 8), "loud")
    quiet = relu(conv(data, "b", 8), "quiet")
    out = conv(loud, "c", 4) + conv(quiet, "d", 4)
    net = fill(out, {"data": (2, 3, 12, 12)})
    net[1]["d_weight"] *= 0.02
    return net


def _quantized(net, data, **options):
    return mxq.quantize_model(net[0], net[1:3], data, **{**OPTIONS, **options})


def _run(net, data):
    return forward(net, {"data": data})[0]


def _found(noise, share, most=MOST, often=None):
    return factors(noise, share, dict.fromkeys(noise, most), often or dict.fromkeys(noise, 7.0))


def test_factors_spend_what_is_given_and_no_more():
    noise = {"a": 60.0, "b": 30.0, "c": 9.0, "d": 1.0, "e": 0.0}
    found = _found(noise, 0.1)
    spent = sum(noise[key] * factor**2 for key, factor in found.items())
    np.testing.assert_allclose(spent, 110, rtol=1e-6)
    assert found["a"] == found["b"] == 1 and found["d"] == found["e"] == MOST
    np.testing.assert_allclose(found["c"] ** 2, (110 - 90 - 1 * MOST**2) / 9, rtol=1e-4)  # what is left
    np.testing.assert_allclose([_found(noise, 0)[key] for key in "abcd"], 1, atol=1e-4)
    assert set(_found(noise, 100).values()) == {MOST} and _found({}, 1) == {}
    assert _found({"a": 0.0}, 0.1) == {"a": MOST}


def test_what_was_seen_less_often_gets_more():
    noise = {"a": 2.0, "b": 2.0, "c": 96.0}
    found = _found(noise, 0.02, often={"a": 10.0, "b": 20.0, "c": 20.0})
    assert found["c"] == 1
    np.testing.assert_allclose(found["a"] ** 2, 2 * found["b"] ** 2)
    np.testing.assert_allclose(sum(noise[key] * factor**2 for key, factor in found.items()), 102)


def test_a_range_is_at_most_twice_as_wide_as_what_was_seen():
    """Where the least noise on what was seen cuts it off, too."""
    net = _network()
    table = _quantized(net, _data(), range_headroom=0).table
    table = table.extended(ranges={**table.ranges, "loud": (0.0, 2.0), "quiet": (0.0, 1.0)})
    seen = {**table.ranges, "loud": (0.0, 4.0), "quiet": (0.0, 3.0)}
    noise = {**dict.fromkeys(table.ranges, 0.0), "loud": 100.0, "quiet": 1e-3}
    graph = annotate(graph_of(net))
    for share, quiet in ((0.0, 1.0), (0.01, 6.0), (9.0, 6.0)):
        ranges = widened(graph, table, noise, seen, share=share, fixed={}).ranges
        np.testing.assert_allclose(ranges["quiet"], (0, quiet), rtol=1e-3)
        assert ranges["loud"][1] < 2.5 if share < 1 else ranges["loud"] == (0.0, 8.0)


ANY = (-np.inf, np.inf)


@parameterized.expand(
    [
        ("both_ends", (-1.0, 2.0), (-8.0, 8.0), ANY, (-1.5, 3.0)),
        ("to_what_was_seen", (-1.0, 2.0), (-1.25, 2.5), ANY, (-1.25, 2.5)),
        ("to_what_there_can_be", (-1.0, 2.0), (-8.0, 8.0), (-1.25, 2.5), (-1.25, 2.5)),
        ("no_less_than_it_was", (-1.0, 2.0), (-0.5, 1.0), (-0.5, 1.0), (-1.0, 2.0)),
        ("zero_stays", (0.0, 2.0), (-8.0, 8.0), ANY, (0.0, 3.0)),
    ]
)
def test_a_range_half_as_wide_again(_, found, ends, limits, wanted):
    assert _wider(found, 1.5, ends, limits) == wanted


def test_observations():
    graph = Graph.from_symbol(mx.sym.var("x"), {}, {})
    for shape, expected in (((2, 3, 4, 9), 60), ((2, 3), 10), ((2, 3, 16), 40)):
        graph.shapes = {("x", 0): shape}
        assert observations(graph.outputs[0], graph, 10) == expected


def test_where_rounding_hardly_matters_ranges_have_room():
    net = _network()
    plain = _quantized(net, _data(400), range_headroom=0)
    model = _quantized(net, _data(400))
    wider = {key: model.table.range(key)[1] / plain.table.range(key)[1] for key in ("loud", "quiet")}
    assert 1 <= wider["loud"] < 1.7 < wider["quiet"] < 1.05 * MOST, wider
    same = _run(net, _data())
    assert sqnr(same, _run(model, _data())) > sqnr(same, _run(plain, _data())) - 0.5


def test_what_calibration_did_not_see_is_not_cut_off():
    net = _network()
    net[1]["d_weight"] *= 50  # alike
    data = _data()
    net[1]["b_weight"][0] *= 0.01  # hardly seen in calibration ...
    plain = _quantized(net, data, range_headroom=0, equalize=False)
    model = _quantized(net, data, range_headroom=0.2, equalize=False)
    others = _data(scale=1.6)
    exact = _run(net, others)
    assert sqnr(exact, _run(model, others)) > sqnr(exact, _run(plain, others)) + 1


@parameterized.expand(["minmax", "entropy", "percentile", "aciq"])
def test_modes_with_ranges_by_definition_keep_them(mode):
    net = _network()
    plain = _quantized(net, _data(), calib_mode=mode, range_headroom=0)
    assert _quantized(net, _data(), calib_mode=mode, range_headroom=1).table.ranges == (plain.table.ranges)


def test_a_table_keeps_its_ranges():
    net = _network()
    model = _quantized(net, _data())
    again = _quantized(net, _data(), calib_table=model.table)
    assert again.table.ranges == model.table.ranges
    np.testing.assert_array_equal(_run(again, _data(4)), _run(model, _data(4)))


def test_a_clip_ends_the_range():
    data = mx.sym.var("data")
    loud = relu(conv(data, "a", 8), "loud")
    quiet = mx.sym.clip(conv(data, "b", 8), 0, 1.5, name="quiet")
    net = fill(conv(loud, "c", 4) + conv(quiet, "d", 4), {"data": (2, 3, 12, 12)})
    net[1]["d_weight"] *= 0.02
    model = _quantized(net, _data(), equalize=False, range_headroom=1)
    assert 1.4 < model.table.range("quiet")[1] <= 1.5, model.table.range("quiet")


def test_a_range_without_zero_only_grows():
    x = relu(conv(mx.sym.var("data"), "a", 8), "a_relu")
    net = fill(conv(x, "c", 4), {"data": (2, 3, 12, 12)})
    net[1]["a_bias"] += 40  # from far above zero on
    model = mxq.quantize_model(net[0], net[1:3], _data(), range_headroom=1, **{**OPTIONS, "equalize": False})
    lo, hi = model.table.range("a_relu")
    assert 0 <= lo < 40 < hi, (lo, hi)
    assert sqnr(_run(net, _data()), _run(model, _data())) > 25


@parameterized.expand(
    [
        (lambda x: mx.sym.Activation(x, act_type="tanh"), (-1, 1)),
        (lambda x: mx.sym.sigmoid(x), (0, 1)),
        (lambda x: mx.sym.clip(x, -2, 5), (-2, 5)),
        (lambda x: mx.sym.Pooling(mx.sym.clip(x, -2, 5), kernel=(2, 2), pool_type="max"), (-2, 5)),
        (lambda x: mx.sym.Activation(x, act_type="relu"), (0, np.inf)),
        (lambda x: mx.sym.LeakyReLU(x), (-np.inf, np.inf)),
        (lambda x: x, (-np.inf, np.inf)),
    ]
)
def test_bounds(make, expected):
    graph = Graph.from_symbol(make(mx.sym.var("x")), {}, {})
    assert bounds(graph.outputs[0], graph) == expected


def test_what_is_no_share_is_refused():
    for value in (-0.1, 1.5, "much", True, float("nan")):
        call = functools.partial(_quantized, _network(), _data(), range_headroom=value)
        refused(call, "range_headroom", "from 0")


def test_pixels_have_no_room_beyond_the_last_level():
    """Integers from 0 to 255, or these divided, are exact in 8 bits; in a range twice as wide half of them are not."""
    net = _network()
    raw = np.random.RandomState(5).randint(0, 256, (32, 3, 12, 12)).astype(np.float32)
    for data in (raw, raw / 255):
        model = _quantized(net, data, range_headroom=0.2)
        assert model.table.range("data") == (0.0, float(data.max()))
        np.testing.assert_allclose(model.table.range("quiet")[1] / model.statistics["quiet"].max, MOST)
    blurred = _quantized(net, np.abs(_data()), range_headroom=0.2).table.range("data")
    assert blurred[1] > _quantized(net, np.abs(_data()), range_headroom=0).table.range("data")[1]


def test_of_few_examples_more_noise_is_spent():
    net, data = _network(), _data(200)
    wide = [_quantized(net, data[:n]).table.range("loud")[1] for n in (8, 200)]
    seen = [_quantized(net, data[:n], range_headroom=0).table.range("loud")[1] for n in (8, 200)]
    few, many = np.array(wide) / seen
    assert 1.5 < few < 1.05 * MOST and 1 <= many < 1.3, (few, many)
