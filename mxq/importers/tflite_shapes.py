"""TFLite's operators that cut and move tensors as MXNet operators."""

import numpy as np

from .builder import Table
from .tflite_net import FIRST, Op, TfNet

SHAPES = Table()


@SHAPES.of("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
def reshape(net: TfNet, op: Op) -> None:
    declared = net.stored[op.outputs[0]][0]
    shape = declared
    if op.type == "RESHAPE" and not declared:
        dims = [int(n) for n in (net.constant(op, 1) if net.has(op, 1) else op.options.NewShapeAsNumpy())]
        total = int(np.prod(net.shape(op)))
        known = int(np.prod([d for d in dims if d != -1]))
        shape = tuple(total // max(known, 1) if d == -1 else d for d in dims)
    if int(np.prod(shape)) != int(np.prod(net.shape(op))) or not shape:
        raise op.error(f"gives {net.shape(op)} the shape {shape}", "the number of values must stay")
    x = net.read(op)
    if len(shape) == 2 and shape[0] == x.shape[0]:
        net.write(op, net.emit(op, "Flatten", [x.value], {}, shape), shape)
    else:
        kept = (0, *shape[1:]) if shape[0] == x.shape[0] else shape
        net.write(op, net.emit(op, "Reshape", [x.value], {"shape": kept}, shape), shape)


@SHAPES.of("TRANSPOSE")
def transpose(net: TfNet, op: Op) -> None:
    axes = tuple(int(axis) for axis in net.constant(op, 1).reshape(-1))
    x = net.read(op)
    if sorted(axes) != list(range(len(x.shape))):
        raise op.error(f"has the order {axes}", f"accepted are the axes of {x.shape}, once each")
    shape = tuple(x.shape[axis] for axis in axes)
    net.write(op, net.emit(op, "transpose", [x.value], {"axes": axes}, shape), shape)


@SHAPES.of("PAD", "PADV2", "MIRROR_PAD")
def pad(net: TfNet, op: Op) -> None:
    pairs = [tuple(int(n) for n in pair) for pair in net.constant(op, 1).reshape(-1, 2)]
    value = float(net.constant(op, 2).reshape(())) if op.type == "PADV2" else 0.0
    mode = "constant" if op.type != "MIRROR_PAD" else "reflect"
    if op.type == "MIRROR_PAD" and op.options.Mode() != 0:
        raise op.error("mirrors the border itself", "accepted is REFLECT")
    x = net.image(op)
    if len(pairs) != 4 or pairs[0] != (0, 0) or pairs[3] != (0, 0) or min(min(pair) for pair in pairs) < 0:
        raise op.error(f"pads by {pairs}", "accepted are the two spatial axes")
    shape = (*x.shape[:2], *(n + sum(pair) for n, pair in zip(x.shape[2:], pairs[1:3])))
    attrs = {"mode": mode, "constant_value": value, "pad_width": (0, 0, 0, 0, *pairs[1], *pairs[2])}
    net.write(op, net.emit(op, "Pad", [x.value], attrs, shape), shape, first=True)


@SHAPES.of("SPLIT")
def split(net: TfNet, op: Op) -> None:
    axis = int(net.constant(op, 0).reshape(()))
    inner = op._replace(inputs=op.inputs[1:])
    (x,), first = net.layouts(inner, (0,))
    axis %= len(x.shape)
    axis = FIRST.index(axis) if first else axis
    count = len(op.outputs)
    if x.shape[axis] % count:
        raise op.error(f"cuts {x.shape[axis]} into {count}", "accepted are equal parts")
    part = x.shape[axis] // count
    for i in range(count):
        shape = (*x.shape[:axis], part, *x.shape[axis + 1 :])
        attrs = {"axis": axis, "begin": i * part, "end": (i + 1) * part}
        net.write(op, net.emit(op, "slice_axis", [x.value], attrs, shape, f"_{i}"), shape, first=first, output=i)


@SHAPES.of("STRIDED_SLICE", "SLICE")
def strided_slice(net: TfNet, op: Op) -> None:
    shape = net.shape(op)
    begin, end = ([int(n) for n in net.constant(op, i).reshape(-1)] for i in (1, 2))
    if op.type == "SLICE":
        end = [n if size == -1 else b + size for n, b, size in zip(shape, begin, end)]
        step = [1] * len(begin)
    else:
        step = [int(n) for n in net.constant(op, 3).reshape(-1)]
        options = op.options
        if options.EllipsisMask() or options.NewAxisMask() or options.ShrinkAxisMask():
            raise op.error("adds or drops axes", "accepted are begin and end masks")
        begin = [0 if options.BeginMask() >> i & 1 else b for i, b in enumerate(begin)]
        end = [shape[i] if options.EndMask() >> i & 1 else e for i, e in enumerate(end)]
    if not len(begin) == len(end) == len(step) == len(shape) or min(step) < 1:
        raise op.error(f"cuts {shape} by {begin}, {end}, {step}", "accepted is one number for each axis, steps from 1")
    x = net.read(op)
    spans_ = [slice(b, e, s).indices(n) for b, e, s, n in zip(begin, end, step, shape)]
    out = tuple(len(range(*span)) for span in spans_)
    attrs = {"begin": tuple(s[0] for s in spans_), "end": tuple(s[1] for s in spans_), "step": tuple(step)}
    net.write(op, net.emit(op, "slice", [x.value], attrs, out), out)


@SHAPES.of("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def resize(net: TfNet, op: Op) -> None:
    size = tuple(int(n) for n in net.constant(op, 1).reshape(-1))
    x = net.image(op)
    shape = (*x.shape[:2], *size)
    whole = size[0] % x.shape[2] == 0 and size[1] % x.shape[3] == 0 and size[0] // x.shape[2] == size[1] // x.shape[3]
    if op.type == "RESIZE_NEAREST_NEIGHBOR" and whole and not op.options.AlignCorners():
        attrs = {"scale": size[0] // x.shape[2], "sample_type": "nearest", "num_args": 1}
        net.write(op, net.emit(op, "UpSampling", [x.value], attrs, shape), shape, first=True)
        return
    aligned, half = bool(op.options.AlignCorners()), bool(op.options.HalfPixelCenters())
    if op.type == "RESIZE_BILINEAR" and (aligned != half or x.shape[2:] in ((1, 1), size)):
        attrs = {"height": size[0], "width": size[1], "mode": "size", "align_corners": not half}
        net.write(op, net.emit(op, "_contrib_BilinearResize2D", [x.value], attrs, shape), shape, first=True)
        return
    raise op.error(
        f"resizes {x.shape[2:]} to {size}",
        "accepted are bilinear with align_corners or half_pixel_centers, nearest by one factor",
    )
