import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.network.graph import Graph
from mxq.network.params import label_inputs, require_params, split_params
from tests import networks
from tests.networks import graph_of
from tests.test_graph import raised

W, M = np.ones(1, np.float32), mx.nd.zeros((1,))


@parameterized.expand(
    [
        ("prefixed", {"arg:w": W, "aux:m": M}),
        ("pair", ({"w": W}, {"m": M})),
        ("list", [{"w": W}, {"m": M}]),
        ("prefixed_pair", ({"arg:w": W}, {"aux:m": M})),
        ("mixed", {"w": W, "aux:m": M}),
    ]
)
def test_forms_of_parameters(_, params):
    assert split_params(params) == ({"w": W}, {"m": M})


def test_plain_names_are_told_apart_by_the_symbol():
    sym, args, aux, _ = networks.plain()
    assert split_params({**args, **aux}, sym) == (args, aux)
    assert split_params({**args, **aux})[1] == {}


def test_pair_with_none():
    assert split_params(({"w": W}, None)) == ({"w": W}, {})


def test_names_with_a_colon_of_their_own():
    assert split_params({"scope:w": W}) == ({"scope:w": W}, {})


@parameterized.expand(
    [
        ("text", "model.params", "str"),
        ("three", ({}, {}, {}), "tuple"),
        ("none", None, "NoneType"),
        ("twice", {"w": W, "arg:w": W}, "'w' is given twice"),
        ("both", ({"w": W}, {"w": W}), "'w' is given twice"),
        ("value", {"w": [1.0]}, "'w' is a list"),
        ("key", {3: W}, "3"),
    ]
)
def test_bad_parameters(_, params, words):
    assert words in raised(split_params, params)


def test_missing_parameters_are_named():
    sym, args, aux, _ = networks.plain()
    require_params(Graph.from_symbol(sym, args, aux), ["data"])  # the label needs no value
    lost = {name: array for name, array in args.items() if name not in ("conv1_weight", "fc_bias")}
    message = raised(require_params, Graph.from_symbol(sym, lost, aux), ["data"])
    assert "conv1_weight, fc_bias" in message
    message = raised(require_params, Graph.from_symbol(sym, args, {}), ["data"])
    assert "bn0_moving_mean" in message
    message = raised(require_params, Graph.from_symbol(sym, {}, {}), ["data"])
    assert "more" in message and len(message) < 600


def test_data_names_must_exist():
    graph = graph_of(networks.multi_input())
    require_params(graph, ["left", "right", "vector"])
    assert "'rigth'" in raised(require_params, graph, ["left", "rigth", "vector"])
    assert "nearest: right" in raised(require_params, graph, ["left", "rigth", "vector"])
    assert "vector" in raised(require_params, graph, ["left", "right"])
    assert "is a parameter" in raised(require_params, graph, ["left", "right", "vector", "fc_weight"])
    require_params(graph, ["left", "right"], label_names=["vector", "not_there"])


def test_labels():
    x = mx.sym.var("data")
    sym = mx.sym.Group(
        [mx.sym.SoftmaxOutput(x, mx.sym.var("label"), name="a"), mx.sym.LinearRegressionOutput(x, name="b")]
    )
    assert label_inputs(Graph.from_symbol(sym, {})) == {"label", "b_label"}
    both = mx.sym.SoftmaxOutput(x, mx.sym.sum(x + mx.sym.var("label"), axis=1), name="a")
    assert label_inputs(Graph.from_symbol(both, {})) == set()
