"""Pooling: maximum selects, average sums integers and rescales once. Means over all positions are global averages."""

from typing import Dict, List, Optional

from ..network.graph import Graph, Node
from .fuse import FLATTEN, with_flatten
from .spec import REDUCE, SELECT, OpSpec, Unit, activations, register
from .weighted import tuple_attr


def refuse_pooling(node: Node, graph: Graph) -> Optional[str]:
    kind = node.get("pool_type", "max")
    if kind not in ("max", "avg"):
        return f"pool_type {kind}; max and avg have an int8 form"
    kernel = node.get("kernel", ())
    rank = _rank(node, graph)
    if not kernel and rank is None:
        return "the rank of its input is unknown; pass data_shapes"
    dims = rank - 2 if rank else len(kernel)
    if dims not in (1, 2):
        return f"{dims}-D pooling; 1-D and 2-D have an int8 form"
    if node.get("layout") not in (None, "None", "NCW", "NCHW"):
        return f"layout {node.get('layout')}; NCW and NCHW have an int8 form"
    return None


def _rank(node: Node, graph: Graph) -> Optional[int]:
    shape = graph.shapes.get((node.inputs[0].node.name, node.inputs[0].index))
    return None if shape is None else len(shape)


def refuse_mean(node: Node, graph: Graph) -> Optional[str]:
    rank = _rank(node, graph)
    if rank is None:
        return "the rank of its input is unknown; pass data_shapes"
    axis = node.get("axis")
    axes = () if axis in (None, "None") else tuple(axis) if isinstance(axis, (tuple, list)) else (int(axis),)
    if node.get("exclude", False) in (True, 1):
        axes = tuple(a for a in range(rank) if a not in {b % rank for b in axes})
    if rank not in (3, 4) or sorted(a % rank for a in axes) != list(range(2, rank)):
        return f"a mean over axes {axes} of {rank}; over all spatial axes, and only those, it has an int8 form"
    return None


def refuse_adaptive(node: Node, graph: Graph) -> Optional[str]:
    size = node.get("output_size", ())
    if size in (1, (1,), (1, 1), (), None):
        return None
    return f"output_size {size}; 1 has an int8 form (as global average pooling)"


def grow_pooling(node: Node, graph: Graph, uses: Dict, taken: set) -> List[Node]:
    return with_flatten([node], uses, taken)


def _read(lowering, unit: Unit, rank: int):
    value = unit.inputs[0]
    return lowering.real(value, "last", rank) if lowering.is_float(value) else lowering.q(value, "last", rank)


def lower_global_average(lowering, unit: Unit) -> None:
    """A mean or an adaptive pooling over all positions."""
    node = unit.head
    x = _read(lowering, unit, _rank(node, lowering.source) if node.op == "mean" else 4)
    keepdims = node.op != "mean" or node.get("keepdims", False) in (True, 1)
    _lower(lowering, unit, x, {"pool_type": "avg", "global_pool": True}, keepdims)


def _lower(lowering, unit: Unit, x, attrs: Dict, keepdims: bool) -> None:
    """Emits the pooling; one over all positions may leave out the spatial axes."""
    layout, rank = "last", x.rank
    flat = unit.nodes[-1].op in FLATTEN
    if not keepdims or (flat and attrs["global_pool"]):
        attrs, layout, rank = {**attrs, "keepdims": False}, "first", 2
    if x.dtype == "float32":
        lowering.in_float("mxq_pooling", unit, [x], attrs, layout, rank)
    elif attrs["pool_type"] == "max":
        lowering.select("mxq_pooling", unit, x, attrs, layout, rank)
    else:
        lowering.rescale("mxq_pooling", unit, x, attrs, layout, rank)
    if flat and rank > 2:
        lowering.flatten_output(unit)


def pooling_kind(node: Node) -> str:
    return SELECT if node.get("pool_type", "max") == "max" else REDUCE


def lower_pooling(lowering, unit: Unit) -> None:
    node = unit.head
    kernel = node.get("kernel", ())
    shape = lowering.source.shapes.get((node.name, 0))
    rank = len(kernel) + 2 if kernel else len(shape)
    x = _read(lowering, unit, rank)
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
    _lower(lowering, unit, x, attrs, True)


register(
    OpSpec(
        name="pooling",
        mx_names=("Pooling",),
        kind=pooling_kind,
        native=("mxq_pooling",),
        refuse=refuse_pooling,
        grow=grow_pooling,
        inputs=activations,
        lower=lower_pooling,
        runtime_range=True,
        note="maximum, average, global; valid, full and same; count_include_pad both ways",
    )
)
for _name, _mx, _refuse, _note in (
    ("mean", "mean", refuse_mean, "over all spatial axes"),
    ("adaptive pooling", "_contrib_AdaptiveAvgPooling2D", refuse_adaptive, "output_size 1"),
):
    register(
        OpSpec(
            name=_name,
            mx_names=(_mx,),
            kind=REDUCE,
            native=("mxq_pooling",),
            refuse=_refuse,
            grow=grow_pooling,
            inputs=activations,
            lower=lower_global_average,
            runtime_range=True,
            note=_note,
        )
    )
