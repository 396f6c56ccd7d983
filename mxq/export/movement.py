"""Operators that move values: shapes, order of axes, joining, padding, repeating.

Shapes are known when a network is written, so whatever only changes the shape is a Reshape to MXNet's own result.
"""

from typing import List

from ..network.graph import Node
from .builder import Builder
from .table import ANY, Refused, emits


def to_output_shape(b: Builder, node: Node) -> str:
    """The input in the shape of the output."""
    return b.reshape(b.read(node.inputs[0]), b.shape(node.out()))


@emits("Reshape", "reshape", shape=(), reverse=False, target_shape=(), keep_highest=False, dtypes=ANY)
def reshape(b: Builder, node: Node, a) -> str:
    return to_output_shape(b, node)


@emits("Flatten", "flatten", dtypes=ANY)
def flatten(b: Builder, node: Node, a) -> str:
    return to_output_shape(b, node)


@emits("expand_dims", axis=0, dtypes=ANY)
def expand_dims(b: Builder, node: Node, a) -> str:
    return to_output_shape(b, node)


@emits("squeeze", axis=None, dtypes=ANY)
def squeeze(b: Builder, node: Node, a) -> str:
    return to_output_shape(b, node)


@emits(
    "reshape_like", lhs_begin=None, lhs_end=None, rhs_begin=None, rhs_end=None, dtypes=ANY
)  # fmt: skip
def reshape_like(b: Builder, node: Node, a) -> str:
    return to_output_shape(b, node)


@emits("transpose", axes=(), dtypes=ANY)
def transpose(b: Builder, node: Node, a) -> str:
    rank = len(b.shape(node.inputs[0]))
    return b.transpose(b.read(node.inputs[0]), [i % rank for i in a.axes] or list(reversed(range(rank))))


@emits("SwapAxis", "swapaxes", dim1=0, dim2=0, dtypes=ANY)
def swap_axes(b: Builder, node: Node, a) -> str:
    axes = list(range(len(b.shape(node.inputs[0]))))
    axes[a.dim1], axes[a.dim2] = axes[a.dim2], axes[a.dim1]
    return b.transpose(b.read(node.inputs[0]), axes)


@emits("Concat", "concat", dim=1, dtypes=ANY)
def concat(b: Builder, node: Node, a) -> str:
    return b("Concat", b.inputs(node), axis=a.dim)


@emits("stack", axis=0, dtypes=ANY)
def stack(b: Builder, node: Node, a) -> str:
    shape = list(b.shape(node.inputs[0]))
    axis = a.axis % (len(shape) + 1)
    parts = [b.reshape(name, shape[:axis] + [1] + shape[axis:]) for name in b.inputs(node)]
    return b("Concat", parts, axis=axis)


@emits("Pad", "pad", mode="", pad_width=(), constant_value=0.0, dtypes=ANY)
def pad(b: Builder, node: Node, a) -> str:
    pads = b.constant([*a.pad_width[::2], *a.pad_width[1::2]], "int64", "pads")
    x = b.read(node.inputs[0])
    value = [b.constant(a.constant_value, b.dtype(x))] if a.mode == "constant" else []
    return b("Pad", [x, pads, *value], mode=a.mode)


@emits("tile", reps=(), dtypes=ANY)
def tile(b: Builder, node: Node, a) -> str:
    """Repetitions are counted from the last axis."""
    shape = b.shape(node.inputs[0])
    rank = max(len(shape), len(a.reps))
    x = b.read(node.inputs[0])
    if rank > len(shape):
        x = b.reshape(x, (1,) * (rank - len(shape)) + shape)
    return b("Tile", [x, b.constant((1,) * (rank - len(a.reps)) + a.reps, "int64", "repeats")])


@emits("repeat", repeats=1, axis=None, dtypes=ANY)
def repeat(b: Builder, node: Node, a) -> str:
    """Each element follows itself: an axis of its own, repeated, joined with the one before."""
    shape = list(b.shape(node.inputs[0]))
    axis = len(shape) - 1 if a.axis is None else int(a.axis) % len(shape)
    x = b.reshape(b.read(node.inputs[0]), shape[: axis + 1] + [1] + shape[axis + 1 :])
    counts = [1] * (len(shape) + 1)
    counts[axis + 1] = a.repeats
    return b.reshape(b("Tile", [x, b.constant(counts, "int64", "repeats")]), b.shape(node.out()))


@emits("reverse", "flip", axis=(), dtypes=ANY)
def reverse(b: Builder, node: Node, a) -> str:
    n = len(a.axis)
    smallest = -(2**31)
    return b.slice(b.read(node.inputs[0]), a.axis, [-1] * n, [smallest] * n, [-1] * n)


@emits("depth_to_space", block_size=1)
def depth_to_space(b: Builder, node: Node, a) -> str:
    return b("DepthToSpace", b.inputs(node), blocksize=a.block_size, mode="DCR")


@emits("space_to_depth", block_size=1)
def space_to_depth(b: Builder, node: Node, a) -> str:
    return b("SpaceToDepth", b.inputs(node), blocksize=a.block_size)


def _expanded(b: Builder, node: Node) -> str:
    return b("Expand", [b.read(node.inputs[0]), b.constant(b.shape(node.out()), "int64", "shape")])


@emits("broadcast_to", shape=(), dtypes=ANY)
def broadcast_to(b: Builder, node: Node, a) -> str:
    return _expanded(b, node)


@emits("broadcast_axis", "broadcast_axes", axis=(), size=(), dtypes=ANY)
def broadcast_axis(b: Builder, node: Node, a) -> str:
    return _expanded(b, node)


@emits("broadcast_like", lhs_axes=None, rhs_axes=None, dtypes=ANY)
def broadcast_like(b: Builder, node: Node, a) -> str:
    return _expanded(b, node)


def _pieces(b: Builder, node: Node, axis: int, count: int, squeeze: bool) -> List[str]:
    """The outputs of a split, whose sizes their shapes tell."""
    outputs = [b.shape(node.out(i)) for i in range(count)]
    size = b.shape(node.inputs[0])[axis]
    lengths = [1 if squeeze else shape[axis] for shape in outputs]
    if sum(lengths) != size:
        raise Refused("its outputs are not all of its input")
    x = b.read(node.inputs[0])
    names = b("Split", [x, b.constant(lengths, "int64", "split")], outputs=count, axis=axis) if count > 1 else x
    names = [names] if isinstance(names, str) else names
    return [b.reshape(name, shape) for name, shape in zip(names, outputs)] if squeeze else names


@emits("SliceChannel", "split", num_outputs=1, axis=1, squeeze_axis=False, dtypes=ANY)
def slice_channel(b: Builder, node: Node, a) -> List[str]:
    return _pieces(b, node, a.axis % len(b.shape(node.inputs[0])), a.num_outputs, a.squeeze_axis)


@emits("_split_v2", indices=(), axis=1, squeeze_axis=False, sections=0, dtypes=ANY)
def split_v2(b: Builder, node: Node, a) -> List[str]:
    axis = a.axis % len(b.shape(node.inputs[0]))
    return _pieces(b, node, axis, a.sections or len(a.indices), a.squeeze_axis)
