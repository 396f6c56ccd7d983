"""Every spelling of a limit is one node, equal to what it replaced."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.network.graph import Graph
from mxq.passes import run
from mxq.passes.drop_noops import drop_noops
from mxq.passes.fold_batchnorm import fold_batchnorm
from mxq.passes.join_clips import Limited, join_clips

from ..networks import NETWORKS, batch, bn, conv, fill, forward, graph_of, relu

SIX = mx.sym.var("six_constant")


def _ones(x, scalar=0.0):
    return mx.sym.broadcast_maximum(mx.sym.broadcast_minimum(x, SIX, name="low"), mx.sym.var("zero_constant"), name="z")


#: Spelling -> the function, and what one node of it is.
SPELLINGS = {
    "max_min": (lambda x: mx.sym.minimum(mx.sym.maximum(x, 0), 6), ("clip", 0, 6)),
    "min_max": (lambda x: mx.sym.maximum(mx.sym.minimum(x, 6), 0), ("clip", 0, 6)),
    "relu_clip": (lambda x: mx.sym.clip(relu(x, "r"), a_min=-1, a_max=6), ("clip", 0, 6)),
    "clip_relu": (lambda x: relu(mx.sym.clip(x, a_min=-6, a_max=6), "r"), ("clip", 0, 6)),
    "op_relu_min": (lambda x: mx.sym.minimum(mx.sym.relu(x), 6), ("clip", 0, 6)),
    "constants": (_ones, ("clip", 0, 6)),
    "twice": (lambda x: relu(relu(x, "r"), "rr"), ("Activation", None, None)),
    "endless": (lambda x: mx.sym.clip(x, a_min=0, a_max=3.4e38), ("Activation", None, None)),
    "leaky_of_nothing": (lambda x: mx.sym.LeakyReLU(x, act_type="leaky", slope=0), ("Activation", None, None)),
    "maximum": (lambda x: mx.sym.maximum(x, 0), ("Activation", None, None)),
    "empty": (lambda x: mx.sym.minimum(mx.sym.maximum(x, 3), 2), ("clip", 2, 2)),
    "hard_sigmoid": (lambda x: mx.sym.hard_sigmoid(x, alpha=0.25, beta=0.4), ("clip", 0, 1)),
    "by_parts": (lambda x: mx.sym.clip(x + 3, a_min=0, a_max=6) / 6, ("clip", 0, 1)),
    "by_parts_relu6": (lambda x: mx.sym.minimum(relu(x + 3, "r"), 6) * (1 / 6.0), ("clip", 0, 1)),
    "turned": (lambda x: 1 - mx.sym.clip(2 * x, a_min=0, a_max=3), ("clip", -2, 1)),
}


def _constants(net):
    net[1].update({k: mx.nd.array([v]) for k, v in (("six_constant", 6), ("zero_constant", 0)) if k in net[1]})
    return net


def _simplified(net):
    return run(graph_of(net), [drop_noops, fold_batchnorm, join_clips])


def _check_equal(net, graph):
    for before, after in zip(forward(graph_of(net), batch(net[3])), forward(graph, batch(net[3]))):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=2e-6 * np.abs(before).max())


@parameterized.expand([(name,) for name in SPELLINGS])
def test_one_node_behind_a_layer(name):
    function, (op, lo, hi) = SPELLINGS[name]
    x = function(bn(conv(mx.sym.var("data"), "conv0", 5, no_bias=True), "bn0") * 4)
    shape = {"data": (2, 3, 6, 6), "six_constant": (1,), "zero_constant": (1,)}
    sym = conv(x, "conv1", 3)
    net = _constants(fill(sym, {k: v for k, v in shape.items() if k in sym.list_arguments()}))
    net = (
        net[0],
        {**net[1], "six_constant": mx.nd.array([6]), "zero_constant": mx.nd.array([0])},
        net[2],
        {"data": shape["data"]},
    )
    graph = _simplified(net)
    left = [n for n in graph.nodes if not n.is_variable and n.op != "Convolution"]
    assert [n.op for n in left] == [op]
    if op == "clip":
        np.testing.assert_allclose([left[0].get("a_min"), left[0].get("a_max")], [lo, hi], atol=1e-6)
    _check_equal(net, graph)
    model = mxq.quantize_model(net[0], net[1:3], batch(net[3]), data_names=["data"])
    assert model.report.count("int8") and "mxq_lut" not in model.operators.symbol().tojson()


@parameterized.expand([(name,) for name in NETWORKS])
def test_outputs_are_equal_on_every_kind_of_network(name):
    net = NETWORKS[name]()
    graph = _simplified(net)
    _check_equal(net, graph)
    assert graph.symbol().list_outputs() == net[0].list_outputs()


def test_a_limit_that_somebody_else_reads_stays():
    x = relu(conv(mx.sym.var("data"), "conv0", 5), "r")
    net = fill(mx.sym.Concat(mx.sym.minimum(x, 1), x, dim=1), {"data": (2, 3, 6, 6)})
    assert [n.op for n in _simplified(net).nodes if "relu" in str(n.attrs) or "scalar" in n.attrs] == [
        "Activation",
        "_minimum_scalar",
    ]
    _check_equal(net, _simplified(net))


def test_without_a_layer_only_limits_are_joined():
    x = mx.sym.minimum(mx.sym.maximum(mx.sym.var("data") + 3, 0), 6) / 6
    net = fill(mx.sym.FullyConnected(x, num_hidden=3, name="fc"), {"data": (2, 4)})
    graph = _simplified(net)
    assert [n.op for n in graph.nodes if not n.is_variable] == ["_plus_scalar", "clip", "_div_scalar", "FullyConnected"]
    _check_equal(net, graph)


def test_scalars_go_into_a_layer_that_nobody_shares():
    x = relu(conv(mx.sym.var("data"), "conv0", 5), "r")
    scaled = conv(x, "conv1", 5, no_bias=True) * 0.25 - 2
    weight = mx.sym.var("shared_weight")
    shared = [conv(x, f"twin{i}", 5, weight=weight, no_bias=True) for i in range(2)]
    net = fill(mx.sym.Group([scaled + x, shared[0] / 4 + shared[1], conv(x, "conv2", 2) * 3]), {"data": (2, 3, 6, 6)})
    graph = _simplified(net)
    scalars = [n for n in graph.nodes if "scalar" in n.attrs]
    assert [n.op for n in scalars] == ["_div_scalar"], scalars
    assert graph.symbol().list_outputs() == net[0].list_outputs()
    np.testing.assert_allclose(graph.params["conv1_bias"], -2)
    _check_equal(net, graph)


def test_hard_swish_by_parts_is_one_table():
    x = conv(mx.sym.var("data"), "conv0", 5)
    net = fill(conv(x * mx.sym.minimum(mx.sym.maximum(x + 3, 0), 6) / 6, "conv1", 4), {"data": (2, 3, 6, 6)})
    model = mxq.quantize_model(net[0], net[1:3], batch(net[3]), data_names=["data"])
    assert model.operators.symbol().tojson().count('"mxq_lut"') == 1
    assert not model.report.floats(), model.report.floats()


def test_a_constant_that_broadcasts_is_none():
    x = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=4, name="fc")
    for shape in ((1, 1), (3, 1), (1, 4)):
        y = mx.sym.broadcast_minimum(x, mx.sym.var("limit_constant"))
        graph = Graph.from_symbol(y, {"fc_weight": np.ones((4, 2), "f4"), "limit_constant": np.ones(shape, "f4")})
        assert "broadcast_minimum" in {n.op for n in join_clips(graph).nodes}


def test_excluding_one_part_excludes_the_layer_behind_which_it_went():
    x = mx.sym._internal._MaximumScalar(conv(mx.sym.var("data"), "conv0", 5), scalar=0, name="low")
    x = mx.sym._internal._MinimumScalar(x, scalar=6, name="high")
    net = fill(conv(x, "conv1", 2), {"data": (2, 3, 6, 6)})
    model = mxq.quantize_model(net[0], net[1:3], batch(net[3]), data_names=["data"], excluded_sym_names=["low"])
    assert "high" in {n.node for n in model.report.floats()}


def test_composition():
    f = Limited(2.0, 1.0).then(Limited(lo=0.0)).then(Limited(-1.0, 4.0)).then(Limited(lo=1.0))
    assert f == Limited(-2.0, 3.0, 1.0, 4.0)
