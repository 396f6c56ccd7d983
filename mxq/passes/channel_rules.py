"""How operators pass channels on: what scaling them per channel commutes with.

A value's channels lie along axis 1. A row says, for a node, where the channels of its outputs come from, as `Passage`
objects: each alone determines the scale of the output, so several of them (the operands of a sum) must agree. An
operator without a row, or whose row says nothing for these attributes, must see its inputs as they are.

    f(s * x) = s * f(x)  for every s > 0       ReLU, LeakyReLU, PReLU, pooling, resizing, padding with zeros
    f(s * x, s * y) = s * f(x, y)              sums, differences, maxima
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..network.graph import Graph, Node

Shape = Tuple[int, ...]


class Passage(NamedTuple):
    """Channels of some inputs, put side by side, and which of them each output has.

    Attributes:
        inputs: indices of the node's inputs.
        picks: per output, for each of its channels the place among those of the inputs.
        gain: the noise power of an output per noise power of these inputs.
    """

    inputs: Tuple[int, ...]
    picks: Tuple[np.ndarray, ...]
    gain: float = 1.0


class Product(NamedTuple):
    """One factor's channels may be scaled if the other's are not."""

    factors: List[Passage]


Rule = Callable[[Node, Graph], object]


def passages(node: Node, graph: Graph):
    """List of Passage, a Product, or None where the node must see its inputs as they are."""
    rule = RULES.get(node.op)
    return None if rule is None else rule(node, graph)


def shape_of(graph: Graph, node: Node, index: int) -> Optional[Shape]:
    """Shape of an input; None if unknown or without channels."""
    value = node.inputs[index]
    array = graph.param_of(value)
    shape = graph.shapes.get((value.node.name, value.index)) if array is None else array.shape
    return shape if shape is not None and len(shape) > 1 else None


def _out_shape(graph: Graph, node: Node, index: int = 0) -> Optional[Shape]:
    return graph.shapes.get((node.name, index))


def _straight(node: Node, graph: Graph, index: int = 0, gain: float = 1.0) -> Optional[List[Passage]]:
    shape = shape_of(graph, node, index)
    return None if shape is None else [Passage((index,), (np.arange(shape[1]),), gain)]


def _if(test: Callable[[Node], bool]) -> Rule:
    return lambda node, graph: _straight(node, graph) if test(node) else None


def _pooling(node: Node, graph: Graph) -> Optional[List[Passage]]:
    if node.get("layout") not in (None, "None") and not str(node.get("layout")).startswith("NC"):
        return None
    return _straight(node, graph, gain=_averaged(node, graph) if node.get("pool_type", "max") == "avg" else 1.0)


def _averaged(node: Node, graph: Graph) -> float:
    """One over the number of values that are averaged."""
    shape, out = shape_of(graph, node, 0), _out_shape(graph, node)
    if node.get("kernel") and node.get("global_pool") not in (True, 1):
        return 1.0 / float(np.prod(node.get("kernel")))
    if shape is None or out is None:
        return 1.0
    return float(np.prod(out[2:])) / max(float(np.prod(shape[2:])), 1.0)


def _mean(node: Node, graph: Graph) -> Optional[List[Passage]]:
    shape = shape_of(graph, node, 0)
    axis = node.get("axis")
    if shape is None or axis in (None, "None", ()):
        return None
    axes = {a % len(shape) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))}
    if node.get("exclude", False) in (True, 1):
        axes = set(range(len(shape))) - axes
    return _straight(node, graph, gain=_averaged(node, graph)) if axes and min(axes) >= 2 else None


def _reshape(node: Node, graph: Graph) -> Optional[List[Passage]]:
    """Where examples stay examples and a channel becomes one channel, or several beside each other."""
    shape, out = shape_of(graph, node, 0), _out_shape(graph, node)
    if shape is None or out is None or len(out) < 2 or 0 in (*shape, *out) or out[0] != shape[0]:
        return None
    per_channel = int(np.prod(shape[2:]))
    if out[1] == shape[1]:
        return _straight(node, graph)
    if len(out) == 2 and out[1] == shape[1] * per_channel:
        return [Passage((0,), (np.repeat(np.arange(shape[1]), per_channel),))]
    return None


def _concat(node: Node, graph: Graph) -> Optional[List[Passage]]:
    shapes = [shape_of(graph, node, i) for i in range(len(node.inputs))]
    if any(s is None for s in shapes):
        return None
    if int(node.get("dim", 1)) % len(shapes[0]) == 1:
        return [Passage(tuple(range(len(shapes))), (np.arange(sum(s[1] for s in shapes)),))]
    return _alike(node, graph) if int(node.get("dim", 1)) % len(shapes[0]) else None


def _alike(node: Node, graph: Graph) -> Optional[List[Passage]]:
    """Every input has the scale of the output."""
    shapes = [shape_of(graph, node, i) for i in range(len(node.inputs))]
    if any(s is None or s[1] != shapes[0][1] or graph.param_of(v) is not None for s, v in zip(shapes, node.inputs)):
        return None
    return [_straight(node, graph, i)[0] for i in range(len(shapes))]


def _product(node: Node, graph: Graph):
    out = _out_shape(graph, node)
    shapes = [shape_of(graph, node, i) for i in (0, 1)]
    constant = [graph.param_of(v) is not None for v in node.inputs]
    passing = [i for i in (0, 1) if not constant[i] and shapes[i] and out and len(out) > 1 and shapes[i][1] == out[1]]
    if node.op in _DIVISIONS:
        return _straight(node, graph) if 0 in passing else None
    found = [_straight(node, graph, i)[0] for i in passing]
    return None if not found else found if any(constant) else Product(found)


_DIVISIONS = ("elemwise_div", "_div", "_Div", "broadcast_div")


def _slice(node: Node, graph: Graph) -> Optional[List[Passage]]:
    shape = shape_of(graph, node, 0)
    if shape is None:
        return None
    begin, end, step = (tuple(node.get(key) or ()) + (None, None) for key in ("begin", "end", "step"))
    return [Passage((0,), (np.arange(shape[1])[slice(begin[1], end[1], step[1])],))]


def _slice_axis(node: Node, graph: Graph) -> Optional[List[Passage]]:
    shape = shape_of(graph, node, 0)
    if shape is None:
        return None
    axis, ends = int(node.get("axis")) % len(shape), (node.get("begin"), node.get("end"))
    chosen = slice(*(None if end in (None, "None") else int(end) for end in ends)) if axis == 1 else slice(None)
    return [Passage((0,), (np.arange(shape[1])[chosen],))] if axis else None


def _split(node: Node, graph: Graph) -> Optional[List[Passage]]:
    shape = shape_of(graph, node, 0)
    axis = int(node.get("axis", 1))
    if shape is None or axis % len(shape) != 1 or node.get("squeeze_axis", False) in (True, 1):
        return None
    channels = np.arange(shape[1])
    if node.op == "SliceChannel":
        return [Passage((0,), tuple(np.split(channels, int(node.get("num_outputs")))))]
    sections = int(node.get("sections", 0))
    ends = np.split(channels, sections if sections else [int(i) for i in node.get("indices")][1:])
    return [Passage((0,), tuple(ends))]


def _pads_in_scale(node: Node) -> bool:
    """Whether a Pad writes nothing that would have to be scaled too, and no channels."""
    values = node.get("mode") != "constant" or float(node.get("constant_value", 0)) == 0
    return values and tuple(node.get("pad_width", (1,) * 4))[2:4] == (0, 0)


def _leaky(node: Node) -> bool:
    return node.get("act_type", "leaky") in ("leaky", "prelu")


RULES: Dict[str, Rule] = {
    "Activation": _if(lambda node: node.get("act_type") == "relu"),
    "LeakyReLU": _if(_leaky),
    "clip": _if(lambda node: float(node.get("a_min")) == 0 < float(node.get("a_max"))),
    "Pooling": _pooling,
    "mean": _mean,
    "Pad": _if(_pads_in_scale),
    "pad": _if(_pads_in_scale),
    "UpSampling": _if(lambda node: node.get("sample_type") == "nearest" and len(node.inputs) == 1),
    "Concat": _concat,
    "concat": _concat,
    "slice": _slice,
    "slice_axis": _slice_axis,
    "SliceChannel": _split,
    "split": _split,
    "_split_v2": _split,
}
_ANYWAY = "relu Crop slice_like identity _copy BlockGrad stop_gradient Dropout abs negative _contrib_BilinearResize2D"
_SCALARS = "_mul_scalar _MulScalar _div_scalar _DivScalar"
_RESHAPES = "Flatten flatten Reshape reshape expand_dims squeeze"
_SUMS = (
    "elemwise_add _plus _Plus _add broadcast_add broadcast_plus elemwise_sub _minus _Minus _sub broadcast_sub "
    "broadcast_minus add_n ElementWiseSum broadcast_maximum broadcast_minimum _maximum _minimum _Maximum _Minimum"
)
_PRODUCTS = "elemwise_mul _mul _Mul broadcast_mul"
_GROUPS: Sequence[Tuple[str, Rule]] = (
    (_ANYWAY + " " + _SCALARS, _if(lambda node: True)),
    ("_contrib_AdaptiveAvgPooling2D", lambda node, graph: _straight(node, graph, gain=_averaged(node, graph))),
    (_RESHAPES, _reshape),
    (_SUMS, _alike),
    (_PRODUCTS + " " + " ".join(_DIVISIONS), _product),
)
for _names, _rule in _GROUPS:
    RULES.update(dict.fromkeys(_names.split(), _rule))
