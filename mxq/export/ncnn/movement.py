"""Operators that move values: shapes, order of axes, joining, cutting, padding, larger images."""

from typing import Dict, List, Sequence

from ...network.graph import Node
from .builder import Builder
from .net import Parameter
from .table import Refused, emits
from .weighted import transposed


@emits("Reshape", "reshape", shape=(), reverse=False, target_shape=(), keep_highest=False)
def reshape(b: Builder, node: Node, a) -> str:
    return _to_output_shape(b, node)


@emits("Flatten", "flatten")
def flatten(b: Builder, node: Node, a) -> str:
    return _to_output_shape(b, node)


@emits("expand_dims", axis=0)
def expand_dims(b: Builder, node: Node, a) -> str:
    return _to_output_shape(b, node)


@emits("squeeze", axis=None)
def squeeze(b: Builder, node: Node, a) -> str:
    return _to_output_shape(b, node)


def _to_output_shape(b: Builder, node: Node) -> str:
    out = b.shape(node.out())
    if out[:1] != (1,):
        raise Refused(f"its result has shape {out}: the first axis is that of examples, which ncnn has not")
    return b.reshape(b.read(node.inputs[0]), out[1:])


#: Orders of axes, outermost first, in the order of ncnn's numbers.
_ORDERS = {
    1: [(0,)],
    2: [(0, 1), (1, 0)],
    3: [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)],
}


def _permute(b: Builder, node: Node, axes: Sequence[int]) -> str:
    order = tuple(b.axis(axis, node.inputs[0]) for axis in axes[1:])
    if axes[0] != 0:
        raise Refused("it moves the axis of examples, which ncnn has not")
    return b("Permute", b.inputs(node), {0: _ORDERS[len(order)].index(order)})


@emits("transpose", axes=())
def transpose(b: Builder, node: Node, a) -> str:
    rank = len(b.shape(node.inputs[0]))
    return _permute(b, node, [i % rank for i in a.axes] or list(reversed(range(rank))))


@emits("SwapAxis", "swapaxes", dim1=0, dim2=0)
def swap_axes(b: Builder, node: Node, a) -> str:
    axes = list(range(len(b.shape(node.inputs[0]))))
    axes[a.dim1], axes[a.dim2] = axes[a.dim2], axes[a.dim1]
    return _permute(b, node, axes)


@emits("Concat", "concat", dim=1)
def concat(b: Builder, node: Node, a) -> str:
    rank = b.rank(node.out())
    axis = b.axis(a.dim, node.out())
    blobs = [b.read(value, rank) for value in node.inputs]
    return blobs[0] if len(blobs) == 1 else b("Concat", blobs, {0: axis})


@emits("SliceChannel", "split", num_outputs=1, axis=1, squeeze_axis=False)
def slice_channel(b: Builder, node: Node, a) -> List[str]:
    axis = b.axis(a.axis, node.inputs[0])
    size = b.shape(node.inputs[0])[axis + 1] // a.num_outputs
    if a.num_outputs == 1:
        parts = b.inputs(node)
    else:
        parts = b("Slice", b.inputs(node), {0: [size] * a.num_outputs, 1: axis}, outputs=a.num_outputs)
    if not a.squeeze_axis:
        return parts
    return [b.reshape(part, b.shape(node.out(i))[1:]) for i, part in enumerate(parts)]


def _cut(b: Builder, node: Node, begin: Sequence[int], axes: Sequence[int]) -> str:
    """The output as a part of the input that begins there."""
    along = [b.axis(axis, node.inputs[0]) for axis in axes]
    out = b.shape(node.out())
    ends = [start + out[axis + 1] for start, axis in zip(begin, along)]
    params: Dict[int, Parameter] = {9: list(begin), 10: ends, 11: along}
    return b("Crop", [b.read(node.inputs[0])], params)


@emits("slice_axis", axis=0, begin=0, end=None)
def slice_axis(b: Builder, node: Node, a) -> str:
    size = b.shape(node.inputs[0])[a.axis]
    return _cut(b, node, [a.begin % size if a.begin < 0 else a.begin], [a.axis])


@emits("slice", "crop", begin=(), end=(), step=())
def slice_(b: Builder, node: Node, a) -> str:
    if any(step not in (None, 1) for step in a.step):
        raise Refused(f"its step is {a.step}; 1 has an ncnn form")
    shape = b.shape(node.inputs[0])
    begin = [0 if v is None else v % n if v < 0 else v for v, n in zip(a.begin, shape)]
    if begin[0] or b.shape(node.out())[0] != shape[0]:
        raise Refused("it cuts the axis of examples, which ncnn has not")
    return _cut(b, node, begin[1:], range(1, len(begin))) if len(begin) > 1 else b.read(node.inputs[0])


@emits("slice_like", axes=())
def slice_like(b: Builder, node: Node, a) -> str:
    rank = len(b.shape(node.out()))
    axes = [i % rank for i in a.axes] or list(range(1, rank))
    return _cut(b, node, [0] * len(axes), axes)


@emits("Crop", offset=(0, 0), h_w=(0, 0), center_crop=False, num_args=1)
def crop(b: Builder, node: Node, a) -> str:
    size, out = b.shape(node.inputs[0])[2:], b.shape(node.out())[2:]
    begin = [(n - m) // 2 for n, m in zip(size, out)] if a.center_crop else list(a.offset)
    return _cut(b, node, begin, [2, 3])


_PADS = {"constant": 0, "edge": 1, "reflect": 2}


@emits("Pad", "pad", mode="", pad_width=(), constant_value=0.0)
def pad(b: Builder, node: Node, a) -> str:
    if len(a.pad_width) != 8 or any(a.pad_width[:4]):
        raise Refused(f"its pad_width is {a.pad_width}; the last two of four axes have an ncnn form")
    top, bottom, left, right = a.pad_width[4:]
    params: Dict[int, Parameter] = {0: top, 1: bottom, 2: left, 3: right, 4: _PADS[a.mode], 5: float(a.constant_value)}
    return b("Padding", b.inputs(node), params)


@emits("UpSampling", scale=1, num_filter=0, sample_type="", multi_input_mode="concat")
def upsampling(b: Builder, node: Node, a) -> str:
    if a.sample_type == "bilinear":
        kernel, channels = 2 * a.scale - a.scale % 2, b.shape(node.inputs[0])[1]
        geometry = ((kernel,) * 2, (a.scale,) * 2, (1, 1), (a.scale // 2,) * 2, (0, 0))
        return transposed(b, node, geometry, channels, channels)
    out = b.shape(node.out())
    parts = []
    for value in node.inputs:
        factors = [m / n for n, m in zip(b.shape(value)[2:], out[2:])]
        if factors[0] != factors[1] or factors[0] != int(factors[0]):
            raise Refused(f"an input of shape {b.shape(value)} is no whole part of its output")
        params: Dict[int, Parameter] = {0: 1, 1: factors[0], 2: factors[1], 3: out[2], 4: out[3]}
        parts.append(b("Interp", [b.read(value)], params))
    if len(parts) == 1:
        return parts[0]
    return b("Concat", parts, {0: 0}) if a.multi_input_mode == "concat" else b("Eltwise", parts, {0: 1})


@emits(
    "_contrib_BilinearResize2D", height=1, width=1, scale_height=None, scale_width=None, mode="size",
    align_corners=True,
)  # fmt: skip
def bilinear_resize(b: Builder, node: Node, a) -> str:
    size, out = b.shape(node.inputs[0])[2:], b.shape(node.out())[2:]
    if not a.align_corners and (1 in out and out != size):
        raise Refused("it makes one row or column without align_corners; ncnn takes another place for that")
    return b("Interp", b.inputs(node), {0: 2, 3: out[0], 4: out[1], 6: int(a.align_corners)})
