"""TFLite's operators as MXNet operators."""

from typing import Optional, Tuple

import numpy as np

from ..arithmetic.qmath import QParams
from .builder import Integers, Table, Top
from .int8_weights import fitted
from .tflite_net import FIRST, Op, TfNet

OPERATORS = Table()
#: Functions that are part of an operator, by TFLite's number.
_RELU, _RELU_N1, _RELU6 = 1, 2, 3
_ACTIVATIONS = {
    _RELU: ("Activation", {"act_type": "relu"}),
    _RELU_N1: ("clip", {"a_min": -1.0, "a_max": 1.0}),
    _RELU6: ("clip", {"a_min": 0.0, "a_max": 6.0}),
}
_SAME = 0


def activated(net: TfNet, op: Op, emitted, number: int, shape) -> object:
    """An operator and the function behind it; `emitted` is called with the suffix of its name."""
    if number == 0 or _is_implied(number, net.stored[op.outputs[0]][1]):
        return emitted("")
    if number not in _ACTIVATIONS:
        raise op.error(f"has the activation {number}", "accepted are none, RELU, RELU_N1_TO_1 and RELU6")
    name, attrs = _ACTIVATIONS[number]
    return net.emit(op, name, [emitted("_linear")], attrs, shape)


def _is_implied(number: int, qparams: Optional[QParams]) -> bool:
    """Whether rounding to the 8 bits of the output cuts where the function does."""
    if qparams is None or qparams.dtype != "uint8" or qparams.zero_point != 0:
        return False
    return number == _RELU or (number == _RELU6 and np.rint(6.0 / qparams.scale) >= 255)


# -- layers with weights -----------------------------------------------------------------------------------------------


@OPERATORS.of("CONV_2D", "DEPTHWISE_CONV_2D")
def convolution(net: TfNet, op: Op) -> None:
    options = op.options
    x, weight = net.image(op), net.top(op, 1)
    depthwise = op.type == "DEPTHWISE_CONV_2D"
    if weight.constant is None or len(weight.shape) != 4:
        raise op.error(f"has weights of shape {weight.shape}", "accepted are constants of four axes")
    weight = moved(weight, (3, 0, 1, 2) if depthwise else (0, 3, 1, 2))  # depthwise: (1, H, W, C * multiplier)
    outputs, inner, kernel = weight.shape[0], weight.shape[1], weight.shape[2:]
    group = x.channels if depthwise else 1
    if not depthwise and inner and x.channels % inner == 0:
        group = x.channels // inner  # grouped, as TFLite has it: by the shape of the weights
    if x.channels != inner * group or outputs % group:
        raise op.error(f"reads {x.channels} channels", f"its weights of {net.shape(op, 1)} do not fit")
    x, weight = fitted(net, op, x, weight, inputs=1, axis=1, groups=group)
    stride = (options.StrideH(), options.StrideW())
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    size, begin, end = spans(op, x.shape[2:], kernel, stride, dilation, options.Padding())
    inputs = [spread(net, op, x, begin, end), parameter(net, op, weight, "weight")]
    if net.has(op, 2):
        inputs.append(parameter(net, op, net.top(op, 2), "bias"))
    attrs = {
        "num_filter": outputs,
        "kernel": kernel,
        "stride": stride,
        "pad": begin if begin == end else (0, 0),
        "dilate": dilation,
        "num_group": group,
        "no_bias": len(inputs) < 3,
    }
    shape = (x.shape[0], outputs, *size)
    value = activated(
        net,
        op,
        lambda suffix: net.emit(op, "Convolution", inputs, attrs, shape, suffix),
        options.FusedActivationFunction(),
        shape,
    )
    net.write(op, value, shape, first=True)


@OPERATORS.of("FULLY_CONNECTED")
def fully_connected(net: TfNet, op: Op) -> None:
    options = op.options
    if options.WeightsFormat():
        raise op.error(f"has weights in the format {options.WeightsFormat()}", "accepted is the default")
    x, weight = net.read(op), net.top(op, 1)
    outputs, inner = weight.shape if len(weight.shape) == 2 else (0, 0)
    total = int(np.prod(x.shape))
    if weight.constant is None or not inner or total % inner:
        raise op.error(f"multiplies {x.shape} and {weight.shape}", "accepted are constants of two axes that fit")
    if len(x.shape) != 2 or x.shape[1] != inner:
        x = _rows(net, op, x, (total // inner, inner))
    x, weight = fitted(net, op, x, weight, inputs=1, axis=1)
    inputs = [x.value, parameter(net, op, weight, "weight")]
    if net.has(op, 2):
        inputs.append(parameter(net, op, net.top(op, 2), "bias"))
    shape = (x.shape[0], outputs)
    attrs = {"num_hidden": outputs, "no_bias": len(inputs) < 3, "flatten": True}
    number = options.FusedActivationFunction()
    value = activated(
        net, op, lambda suffix: net.emit(op, "FullyConnected", inputs, attrs, shape, suffix), number, shape
    )
    declared = net.stored[op.outputs[0]][0]
    if declared and declared != shape and int(np.prod(declared)) == int(np.prod(shape)):
        value, shape = net.emit(op, "Reshape", [value], {"shape": declared}, declared, "_kept"), declared
    net.write(op, value, shape)


def _rows(net: TfNet, op: Op, x: Top, shape) -> Top:
    """A tensor as a matrix of this shape."""
    name = f"{op.name}_rows"
    value = net.emit(op, "Reshape", [x.value], {"shape": (-1, shape[1])}, shape, "_rows")
    net.set(name, Top(value, shape, qparams=x.qparams))
    found = net.valued(name)
    del net.tops[name]
    return found


def parameter(net: TfNet, op: Op, top: Top, suffix: str):
    """A constant as a parameter; its integers, if the file has such, are remembered."""
    if top.constant is None:
        raise op.error(f"has a {suffix} that depends on the data", "accepted are constants")
    value = net.param(op, top.constant, suffix)
    if top.integers is not None:
        net.weights[value.node.name] = top.integers
    return value


def moved(top: Top, axes: Tuple[int, ...]) -> Top:
    """A constant with its axes in another order."""
    array, integers = np.ascontiguousarray(np.transpose(top.constant, axes)), top.integers
    if integers is not None:
        axis = axes.index(integers.axis) if integers.scale.size > 1 else 0
        integers = Integers(np.ascontiguousarray(integers.integers.transpose(axes)), integers.scale, axis)
    return top._replace(constant=array, shape=array.shape, integers=integers)


def spans(op: Op, sizes, kernel, stride, dilation, padding: int) -> Tuple[Tuple, Tuple, Tuple]:
    """(output sizes, padding at the begin, at the end) as TFLite counts them."""
    out, begin, end = [], [], []
    for n, k, s, d in zip(sizes, kernel, stride, dilation):
        wide = d * (k - 1) + 1
        if min(k, s, d) < 1 or (padding != _SAME and n < wide):
            raise op.error(f"has kernel {kernel}, stride {stride} on {tuple(sizes)}", "it must fit")
        count = -(-n // s) if padding == _SAME else (n - wide) // s + 1
        total = max((count - 1) * s + wide - n, 0) if padding == _SAME else 0
        out.append(count)
        begin.append(total // 2)
        end.append(total - total // 2)
    return tuple(out), tuple(begin), tuple(end)


def spread(net: TfNet, op: Op, x: Top, begin, end, value: float = 0.0):
    """The value with padding around it, where an operator cannot pad so itself."""
    if begin == end:
        return x.value
    pairs = (0, 0, 0, 0, begin[0], end[0], begin[1], end[1])
    shape = (*x.shape[:2], *(n + b + e for n, b, e in zip(x.shape[2:], begin, end)))
    attrs = {"mode": "constant", "constant_value": value, "pad_width": pairs}
    return net.emit(op, "Pad", [x.value], attrs, shape, "_pad")


# -- pooling and means -------------------------------------------------------------------------------------------------


@OPERATORS.of("AVERAGE_POOL_2D", "MAX_POOL_2D")
def pooling(net: TfNet, op: Op) -> None:
    options = op.options
    x = net.image(op)
    kernel, stride = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
    size, begin, end = spans(op, x.shape[2:], kernel, stride, (1, 1), options.Padding())
    average = op.type == "AVERAGE_POOL_2D"
    source = x.value
    if begin != end:
        if average:
            raise op.error(f"averages with padding {begin} and {end}", "accepted is the same at both ends")
        source = spread(net, op, x, begin, end, -3.4028234663852886e38)
        begin = (0, 0)
    attrs = {"kernel": kernel, "stride": stride, "pad": begin, "pool_type": "avg" if average else "max"}
    attrs.update(pooling_convention="valid", **({"count_include_pad": False} if average else {}))
    shape = (*x.shape[:2], *size)
    number = options.FusedActivationFunction()
    value = activated(net, op, lambda suffix: net.emit(op, "Pooling", [source], attrs, shape, suffix), number, shape)
    net.write(op, value, shape, first=True)


@OPERATORS.of("MEAN")
def mean(net: TfNet, op: Op) -> None:
    shape = net.shape(op)
    axes = sorted({int(axis) % len(shape) for axis in net.constant(op, 1).reshape(-1)})
    keep = bool(op.options.KeepDims())
    if len(shape) == 4 and axes == [1, 2]:
        x = net.image(op)
        out = (*x.shape[:2], 1, 1)
        value = net.emit(op, "Pooling", [x.value], {"kernel": (1, 1), "pool_type": "avg", "global_pool": True}, out)
        if keep:
            net.write(op, value, out, first=True)
        else:
            net.write(op, net.emit(op, "Flatten", [value], {}, out[:2], "_flat"), out[:2])
        return
    x = net.read(op)
    out = tuple(1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes)
    net.write(op, net.emit(op, "mean", [x.value], {"axis": tuple(axes), "keepdims": keep}, out), out)


# -- two tensors -------------------------------------------------------------------------------------------------------

_TWO = {
    "ADD": ("elemwise_add", "broadcast_add"),
    "SUB": ("elemwise_sub", "broadcast_sub"),
    "MUL": ("elemwise_mul", "broadcast_mul"),
    "DIV": ("elemwise_div", "broadcast_div"),
    "MAXIMUM": ("broadcast_maximum", "broadcast_maximum"),
    "MINIMUM": ("broadcast_minimum", "broadcast_minimum"),
}


@OPERATORS.of(*_TWO)
def two(net: TfNet, op: Op) -> None:
    (x, y), first = net.layouts(op, (0, 1))
    shapes = [x.shape, y.shape]
    rank = max(map(len, shapes))
    values = []
    for i, top in enumerate((x, y)):
        shape = (1,) * (rank - len(top.shape)) + tuple(top.shape)
        if shape != tuple(top.shape):
            if first:
                raise op.error(f"combines {shapes}", "accepted are tensors of as many axes")
            top = top._replace(value=net.emit(op, "Reshape", [top.value], {"shape": shape}, shape, f"_spread{i}"))
        shapes[i] = shape
        values.append(top.value)
    try:
        shape = tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise op.error(f"combines {shapes}", "they must broadcast") from None
    name = _TWO[op.type][0 if shapes[0] == shapes[1] else 1]
    number = op.options.FusedActivationFunction() if hasattr(op.options, "FusedActivationFunction") else 0
    value = activated(net, op, lambda suffix: net.emit(op, name, values, {}, shape, suffix), number, shape)
    net.write(op, value, shape, first=first)


@OPERATORS.of("CONCATENATION")
def concatenation(net: TfNet, op: Op) -> None:
    options = op.options
    tops, first = net.layouts(op, range(len(op.inputs)))
    axis = options.Axis() % len(tops[0].shape)
    axis = FIRST.index(axis) if first else axis
    rests = {top.shape[:axis] + top.shape[axis + 1 :] for top in tops}
    if len(rests) > 1:
        raise op.error(f"joins {[top.shape for top in tops]}", "they must agree but for one axis")
    shape = (*tops[0].shape[:axis], sum(top.shape[axis] for top in tops), *tops[0].shape[axis + 1 :])
    attrs = {"dim": axis, "num_args": len(tops)}
    values = [top.value for top in tops]
    number = options.FusedActivationFunction()
    value = activated(net, op, lambda suffix: net.emit(op, "Concat", values, attrs, shape, suffix), number, shape)
    net.write(op, value, shape, first=first)


# -- functions of one number -------------------------------------------------------------------------------------------

_PLAIN = {
    "RELU": _ACTIVATIONS[_RELU], "RELU6": _ACTIVATIONS[_RELU6], "RELU_N1_TO_1": _ACTIVATIONS[_RELU_N1],
    "LOGISTIC": ("Activation", {"act_type": "sigmoid"}), "TANH": ("Activation", {"act_type": "tanh"}),
    "EXP": ("exp", {}), "ABS": ("abs", {}), "NEG": ("negative", {}), "SQRT": ("sqrt", {}), "RSQRT": ("rsqrt", {}),
    "LOG": ("log", {}), "ELU": ("LeakyReLU", {"act_type": "elu", "slope": 1.0}),
    "QUANTIZE": ("identity", {}), "DEQUANTIZE": ("identity", {}),
}  # fmt: skip


@OPERATORS.of(*_PLAIN)
def plain(net: TfNet, op: Op) -> None:
    net.same(op, *_PLAIN[op.type])


@OPERATORS.of("LEAKY_RELU")
def leaky(net: TfNet, op: Op) -> None:
    net.same(op, "LeakyReLU", {"act_type": "leaky", "slope": float(op.options.Alpha())})


@OPERATORS.of("HARD_SWISH")
def hard_swish(net: TfNet, op: Op) -> None:
    (x,), first = net.layouts(op, (0,))
    gate = net.emit(op, "hard_sigmoid", [x.value], {"alpha": 1.0 / 6, "beta": 0.5}, x.shape, "_gate")
    net.write(op, net.emit(op, "elemwise_mul", [x.value, gate], {}, x.shape), x.shape, first=first)


@OPERATORS.of("SOFTMAX")
def softmax(net: TfNet, op: Op) -> None:
    x = net.read(op)
    beta = float(op.options.Beta())
    value = x.value if beta == 1 else net.emit(op, "_mul_scalar", [x.value], {"scalar": beta}, x.shape, "_beta")
    net.write(op, net.emit(op, "softmax", [value], {"axis": -1}, x.shape), x.shape)


@OPERATORS.of("ARG_MAX")
def argmax(net: TfNet, op: Op) -> None:
    shape = net.shape(op)
    axis = int(net.constant(op, 1).reshape(())) % len(shape)
    x = net.read(op)
    out = shape[:axis] + shape[axis + 1 :]
    net.write(op, net.emit(op, "argmax", [x.value], {"axis": axis}, out), out)


# -- tensors and their shapes ------------------------------------------------------------------------------------------


@OPERATORS.of("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
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


@OPERATORS.of("TRANSPOSE")
def transpose(net: TfNet, op: Op) -> None:
    axes = tuple(int(axis) for axis in net.constant(op, 1).reshape(-1))
    x = net.read(op)
    if sorted(axes) != list(range(len(x.shape))):
        raise op.error(f"has the order {axes}", f"accepted are the axes of {x.shape}, once each")
    shape = tuple(x.shape[axis] for axis in axes)
    net.write(op, net.emit(op, "transpose", [x.value], {"axes": axes}, shape), shape)


@OPERATORS.of("PAD", "PADV2", "MIRROR_PAD")
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


@OPERATORS.of("SPLIT")
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


@OPERATORS.of("STRIDED_SLICE", "SLICE")
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


@OPERATORS.of("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def resize(net: TfNet, op: Op) -> None:
    size = tuple(int(n) for n in net.constant(op, 1).reshape(-1))
    x = net.image(op)
    shape = (*x.shape[:2], *size)
    whole = size[0] % x.shape[2] == 0 and size[1] % x.shape[3] == 0 and size[0] // x.shape[2] == size[1] // x.shape[3]
    if op.type == "RESIZE_NEAREST_NEIGHBOR" and whole and not op.options.AlignCorners():
        attrs = {"scale": size[0] // x.shape[2], "sample_type": "nearest", "num_args": 1}
        net.write(op, net.emit(op, "UpSampling", [x.value], attrs, shape), shape, first=True)
        return
    if op.type == "RESIZE_BILINEAR" and (op.options.AlignCorners() or x.shape[2:] in ((1, 1), size)):
        attrs = {"height": size[0], "width": size[1], "mode": "size"}
        net.write(op, net.emit(op, "_contrib_BilinearResize2D", [x.value], attrs, shape), shape, first=True)
        return
    raise op.error(
        f"resizes {x.shape[2:]} to {size}", "accepted are bilinear with align_corners, nearest by one factor"
    )
