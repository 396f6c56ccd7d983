import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from mxq.network.graph import Graph
from mxq.passes import run
from mxq.passes.fold_pad import fold_pad
from mxq.passes.folded import folded_names
from tests import networks, realdata
from tests.networks import NETWORKS, batch, bn, conv, fill, forward, graph_of, relu


def pads(graph):
    return [node.name for node in graph.nodes if node.op in ("Pad", "pad")]


def pad(x, width, name="pad", **attrs):
    attrs.setdefault("mode", "constant")
    return mx.sym.Pad(x, pad_width=(0, 0, 0, 0, *width), name=name, **attrs)


def assert_equal(net, graph):
    # The same products; only the order in which a convolution kernel sums them may differ, so a few float32 roundings.
    data = batch(net[3])
    for x, y in zip(forward(net, data), forward(graph, data)):
        assert x.shape == y.shape
        assert np.abs(x - y).max() <= 1e-6 * np.abs(x).max()


@parameterized.expand(sorted(NETWORKS))
def test_networks_compute_the_same(name):
    net = NETWORKS[name]()
    graph = run(graph_of(net), [fold_pad])
    assert graph.symbol().list_outputs() == net[0].list_outputs()
    assert_equal(net, graph)


def test_what_goes_and_what_stays():
    graph = run(graph_of(networks.padded()), [fold_pad])
    assert pads(graph) == ["pad_odd", "pad_one", "pad_edge"]
    assert graph.node("conv0").get("pad") == (1, 2)
    assert graph.node("conv3a").get("pad") == (2, 2)  # on top of its own
    assert folded_names(graph.node("conv3b")) == ["pad_two"]
    assert (
        "(0, 1)" in graph.notes["pad_odd"]
        and "value 1.0" in graph.notes["pad_one"]
        and "edge" in graph.notes["pad_edge"]
    )
    assert graph.notes["pad_even"] == "folded into 'conv0'"


def test_one_reader_takes_it_the_other_keeps_it():
    x = pad(mx.sym.var("data"), (1, 1, 1, 1))
    net = fill(mx.sym.Group([conv(x, "conv", 5, pad=(0, 0)), relu(x, "relu")]), {"data": (2, 3, 6, 6)})
    graph = run(graph_of(net), [fold_pad])
    assert pads(graph) == ["pad"] and graph.node("conv").inputs[0].node.name == "data"
    assert "folded into 'conv'" in graph.notes["pad"] and "'relu'" in graph.notes["pad"]
    assert_equal(net, graph)


def test_pad_that_is_an_output_keeps_its_name():
    x = pad(mx.sym.var("data"), (1, 1, 1, 1))
    net = fill(mx.sym.Group([conv(x, "conv", 5, pad=(0, 0)), x]), {"data": (2, 3, 6, 6)})
    graph = run(graph_of(net), [fold_pad])
    assert graph.symbol().list_outputs() == ["conv_output", "pad_output"]
    assert_equal(net, graph)


def test_channels_and_three_axes():
    x = mx.sym.Pad(mx.sym.var("data"), mode="constant", pad_width=(0, 0, 0, 0, 1, 1, 1, 1), name="pad")
    graph = Graph.from_symbol(conv(x, "conv", 5, layout="NHWC"), {})
    assert pads(fold_pad(graph)) == ["pad"] and "channels" in fold_pad(graph).notes["pad"]
    x = mx.sym.Pad(mx.sym.var("data"), mode="constant", pad_width=(0, 0, 0, 0, 1, 1, 2, 2, 0, 0), name="pad")
    net = fill(conv(x, "conv", 5, (3, 3, 3), pad=(0, 0, 0)), {"data": (1, 2, 4, 4, 4)})
    graph = run(graph_of(net), [fold_pad])
    assert pads(graph) == [] and graph.node("conv").get("pad") == (1, 2, 0)
    assert_equal(net, graph)


def test_weight_from_a_pad_is_no_data():
    weight = pad(mx.sym.var("w", shape=(5, 3, 1, 1)), (1, 1, 1, 1))
    net = fill(conv(mx.sym.var("data"), "conv", 5, weight=weight, pad=(0, 0)), {"data": (2, 3, 6, 6)})
    assert pads(run(graph_of(net), [fold_pad])) == ["pad"]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(["max", "avg", "sum", "lp"]),
    convention=st.sampled_from(["valid", "full"]),
    include=st.sampled_from([True, False, None]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    own=st.integers(0, 1),
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    positive=st.booleans(),
)
def test_pooling_computes_the_same_folded_or_not(kind, convention, include, kernel, stride, own, extra, positive):
    x = mx.sym.var("data")
    if positive:
        x = relu(x, "relu")
    attrs = dict(pool_type=kind, kernel=kernel, stride=(stride, stride), pooling_convention=convention, name="pool")
    attrs["pad"] = tuple(min(own, k - 1) for k in kernel)
    if include is not None:
        attrs["count_include_pad"] = include
    if kind == "lp":
        attrs["p_value"] = 2
    x = mx.sym.Pooling(pad(x, (extra[0],) * 2 + (extra[1],) * 2), **attrs)
    net = fill(x, {"data": (2, 3, 8, 9)})
    graph = run(graph_of(net), [fold_pad])
    may = all(e + min(own, k - 1) < k for e, k in zip(extra, kernel))
    may = may and convention == "valid" and (kind == "max" and positive or kind == "avg" and include is not False)
    assert pads(graph) == ([] if may else ["pad"]), graph.notes
    assert_equal(net, graph)


def test_maximum_of_negative_data_keeps_the_zeros():
    x = mx.sym.Pooling(pad(mx.sym.var("data"), (1, 1, 1, 1)), kernel=(3, 3), pool_type="max", name="pool")
    graph = run(graph_of(fill(x, {"data": (1, 2, 4, 4)})), [fold_pad])
    assert pads(graph) == ["pad"]
    result = forward(graph, {"data": np.full((1, 2, 4, 4), -1, np.float32)})[0]
    assert result[0, 0, 0, 0] == 0 and result[0, 0, 1, 1] == -1


@parameterized.expand([("large",), ("as_kernel",)])
def test_padding_as_large_as_the_kernel_of_a_convolution(kind):
    size = 5 if kind == "large" else 3
    net = fill(bn(conv(pad(mx.sym.var("data"), (size,) * 4), "conv", 5, pad=(0, 0)), "bn"), {"data": (2, 3, 4, 4)})
    graph = run(graph_of(net), [fold_pad])
    assert pads(graph) == []
    assert_equal(net, graph)


def test_real_mobilenet_keeps_its_asymmetric_padding():
    realdata.need()
    graph = run(graph_of(realdata.load("mobilenet0.75")), [fold_pad])
    assert len(pads(graph)) == 5
    assert all("sides differ" in graph.notes[name] for name in pads(graph))
