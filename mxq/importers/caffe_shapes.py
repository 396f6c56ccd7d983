"""Caffe's layers that join, cut and move tensors, as MXNet operators."""

import numpy as np

from .builder import Shape, Table
from .caffe_fields import count
from .caffe_net import Layer, Net

SHAPES = Table()


@SHAPES.of("Eltwise")
def eltwise(net: Net, it: Layer) -> None:
    param = it.param("eltwise_param", ("operation", "coeff", "stable_prod_grad"))
    operation = {"PROD": 0, "SUM": 1, "MAX": 2}.get(param.one("operation"), param.one("operation"))
    operation = 1 if operation is None else operation
    ops = {0: "elemwise_mul", 1: "elemwise_add", 2: "_maximum"}
    if operation not in ops:
        raise it.error(f"has operation: {operation}", "accepted are PROD, SUM and MAX")
    tops = [net.bottom(it, i) for i in range(len(it.bottoms))]
    coefficients = [float(c) for c in param.all("coeff")] or [1.0] * len(tops)
    if len(coefficients) != len(tops) or (operation != 1 and any(c != 1 for c in coefficients)):
        raise it.error(f"has the coefficients {coefficients}", "accepted is one for each input of a SUM")
    if len(tops) < 2 or len({top.shape for top in tops}) > 1:
        raise it.error(f"reads {[top.shape for top in tops]}", "accepted are two or more tensors of one shape")
    shape, values = tops[0].shape, [top.value for top in tops]
    for i, c in enumerate(coefficients):
        if c != 1:
            values[i] = net.emit(it, "_mul_scalar", [values[i]], {"scalar": c}, shape, f"_coeff{i}")
    value = values[0]
    for i, other in enumerate(values[1:]):
        value = net.emit(it, ops[operation], [value, other], {}, shape, "" if i == len(values) - 2 else f"_{i}")
    net.write(it, value, shape)


@SHAPES.of("Concat")
def concat(net: Net, it: Layer) -> None:
    param = it.param("concat_param", ("axis", "concat_dim"))
    tops = [net.read(it, i) for i in range(len(it.bottoms))]
    if len(tops) < 2:
        net.alias(it)
        return
    shapes = [top.shape for top in tops]
    axis = param.one("axis", param.one("concat_dim", 1)) % len(shapes[0])
    rests = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(rests) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise it.error(f"reads {shapes}", f"they must agree but for axis {axis}")
    if all(top.constant is not None for top in tops):
        net.write_constant(it, np.concatenate([np.asarray(top.constant) for top in tops], axis))
        return
    shape = (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
    values = [net.bottom(it, i).value for i in range(len(tops))]
    net.write(it, net.emit(it, "Concat", values, {"dim": axis, "num_args": len(values)}, shape), shape)


@SHAPES.of("Slice")
def slices(net: Net, it: Layer) -> None:
    param = it.param("slice_param", ("axis", "slice_dim", "slice_point"))
    x = net.bottom(it)
    axis = param.one("axis", param.one("slice_dim", 1)) % len(x.shape)
    size, count = x.shape[axis], len(it.tops)
    points = param.all("slice_point") or [size * (i + 1) // count for i in range(count - 1)]
    edges = [0, *points, size]
    if len(points) != count - 1 or sorted(set(edges)) != edges or (not param.all("slice_point") and size % count):
        raise it.error(
            f"cuts {size} at {points} for {count} tensors", "accepted are growing points, one less than tops"
        )
    found = []
    for i, (begin, end) in enumerate(zip(edges, edges[1:])):
        shape = (*x.shape[:axis], end - begin, *x.shape[axis + 1 :])
        attrs = {"axis": axis, "begin": begin, "end": end}
        found.append((net.emit(it, "slice_axis", [x.value], attrs, shape, f"_{i}"), shape))
    net.write_all(it, found)


@SHAPES.of("Split")
def split(net: Net, it: Layer) -> None:
    it.param("", ())
    net.alias(it)


@SHAPES.of("Dropout")
def dropout(net: Net, it: Layer) -> None:
    param = it.param("dropout_param", ("dropout_ratio", "scale_train"))
    if param.one("scale_train", True):
        net.alias(it)
    else:  # what training does not scale up is scaled down here
        net.same(it, "_mul_scalar", {"scalar": 1.0 - param.one("dropout_ratio", 0.5)})


@SHAPES.of("Flatten")
def flatten(net: Net, it: Layer) -> None:
    param = it.param("flatten_param", ("axis", "end_axis"))
    x = net.read(it)
    rank = len(x.shape)
    first, last = param.one("axis", 1) % rank, param.one("end_axis", -1) % rank
    if first > last:
        raise it.error(f"flattens axes {first} to {last} of {rank}", "the first must not be behind the last")
    _reshape(net, it, (*x.shape[:first], int(np.prod(x.shape[first : last + 1])), *x.shape[last + 1 :]))


@SHAPES.of("Reshape")
def reshape(net: Net, it: Layer) -> None:
    param = it.param("reshape_param", ("shape", "axis", "num_axes"))
    x = net.read(it)
    rank = len(x.shape)
    axis = param.one("axis", 0)
    axis += rank + 1 if axis < 0 else 0
    count = param.one("num_axes", -1)
    end = rank if count == -1 else axis + count
    dims = list(param.sub("shape").all("dim"))
    if not 0 <= axis <= end <= rank or any(not isinstance(d, int) or d < -1 for d in dims) or dims.count(-1) > 1:
        raise it.error(f"has the shape {dims} for axes {axis} to {end} of {x.shape}", "see Caffe's ReshapeParameter")
    for i, d in enumerate(dims):
        if d == 0:
            if axis + i >= rank:
                raise it.error(f"copies axis {axis + i} of {x.shape}", "there is none")
            dims[i] = x.shape[axis + i]
    shape = [*x.shape[:axis], *dims, *x.shape[end:]]
    total = int(np.prod(x.shape))
    if -1 in dims:
        known = int(np.prod([d for d in shape if d != -1]))
        shape[shape.index(-1)] = total // known if known else 0
    if int(np.prod(shape)) != total:
        raise it.error(f"gives {x.shape} the shape {shape}", "the number of values must stay")
    _reshape(net, it, tuple(shape))


def _reshape(net: Net, it: Layer, shape: Shape) -> None:
    x = net.read(it)
    if x.constant is not None:
        net.write_constant(it, np.asarray(x.constant).reshape(shape))
        return
    if shape == (x.shape[0], int(np.prod(x.shape[1:]))):
        value = net.emit(it, "Flatten", [x.value], {}, shape)
    else:  # 0: whatever the batch is
        kept = shape[0] == x.shape[0]
        value = net.emit(it, "Reshape", [x.value], {"shape": (0, *shape[1:]) if kept else shape}, shape)
    net.write(it, value, shape)


@SHAPES.of("Permute")
def permute(net: Net, it: Layer) -> None:
    order = list(it.param("permute_param", ("order",)).all("order"))
    x = net.bottom(it)
    order += [axis for axis in range(len(x.shape)) if axis not in order]
    if sorted(order) != list(range(len(x.shape))):
        raise it.error(f"has the order {order}", f"accepted are the axes of {x.shape}, once each")
    shape = tuple(x.shape[axis] for axis in order)
    net.write(it, net.emit(it, "transpose", [x.value], {"axes": tuple(order)}, shape), shape)


@SHAPES.of("Crop")
def crop(net: Net, it: Layer) -> None:
    param = it.param("crop_param", ("axis", "offset"))
    x, like = net.bottom(it), net.bottom(it, 1)
    rank = len(x.shape)
    axis = param.one("axis", 2) % rank
    offsets = list(param.all("offset")) or [0]
    offsets = offsets * (rank - axis) if len(offsets) == 1 else offsets
    if len(offsets) != rank - axis or len(like.shape) != rank:
        raise it.error(f"has the offsets {offsets}", f"accepted is one, or one for each of {rank - axis} axes")
    begin = (None,) * axis + tuple(offsets)
    end = (None,) * axis + tuple(o + n for o, n in zip(offsets, like.shape[axis:]))
    if any(e is not None and e > n for e, n in zip(end, x.shape)):
        raise it.error(f"crops {x.shape} to {like.shape} at {offsets}", "it must lie inside")
    shape = x.shape[:axis] + like.shape[axis:]
    net.write(it, net.emit(it, "slice", [x.value], {"begin": begin, "end": end}, shape), shape)


@SHAPES.of("Upsample")
def upsample(net: Net, it: Layer) -> None:
    factor = count(it, it.param("upsample_param", ("scale",)), "scale")
    x = net.bottom(it)
    shape = (*x.shape[:2], *(n * factor for n in x.shape[2:]))
    attrs = {"scale": factor, "sample_type": "nearest", "num_args": 1}
    net.write(it, net.emit(it, "UpSampling", [x.value], attrs, shape), shape)


@SHAPES.of("ShuffleChannel")
def shuffle(net: Net, it: Layer) -> None:
    group = it.param("shuffle_channel_param", ("group",)).one("group", 1)
    x = net.bottom(it)
    n, channels, *rest = x.shape
    if group < 1 or channels % group:
        raise it.error(f"has {channels} channels in {group} groups", "it must divide")
    split = (n, group, channels // group, *rest)
    value = net.emit(it, "Reshape", [x.value], {"shape": (0, -4, group, -1, -2)}, split, "_split")
    axes = (0, 2, 1, *range(3, len(split)))
    value = net.emit(it, "transpose", [value], {"axes": axes}, (n, channels // group, group, *rest), "_swap")
    net.write(it, net.emit(it, "Reshape", [value], {"shape": (0, -3, -2)}, x.shape), x.shape)
