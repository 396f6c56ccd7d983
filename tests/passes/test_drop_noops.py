import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.passes import run
from mxq.passes.drop_noops import NOOPS, drop_noops
from tests import networks, realdata
from tests.networks import NETWORKS, batch, conv, fill, forward, graph_of, relu


def ops(graph):
    return [node.op for node in graph.nodes if not node.is_variable]


@parameterized.expand(sorted(NETWORKS))
def test_outputs_are_equal_bit_for_bit(name):
    net = NETWORKS[name]()
    graph = run(graph_of(net), [drop_noops])
    data = batch(net[3])
    assert graph.symbol().list_outputs() == net[0].list_outputs()
    for before, after in zip(forward(net, data), forward(graph, data)):
        assert np.array_equal(before, after)  # nothing is computed anew


def test_what_goes_and_what_stays():
    graph = run(graph_of(networks.noops()), [drop_noops])
    expected = ["Convolution", "Activation", "Cast", "Pooling", "FullyConnected", "make_loss", "Dropout"]
    assert sorted(ops(graph)) == sorted(expected)
    assert "dropped" in graph.notes["drop0"] and "dropped" in graph.notes["cast1"]
    assert "not known" in graph.notes["cast0"]
    assert "name of the output" in graph.notes["drop1"]
    readers = {use.node.name for use in graph.uses_of(graph.node("cast0").out()) if use.node is not None}
    assert readers == {"drop1", "gap"}  # only the output reads the Dropout


@parameterized.expand([("_copy",), ("BlockGrad",), ("make_loss",), ("MakeLoss",), ("Dropout",), ("_np_copy",)])
def test_each_operator(op):
    net = fill(conv(relu(mx.sym.var("data"), "relu"), "conv", 5), {"data": (1, 3, 5, 5)})
    graph = graph_of(net)
    node = graph.add(op, "noop", [graph.node("relu").out()])
    graph.node("conv").inputs[0] = node.out()
    graph.sort()
    data = batch(net[3])
    before = forward(graph, data)[0]
    result = run(graph, [drop_noops])
    assert ops(graph) == ["Activation", op, "Convolution"]  # the caller's graph is whole
    assert ops(result) == ["Activation", "Convolution"]
    assert np.array_equal(forward(result, data)[0], before)


def test_every_listed_operator_exists_or_is_an_alias():
    known = set(mx.operator.get_all_registered_operators())
    assert set(NOOPS) <= known | {"_np_copy", "identity", "stop_gradient", "cast"}, set(NOOPS) - known


def test_dropout_that_is_always_random_stays():
    x = mx.sym.Dropout(mx.sym.var("data"), p=0.5, mode="always", name="noise")
    graph = drop_noops(graph_of(fill(relu(x, "relu"), {"data": (2, 3)})))
    assert ops(graph) == ["Dropout", "Activation"]
    assert "mode='always'" in graph.notes["noise"]


@parameterized.expand(
    [
        ("float32", "float32", ["Activation"]),
        ("uint8", "float32", ["Cast", "Activation"]),
        (None, "float32", ["Cast", "Activation"]),
        ("float32", "float16", ["Cast", "Activation"]),
    ]
)
def test_cast_goes_only_with_a_proof(given, target, expected):
    x = relu(mx.sym.Cast(mx.sym.var("data"), dtype=target, name="cast"), "relu")
    graph = graph_of(fill(x, {"data": (2, 3)}))
    assert ops(drop_noops(graph, data_types={"data": given} if given else None)) == expected


def test_an_unknown_type_elsewhere_does_not_hide_a_proof():
    other = mx.sym.Dropout(mx.sym.var("other"), name="drop")  # type inference of MXNet stops here
    x = mx.sym.Cast(mx.sym.Cast(mx.sym.var("data"), dtype="float32", name="first"), dtype="float32", name="second")
    graph = graph_of(fill(mx.sym.elemwise_add(x, other, name="sum"), {"data": (2, 3), "other": (2, 3)}))
    assert ops(drop_noops(graph)) == ["Cast", "elemwise_add"]


def test_output_that_is_a_noop_of_the_data_keeps_its_name():
    graph = graph_of(fill(mx.sym.Dropout(mx.sym.var("data"), name="drop"), {"data": (2, 3)}))
    result = run(graph, [drop_noops])
    assert result.symbol().list_outputs() == ["drop_output"]


def test_chain_of_noops_before_an_output():
    x = mx.sym.BlockGrad(mx.sym.Dropout(relu(mx.sym.var("data"), "relu"), name="drop"), name="block")
    result = run(graph_of(fill(x, {"data": (2, 3)})), [drop_noops])
    assert ops(result) == ["Activation", "BlockGrad"]
    assert result.symbol().list_outputs() == ["block_output"]


@parameterized.expand(sorted(realdata.NETWORKS))
def test_real_networks(name):
    realdata.need()
    net = realdata.load(name)
    size = realdata.NETWORKS[name].size
    data = batch({"data": (1, 3, size, size)})
    graph = run(graph_of(net), [drop_noops])
    assert "Dropout" not in ops(graph)
    assert np.array_equal(forward(net, data)[0], forward(graph, data)[0])
