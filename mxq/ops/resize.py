"""Bilinear resizing: what joins branches of different sizes, and what ends segmentation networks."""

from typing import Dict, Optional

from ..network.graph import Graph, Node
from .spec import SELECT, OpSpec, Unit, activations, alone, register


def refuse_resize(node: Node, graph: Graph) -> Optional[str]:
    mode = node.get("mode", "size")
    if mode != "size" or len(node.inputs) != 1:
        return f"mode {mode} with {len(node.inputs)} inputs; size with one has an int8 form"
    if graph.param_of(node.inputs[0]) is not None:
        return "its input is a parameter"
    return None


def _size(node: Node) -> Dict[str, float]:
    """As MXNet reads it: a scale of the height says that both are scaled, and sizes that are not given are 1."""
    if node.get("scale_height") is not None:
        return {key: node.get(key) for key in ("scale_height", "scale_width")}
    return {key: node.get(key, 1) for key in ("height", "width")}


def lower_resize(lowering, unit: Unit) -> None:
    """In integers between integers. A float result comes from float data, in the layout in which it is read: what is
    brought into that layout is the smaller side of a resize to a network's output."""
    node, value = unit.head, unit.inputs[0]
    if lowering.is_float(value) or not lowering.is_quantized(unit):
        x = lowering.real(value, "first" if lowering.is_read_as_it_is(node) else "last", 4)
    else:
        x = lowering.q(value, rank=4)
    attrs = {**_size(node), "align_corners": bool(node.get("align_corners", True))}
    attrs["layout"] = "channels_last" if x.layout == "last" else ""
    lowering.select("mxq_resize", unit, x, attrs, x.layout, 4)


register(
    OpSpec(
        name="bilinear resize",
        mx_names=("_contrib_BilinearResize2D",),
        kind=SELECT,
        native=("mxq_resize",),
        refuse=refuse_resize,
        grow=alone,
        inputs=activations,
        lower=lower_resize,
        runtime_range=True,
        reads_float=True,
        note="mode 'size'; between int8 layers, or in float behind one",
    )
)
