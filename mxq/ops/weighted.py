"""Operators with weights: Convolution and FullyConnected, with what fuses into them."""

from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ..network.graph import Graph, Node, Value
from .fuse import grow_chain, read_chain, with_flatten
from .spec import COMPUTE, OpSpec, Unit, register, sole_user

#: int32 accumulators hold this many products of the largest 8-bit values.
MAX_REDUCTION = (2**31 - 1) // (255 * 127)


def tuple_attr(node: Node, key: str, rank: int, default: int) -> tuple:
    value = node.get(key)
    if value is None or value == ():
        return (default,) * rank
    return tuple(value) if isinstance(value, (tuple, list)) else (int(value),) * rank


def _refuse_weight(node: Node, graph: Graph) -> Optional[str]:
    weight = graph.param_of(node.inputs[1])
    if weight is None:
        return f"its weight {node.inputs[1].node.name!r} is no parameter but computed at run time"
    if not np.isfinite(weight).all():
        return f"its weight {node.inputs[1].node.name!r} has values that are not finite"
    if len(node.inputs) > 2 and graph.param_of(node.inputs[2]) is None:
        return f"its bias {node.inputs[2].node.name!r} is no parameter but computed at run time"
    reduction = int(np.prod(weight.shape[1:]))
    if reduction > MAX_REDUCTION:
        return f"it sums {reduction} products; int32 holds {MAX_REDUCTION}"
    return None


def refuse_convolution(node: Node, graph: Graph) -> Optional[str]:
    kernel = tuple_attr(node, "kernel", 2, 1)
    if len(kernel) not in (1, 2):
        return f"{len(kernel)}-D convolution; 1-D and 2-D have an int8 form"
    layout = node.get("layout")
    if layout not in (None, "None", "NCW", "NCHW"):
        return f"layout {layout}; NCW and NCHW have an int8 form"
    return _refuse_weight(node, graph)


def spatial_pad(node: Node) -> Optional[tuple]:
    """(begin, end) of a zero Pad of spatial axes alone, else None."""
    width = node.get("pad_width")
    if node.get("mode", "constant") != "constant" or float(node.get("constant_value", 0.0)) != 0.0 or not width:
        return None
    pairs = [(width[i], width[i + 1]) for i in range(0, len(width), 2)]
    if any(pair != (0, 0) for pair in pairs[:2]):
        return None
    return tuple(p[0] for p in pairs[2:]), tuple(p[1] for p in pairs[2:])


def grow_convolution(node: Node, graph: Graph, uses: Dict, taken: set) -> List[Node]:
    nodes = grow_chain(node, graph, uses, taken, channels=int(node.get("num_filter")))
    source = node.inputs[0].node
    # MXNet's Convolution pads both sides alike; networks from elsewhere put a Pad before it.
    if source.op in ("Pad", "pad") and source.name not in taken and spatial_pad(source) is not None:
        if sole_user(source.out(), uses) is node:
            nodes.insert(0, source)
    return with_flatten(nodes, uses, taken)


def convolution_inputs(nodes: List[Node], graph: Graph) -> List[Value]:
    head = next(n for n in nodes if n.op in ("Convolution", "FullyConnected"))
    first = nodes[0] if nodes[0].op in ("Pad", "pad") else head
    residual = read_chain(tuple(nodes), head, graph).residual
    return [first.inputs[0]] + ([] if residual is None else [residual])


class Geometry(NamedTuple):
    """Per spatial axis, outermost first."""

    stride: Tuple[int, ...]
    dilate: Tuple[int, ...]
    pad_begin: Tuple[int, ...]
    pad_end: Tuple[int, ...]


def geometry_of(unit: Unit) -> Geometry:
    """Stride, dilation and padding of a convolution unit, a Pad in front included."""
    head = unit.head
    rank = len(tuple_attr(head, "kernel", 2, 1))
    begin = end = tuple_attr(head, "pad", rank, 0)
    if unit.nodes[0].op in ("Pad", "pad"):
        extra = spatial_pad(unit.nodes[0])
        begin, end = (tuple(a + b for a, b in zip(begin, e)) for e in extra)
    return Geometry(tuple_attr(head, "stride", rank, 1), tuple_attr(head, "dilate", rank, 1), begin, end)


def lower_convolution(lowering, unit: Unit) -> None:
    head = unit.head
    kernel = tuple_attr(head, "kernel", 2, 1)
    rank = len(kernel)
    attrs = {
        "kernel": kernel,
        **geometry_of(unit)._asdict(),
        "num_filter": head.get("num_filter"),
        "num_group": head.get("num_group", 1),
    }
    lowering.weighted("mxq_conv", unit, lowering.q(unit.inputs[0], "last", rank + 2), attrs, "last", rank + 2)
    lowering.flatten_output(unit)


def refuse_fully_connected(node: Node, graph: Graph) -> Optional[str]:
    return _refuse_weight(node, graph)


def lower_fully_connected(lowering, unit: Unit) -> None:
    head = unit.head
    flatten = bool(head.get("flatten", True))
    x = lowering.flat(unit.inputs[0]) if flatten else lowering.rows(unit.inputs[0])
    attrs = {"num_hidden": head.get("num_hidden"), "flatten": flatten}
    lowering.weighted("mxq_fully_connected", unit, x, attrs, "first", 2 if flatten else x.rank)


def grow_fully_connected(node: Node, graph: Graph, uses: Dict, taken: set) -> List[Node]:
    flatten = bool(node.get("flatten", True))  # without, axis 1 may be another than that of the channels
    nodes = grow_chain(node, graph, uses, taken, channels=int(node.get("num_hidden")) if flatten else 0)
    return with_flatten(nodes, uses, taken) if flatten else nodes


register(
    OpSpec(
        name="convolution",
        mx_names=("Convolution",),
        kind=COMPUTE,
        native=("mxq_conv",),
        refuse=refuse_convolution,
        grow=grow_convolution,
        inputs=convolution_inputs,
        lower=lower_convolution,
        runtime_range=True,
        note="1-D and 2-D, groups, depthwise, dilation, asymmetric padding; fuses ReLU, clip, LeakyReLU, PReLU and a "
        "residual sum",
    )
)
register(
    OpSpec(
        name="fully connected",
        mx_names=("FullyConnected",),
        kind=COMPUTE,
        native=("mxq_fully_connected",),
        refuse=refuse_fully_connected,
        grow=grow_fully_connected,
        inputs=convolution_inputs,
        lower=lower_fully_connected,
        runtime_range=True,
        note="flatten or not, with or without bias; fuses ReLU, clip, LeakyReLU, PReLU and a residual sum",
    )
)
