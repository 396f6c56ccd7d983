"""Pooling: maximum selects, average sums integers and rescales once."""

from typing import Optional

from ..graph import Graph, Node
from .spec import REDUCE, SELECT, OpSpec, Unit, activations, alone, register
from .weighted import tuple_attr


def refuse_pooling(node: Node, graph: Graph) -> Optional[str]:
    kind = node.get("pool_type", "max")
    if kind not in ("max", "avg"):
        return f"pool_type {kind}; max and avg have an int8 form"
    kernel = node.get("kernel", ())
    rank = graph.shapes.get((node.inputs[0].node.name, node.inputs[0].index))
    if not kernel and not rank:
        return "the rank of its input is unknown; pass data_shapes"
    dims = len(rank) - 2 if rank else len(kernel)
    if dims not in (1, 2):
        return f"{dims}-D pooling; 1-D and 2-D have an int8 form"
    if node.get("layout") not in (None, "None", "NCW", "NCHW"):
        return f"layout {node.get('layout')}; NCW and NCHW have an int8 form"
    return None


def pooling_kind(node: Node) -> str:
    return SELECT if node.get("pool_type", "max") == "max" else REDUCE


def lower_pooling(lowering, unit: Unit) -> None:
    node = unit.head
    kernel = node.get("kernel", ())
    shape = lowering.source.shapes.get((node.name, 0))
    rank = len(kernel) + 2 if kernel else len(shape)
    as_float = lowering.is_float(unit.inputs[0])
    x = lowering.real(unit.inputs[0], "last", rank) if as_float else lowering.q(unit.inputs[0], "last", rank)
    rank = x.rank - 2
    global_pool = bool(node.get("global_pool", False))
    attrs = {
        "kernel": tuple_attr(node, "kernel", rank, 1),
        "stride": tuple_attr(node, "stride", rank, 1),
        "pad": tuple_attr(node, "pad", rank, 0),
        "pool_type": node.get("pool_type", "max"),
        "global_pool": global_pool,
        "pooling_convention": node.get("pooling_convention", "valid"),
        "count_include_pad": bool(node.get("count_include_pad", True)),
    }
    if as_float:
        lowering.in_float("mxq_pooling", unit, [x], attrs, "last", x.rank)
    elif attrs["pool_type"] == "max":
        lowering.select("mxq_pooling", unit, x, attrs, "last", x.rank)
    else:
        lowering.rescale("mxq_pooling", unit, x, attrs, "last", x.rank)


register(
    OpSpec(
        name="pooling",
        mx_names=("Pooling",),
        kind=pooling_kind,
        native=("mxq_pooling",),
        refuse=refuse_pooling,
        grow=alone,
        inputs=activations,
        lower=lower_pooling,
        runtime_range=True,
        note="maximum, average, global; valid, full and same; count_include_pad both ways",
    )
)
