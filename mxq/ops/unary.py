"""Functions of one number: whole groups of nodes become one table of 256 entries (per channel where they differ).

A *cone* is a set of elementwise nodes that computes from a single value and nothing else but parameters:
``x * sigmoid(x)``, ``x * clip(x + 3, 0, 6) / 6``, BatchNorm and the ReLU behind it. Whatever it computes, an 8-bit
input can only take 256 values, so MXNet itself evaluates the cone on those and the table is exact.
"""

from typing import Dict, List, Optional, Set

import numpy as np

from ..network.graph import VARIABLE, Graph, Node, Value
from .affine import lower_affine
from .spec import UNARY, OpSpec, Unit, activations, alone, register

ELEMENTWISE = frozenset(
    "Activation relu sigmoid hard_sigmoid softsign tanh LeakyReLU clip exp expm1 log log1p log2 log10 sqrt rsqrt cbrt "
    "square abs sign negative reciprocal erf sin cos arctan sinh cosh arcsinh round rint floor ceil trunc fix "
    "_plus_scalar _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar _power_scalar "
    "_maximum_scalar _minimum_scalar _PlusScalar _MinusScalar _RMinusScalar _MulScalar _DivScalar _RDivScalar "
    "_MaximumScalar _MinimumScalar BatchNorm BatchNorm_v1".split()
)
BINARY = frozenset(
    "elemwise_add elemwise_sub elemwise_mul elemwise_div _plus _Plus _minus _Minus _mul _Mul _div _Div "
    "broadcast_add broadcast_plus broadcast_sub broadcast_minus broadcast_mul broadcast_div "
    "broadcast_maximum broadcast_minimum _maximum _minimum".split()
)


def _own_activations(node: Node, graph: Graph) -> List[Value]:
    return [v for v in node.inputs if graph.param_of(v) is None]


def _channels(node: Node, graph: Graph) -> Optional[int]:
    """Channels whose parameters differ: 1 for none; None where the parameters do not lie along axis 1."""
    if node.op in ("BatchNorm", "BatchNorm_v1"):
        gamma = graph.param_of(node.inputs[1])
        fits = int(node.get("axis", 1)) == 1 and not node.get("output_mean_var", False) and gamma is not None
        return gamma.size if fits else None
    params = [p for p in (graph.param_of(v) for v in node.inputs) if p is not None]
    if node.op == "LeakyReLU":
        kind = node.get("act_type", "leaky")
        if kind == "prelu":
            return params[0].size if params else None
        return None if kind == "rrelu" else 1
    sizes = {1}
    for param in params:
        if param.size > 1 and (param.ndim < 2 or param.shape[1] != param.size):
            return None
        sizes.add(param.size)
    return max(sizes) if len(sizes) <= 2 else None


def _eligible(node: Node, graph: Graph) -> bool:
    if node.op in ELEMENTWISE or node.op in BINARY:
        found = bool(_own_activations(node, graph)) and _channels(node, graph) is not None
        return found and not _widens(node, graph)
    return False


def _widens(node: Node, graph: Graph) -> bool:
    """Whether a parameter makes more of a tensor than it is: other axes, or more channels."""
    if node.op not in BINARY:
        return False
    value = _own_activations(node, graph)[0]
    shape = graph.shapes.get((value.node.name, value.index))
    params = [p for p in (graph.param_of(v) for v in node.inputs) if p is not None]
    if shape is None or not params:
        return False
    return np.broadcast_shapes(shape, *(p.shape for p in params)) != tuple(shape)


def find_cones(graph: Graph, uses: Dict, taken: Set[str]) -> List[List[Node]]:
    """Maximal cones, each in topological order. Nodes named in `taken` belong to other units."""
    root: Dict[tuple, Value] = {}
    members: Dict[tuple, List[Node]] = {}
    for node in graph.nodes:
        if node.name in taken or not _eligible(node, graph):
            continue
        roots = {
            (id(r.node), r.index): r
            for r in (root.get((id(v.node), v.index), v) for v in _own_activations(node, graph))
        }
        if len(roots) == 1:
            key, value = next(iter(roots.items()))
            root[(id(node), 0)] = value
            members.setdefault(key, []).append(node)
    cones, done = [], set()
    for group in members.values():
        for last in reversed(group):
            if id(last) not in done:
                cone = _close(last, group, graph, uses)
                if cone:
                    done.update(id(n) for n in cone)
                    cones.append(cone)
    return cones


def is_cone(nodes: List[Node], graph: Graph) -> bool:
    """Whether these nodes, taken as one unit, are a function of one value."""
    elementwise = all(n.op in ELEMENTWISE or n.op in BINARY for n in nodes)
    return elementwise and len({(id(v.node), v.index) for v in activations(nodes, graph)}) == 1


def _close(last: Node, group: List[Node], graph: Graph, uses: Dict) -> List[Node]:
    """The part of `group` that only feeds `last`; just `last` where that would read two values; else nothing."""
    inside = {id(last)}
    for node in reversed(group):
        users = uses.get((id(node), 0), [])
        if users and all(u.node is not None and id(u.node) in inside for u in users):
            inside.add(id(node))
    for cone in ([n for n in group if id(n) in inside], [last]):
        if is_cone(cone, graph):
            channels = {_channels(n, graph) for n in cone} - {1}
            if len(channels) <= 1:
                return cone
    return []


def evaluate(nodes: List[Node], graph: Graph, levels: np.ndarray) -> np.ndarray:
    """The cone's function at `levels` (256,): shape (256,) or, where channels differ, (C, 256). Runs in MXNet."""
    import mxnet as mx

    source = activations(nodes, graph)[0]
    channels = max(_channels(n, graph) for n in nodes)
    shape = graph.shapes.get((source.node.name, source.index))
    rank = len(shape) if shape else 2
    variable = Node(VARIABLE, "mxq_levels")
    twins = {(id(source.node), source.index): variable.out()}
    copies, params = [variable], {}
    for node in nodes:
        inputs = []
        for value in node.inputs:
            key = (id(value.node), value.index)
            if key not in twins:
                twins[key] = Node(VARIABLE, value.node.name).out()
                params[value.node.name] = graph.params[value.node.name]
                copies.append(twins[key].node)
            inputs.append(twins[key])
        copy = Node(node.op, node.name, node.attrs, inputs)
        twins[(id(node), 0)] = copy.out()
        copies.append(copy)
    symbol, args, aux = Graph(copies, [copies[-1].out()], params, set(params) & graph.aux).to_symbol()
    full = ((256, channels) + (1,) * (rank - 2))[:rank]  # of rank 1 there is one channel
    x = np.broadcast_to(levels.reshape((256,) + (1,) * (rank - 1)), full)
    given = {**args, **aux, "mxq_levels": mx.nd.array(x)}
    with mx.autograd.pause(train_mode=False):
        y = mx.nd.CachedOp(symbol)(*[given[name] for name in symbol.list_inputs()]).asnumpy().reshape(256, channels)
    return y[:, 0] if channels == 1 else np.ascontiguousarray(y.T)


def _refuse(node: Node, graph: Graph) -> Optional[str]:
    if not _eligible(node, graph):
        return "its parameters do not lie along the channel axis" if node.op in ELEMENTWISE else "no table form"
    shape_key = (_own_activations(node, graph)[0].node.name, _own_activations(node, graph)[0].index)
    if _channels(node, graph) > 1 and node.op in BINARY and shape_key not in graph.shapes:
        return "the shape of its input is unknown; pass data_shapes"
    return None


def lower_unary(lowering, unit: Unit) -> None:
    if lowering.is_float(unit.inputs[0]):
        lower_affine(lowering, unit)
    else:
        lowering.table(unit, lowering.q(unit.inputs[0]))


UNARY_SPEC = register(
    OpSpec(
        name="unary",
        mx_names=tuple(sorted(ELEMENTWISE)),
        kind=UNARY,
        native=("mxq_lut",),
        refuse=_refuse,
        grow=alone,
        inputs=lambda nodes, graph: activations(nodes, graph)[:1],
        lower=lower_unary,
        note="any function of one number, alone or composed (swish, hard-swish, mish, GELU, BatchNorm ...)",
    )
)
