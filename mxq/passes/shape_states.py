"""Initial states of recurrent networks take their shape from the data.

An unrolled cell begins with ``zeros(shape=(0, 8))``: MXNet infers the number of examples backwards, from what reads the
state. Operators of an extension library infer forwards only. So the state becomes

    data -> slice to one number an example -> Cast -> zeros_like -> Reshape -> broadcast_axis

which is the same zeros, for any number of examples. Which axis of the data counts the examples (the second one, where
time comes first) is found by inferring shapes with that axis twice as long: every state must follow.

What is left open by other sources than these stays float, and so does what reads it (`open_shapes`).
"""

from typing import Dict, Mapping, Optional, Sequence, Tuple

from ..errors import GraphError
from ..network.graph import Graph, Node, Value
from ..network.shapes import Shapes

#: Operators without inputs that fill a tensor -> what fills one of another tensor's shape.
LIKE = {"_zeros": "zeros_like", "_ones": "ones_like"}
#: Operators whose inputs and outputs have one shape: any of them tells it.
ALIKE = frozenset(
    "elemwise_add elemwise_sub elemwise_mul elemwise_div _plus _Plus _minus _Minus _mul _Mul _div _Div _add _sub "
    "_maximum _minimum add_n ElementWiseSum".split()
)
#: Operators whose first input decides.
FIRST_DECIDES = frozenset(["RNN"])


def shape_states(graph: Graph, data_shapes: Mapping[str, Sequence[int]]) -> Graph:
    """Returns the graph with initial states that follow from the data.

    Args:
        graph: float.
        data_shapes: of every input that is data; without them nothing is done.
    """
    states = [node for node in graph.nodes if node.op in LIKE and _open_axis(node) is not None]
    found = _axis_of_examples(graph, states, data_shapes) if states and data_shapes else None
    if found is None:
        return graph
    names = [node.name for node in states]
    graph = graph.copy()
    name, axis = found
    rank = len(data_shapes[name])
    ends = tuple(None if i == axis else 1 for i in range(rank))
    one = graph.add("slice", "one_an_example", [graph.node(name).out()], {"begin": (None,) * rank, "end": ends})
    for node in [graph.node(n) for n in names]:
        _replace(graph, node, one.out())
    graph.sort()
    graph.prune()
    return graph


def _replace(graph: Graph, node: Node, one: Value) -> None:
    shape, axis = node.get("shape"), _open_axis(node)
    others = tuple(i for i in range(len(shape)) if i != axis)
    x = graph.add("Cast", f"{node.name}_type", [one], {"dtype": node.get("dtype", "float32")})
    x = graph.add(LIKE[node.op], f"{node.name}_like", [x.out()])
    x = graph.add(
        "Reshape", f"{node.name}_rank", [x.out()], {"shape": [-1 if i == axis else 1 for i in range(len(shape))]}
    )
    if others:
        x = graph.add(
            "broadcast_axis", f"{node.name}_wide", [x.out()], {"axis": others, "size": [shape[i] for i in others]}
        )
    graph.replace(node.out(), x.out())
    graph.nodes.remove(node)
    x.name = node.name


def _open_axis(node: Node) -> Optional[int]:
    """The one axis whose length is open."""
    shape = node.get("shape", ())
    shape = shape if isinstance(shape, tuple) else (shape,)
    unknown = [i for i, n in enumerate(shape) if n in (0, -1, None)]
    return unknown[0] if len(unknown) == 1 else None


def _axis_of_examples(graph: Graph, states: Sequence[Node], data_shapes: Mapping) -> Optional[Tuple[str, int]]:
    """The input, and its axis, whose length all states have."""
    shapes = Shapes(graph)
    try:
        known = shapes.infer(data_shapes)
    except GraphError:
        return None
    for name, shape in data_shapes.items():
        for axis, n in enumerate(shape):
            if any(known.get((s.name, 0), ())[_open_axis(s) :][:1] != (n,) for s in states):
                continue
            # Inputs may share the axis of examples: all that have it grow.
            longer = {key: _longer(other, axis, n) for key, other in data_shapes.items()}
            try:
                found = shapes.infer(longer)
            except GraphError:
                continue
            if all(found.get((s.name, 0), ())[_open_axis(s) :][:1] == (2 * n,) for s in states):
                return name, axis
    return None


def _longer(shape: Sequence[int], axis: int, n: int) -> tuple:
    return tuple(2 * m if i == axis and m == n else m for i, m in enumerate(shape))


def open_shapes(graph: Graph) -> Dict[str, str]:
    """Names of the nodes whose shape does not follow from what they read -> the node that leaves it open."""
    found: Dict[str, str] = {}
    graph.sort()
    for node in graph.nodes:
        if not node.is_variable and not node.inputs and _is_open(node):
            found[node.name] = node.name
            continue
        reads = [v for v in node.inputs if graph.param_of(v) is None]
        if node.op in FIRST_DECIDES:
            reads = reads[:1]
        origins = [found[v.node.name] for v in reads if v.node.name in found]
        if origins and not (node.op in ALIKE and len(origins) < len(reads)):
            found[node.name] = origins[0]
    return found


def _is_open(node: Node) -> bool:
    shape = node.get("shape", (1,))
    return any(n in (0, -1, None) for n in (shape if isinstance(shape, tuple) else (shape,)))
