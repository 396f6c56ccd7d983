"""Makes one clip of functions that limit a value, however they are spelled, and folds the arithmetic around it.

A chain of these nodes, each the only reader of the one before, computes ``clip(a * x + b, lo, hi)``:

* ReLU, clip, a maximum or minimum with a constant (nested in any order);
* sums, differences, products and quotients with one number, hard-sigmoid.

Behind a convolution, deconvolution or fully connected layer that nobody else reads, ``a`` and ``b`` become part of its
weight and bias and the rest is one ReLU or clip: ``min(max(x, 0), 6)``, a gate ``clip(x + 3, 0, 6) / 6``.
Behind anything else only neighbouring limits are joined. Composed in float64, stored as float32.

The last node of a chain keeps its name; its attribute ``__mxq_folded__`` lists those that went.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ..network.attributes import attr_text
from ..network.graph import Graph, Node, Use, Value
from ..ops.spec import sole_user
from .fold_batchnorm import BATCHNORMS
from .folded import record_fold
from .linear import LINEAR, kernel_of

_INF = float("inf")
#: From here on a limit of a clip is none.
_LARGEST = 3.4e38


class Limited(NamedTuple):
    """``clip(a * x + b, lo, hi)``."""

    a: float = 1.0
    b: float = 0.0
    lo: float = -_INF
    hi: float = _INF

    def then(self, f: "Limited") -> "Limited":
        """This one first, then `f`."""
        ends = sorted(f.a * end + f.b if f.a else f.b for end in (self.lo, self.hi))
        lo, hi = (min(max(end, f.lo), f.hi) for end in ends)
        return Limited(self.a * f.a, self.b * f.a + f.b, lo, hi)

    @property
    def only_limits(self) -> bool:
        return self.a == 1.0 and self.b == 0.0


def _affine(a: Callable[[float], float], b: Callable[[float], float]) -> Callable[[Node], Limited]:
    return lambda node: Limited(a(float(node.get("scalar", 0))), b(float(node.get("scalar", 0))))


def _activation(node: Node) -> Optional[Limited]:
    return Limited(lo=0.0) if node.get("act_type") == "relu" else None


def _leaky(node: Node) -> Optional[Limited]:
    return Limited(lo=0.0) if node.get("act_type", "leaky") == "leaky" and float(node.get("slope", 0.25)) == 0 else None


def _clip(node: Node) -> Limited:
    lo, hi = float(node.get("a_min")), float(node.get("a_max"))
    return Limited(lo=-_INF if lo <= -_LARGEST else lo, hi=_INF if hi >= _LARGEST else hi)


def _hard_sigmoid(node: Node) -> Limited:
    return Limited(float(node.get("alpha", 0.2)), float(node.get("beta", 0.5)), 0.0, 1.0)


#: Operator of one value -> what it computes, or None where its attributes say otherwise.
FUNCTIONS: Dict[str, Callable[[Node], Optional[Limited]]] = {
    "Activation": _activation,
    "relu": lambda node: Limited(lo=0.0),
    "LeakyReLU": _leaky,
    "clip": _clip,
    "hard_sigmoid": _hard_sigmoid,
}
for _names, _function in (
    ("_maximum_scalar _MaximumScalar", lambda node: Limited(lo=float(node.get("scalar", 0)))),
    ("_minimum_scalar _MinimumScalar", lambda node: Limited(hi=float(node.get("scalar", 0)))),
    ("_plus_scalar _PlusScalar", _affine(lambda s: 1.0, lambda s: s)),
    ("_minus_scalar _MinusScalar", _affine(lambda s: 1.0, lambda s: -s)),
    ("_rminus_scalar _RMinusScalar", _affine(lambda s: -1.0, lambda s: s)),
    ("_mul_scalar _MulScalar", _affine(lambda s: s, lambda s: 0.0)),
    ("_div_scalar _DivScalar", _affine(lambda s: 1 / s if s else _INF, lambda s: 0.0)),
):
    FUNCTIONS.update(dict.fromkeys(_names.split(), _function))

#: Operator of two values, one of them a constant -> what it computes with that.
CONSTANTS: Dict[str, Callable[[float], Limited]] = {
    **dict.fromkeys(("broadcast_maximum", "_maximum", "_Maximum"), lambda c: Limited(lo=c)),
    **dict.fromkeys(("broadcast_minimum", "_minimum", "_Minimum"), lambda c: Limited(hi=c)),
}


def join_clips(graph: Graph) -> Graph:
    """Returns a graph with equal outputs in which every chain of limits is one node.

    Args:
        graph: a float graph with parameters; stays as it is.

    Returns:
        the graph. ``notes`` says for each node that went where it went.
    """
    graph = graph.copy()
    uses = graph.uses()
    done = set()
    for node in list(graph.nodes):
        if id(node) in done or _function_of(node, graph) is None:
            continue
        chain = _chain(node, graph, uses)
        done.update(id(n) for n in chain)
        source = _data_input(node, graph)
        if not _fold_into_layer(graph, chain, source, uses):
            _join_neighbours(graph, chain, source)
    graph.prune()
    graph.sort()
    return graph


def _function_of(node: Node, graph: Graph) -> Optional[Limited]:
    if node.op in FUNCTIONS:
        found = FUNCTIONS[node.op](node)
    elif node.op in CONSTANTS and _data_input(node, graph) is not None:
        constant = next(v for v in node.inputs if graph.param_of(v) is not None)
        found = CONSTANTS[node.op](float(graph.param_of(constant).flat[0])) if _fits(constant, node, graph) else None
    else:
        return None
    usable = found is not None and np.isfinite([found.a, found.b]).all() and not np.isnan([found.lo, found.hi]).any()
    return found if usable else None


def _data_input(node: Node, graph: Graph) -> Optional[Value]:
    data = [v for v in node.inputs if graph.param_of(v) is None]
    return data[0] if len(data) == 1 else None


def _fits(constant: Value, node: Node, graph: Graph) -> bool:
    """Whether a parameter is one number and surely does not give the other operand more axes or elements."""
    array = graph.param_of(constant)
    if not array.size or (array != array.flat[0]).any():
        return False
    if array.shape == (1,):
        return True
    value = _data_input(node, graph)
    while value.node.op in FUNCTIONS or value.node.op in CONSTANTS or value.node.op in BATCHNORMS:
        value = _data_input(value.node, graph) or value.node.inputs[0]
    layer = value.node
    if layer.op != "Convolution" or array.ndim > len(kernel_of(layer)) + 2:
        return False
    shape = (1,) * (len(kernel_of(layer)) + 2 - array.ndim) + array.shape
    return all(n == 1 for axis, n in enumerate(shape) if axis != 1) and shape[1] in (1, int(layer.get("num_filter")))


def _chain(first: Node, graph: Graph, uses: Dict[tuple, List[Use]]) -> List[Node]:
    nodes = [first]
    while True:
        user = sole_user(nodes[-1].out(), uses)
        if user is None or _function_of(user, graph) is None:
            return nodes
        nodes.append(user)


def _compose(nodes: List[Node], graph: Graph) -> Limited:
    whole = Limited()
    for node in nodes:
        whole = whole.then(_function_of(node, graph))
    return whole


def _fold_into_layer(graph: Graph, chain: List[Node], source: Value, uses: Dict[tuple, List[Use]]) -> bool:
    """Whether the chain's factor and summand went into the layer in front of it, and its limits into one node."""
    layer, whole = source.node, _compose(chain, graph)
    arrays = [graph.param_of(value) for value in layer.inputs[1:]]
    if (
        layer.op not in LINEAR
        or sole_user(source, uses) is None
        or any(a is None or a.dtype != np.float32 for a in arrays)
        or any(len(uses[id(v.node), 0]) > 1 for v in layer.inputs[1:])
        or not whole.a
    ):
        return False
    if not whole.only_limits:
        with np.errstate(all="ignore"):
            weight = (arrays[0] * np.float64(whole.a)).astype(np.float32)
            bias = np.full(int(layer.get(LINEAR[layer.op].channels)), whole.b)
            bias = (bias if len(arrays) < 2 else arrays[1] * np.float64(whole.a) + whole.b).astype(np.float32)
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            return False
        graph.params[layer.inputs[1].node.name] = weight
        if len(arrays) > 1:
            graph.params[layer.inputs[2].node.name] = bias
        elif whole.b:
            layer.inputs.append(graph.add_param(f"{layer.name}_bias", bias))
            layer.attrs["no_bias"] = "False"
    if whole.lo == -_INF and whole.hi == _INF:
        _bypass(graph, chain, source, uses)
    else:
        _become(graph, chain, source, whole)
    return True


def _bypass(graph: Graph, chain: List[Node], source: Value, uses: Dict[tuple, List[Use]]) -> None:
    """The layer computes what the chain did; a node stays where an output has its name."""
    last = chain[-1]
    readers = uses.get((id(last), 0), [])
    graph.replace(last.out(), source, only=[use for use in readers if use.node is not None])
    last.op, last.attrs, last.inputs = "_copy", {}, [source]
    for node in chain:
        record_fold(graph, node, [source.node])


def _join_neighbours(graph: Graph, chain: List[Node], source: Value) -> None:
    """Every run of limits in the chain becomes one node."""
    run: List[Node] = []
    for node in [*chain, None]:
        if node is not None and _function_of(node, graph).only_limits:
            run.append(node)
        elif run:
            _become(graph, run, _data_input(run[0], graph), _compose(run, graph))
            run = []


def _become(graph: Graph, nodes: List[Node], source: Value, whole: Limited) -> None:
    """The last of the nodes computes what all did, without their factor and summand."""
    last = nodes[-1]
    op, attrs = _spelling(whole.lo, whole.hi)
    if len(nodes) == 1 and last.op in (op, "relu"):
        return
    kept = {key: value for key, value in last.attrs.items() if key.startswith("__")}
    last.op, last.attrs, last.inputs = op, {**kept, **attrs}, [source]
    for node in nodes[:-1]:
        record_fold(graph, node, [last])


def _spelling(lo: float, hi: float) -> Tuple[str, Dict[str, str]]:
    """Operator and attributes that limit a value on at least one side."""
    if hi == _INF:
        return ("Activation", {"act_type": "relu"}) if lo == 0 else ("_maximum_scalar", {"scalar": attr_text(lo)})
    if lo == -_INF:
        return "_minimum_scalar", {"scalar": attr_text(hi)}
    return "clip", {"a_min": attr_text(lo), "a_max": attr_text(hi)}
