"""Layers that are slower in int8: which parts are timed, what is decided from the times, and the timing itself."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.choice.float_where_faster import ROUNDS, Stopwatch, Times, cut, float_where_faster, islands, neighbours, shaped
from mxq.network.shapes import infer_shapes
from mxq.passes.annotate import annotate, units

from .networks import NETWORKS, batch, conv, fill, forward, graph_of, relu
from .refusals import refused


def _annotated(net, mode="smart"):
    graph = graph_of(net)
    graph.shapes = infer_shapes(graph, net[3])
    return annotate(graph, mode=mode)


def _chain():
    """Two convolutions, a function without int8 form, one convolution: two islands."""
    x = relu(conv(mx.sym.var("data"), "conv0", 6), "relu0")
    x = relu(conv(x, "conv1", 7), "relu1")
    x = mx.sym.InstanceNorm(x, name="norm")
    return fill(conv(x, "conv2", 5), {"data": (2, 3, 9, 9)})


def _names(graph):
    return {unit.name for unit in units(graph)}


def test_islands_and_neighbours():
    annotated = _annotated(_chain())
    assert islands(annotated) == [{"conv0", "conv1"}, {"conv2"}]
    assert neighbours(annotated) == {"conv0": {"conv1"}, "conv1": {"conv0"}, "conv2": set()}


class Fake:
    """Says that these selections are faster in float, and remembers what it was asked."""

    def __init__(self, *faster):
        self.faster, self.asked = [frozenset(names) for names in faster], []

    def __call__(self, part, left):
        assert left <= _names(part)
        self.asked.append((frozenset(_names(part)), left))
        return Times([1.0] * 8, [0.5 if left in self.faster else 2.0] * 8)


def test_what_is_faster_in_float_stays_float_with_the_times():
    annotated = _annotated(_chain())
    measure = Fake(["conv2"])
    result = float_where_faster(annotated, measure)
    assert _names(result) == {"conv0", "conv1"} and _names(annotated) == {"conv0", "conv1", "conv2"}
    assert "500000 us against 1000000 us" in result.notes["conv2"] and "this machine" in result.notes["conv2"]
    both = frozenset({"conv0", "conv1"})
    assert measure.asked == [(both, both), (both, {"conv0"}), (both, {"conv1"}), ({"conv2"}, {"conv2"})]


def test_an_island_goes_as_a_whole_and_neighbours_are_asked_again():
    assert _names(float_where_faster(_annotated(_chain()), Fake(["conv0", "conv1"]))) == {"conv2"}
    measure = Fake(["conv1"])
    assert _names(float_where_faster(_annotated(_chain()), measure)) == {"conv0", "conv2"}
    assert measure.asked[-1] == ({"conv0"}, {"conv0"})  # alone now, its conversions are others


def test_units_that_live_on_their_neighbours_go_with_them():
    result = float_where_faster(_annotated(NETWORKS["plain"]()), Fake(["conv1"], ["conv2"]))
    assert _names(result) == {"conv0", "gap", "fc"} or _names(result) == {"conv0", "fc"}, _names(result)
    assert "float" in result.notes["pool"]


@parameterized.expand([
    ("clear", [1.0] * 8, [0.9] * 8, True),
    ("too_little", [1.0] * 8, [0.97] * 8, False),
    ("slower", [1.0] * 8, [1.1] * 8, False),
    ("not_at_best", [0.5] + [1.0] * 7, [0.6] * 8, False),
    ("in_half_of_the_rounds", [1.0, 3.0] * 4, [1.5, 0.5] * 4, False),
])  # fmt: skip
def test_float_must_be_clearly_ahead(_, int8, floats, expected):
    assert Times(int8, floats).float_is_faster is expected


@parameterized.expand([(name,) for name in sorted(NETWORKS)])
def test_cut_parts_compute_what_the_network_does(name):
    net = NETWORKS[name]()
    annotated = _annotated(net, "full")
    around = neighbours(annotated)
    data = batch(net[3])
    for unit in units(annotated)[:4]:
        part = cut(annotated, [u for u in units(annotated) if u.name in around[unit.name] | {unit.name}])
        assert part.outputs and _names(part) == around[unit.name] | {unit.name}
        for value in part.outputs:
            assert annotated.shapes[value.node.name, value.index] == part.shapes[value.node.name, value.index]
        whole = annotated.copy()
        by_name = {node.name: node for node in whole.nodes}
        fed = [node.name for node in part.inputs if node.name not in data]
        heads = [by_name[key.split(":")[0]].out(int((key.split(":") + ["0"])[1])) for key in fed]
        whole.outputs = heads + [by_name[value.node.name].out(value.index) for value in part.outputs]
        whole.prune()
        values = forward(whole, data)
        found = forward(part, {**data, **dict(zip(fed, values))})
        for a, b in zip(found, values[len(fed) :]):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_stopwatch_takes_turns():
    def slow(graph):
        """In place of the int8 network: the same part, and a chain of products that takes longer by far."""
        symbol, args, aux = graph.to_symbol()
        x = mx.sym.ones((200, 200))
        for _ in range(20):
            x = mx.sym.dot(x, mx.sym.ones((200, 200)))
        return mx.sym.Group([symbol, x]), args, aux

    annotated = _annotated(_chain())
    part = cut(annotated, [unit for unit in units(annotated) if unit.name == "conv2"])
    times = Stopwatch(slow)(part, frozenset({"conv2"}))
    assert len(times.int8) == len(times.float) == ROUNDS and min(times.float) > 0
    assert times.float_is_faster


def test_batch_size_that_is_timed():
    annotated = _annotated(_chain())
    assert shaped(annotated, None).shapes["conv2", 0] == (1, 5, 9, 9)
    assert shaped(annotated, {"data": (4, 3, 9, 9)}).shapes["conv2", 0] == (4, 5, 9, 9)
    assert shaped(annotated, {"data": (0, 3, 9, 9)}).shapes["conv2", 0] == (1, 5, 9, 9)
    assert annotated.shapes["conv2", 0] == (2, 5, 9, 9)


def test_through_the_public_function():
    sym, args, aux, shapes = _chain()
    data = np.random.RandomState(0).normal(0, 1, (16, *shapes["data"][1:])).astype(np.float32)
    for options in ({"input_dtype": "uint8"}, {"calib_mode": "none"}):
        given = np.abs(data * 40).astype(np.uint8) if "input_dtype" in options else data
        model = mxq.quantize_model(sym, (args, aux), given, float_where_faster=True, **options)
        for row in model.report:  # whatever this machine measured
            if row.node.startswith("conv"):
                assert row.precision == "int8" or "us in int8" in row.reason, row
        assert forward(model, {"data": given[:2]})[0].shape == (2, 5, 9, 9)
    model = mxq.quantize_model(sym, (args, aux), data, float_where_faster=True, metric="sqnr", min_metric=80.0)
    assert model.accuracy.final_metric >= 80


def test_shapes_are_needed():
    sym, args, aux, _ = _chain()
    call = lambda: mxq.quantize_model(sym, (args, aux), calib_mode="none", float_where_faster=True)  # noqa: E731
    refused(call, "float_where_faster", "data_shapes", error=mxq.ConfigError)
