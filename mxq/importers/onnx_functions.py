"""ONNX' pooling and its functions of numbers as MXNet operators."""

import math
from typing import Dict, Sequence, Tuple

import numpy as np

from ..passes.quantize_params import in_qparams
from .builder import Shape, Table, Top
from .int8_weights import stored
from .onnx_net import OnnxNet, Op
from .onnx_weighted import padded, padding

FUNCTIONS = Table()
#: The lowest float32.
LOWEST = -3.4028234663852886e38


# -- pooling -----------------------------------------------------------------------------------------------------------


@FUNCTIONS.of("MaxPool", "AveragePool")
def pooling(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(
        auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, kernel_shape=None, pads=None,
        storage_order=0, strides=None,
    )  # fmt: skip
    if len(op.outputs) > 1 and op.outputs[1]:
        raise op.error("writes indices", "accepted are values alone")
    x = net.read(op)
    if op.type == "MaxPool":
        x, attrs = _without_pad(x, attrs)
    pool(net, op, x, attrs, "max" if op.type == "MaxPool" else "avg", x.qparams if op.type == "MaxPool" else None)


def _without_pad(x: Top, attrs: Dict) -> Tuple[Top, Dict]:
    """A Pad by the lowest number in front of a maximum is padding of the maximum."""
    node = x.value.node
    if node.op != "Pad" or node.get("mode") != "constant" or float(node.get("constant_value", 0)) > LOWEST:
        return x, attrs
    if attrs["auto_pad"] not in ("NOTSET", b"NOTSET"):
        return x, attrs
    width = tuple(node.get("pad_width"))
    begin, end = width[4::2], width[5::2]
    rank = len(begin)
    pads = tuple(attrs["pads"] or (0,) * 2 * rank)
    if len(pads) != 2 * rank or any(width[:4]):
        return x, attrs
    source = node.inputs[0]
    kept = in_qparams(source.node) if source.node.op == "mxq_dequantize" else None
    shape = (*x.shape[:2], *(n - b - e for n, b, e in zip(x.shape[2:], begin, end)))
    more = [p + n for p, n in zip(pads, (*begin, *end))]
    return Top(source, shape, qparams=kept), {**attrs, "pads": more}


def pool(net: OnnxNet, op: Op, x: Top, attrs: Dict, kind: str, qparams) -> None:
    """Emits a Pooling."""
    kernel = tuple(attrs["kernel_shape"] or ())
    rank = len(x.shape) - 2
    if len(kernel) != rank or rank not in (1, 2, 3):
        raise op.error(f"has the kernel {kernel} for data of {x.shape}", "accepted is one size for each spatial axis")
    if any(d != 1 for d in attrs["dilations"] or ()):
        raise op.error(f"has dilations {attrs['dilations']}", "accepted are ones")
    kernel, stride = (op.sizes(attrs, name, rank) for name in ("kernel_shape", "strides"))
    begin, end = padding(op, attrs, x.shape[2:], kernel, stride, (1,) * rank)
    up = bool(attrs["ceil_mode"])
    sizes, full = [], []
    for n, k, s, b, e in zip(x.shape[2:], kernel, stride, begin, end):
        room = n + b + e - k
        if room < 0:
            raise op.error(f"has a window of {k} on {n} + {b} + {e}", "it must fit")
        count = (math.ceil(room / s) if up else room // s) + 1
        full.append(count)
        if (count - 1) * s >= n + b:
            count -= 1  # a window that begins behind the image is dropped
        sizes.append(count)
    include = bool(attrs.get("count_include_pad", 0)) and kind == "avg"
    source, same = x, begin == end
    reach = [math.ceil((n + 2 * b - k) / s) + 1 for n, k, s, b in zip(x.shape[2:], kernel, stride, begin)]
    if not same and kind == "max" and all(b < k and r >= m for b, k, r, m in zip(begin, kernel, reach, sizes)):
        full, same = reach, True  # a maximum may reach over the end; windows that are too many are cut off
    if not same:
        if kind == "avg" and not include:
            raise op.error(f"averages with pads {begin} and {end}", "accepted are the same at both ends")
        value = 0.0 if kind == "avg" else LOWEST
        shape = tuple(n + b + e for n, b, e in zip(x.shape[2:], begin, end))
        source = Top(padded(net, op, x, begin, end, value), (*x.shape[:2], *shape))
        begin = (0,) * rank
    down = [(n + 2 * b - k) // s + 1 for n, k, s, b in zip(source.shape[2:], kernel, stride, begin)]
    if kind == "avg" and up and down != sizes and (include or any(begin)):
        raise op.error("averages windows that reach behind the padding", "runtimes disagree about what they divide by")
    mx_attrs = {"kernel": kernel, "stride": stride, "pad": begin, "pool_type": kind}
    mx_attrs.update(pooling_convention="valid" if down == sizes else "full")
    if kind == "avg":
        mx_attrs["count_include_pad"] = include
    found = sizes if down == sizes else full
    shape = (*x.shape[:2], *sizes)
    value = net.emit(op, "Pooling", [source.value], mx_attrs, (*x.shape[:2], *found), "" if found == sizes else "_full")
    if found != sizes:
        value = stored(net, op, value, (*x.shape[:2], *found), qparams).value
        ends = tuple(None if whole == size else size for whole, size in zip(found, sizes))
        value = net.emit(op, "slice", [value], {"begin": (None,) * len(shape), "end": (None, None, *ends)}, shape)
    net.write(op, value, shape, qparams)


@FUNCTIONS.of("GlobalAveragePool", "GlobalMaxPool")
def global_pooling(net: OnnxNet, op: Op) -> None:
    op.attrs()
    x = net.read(op)
    kind = "avg" if op.type == "GlobalAveragePool" else "max"
    global_pool(net, op, x, kind, x.qparams if kind == "max" else None)


def global_pool(net: OnnxNet, op: Op, x: Top, kind: str, qparams) -> None:
    rank = len(x.shape) - 2
    shape = (*x.shape[:2], *(1,) * rank)
    attrs = {"kernel": (1,) * rank, "pool_type": kind, "global_pool": True}
    net.write(op, net.emit(op, "Pooling", [x.value], attrs, shape), shape, qparams)


@FUNCTIONS.of("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
def reduce(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(axes=None, keepdims=1, noop_with_empty_axes=0)
    x = net.read(op)
    rank = len(x.shape)
    axes = net.integers(op, 1, "axes")
    if not axes and attrs["noop_with_empty_axes"]:
        net.same(op, "identity", {})
        return
    axes = sorted({axis % rank for axis in axes or range(rank)})
    keep = bool(attrs["keepdims"])
    shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes]
    name = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}[op.type]
    if not shape:
        raise op.error("gives one number", "accepted are tensors with axes")
    net.write(op, net.emit(op, name, [x.value], {"axis": tuple(axes), "keepdims": keep}, shape), shape)


# -- functions of one number -------------------------------------------------------------------------------------------

_PLAIN = {
    "Relu": ("Activation", {"act_type": "relu"}),
    "Sigmoid": ("Activation", {"act_type": "sigmoid"}),
    "Tanh": ("Activation", {"act_type": "tanh"}),
    "Softplus": ("Activation", {"act_type": "softrelu"}),
    "Softsign": ("Activation", {"act_type": "softsign"}),
    "Exp": ("exp", {}), "Log": ("log", {}), "Sqrt": ("sqrt", {}), "Abs": ("abs", {}), "Neg": ("negative", {}),
    "Reciprocal": ("reciprocal", {}), "Floor": ("floor", {}), "Ceil": ("ceil", {}), "Erf": ("erf", {}),
    "Sin": ("sin", {}), "Cos": ("cos", {}), "Sign": ("sign", {}),
}  # fmt: skip


@FUNCTIONS.of(*_PLAIN)
def plain(net: OnnxNet, op: Op) -> None:
    op.attrs()
    net.same(op, *_PLAIN[op.type])


@FUNCTIONS.of("LeakyRelu")
def leaky(net: OnnxNet, op: Op) -> None:
    net.same(op, "LeakyReLU", {"act_type": "leaky", "slope": float(op.attrs(alpha=0.01)["alpha"])})


@FUNCTIONS.of("Elu")
def elu(net: OnnxNet, op: Op) -> None:
    net.same(op, "LeakyReLU", {"act_type": "elu", "slope": float(op.attrs(alpha=1.0)["alpha"])})


@FUNCTIONS.of("Clip")
def clip(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(min=LOWEST, max=-LOWEST)
    low = float(net.constant(op, 1, np.float32(attrs["min"])))
    high = float(net.constant(op, 2, np.float32(attrs["max"])))
    net.same(op, "clip", {"a_min": min(low, high), "a_max": high})  # the upper limit comes last


@FUNCTIONS.of("HardSigmoid")
def hard_sigmoid(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(alpha=0.2, beta=0.5)
    net.same(op, "hard_sigmoid", {"alpha": float(attrs["alpha"]), "beta": float(attrs["beta"])})


@FUNCTIONS.of("HardSwish")
def hard_swish(net: OnnxNet, op: Op) -> None:
    op.attrs()
    x = net.read(op)
    gate = net.emit(op, "hard_sigmoid", [x.value], {"alpha": 1.0 / 6, "beta": 0.5}, x.shape, "_gate")
    net.write(op, net.emit(op, "elemwise_mul", [x.value, gate], {}, x.shape), x.shape)


@FUNCTIONS.of("LRN")
def lrn(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(alpha=1e-4, beta=0.75, bias=1.0, size=None)
    if not attrs["size"] or attrs["size"] % 2 == 0:
        raise op.error(f"has size {attrs['size']}", "accepted are odd numbers")
    names = {"nsize": attrs["size"], "alpha": attrs["alpha"], "beta": attrs["beta"], "knorm": attrs["bias"]}
    net.same(op, "LRN", names)


@FUNCTIONS.of("Softmax", "LogSoftmax")
def softmax(net: OnnxNet, op: Op) -> None:
    name = "softmax" if op.type == "Softmax" else "log_softmax"
    x = net.read(op)
    rank = len(x.shape)
    if op.opset >= 13:
        axis = op.attrs(axis=-1)["axis"] % rank
    else:  # over all axes from this one on, as one
        axis = op.attrs(axis=1)["axis"] % rank
        if any(n != 1 for n in x.shape[axis + 1 :]):
            raise op.error(
                f"is over axes {axis} to {rank - 1} of {x.shape}", "accepted is one that has more than one value"
            )
    net.write(op, net.emit(op, name, [x.value], {"axis": axis}, x.shape), x.shape)


# -- functions of two tensors ------------------------------------------------------------------------------------------

_ARITHMETIC = {
    "Add": ("elemwise_add", "broadcast_add", "_plus_scalar", "_plus_scalar"),
    "Sub": ("elemwise_sub", "broadcast_sub", "_minus_scalar", "_rminus_scalar"),
    "Mul": ("elemwise_mul", "broadcast_mul", "_mul_scalar", "_mul_scalar"),
    "Div": ("elemwise_div", "broadcast_div", "_div_scalar", "_rdiv_scalar"),
    "Pow": ("broadcast_power", "broadcast_power", "_power_scalar", "_rpower_scalar"),
    "Max": ("broadcast_maximum", "broadcast_maximum", "_maximum_scalar", "_maximum_scalar"),
    "Min": ("broadcast_minimum", "broadcast_minimum", "_minimum_scalar", "_minimum_scalar"),
}


@FUNCTIONS.of("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean")
def arithmetic(net: OnnxNet, op: Op) -> None:
    op.attrs(axis=None, broadcast=0)
    if op.attributes.get("broadcast"):
        raise op.error("broadcasts as before version 7", "accepted are files of version 7 and newer")
    kind = "Add" if op.type in ("Sum", "Mean") else op.type
    if len(op.inputs) < 2:
        net.same(op, "identity", {})
        return
    rank = max(len(net.top(op, i).shape) for i in range(len(op.inputs)))
    found = operand(net, op, 0, rank)
    for i in range(1, len(op.inputs)):
        last = i == len(op.inputs) - 1 and op.type != "Mean"
        found = two(net, op, kind, found, operand(net, op, i, rank), "" if last else f"_{i}")
    if op.type == "Mean":
        attrs = {"scalar": 1.0 / len(op.inputs)}
        found = found._replace(value=net.emit(op, "_mul_scalar", [found.value], attrs, found.shape))
    net.write(op, found.value, found.shape)


def operand(net: OnnxNet, op: Op, index: int, rank: int) -> Top:
    """An input: a float of one number as it is, which becomes a scalar; other constants with `rank` axes."""
    top = net.top(op, index)
    if top.constant is None or (np.size(top.constant) == 1 and top.qparams is None):
        return top if top.constant is not None else net.read(op, index)
    array = np.asarray(top.constant)
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    name = f"{op.name}_{op.inputs[index]}"
    net.set(name, top._replace(constant=array, shape=array.shape, value=None))
    found = net.valued(name)
    del net.tops[name]
    return found


def two(net: OnnxNet, op: Op, kind: str, x: Top, y: Top, suffix: str = "") -> Top:
    """Emits one operation of two tensors, of which one may be a number."""
    same, broadcast, scalar, reverse = _ARITHMETIC[kind]
    for number, other, name in ((y, x, scalar), (x, y, reverse)):
        if number.value is None and other.value is not None and len(number.shape) <= len(other.shape):
            attrs = {"scalar": float(np.reshape(number.constant, ()))}
            return Top(net.emit(op, name, [other.value], attrs, other.shape, suffix), other.shape)
    tops = [
        top if top.value is not None else top._replace(value=net.param(op, top.constant, "number")) for top in (x, y)
    ]
    values, shapes = spread(net, op, tops, suffix)
    shape = broadcast_shape(op, shapes)
    plain = shapes[0] == shapes[1] and all(top.constant is None for top in tops)  # a constant goes with any batch
    return Top(net.emit(op, same if plain else broadcast, values, {}, shape, suffix), shape)


def spread(net: OnnxNet, op: Op, tops: Sequence[Top], suffix: str = ""):
    """Values and shapes of tensors that broadcast, with as many axes each."""
    rank = max(len(top.shape) for top in tops)
    values, shapes = [], []
    for i, top in enumerate(tops):
        shape = (1,) * (rank - len(top.shape)) + tuple(top.shape)
        value = top.value
        if shape != tuple(top.shape):
            value = net.emit(op, "Reshape", [value], {"shape": shape}, shape, f"{suffix}_spread{i}")
        values.append(value)
        shapes.append(shape)
    return values, shapes


def broadcast_shape(op: Op, shapes: Sequence[Shape]) -> Shape:
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise op.error(f"combines {' and '.join(map(str, shapes))}", "they must broadcast") from None
