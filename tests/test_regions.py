"""Regions as text, and back as nodes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq
from mxq.errors import GraphError
from mxq.network.graph import Graph, Node
from mxq.network.regions import REGION, decode, encode, expand_regions, pack
from mxq.network.verify import verify

from .networks import NETWORKS, batch, forward


def _like(graph):
    """What a graph consists of, in an order that does not depend on how it was made."""
    return sorted(
        (n.name, n.op, tuple(sorted(n.attrs.items())), tuple((v.node.name, v.index) for v in n.inputs))
        for n in graph.nodes
        if not n.is_variable
    )


@parameterized.expand([(name, mode) for name in NETWORKS for mode in ("minmax", "none")])
def test_expanding_gives_the_operators_back(name, mode):
    net = NETWORKS[name]()
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, data_names=list(net[3]), calib_mode=mode)
    read = Graph.from_symbol(*model)
    verify(read, "int8")
    expanded = expand_regions(read)
    verify(expanded, "int8")
    assert _like(expanded) == _like(model.operators)
    assert [(v.node.name, v.index) for v in expanded.outputs] == [
        (v.node.name, v.index) for v in model.operators.outputs
    ]
    assert all(np.array_equal(a, b) for a, b in zip(forward(expanded, data), forward(model, data)))


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8), min_size=3, max_size=3))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_names_and_values_survive_as_text(texts):
    data = Node("null", "data")
    first = Node("mxq_flatten", texts[0], {"layout": texts[1]}, [data.out()])
    second = Node("mxq_quantize_v2", texts[2], {"a": "%09"}, [first.out(), data.out()])
    region = Node(REGION, "r", encode([first, second], [data.out()], [second.out(2), first.out()]), [data.out()])
    lines, outputs = decode(region)
    assert [(line.op, line.name, line.attrs) for line in lines] == [
        ("mxq_flatten", texts[0], {"layout": texts[1]}),
        ("mxq_quantize_v2", texts[2], {"a": "%09"}),
    ]
    assert [line.inputs for line in lines] == [[(None, 0)], [(0, 0), (None, 0)]]
    assert outputs == [(1, 2), (0, 0)]


@parameterized.expand(
    [
        ("no_graph", {"graph": None}),
        ("no_fields", {"graph": "mxq_flatten"}),
        ("no_reference", {"graph": "mxq_flatten\tf\tx"}),
        ("a_later_line", {"graph": "mxq_flatten\tf\t0"}),
        ("a_missing_input", {"graph": "mxq_flatten\tf\ti1"}),
        ("a_missing_output", {"outputs": "1"}),
    ]
)
def test_text_that_is_broken_is_named(_, changed):
    data = Node("null", "data")
    node = Node("mxq_flatten", "f", {}, [data.out()])
    region = Node(REGION, "the_region", encode([node], [data.out()], [node.out()]), [data.out()])
    region.attrs.update({k: v for k, v in changed.items() if v is not None})
    for key in [k for k, v in changed.items() if v is None]:
        del region.attrs[key]
    try:
        decode(region)
    except GraphError as error:
        assert "the_region" in str(error)
    else:
        raise AssertionError("accepted")


def _two_regions(names, outside=()):
    """Regions that each pack a parameter, under these names; each adds its own to the data."""
    data = Node("null", "data")
    graph = Graph([data], [], {})
    for name in outside:
        graph.add_param(name, np.float32([9]))
    for i, name in enumerate(names):
        vector, (place,) = pack({name: np.full((1, 4), 3 + i, np.int8)})
        inside = Node("null", name)
        line = Node("mxq_elemwise_add", f"add{i}", {}, [data.out(), inside.out()])
        attrs = encode([line], [data.out()], [line.out()], [(inside.out(), place)])
        region = Node(REGION, f"r{i}", attrs, [data.out(), graph.add_param(f"r{i}_params", vector)])
        graph.nodes.append(region)
        graph.outputs.append(region.out())
    return graph


@parameterized.expand(
    [("one_name", ("w", "w", "w"), ()), ("outside_too", ("w", "w_1"), ("w",)), ("apart", ("v", "w"), ())]
)
def test_parameters_of_one_name_stay_apart(_, names, outside):
    graph = _two_regions(names, outside)
    if outside:
        graph.outputs += [node.out() for node in graph.nodes if node.name in outside]
    expanded = expand_regions(graph)
    variables = [node.name for node in expanded.nodes if node.is_variable]
    assert len(set(variables)) == len(variables) == 1 + len(names) + len(outside)
    for i, output in enumerate(expanded.outputs[: len(names)]):
        param = output.node.inputs[1].node
        assert np.array_equal(expanded.params[param.name], np.full((1, 4), 3 + i)), param.name
    for name in outside:
        assert np.array_equal(expanded.params[name], [9])
