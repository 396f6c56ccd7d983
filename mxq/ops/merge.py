"""Operators that combine int8 tensors: concat and elementwise sum, difference, product with broadcasting."""

from typing import Dict, List, Optional

from ..network.graph import Graph, Node
from .fuse import ADD, grow_chain, read_chain
from .movement import stored_axis
from .spec import MERGE, OpSpec, Unit, activations, alone, register

_ELEMENTWISE = {
    "mxq_elemwise_add": ADD,
    "mxq_elemwise_sub": ("elemwise_sub", "_minus", "_Minus", "_sub", "broadcast_sub", "broadcast_minus"),
    "mxq_elemwise_mul": ("elemwise_mul", "_mul", "_Mul", "broadcast_mul"),
}
_NATIVE = {mx_name: native for native, names in _ELEMENTWISE.items() for mx_name in names}


def _refuse_parameter_operand(node: Node, graph: Graph) -> Optional[str]:
    for value in node.inputs:
        if graph.param_of(value) is not None:
            return f"its operand {value.node.name!r} is a parameter"
    if node.op.startswith("broadcast"):
        ranks = [graph.shapes.get((v.node.name, v.index)) for v in node.inputs]
        if any(r is None for r in ranks):
            return "the shapes of its operands are unknown; pass data_shapes"
    return None


def grow_elementwise(node: Node, graph: Graph, uses: Dict, taken: set) -> List[Node]:
    return grow_chain(node, graph, uses, taken, with_sum=False)


def lower_elementwise(lowering, unit: Unit) -> None:
    forms = [lowering.q(v) for v in unit.inputs]
    layout = "last" if any(f.layout == "last" for f in forms) else "first"
    a, b = (lowering.q(v, layout) for v in unit.inputs)
    attrs = {
        "a_scale": a.scale,
        "a_zero_point": a.zero_point,
        "b_scale": b.scale,
        "b_zero_point": b.zero_point,
    }
    chain = read_chain(unit.nodes, unit.head, lowering.source)
    attrs.update(chain.attrs)
    rank = max(a.rank or 0, b.rank or 0) or None
    lowering.combine(_NATIVE[unit.head.op], unit, [a, b], attrs, layout, rank, limits=chain.limits)


def _refuse_concat(node: Node, graph: Graph) -> Optional[str]:
    if any(graph.param_of(v) is not None for v in node.inputs):
        return "one of its inputs is a parameter"
    if (node.inputs[0].node.name, node.inputs[0].index) not in graph.shapes and int(node.get("dim", 1)) < 0:
        return "the rank of its inputs is unknown; pass data_shapes"
    return None


def lower_concat(lowering, unit: Unit) -> None:
    known = (unit.head.name, 0) in lowering.source.shapes
    if any(lowering.is_float(v) for v in unit.inputs) or (known and lowering.writes_float(unit)):
        _lower_float_concat(lowering, unit)
        return
    forms = [lowering.q(v) for v in unit.inputs]
    layout = "last" if any(f.layout == "last" for f in forms) else "first"
    forms = [lowering.q(v, layout) for v in unit.inputs]
    dim = int(unit.head.get("dim", 1))
    rank = forms[0].rank
    attrs = {
        "num_args": len(forms),
        "dim": stored_axis(dim, rank, layout) if rank else dim,
        "in_scales": tuple(f.scale for f in forms),
        "in_zero_points": tuple(f.zero_point for f in forms),
    }
    lowering.combine("mxq_concat", unit, forms, attrs, layout, rank)


def _lower_float_concat(lowering, unit: Unit) -> None:
    rank = len(lowering.source.shapes[unit.head.name, 0])
    forms = [lowering.real(v, "last", rank) for v in unit.inputs]
    attrs = {"num_args": len(forms), "dim": stored_axis(int(unit.head.get("dim", 1)), rank, "last")}
    lowering.in_float("mxq_concat", unit, forms, attrs, "last", rank)


register(
    OpSpec(
        name="concat",
        mx_names=("Concat", "concat"),
        kind=MERGE,
        native=("mxq_concat",),
        refuse=_refuse_concat,
        grow=alone,
        inputs=activations,
        lower=lower_concat,
        note="inputs written in the scale of the output where they have no other user",
    )
)
for _native_name, _names in _ELEMENTWISE.items():
    register(
        OpSpec(
            name=_native_name.replace("mxq_elemwise_", "elementwise "),
            mx_names=_names,
            kind=MERGE,
            native=(_native_name,),
            refuse=_refuse_parameter_operand,
            grow=grow_elementwise,
            inputs=activations,
            lower=lower_elementwise,
            note="with broadcasting; fuses ReLU, clip, LeakyReLU",
        )
    )
