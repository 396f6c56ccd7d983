"""ONNX' operators that join, cut and move tensors as MXNet operators; what was rounded stays so."""

from typing import List, Optional

import numpy as np

from .builder import Shape, Table
from .onnx_net import OnnxNet, Op

SHAPES = Table()


@SHAPES.of("Identity", "Dropout", "Cast")
def identity(net: OnnxNet, op: Op) -> None:
    to = op.attributes.get("to", 1)
    if op.type == "Cast" and to not in (1, 10, 11):
        raise op.error(f"casts to type {to}", "accepted are floats")
    net.set(op.outputs[0], net.top(op))


@SHAPES.of("Reshape")
def reshape(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(allowzero=0, shape=None)
    x = net.top(op)
    dims = net.integers(op, 1, "shape")
    if dims is None:
        raise op.error("has no shape", "accepted are constants")
    shape = resolved(op, x.shape, dims, bool(attrs["allowzero"]))
    _reshape(net, op, shape)


def resolved(op: Op, old: Shape, dims: List[int], allow_zero: bool = False) -> Shape:
    """The shape that numbers with 0 (as before) and -1 (whatever is left) stand for."""
    total = int(np.prod(old))
    shape = [old[i] if d == 0 and not allow_zero and i < len(old) else d for i, d in enumerate(dims)]
    if shape.count(-1) == 1:
        known = int(np.prod([d for d in shape if d != -1]))
        shape[shape.index(-1)] = total // known if known else 0
    if any(d < 0 for d in shape) or int(np.prod(shape)) != total:
        raise op.error(f"gives {tuple(old)} the shape {dims}", "the number of values must stay")
    return tuple(int(d) for d in shape)


def _reshape(net: OnnxNet, op: Op, shape: Shape) -> None:
    x = net.read(op)
    if shape == (x.shape[0], int(np.prod(x.shape[1:]))) and len(x.shape) > 1:
        net.moved(op, "Flatten", {}, shape)
    elif shape and x.shape and shape[0] == x.shape[0]:  # 0: whatever the batch is
        net.moved(op, "Reshape", {"shape": (0, *shape[1:])}, shape)
    else:
        net.moved(op, "Reshape", {"shape": shape}, shape)


@SHAPES.of("Flatten")
def flatten(net: OnnxNet, op: Op) -> None:
    x = net.top(op)
    axis = op.attrs(axis=1)["axis"]
    axis = axis + len(x.shape) if axis < 0 else axis
    _reshape(net, op, (int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))))


@SHAPES.of("Squeeze")
def squeeze(net: OnnxNet, op: Op) -> None:
    op.attrs(axes=None)
    x = net.top(op)
    axes = net.integers(op, 1, "axes")
    axes = [i for i, n in enumerate(x.shape) if n == 1] if axes is None else [axis % len(x.shape) for axis in axes]
    if any(x.shape[axis] != 1 for axis in axes) or len(axes) == len(x.shape):
        raise op.error(f"drops the axes {axes} of {x.shape}", "accepted are those of size 1, not all")
    _reshape(net, op, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@SHAPES.of("Unsqueeze")
def unsqueeze(net: OnnxNet, op: Op) -> None:
    op.attrs(axes=None)
    x = net.top(op)
    given = net.integers(op, 1, "axes") or []
    rank = len(x.shape) + len(given)
    axes = {axis % rank for axis in given}
    if len(axes) != len(given):
        raise op.error(f"adds the axes {given}", "accepted are different ones")
    sizes = iter(x.shape)
    _reshape(net, op, tuple(1 if i in axes else next(sizes) for i in range(rank)))


@SHAPES.of("Transpose")
def transpose(net: OnnxNet, op: Op) -> None:
    x = net.top(op)
    axes = tuple(op.attrs(perm=None)["perm"] or reversed(range(len(x.shape))))
    if sorted(axes) != list(range(len(x.shape))):
        raise op.error(f"has perm {axes}", f"accepted are the axes of {x.shape}, once each")
    net.moved(op, "transpose", {"axes": axes}, tuple(x.shape[axis] for axis in axes))


@SHAPES.of("Concat")
def concat(net: OnnxNet, op: Op) -> None:
    tops = [net.read(op, i) for i in range(len(op.inputs))]
    kept = tops[0].qparams
    join(net, op, tops, op.attrs(axis=1)["axis"], kept if all(top.qparams == kept for top in tops) else None)


def join(net: OnnxNet, op: Op, tops, axis: int, qparams) -> None:
    """Emits a Concat."""
    shapes = [top.shape for top in tops]
    axis %= len(shapes[0])
    if len({s[:axis] + s[axis + 1 :] for s in shapes}) > 1:
        raise op.error(f"joins {shapes}", f"they must agree but for axis {axis}")
    shape = (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
    attrs = {"dim": axis, "num_args": len(tops)}
    net.write(op, net.emit(op, "Concat", [top.value for top in tops], attrs, shape), shape, qparams)


@SHAPES.of("Slice")
def slices(net: OnnxNet, op: Op) -> None:
    op.attrs(axes=None, ends=None, starts=None)
    x = net.top(op)
    rank = len(x.shape)
    starts, ends = net.integers(op, 1, "starts"), net.integers(op, 2, "ends")
    if starts is None or ends is None:
        raise op.error("has no starts or ends", "accepted are constants")
    axes = net.integers(op, 3, "axes") or list(range(len(starts)))
    steps = net.integers(op, 4, "steps") or [1] * len(starts)
    begin: List[Optional[int]] = [None] * rank
    end, step, shape = list(begin), list(begin), list(x.shape)
    for start, stop, axis, stride in zip(starts, ends, axes, steps):
        axis %= rank
        if stride < 1:
            raise op.error(f"has steps {steps}", "accepted are numbers from 1")
        first, last, _ = slice(start, stop, stride).indices(x.shape[axis])
        begin[axis], end[axis], step[axis] = first, last, stride
        shape[axis] = len(range(first, last, stride))
    net.moved(op, "slice", {"begin": tuple(begin), "end": tuple(end), "step": tuple(step)}, tuple(shape))


@SHAPES.of("Split")
def split(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(axis=0, num_outputs=None, split=None)
    x = net.read(op)
    axis = attrs["axis"] % len(x.shape)
    size, count = x.shape[axis], len(op.outputs)
    part = -(-size // count)
    parts = net.integers(op, 1, "split") or [min(part, size - i * part) for i in range(count)]
    if len(parts) != count or sum(parts) != size or min(parts) < 1:
        raise op.error(f"cuts {size} into {parts} for {count} outputs", "accepted are parts that add up")
    begin = 0
    for i, n in enumerate(parts):
        shape = (*x.shape[:axis], n, *x.shape[axis + 1 :])
        attrs = {"axis": axis, "begin": begin, "end": begin + n}
        net.write(op, net.emit(op, "slice_axis", [x.value], attrs, shape, f"_{i}"), shape, x.qparams, i)
        begin += n


@SHAPES.of("Pad")
def pad(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(mode="constant", pads=None, paddings=None, value=0.0)
    x = net.read(op)
    rank = len(x.shape)
    mode = attrs["mode"].decode() if isinstance(attrs["mode"], bytes) else attrs["mode"]
    pads = net.integers(op, 1, "pads") or []
    if len(pads) != 2 * rank or min(pads) < 0 or mode not in ("constant", "edge", "reflect") or net.has(op, 3):
        raise op.error(
            f"has pads {pads}, mode {mode}", f"accepted are {2 * rank} numbers from 0; constant, edge, reflect"
        )
    given = net.constant(op, 2, np.float32(attrs["value"]))
    value = float(given)
    if op.inputs[0] in net.stored and mode == "constant":  # a level, as the tensor has them
        shift = 128 if net.stored[op.inputs[0]] == "int8" and x.qparams.dtype == "uint8" else 0
        value = (value + shift - x.qparams.zero_point) * x.qparams.scale
    pairs = list(zip(pads[:rank], pads[rank:]))
    if rank not in (4, 5) or any(pair != (0, 0) for pair in pairs[:2]):
        raise op.error(f"pads {x.shape} by {pairs}", "accepted are the spatial axes of four or five")
    shape = tuple(n + b + e for n, (b, e) in zip(x.shape, pairs))
    mx_attrs = {"mode": mode, "pad_width": tuple(n for pair in pairs for n in pair), "constant_value": value}
    exact = mode != "constant" or value == 0 or op.inputs[0] in net.stored
    kept = x.qparams if exact else None  # zero is one of the levels
    net.write(op, net.emit(op, "Pad", [x.value], mx_attrs, shape), shape, kept)


@SHAPES.of("DepthToSpace", "SpaceToDepth")
def depth_and_space(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(blocksize=0, mode="DCR")
    block = attrs["blocksize"]
    x = net.top(op)
    n, c, h, w = x.shape if len(x.shape) == 4 else (0, 0, 0, 0)
    fits = block > 0 and (c % block**2 == 0 if op.type == "DepthToSpace" else h % block == 0 and w % block == 0)
    deep = op.type == "DepthToSpace"
    if not fits or attrs["mode"] not in ("DCR", b"DCR") + (("CRD", b"CRD") if deep else ()):
        raise op.error(f"has blocksize {block}, mode {attrs['mode']} for {x.shape}", "accepted is a size that divides")
    shape = (n, c // block**2, h * block, w * block) if deep else (n, c * block**2, h // block, w // block)
    if attrs["mode"] in ("CRD", b"CRD"):  # columns and rows of a block are the inner axes of the channels
        split = (n, c // block**2, block, block, h, w)
        value = net.emit(op, "Reshape", [net.read(op).value], {"shape": (0, *split[1:])}, split, "_split")
        axes = (0, 1, 4, 2, 5, 3)
        value = net.emit(op, "transpose", [value], {"axes": axes}, tuple(split[axis] for axis in axes), "_swap")
        kept = net.read(op).qparams
        net.write(op, net.emit(op, "Reshape", [value], {"shape": (0, *shape[1:])}, shape), shape, kept)
        return
    net.moved(op, "depth_to_space" if deep else "space_to_depth", {"block_size": block}, shape)
