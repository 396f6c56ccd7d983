"""Data movement on int8: flatten, reshape, transpose, expand_dims, slice, pad. Values keep their scale."""

from typing import Optional

from ..network.graph import TYPE_FLAGS, Graph, Node
from .spec import SELECT, OpSpec, Unit, activations, alone, register


def stored_axis(axis: int, rank: int, layout: str) -> int:
    """Where an axis of the original (channels-first) tensor lies in the stored one.

    >>> [stored_axis(a, 4, "last") for a in range(4)]
    [0, 3, 1, 2]
    """
    axis = axis + rank if axis < 0 else axis
    if layout == "first" or axis == 0:
        return axis
    return rank - 1 if axis == 1 else axis - 1


def _accept(node: Node, graph: Graph) -> Optional[str]:
    return None


def _known_rank(node: Node, graph: Graph) -> Optional[str]:
    if (node.inputs[0].node.name, node.inputs[0].index) not in graph.shapes:
        return "the rank of its input is unknown; pass data_shapes"
    return None


def _refuse_reshape(node: Node, graph: Graph) -> Optional[str]:
    if node.get("reverse") in (True, 1):
        return "reverse=True has no int8 form"
    if not node.get("shape"):
        return "target_shape (the old spelling of shape) has no int8 form"
    return _known_rank(node, graph)


def _refuse_transpose(node: Node, graph: Graph) -> Optional[str]:
    return _known_rank(node, graph)


def _refuse_pad(node: Node, graph: Graph) -> Optional[str]:
    if node.get("mode", "constant") == "constant" and float(node.get("constant_value", 0.0)) != 0.0:
        return f"constant_value {node.get('constant_value')}; 0 has an int8 form"
    return None


def _refuse_upsampling(node: Node, graph: Graph) -> Optional[str]:
    if node.get("sample_type") != "nearest":
        return f"sample_type {node.get('sample_type')}; nearest has an int8 form"
    return None if len(node.inputs) == 1 else f"{len(node.inputs)} inputs; one has an int8 form"


def _out_rank(graph: Graph, unit: Unit) -> Optional[int]:
    shape = graph.shapes.get((unit.output.node.name, unit.output.index))
    return None if shape is None else len(shape)


def _refuse_cast(node: Node, graph: Graph) -> Optional[str]:
    source = node.inputs[0].node
    integers = (str(TYPE_FLAGS["uint8"]), str(TYPE_FLAGS["int8"]))
    if source.is_variable and source.attrs.get("__dtype__") in integers and node.get("dtype") == "float32":
        return None
    return "a cast has an int8 form only where it reads an integer input of the network"


def lower_cast(lowering, unit: Unit) -> None:
    lowering.pass_through(unit, lowering.q(unit.inputs[0]))


def lower_flatten(lowering, unit: Unit) -> None:
    x = lowering.flat(unit.inputs[0], name=unit.name)
    lowering.pass_through(unit, x)


def lower_reshape(lowering, unit: Unit) -> None:
    x = lowering.q(unit.inputs[0])
    attrs = {"shape": unit.head.get("shape"), "layout": "channels_last" if x.layout == "last" else ""}
    lowering.select("mxq_reshape", unit, x, attrs, "first", _out_rank(lowering.source, unit))


def lower_transpose(lowering, unit: Unit) -> None:
    x = lowering.q(unit.inputs[0])
    axes = unit.head.get("axes") or tuple(reversed(range(x.rank)))
    attrs = {"axes": tuple(stored_axis(a, x.rank, x.layout) for a in axes)}
    lowering.select("mxq_transpose", unit, x, attrs, "first", x.rank)


def lower_expand_dims(lowering, unit: Unit) -> None:
    x = lowering.q(unit.inputs[0], "first")
    lowering.select("mxq_expand_dims", unit, x, {"axis": unit.head.get("axis")}, "first", x.rank + 1)


def _per_axis(values, rank: int, layout: str, fill) -> tuple:
    """A tuple by original axis, reordered for the stored tensor."""
    values = tuple(values or ()) + (fill,) * (rank - len(values or ()))
    out = [fill] * rank
    for axis, value in enumerate(values):
        out[stored_axis(axis, rank, layout)] = value
    return tuple(out)


def lower_slice(lowering, unit: Unit) -> None:
    x = lowering.q(unit.inputs[0])
    attrs = {k: _per_axis(unit.head.get(k), x.rank, x.layout, None) for k in ("begin", "end")}
    if unit.head.get("step"):
        attrs["step"] = _per_axis(unit.head.get("step"), x.rank, x.layout, None)
    lowering.select("mxq_slice", unit, x, attrs, x.layout, x.rank)


def lower_slice_axis(lowering, unit: Unit) -> None:
    x = lowering.q(unit.inputs[0])
    axis = stored_axis(unit.head.get("axis"), x.rank, x.layout)
    begin, end = [None] * x.rank, [None] * x.rank
    begin[axis], end[axis] = unit.head.get("begin"), unit.head.get("end")
    lowering.select("mxq_slice", unit, x, {"begin": begin, "end": end}, x.layout, x.rank)


def lower_upsampling(lowering, unit: Unit) -> None:
    x = lowering.q(unit.inputs[0], rank=4)
    attrs = {"scale": unit.head.get("scale"), "layout": "channels_last" if x.layout == "last" else ""}
    lowering.select("mxq_upsampling", unit, x, attrs, x.layout, 4)


def lower_pad(lowering, unit: Unit) -> None:
    x = lowering.q(unit.inputs[0])
    width = unit.head.get("pad_width")
    pairs = [(width[i], width[i + 1]) for i in range(0, len(width), 2)]
    flat = [w for pair in _per_axis(pairs, x.rank, x.layout, (0, 0)) for w in pair]
    attrs = {"pad_width": flat, "mode": unit.head.get("mode", "constant"), "value": x.zero_point}
    lowering.select("mxq_pad", unit, x, attrs, x.layout, x.rank)


_ROWS = (
    ("flatten", ("Flatten", "flatten"), "mxq_flatten", _accept, lower_flatten, True),
    ("reshape", ("Reshape", "reshape"), "mxq_reshape", _refuse_reshape, lower_reshape, True),
    ("transpose", ("transpose",), "mxq_transpose", _refuse_transpose, lower_transpose, True),
    ("expand_dims", ("expand_dims",), "mxq_expand_dims", _known_rank, lower_expand_dims, True),
    ("slice", ("slice", "crop"), "mxq_slice", _known_rank, lower_slice, True),
    ("slice_axis", ("slice_axis",), "mxq_slice", _known_rank, lower_slice_axis, True),
    ("cast", ("Cast", "cast"), "mxq_quantize_v2", _refuse_cast, lower_cast, True),
    ("upsampling", ("UpSampling",), "mxq_upsampling", _refuse_upsampling, lower_upsampling, True),
    ("pad", ("Pad", "pad"), "mxq_pad", _refuse_pad, lower_pad, False),
)
_NOTES = {"pad": "constant 0, edge, reflect", "upsampling": "nearest"}
for _name, _mx, _native, _refuse, _lower, _runtime in _ROWS:
    register(
        OpSpec(
            name=_name,
            mx_names=_mx,
            kind=SELECT,
            native=(_native,),
            refuse=_refuse,
            grow=alone,
            inputs=activations,
            lower=_lower,
            runtime_range=_runtime,
            note=_NOTES.get(_name, ""),
        )
    )
