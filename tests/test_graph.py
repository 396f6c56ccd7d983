import json
import math

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from mxq.errors import GraphError
from mxq.network.attributes import attr_text, attr_value
from mxq.network.graph import Graph, Node
from tests import networks
from tests.networks import NETWORKS, batch, conv, fill, forward, graph_of, relu


def raised(call, *args, **kwargs) -> str:
    """The text of the GraphError that the call raises."""
    try:
        call(*args, **kwargs)
    except GraphError as error:
        return str(error)
    raise AssertionError("no GraphError")


@parameterized.expand(sorted(NETWORKS))
def test_round_trip_keeps_values_names_and_signature(name):
    net = NETWORKS[name]()
    sym, args, aux, shapes = net
    graph = graph_of(net)
    again, again_args, again_aux = graph.to_symbol()
    assert again.list_outputs() == sym.list_outputs()
    assert again.list_arguments() == sym.list_arguments()
    assert again.list_auxiliary_states() == sym.list_auxiliary_states()
    assert set(again_args) == set(args) and set(again_aux) == set(aux)
    data = batch(shapes)
    for before, after in zip(forward(net, data), forward((again, again_args, again_aux), data)):
        assert np.array_equal(before, after)  # the same operators in the same order: no rounding may differ


@parameterized.expand(sorted(NETWORKS))
def test_second_round_trip_is_the_same_text(name):
    graph = graph_of(NETWORKS[name]())
    once = graph.symbol().tojson()
    assert Graph.from_symbol(graph.symbol(), graph.params).symbol().tojson() == once


def test_parameters_keep_dtype_and_carry_shape():
    data = mx.sym.var("data")
    sym = mx.sym.Group([mx.sym.Cast(data, dtype="int8", name="c"), mx.sym.identity(mx.sym.var("w"), name="i")])
    array = np.arange(-3, 3, dtype=np.int8).reshape(2, 3)
    again, args, _ = Graph.from_symbol(sym, {"w": array}).to_symbol()
    assert args["w"].dtype == np.int8 and np.array_equal(args["w"].asnumpy(), array)
    assert again.attr_dict()["w"] == {"__shape__": "(2, 3)", "__dtype__": "5"}


def test_parameters_without_variable_are_dropped_and_numpy_is_taken():
    sym = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, name="fc")
    params = {"fc_weight": np.ones((2, 3), np.float32), "fc_bias": mx.nd.ones((2,)), "stray": mx.nd.ones((1,))}
    graph = Graph.from_symbol(sym, params)
    assert set(graph.params) == {"fc_weight", "fc_bias"}
    assert [node.name for node in graph.inputs] == ["data"]
    assert set(Graph.from_symbol(sym, None, None).params) == set()


# -- attributes ------------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.floats(allow_nan=False))
def test_floats_keep_every_bit(value):
    assert attr_value(attr_text(value)) == value
    as_float32 = np.float32(value)
    assert np.float32(attr_value(attr_text(as_float32))) == as_float32


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.one_of(st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.booleans(), st.none())))
def test_tuples_come_back(values):
    text = attr_text(tuple(values))
    if all(not isinstance(v, float) or math.isfinite(v) for v in values):
        assert attr_value(text) == tuple(values)


@parameterized.expand(
    [
        ("true", True),
        ("False", False),
        ("0", 0),
        ("(3L, 3L)", (3, 3)),
        ("[1, 2]", [1, 2]),
        ("relu", "relu"),
        ("None", None),
        ("inf", math.inf),
        ("1e-05", 1e-5),
        ("float32", "float32"),
        ("__import__('os')", "__import__('os')"),
    ]
)
def test_texts_that_mxnet_reads(text, value):
    assert Node("x", "x", {"key": text}).get("key", "default") == value


def test_missing_attribute_gives_the_default():
    assert Node("x", "x").get("key", 7) == 7


def test_small_numbers_reach_mxnet():
    graph = Graph.from_symbol(mx.sym.identity(mx.sym.var("data"), name="out"), {})
    tiny = 1.2345678901234567e-9
    node = graph.add("_mul_scalar", "scaled", [graph.node("data").out()], {"scalar": tiny})
    graph.outputs = [node.out()]
    assert float(graph.symbol().attr_dict()["scaled"]["scalar"]) == tiny
    result = forward(graph, {"data": np.ones((1,), np.float32)})[0]
    assert result[0] == np.float32(tiny)


def test_hidden_attributes_survive_every_way_of_running():
    net = fill(relu(conv(mx.sym.var("data"), "conv", 5), "relu"), {"data": (1, 3, 6, 6)})
    graph = graph_of(net)
    graph.node("conv").attrs["__mxq_folded__"] = "bn0,bn1"
    graph = Graph.from_symbol(*graph.to_symbol())
    assert graph.node("conv").attrs["__mxq_folded__"] == "bn0,bn1"
    data = batch(net[3])
    assert np.array_equal(forward(graph, data)[0], forward(net, data)[0])
    sym, args, aux = graph.to_symbol()
    block = mx.gluon.SymbolBlock(sym, mx.sym.var("data"))
    block.initialize()
    for name, param in block.collect_params().items():
        param.set_data(args[name])
    block.hybridize(static_alloc=True, static_shape=True)
    assert np.array_equal(block(mx.nd.array(data["data"])).asnumpy(), forward(net, data)[0])


# -- names -----------------------------------------------------------------------------------------------------------


def test_operators_of_one_name_get_numbers():
    x = mx.sym.var("data")
    for _ in range(3):
        x = mx.sym.Activation(x, act_type="relu", name="same")
    graph = Graph.from_symbol(mx.sym.Activation(x, act_type="tanh", name="same_1"), {})
    assert [n.name for n in graph.nodes] == ["data", "same", "same_2", "same_3", "same_1"]
    data = {"data": np.float32([-1, 0.5])}
    assert np.allclose(forward(graph, data)[0], np.tanh([0, 0.5]), rtol=1e-6)


def test_an_operator_named_like_a_variable_gives_way():
    x = mx.sym.Activation(mx.sym.var("w"), act_type="relu", name="data")
    graph = Graph.from_symbol(mx.sym.elemwise_add(x, mx.sym.var("data"), name="sum"), {})
    assert sorted(n.name for n in graph.nodes) == ["data", "data_1", "sum", "w"]
    assert {n.name for n in graph.inputs} == {"w", "data"}


def test_two_variables_of_one_name_are_an_error():
    sym = mx.sym.elemwise_add(mx.sym.var("x"), mx.sym.var("x"), name="sum")
    assert "'x'" in raised(Graph.from_symbol, sym, {})


def test_added_names_are_unique():
    graph = graph_of(networks.plain())
    assert graph.add("_copy", "conv0", [graph.node("conv0").out()]).name == "conv0_1"
    assert graph.add_param("conv0", np.zeros(1)).node.name == "conv0_2"


def test_unknown_node_is_named():
    assert "'nope'" in raised(graph_of(networks.plain()).node, "nope")


# -- what MXNet has besides plain operators --------------------------------------------------------------------------


def test_control_flow_subgraphs_are_left_alone():
    data, state = mx.sym.var("data"), mx.sym.var("state")
    out, states = mx.sym.contrib.foreach(lambda x, s: (x + s[0], [s[0] * 2]), data, [state], name="loop")
    sym = mx.sym.Group([out, *states])
    graph = Graph.from_symbol(sym, {}).copy()
    feed = {"data": np.float32([[1, 2], [3, 4], [5, 6]]), "state": np.float32([1, 10])}
    again = forward(graph, feed)
    assert np.array_equal(again[0], [[2, 12], [5, 24], [9, 46]])
    assert np.array_equal(again[1], [8, 80])


def test_symbols_of_old_versions():
    old = {
        "nodes": [
            {"op": "null", "name": "data", "param": {}, "inputs": [], "backward_source_id": -1},
            {
                "op": "Pooling",
                "name": "pool",
                "param": {"pool_type": "max", "kernel": "(2L, 2L)", "stride": "(2L, 2L)"},
                "inputs": [[0, 0]],
                "backward_source_id": -1,
            },
        ],
        "arg_nodes": [0],
        "heads": [[1, 0]],
    }
    graph = Graph.from_symbol(mx.sym.load_json(json.dumps(old)), {})
    assert graph.node("pool").get("kernel") == (2, 2)
    assert forward(graph, {"data": np.ones((1, 1, 4, 4), np.float32)})[0].shape == (1, 1, 2, 2)


# -- edges -----------------------------------------------------------------------------------------------------------


def test_replace_reaches_every_use_and_outputs():
    graph = graph_of(networks.doubled())
    old = graph.node("relu0").out()
    assert [(use.node.name, use.index) for use in graph.uses_of(old)] == [("twice", 0), ("twice", 1)]
    new = graph.add("_copy", "fresh", [old])
    graph.replace(old, new.out())
    assert [v.node.name for v in graph.node("twice").inputs] == ["fresh", "fresh"]
    assert new.inputs == [old]
    graph.sort()
    data = batch(networks.doubled()[3])
    assert np.array_equal(forward(graph, data)[0], forward(networks.doubled(), data)[0])


def test_replace_only_some_uses():
    graph = graph_of(networks.doubled())
    old = graph.node("relu0").out()
    use = graph.uses_of(old)[1]
    graph.replace(old, graph.node("conv0").out(), only=[use])
    assert [v.node.name for v in graph.node("twice").inputs] == ["relu0", "conv0"]


def test_sort_is_stable_and_finds_cycles():
    graph = graph_of(networks.inception())
    order = [n.name for n in graph.nodes]
    graph.sort()
    assert [n.name for n in graph.nodes] == order
    graph.nodes.reverse()
    graph.sort()
    seen = set()
    for node in graph.nodes:
        assert all(v.node.name in seen for v in node.inputs)
        seen.add(node.name)
    graph.node("conv0").inputs[0] = graph.node("conv1").out()
    assert "depends on itself" in raised(graph.sort)


def test_sort_of_a_deep_graph_does_not_recurse():
    nodes = [Node("null", "data")]
    for i in range(5000):
        nodes.append(Node("_copy", f"n{i}", inputs=[nodes[-1].out()]))
    graph = Graph(nodes[::-1], [nodes[-1].out()], {})
    graph.sort()
    assert graph.nodes == nodes
    assert len(graph.copy().nodes) == 5001


def test_prune_keeps_data_and_drops_parameters():
    graph = graph_of(networks.multi_input())
    graph.outputs = [graph.node("relu_l").out()]
    graph.prune()
    assert {n.name for n in graph.inputs} == {"left", "right", "vector"}
    expected = {f"conv_l_{p}" for p in ("weight", "bias")}
    expected |= {f"bn_l_{p}" for p in ("gamma", "beta", "moving_mean", "moving_var")}
    assert set(graph.params) == expected
    assert graph.aux == {"bn_l_moving_mean", "bn_l_moving_var"}


def test_copy_is_independent():
    graph = graph_of(networks.residual())
    graph.notes["conv0"] = "note"
    graph.shapes["conv0", 0] = (1, 2)
    text = graph.symbol().tojson()
    twin = graph.copy()
    assert twin.notes == graph.notes and twin.shapes == graph.shapes and twin.aux == graph.aux
    twin.node("conv0").attrs["no_bias"] = "False"
    twin.node("a_relu1").inputs[0] = twin.node("conv0").out()
    twin.notes["conv0"] = "other"
    twin.params.clear()
    twin.outputs.clear()
    assert graph.symbol().tojson() == text
    assert graph.notes == {"conv0": "note"} and graph.params


def test_parameter_of_a_strange_dtype_is_named():
    graph = graph_of(networks.plain())
    graph.params["conv1_bias"] = graph.params["conv1_bias"].astype(np.complex64)
    message = raised(graph.to_symbol)
    assert "conv1_bias" in message and "complex64" in message
