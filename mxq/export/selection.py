"""Operators that choose values: slices, crops, and whatever is looked up by index."""

from typing import Sequence

import numpy as np

from ..network.graph import Node, Value
from .builder import Builder
from .table import ANY, FLOAT, NUMBERS, Refused, emits

#: Ends beyond any axis.
_FIRST, _LAST = -(2**31), 2**31 - 1


@emits("slice", "crop", begin=(), end=(), step=(), dtypes=ANY)
def slice_(b: Builder, node: Node, a) -> str:
    axes = list(range(len(a.begin)))
    step = [s or 1 for s in a.step] or [1] * len(axes)
    begin = [(0 if s > 0 else _LAST) if v is None else v for v, s in zip(a.begin, step)]
    end = [(_LAST if s > 0 else _FIRST) if v is None else v for v, s in zip(a.end, step)]
    return b.slice(b.read(node.inputs[0]), axes, begin, end, step)


@emits("slice_axis", axis=0, begin=0, end=None, dtypes=ANY)
def slice_axis(b: Builder, node: Node, a) -> str:
    return b.slice(b.read(node.inputs[0]), [a.axis], [a.begin], [_LAST if a.end is None else int(a.end)])


@emits("slice_like", axes=(), dtypes=ANY)
def slice_like(b: Builder, node: Node, a) -> str:
    shape = b.shape(node.out())
    axes = [i % len(shape) for i in a.axes] or list(range(len(shape)))
    return b.slice(b.read(node.inputs[0]), axes, [0] * len(axes), [shape[i] for i in axes])


@emits("Crop", offset=(0, 0), h_w=(0, 0), center_crop=False)
def crop(b: Builder, node: Node, a) -> str:
    size, out = b.shape(node.inputs[0])[2:], b.shape(node.out())[2:]
    begin = [(n - m) // 2 for n, m in zip(size, out)] if a.center_crop else list(a.offset)
    return b.slice(b.read(node.inputs[0]), [2, 3], begin, [p + m for p, m in zip(begin, out)])


def _indices(b: Builder, value: Value, size: int, mode: str = "clip") -> str:
    """Indices as int64, those beyond the axis clipped or wrapped as MXNet does."""
    index = b.cast(b.read(value), "int64")
    if mode == "wrap":
        return b("Mod", [index, b.constant(size, "int64")])
    if mode == "clip":
        return b("Min", [b("Max", [index, b.constant(0, "int64")]), b.constant(size - 1, "int64")])
    raise Refused(f"its mode is {mode}; clip and wrap have an ONNX form")


@emits("Embedding", input_dim=0, output_dim=0, dtype="float32", sparse_grad=False, dtypes=NUMBERS)
def embedding(b: Builder, node: Node, a) -> str:
    return b("Gather", [b.read(node.inputs[1]), _indices(b, node.inputs[0], a.input_dim)], dtype="float32", axis=0)


@emits("take", axis=0, mode="clip", dtypes=NUMBERS)
def take(b: Builder, node: Node, a) -> str:
    size = b.shape(node.inputs[0])[a.axis]
    return b("Gather", [b.read(node.inputs[0]), _indices(b, node.inputs[1], size, a.mode)], axis=a.axis)


@emits("pick", axis=-1, keepdims=False, mode="clip", dtypes=NUMBERS)
def pick(b: Builder, node: Node, a) -> str:
    shape = list(b.shape(node.inputs[0]))
    axis = a.axis % len(shape)
    index = _indices(b, node.inputs[1], shape[axis], a.mode)
    index = b.reshape(index, shape[:axis] + [1] + shape[axis + 1 :])
    y = b("GatherElements", [b.read(node.inputs[0]), index], axis=axis)
    return b.reshape(y, b.shape(node.out()))


@emits("gather_nd", dtypes=NUMBERS)
def gather_nd(b: Builder, node: Node, a) -> str:
    """MXNet has the axes that are looked up first in the indices, ONNX last."""
    rank = len(b.shape(node.inputs[1]))
    index = b.transpose(b.cast(b.read(node.inputs[1]), "int64"), [*range(1, rank), 0])
    return b("GatherND", [b.read(node.inputs[0]), index])


@emits("one_hot", depth=0, on_value=1.0, off_value=0.0, dtype="float32", dtypes=NUMBERS)
def one_hot(b: Builder, node: Node, a) -> str:
    if a.dtype != "float32":
        raise Refused(f"its dtype is {a.dtype}; float32 has an ONNX form")
    index = b.reshape(b.cast(b.read(node.inputs[0]), "int64"), (*b.shape(node.inputs[0]), 1))
    hit = b("Equal", [index, b.constant(np.arange(a.depth), "int64")], dtype="bool")
    return b("Where", [hit, b.constant(a.on_value), b.constant(a.off_value)], dtype="float32")


def _along(shape: Sequence[int], axis: int) -> np.ndarray:
    return np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])


@emits("SequenceMask", use_sequence_length=False, value=0.0, axis=0, dtypes=NUMBERS)
def sequence_mask(b: Builder, node: Node, a) -> str:
    """The sequence runs along axis 0 or 1, the examples along the other."""
    x = b.read(node.inputs[0])
    if not a.use_sequence_length:
        return x
    shape = b.shape(node.inputs[0])
    lengths = b.reshape(
        b.cast(b.read(node.inputs[1]), "float32"), [n if i == 1 - a.axis else 1 for i, n in enumerate(shape)]
    )
    inside = b("Less", [b.constant(_along(shape, a.axis)), lengths], dtype="bool")
    return b("Where", [inside, x, b.constant(a.value, b.dtype(x))], dtype=b.dtype(x))


@emits("_contrib_arange_like", start=0.0, step=1.0, repeat=1, axis=None, ctx="", shape_only=(0,), dtypes=FLOAT)
def arange_like(b: Builder, node: Node, a) -> str:
    raise Refused("the shape of its input is not known")
