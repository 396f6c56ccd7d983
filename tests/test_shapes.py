import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.network.graph import Graph, Node
from mxq.network.shapes import infer_shapes, infer_types
from tests import networks
from tests.networks import NETWORKS, batch, fill, forward, graph_of
from tests.test_graph import raised


@parameterized.expand(sorted(NETWORKS))
def test_every_value_gets_the_shape_it_has(name):
    net = NETWORKS[name]()
    graph = graph_of(net)
    shapes = infer_shapes(graph, net[3])
    labels = {name for name in net[0].list_arguments() if name.endswith("label")}
    assert {node.name for node in graph.nodes} == {key[0] for key in shapes}
    assert {key for key in shapes if key[0] in labels} == {(label, 0) for label in labels}
    for value, array in zip(graph.outputs, forward(net, batch(net[3]))):
        assert shapes[value.node.name, value.index] == array.shape
    for name, array in graph.params.items():
        assert shapes[name, 0] == array.shape


def test_every_output_of_a_node():
    net = networks.split()
    shapes = infer_shapes(graph_of(net), net[3])
    assert [shapes["split", i] for i in range(3)] == [(2, 3, 8, 8)] * 3


def test_names_that_belong_to_both_an_operator_and_its_number():
    x = mx.sym.SliceChannel(mx.sym.var("data"), num_outputs=2, name="a")
    y = mx.sym.identity(x[0], name="a_output0")  # what MXNet calls output 0 of the first
    net = fill(mx.sym.Group([mx.sym.sum(x[1], name="sum"), y]), {"data": (2, 4)})
    shapes = infer_shapes(graph_of(net), net[3])
    assert shapes["a", 0] == (2, 2) and shapes["a_output0", 0] == (2, 2) and shapes["sum", 0] == (1,)


def test_unknown_shapes_are_missing_not_wrong():
    graph = graph_of(networks.nothing_quantizable())
    assert infer_shapes(graph, {}) == {}


def test_errors():
    graph = graph_of(networks.plain())
    message = raised(infer_shapes, graph, {"dat": (1, 3, 8, 8)})
    assert "'dat'" in message and "nearest: data" in message
    message = raised(infer_shapes, graph, {"conv0_weight": (6, 3, 3, 3)})
    assert "'conv0_weight'" in message
    message = raised(infer_shapes, graph, {"data": (1, 3)})
    assert "conv0" in message


def test_int8_graphs_are_not_inferred_without_the_shapes_they_need():
    data, other = Node("null", "data"), Node("null", "other")
    node = Node("mxq_flatten", "flat", {}, [data.out()])
    graph = Graph([data, other, node], [node.out(), other.out()], {})
    assert "'data'" in raised(infer_shapes, graph, {"other": (1, 2)})


def test_types():
    data = mx.sym.var("data")
    x = mx.sym.Cast(data, dtype="float16", name="half")
    x = mx.sym.elemwise_add(x, x, name="sum")
    graph = graph_of(fill(mx.sym.topk(x, ret_typ="indices", dtype="int32", name="top"), {"data": (2, 3)}))
    types = infer_types(graph, {"data": "uint8"})
    assert types["data", 0] == np.uint8 and types["half", 0] == np.float16
    assert types["sum", 0] == np.float16 and types["top", 0] == np.int32
    assert ("data", 0) not in infer_types(graph, {})
    assert "'dota'" in raised(infer_types, graph, {"dota": "uint8"})
