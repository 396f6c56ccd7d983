"""TFLite's pooling and its functions of one and of two tensors as MXNet operators."""

import numpy as np

from .builder import Table
from .tflite_fields import ACTIVATIONS, RELU, RELU6, RELU_N1, activated, spans, spread
from .tflite_net import FIRST, Op, TfNet

FUNCTIONS = Table()


@FUNCTIONS.of("AVERAGE_POOL_2D", "MAX_POOL_2D")
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


@FUNCTIONS.of("MEAN")
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


_TWO = {
    "ADD": ("elemwise_add", "broadcast_add"),
    "SUB": ("elemwise_sub", "broadcast_sub"),
    "MUL": ("elemwise_mul", "broadcast_mul"),
    "DIV": ("elemwise_div", "broadcast_div"),
    "MAXIMUM": ("broadcast_maximum", "broadcast_maximum"),
    "MINIMUM": ("broadcast_minimum", "broadcast_minimum"),
}


@FUNCTIONS.of(*_TWO)
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


@FUNCTIONS.of("CONCATENATION")
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


_PLAIN = {
    "RELU": ACTIVATIONS[RELU], "RELU6": ACTIVATIONS[RELU6], "RELU_N1_TO_1": ACTIVATIONS[RELU_N1],
    "LOGISTIC": ("Activation", {"act_type": "sigmoid"}), "TANH": ("Activation", {"act_type": "tanh"}),
    "EXP": ("exp", {}), "ABS": ("abs", {}), "NEG": ("negative", {}), "SQRT": ("sqrt", {}), "RSQRT": ("rsqrt", {}),
    "LOG": ("log", {}), "ELU": ("LeakyReLU", {"act_type": "elu", "slope": 1.0}),
    "QUANTIZE": ("identity", {}), "DEQUANTIZE": ("identity", {}),
}  # fmt: skip


@FUNCTIONS.of(*_PLAIN)
def plain(net: TfNet, op: Op) -> None:
    net.same(op, *_PLAIN[op.type])


@FUNCTIONS.of("LEAKY_RELU")
def leaky(net: TfNet, op: Op) -> None:
    net.same(op, "LeakyReLU", {"act_type": "leaky", "slope": float(op.options.Alpha())})


@FUNCTIONS.of("HARD_SWISH")
def hard_swish(net: TfNet, op: Op) -> None:
    (x,), first = net.layouts(op, (0,))
    gate = net.emit(op, "hard_sigmoid", [x.value], {"alpha": 1.0 / 6, "beta": 0.5}, x.shape, "_gate")
    net.write(op, net.emit(op, "elemwise_mul", [x.value, gate], {}, x.shape), x.shape, first=first)


@FUNCTIONS.of("SOFTMAX")
def softmax(net: TfNet, op: Op) -> None:
    x = net.read(op)
    beta = float(op.options.Beta())
    value = x.value if beta == 1 else net.emit(op, "_mul_scalar", [x.value], {"scalar": beta}, x.shape, "_beta")
    net.write(op, net.emit(op, "softmax", [value], {"axis": -1}, x.shape), x.shape)


@FUNCTIONS.of("ARG_MAX")
def argmax(net: TfNet, op: Op) -> None:
    shape = net.shape(op)
    axis = int(net.constant(op, 1).reshape(())) % len(shape)
    x = net.read(op)
    out = shape[:axis] + shape[axis + 1 :]
    net.write(op, net.emit(op, "argmax", [x.value], {"axis": axis}, out), out)
