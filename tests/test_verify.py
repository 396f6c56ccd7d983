import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.errors import GraphError
from mxq.network.graph import Graph, Node, Value
from mxq.network.verify import PARAM_INPUTS, verify
from mxq.passes import run
from tests.networks import NETWORKS, graph_of, plain
from tests.test_graph import raised


@parameterized.expand(sorted(NETWORKS))
def test_sound_graphs_pass(name):
    net = NETWORKS[name]()
    verify(graph_of(net), "float", data_shapes=net[3])


def _duplicate(graph):
    graph.node("conv1").name = "conv0"


def _variable_index(graph):
    graph.node("conv0").inputs[0] = Value(graph.node("data"), 1)


def _foreign_input(graph):
    graph.node("conv1").inputs[0] = Value(Node("_copy", "foreign"), 0)


def _order(graph):
    graph.nodes.reverse()


def _foreign_output(graph):
    graph.outputs[0] = Value(Node("_copy", "foreign"), 0)


def _no_output(graph):
    graph.outputs.clear()


def _stray_param(graph):
    graph.params["stray"] = np.zeros(1, np.float32)


def _lost_aux(graph):
    del graph.params["bn0_moving_mean"]


def _stray_aux(graph):
    graph.aux.add("stray_var")


def _nan(graph):
    array = graph.params["conv1_weight"].copy()
    array[0, 0, 0, 0] = np.nan
    graph.params["conv1_weight"] = array


def _inf(graph):
    graph.params["bn1_moving_var"] = graph.params["bn1_moving_var"] * np.float32(np.inf)


def _ndarray(graph):
    graph.params["conv1_weight"] = mx.nd.zeros((1,))


def _number(graph):
    graph.node("conv1").attrs["num_filter"] = 7


def _bad_attribute(graph):
    graph.node("relu1").attrs["act_type"] = "relux"


def _unknown_op(graph):
    graph.node("relu1").op = "NoSuchOp"


def _quantized(graph):
    graph.node("relu1").op = "mxq_lut"


def _inputs_of_variable(graph):
    graph.node("data").inputs = [graph.nodes[0].out()]
    graph.nodes.sort(key=lambda node: node.name == "data")  # data last


def _no_name(graph):
    graph.node("conv1").name = ""


@parameterized.expand(
    [
        ("duplicate", _duplicate, ["'conv0'", "unique_name"]),
        ("variable_index", _variable_index, ["'conv0'", "output 1", "'data'"]),
        ("foreign_input", _foreign_input, ["'conv1'", "'foreign'", "not in graph.nodes"]),
        ("order", _order, ["comes before", "sort()"]),
        ("foreign_output", _foreign_output, ["output 0", "'foreign'"]),
        ("no_output", _no_output, ["no outputs"]),
        ("stray_param", _stray_param, ["stray", "prune()"]),
        ("lost_aux", _lost_aux, ["bn0_moving_mean", "without values"]),
        ("stray_aux", _stray_aux, ["stray_var", "prune()"]),
        ("nan", _nan, ["'conv1_weight'", "(7, 6, 3, 3)", "1 values", "NaN"]),
        ("inf", _inf, ["'bn1_moving_var'", "7 values", "infinite"]),
        ("ndarray", _ndarray, ["'conv1_weight'", "NDArray", "numpy"]),
        ("number", _number, ["'num_filter'", "'conv1'", "7", "strings"]),
        ("bad_attribute", _bad_attribute, ["relux", "act_type"]),
        ("unknown_op", _unknown_op, ["NoSuchOp", "relu1"]),
        ("quantized", _quantized, ["'relu1'", "mxq_lut", "'float'", "quantized already"]),
        ("inputs_of_variable", _inputs_of_variable, ["'data'"]),
        ("no_name", _no_name, ["Convolution", "no name"]),
    ]
)
def test_each_rule_names_what_is_wrong(_, spoil, words):
    graph = graph_of(plain())
    spoil(graph)
    message = raised(verify, graph)
    for word in words:
        assert word in message, (word, message)


def _int8(weight_is_param: bool, no_bias: str = "True") -> Graph:
    data, weight, scale = Node("null", "data"), Node("null", "w"), Node("null", "w_scale")
    quantized = Node("mxq_quantize_v2", "q", {"out_type": "int8"}, [data.out()])
    node = Node("mxq_conv", "conv", {"no_bias": no_bias}, [quantized.out(), weight.out(), scale.out()])
    params = {"w_scale": np.ones(4, np.float32)}
    if weight_is_param:
        params["w"] = np.ones((4, 3, 1, 1), np.int8)
    return Graph([data, weight, scale, quantized, node], [node.out()], params)


def test_stages_of_int8_operators():
    verify(_int8(True), "int8")
    assert "'conv'" in raised(verify, _int8(True), "qdq")
    assert "'q'" in raised(verify, _int8(True), "float")
    assert "'nope'" in raised(verify, _int8(True), "nope")


def test_int8_operators_have_parameters_where_shapes_must_be_known():
    message = raised(verify, _int8(False), "int8")
    assert "input 1 of 'conv'" in message and "'w'" in message and "add_param" in message
    message = raised(verify, _int8(True, no_bias="False"), "int8")
    assert "3 inputs" in message and "input 3 is missing" in message


@parameterized.expand([("none", True, ()), ("tensor", True, (3,)), ("tensor", False, (3, 4))])
def test_parameters_of_requantize(ranges, no_bias, expected):
    node = Node("mxq_requantize", "r", {"ranges": ranges, "no_bias": str(no_bias)})
    assert tuple(PARAM_INPUTS["mxq_requantize"](node)) == expected


def test_shapes_that_do_not_fit_name_the_operator():
    graph = graph_of(plain())
    assert "conv0" in raised(verify, graph, "float", data_shapes={"data": (2, 4, 13, 11)})
    graph.params["fc_weight"] = graph.params["fc_weight"][:, 1:]
    assert "fc" in raised(verify, graph, "float", data_shapes={"data": (2, 3, 13, 11)})


def test_output_without_a_shape_is_named():
    net = NETWORKS["multi_input"]()
    message = raised(verify, graph_of(net), "float", data_shapes={"left": (1, 3, 8, 8)})
    assert "no shape was given for right, vector" in message
    net = NETWORKS["nothing_quantizable"]()
    message = raised(verify, graph_of(net), "float", data_shapes={})
    assert "prob[0]" in message and "every input" in message


# -- run -------------------------------------------------------------------------------------------------------------


def good_one(graph):
    return graph.copy()


def good_two(graph):
    return graph.copy()


def breaks_a_rule(graph):
    graph = graph.copy()
    graph.nodes.reverse()
    return graph


def raises(graph):
    raise KeyError("lost")


def forgets(graph):
    return None


@parameterized.expand([(breaks_a_rule, "sort()"), (raises, "KeyError: 'lost'"), (forgets, "NoneType")])
def test_run_names_the_failing_pass_and_those_before(step, words):
    graph = graph_of(plain())
    message = raised(run, graph, [good_one, good_two, step, good_one])
    assert step.__name__ in message and "good_one, good_two" in message and words in message
    verify(graph)  # the caller's graph is whole


def test_run_checks_what_it_is_given():
    graph = graph_of(plain())
    graph.nodes.reverse()
    assert "sort()" in raised(run, graph, [])


def test_run_finds_the_name_behind_partial():
    import functools

    def takes(graph, *, option):
        raise GraphError(f"option {option}")

    message = raised(run, graph_of(plain()), [functools.partial(takes, option=3)])
    assert "'takes'" in message and "ran before it: none" in message and "option 3" in message
