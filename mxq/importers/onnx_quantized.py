"""ONNX' quantized operators: QuantizeLinear and DequantizeLinear, and the QLinear family of com.microsoft and of ONNX.

A tensor that the file stores in 8 bits stays a tensor of real numbers here, with its scale and zero point beside it:
what reads it reads it rounded. Signed tensors with a zero point become unsigned ones with 128 added. Weights are
centred by their zero point; where that leaves int8, see `int8_weights.py`.
"""

from typing import Optional, Tuple

import numpy as np

from ..arithmetic.qmath import QParams
from .builder import Integers, Table, Top
from .int8_weights import along
from .onnx_constants import TYPES
from .onnx_functions import global_pool, operand, pool, two
from .onnx_net import OnnxNet, Op
from .onnx_shapes import join
from .onnx_weighted import convolution, fully_connected

#: Scales whose reciprocals, and whose products with 8 bits, are finite float32.
SMALLEST, LARGEST = 1e-35, 1e35

QUANTIZED = Table()
MICROSOFT = Table()


def qparams(op: Op, scale: np.ndarray, zero: np.ndarray) -> QParams:
    """Scale and zero point of a whole tensor, in the form that operators here have."""
    if scale.size != 1 or zero.size != 1:
        raise op.error(f"has {scale.size} scales for a tensor of activations", "accepted is one")
    value = float(np.float32(scale.reshape(())))
    if not SMALLEST <= value <= LARGEST:
        raise op.error(f"has the scale {value}", f"accepted are numbers from {SMALLEST:.0e} to {LARGEST:.0e}")
    if zero.dtype == np.int8:
        point = int(zero.reshape(()))
        return QParams(value, 0, "int8") if point == 0 else QParams(value, point + 128, "uint8")
    if zero.dtype != np.uint8:
        raise op.error(f"has a zero point of type {zero.dtype}", "accepted are int8 and uint8")
    return QParams(value, int(zero.reshape(())), "uint8")


def _pair(net: OnnxNet, op: Op, index: int, kind: str = "uint8") -> Tuple[np.ndarray, np.ndarray]:
    """A scale and the zero point behind it, of this type where it is left out."""
    scale = np.asarray(net.constant(op, index), np.float32)
    if scale.ndim > 1 and scale.size > 1:
        raise op.error(f"has scales of shape {scale.shape}", "accepted are one, or one for each index of an axis")
    return scale, net.constant(op, index + 1, np.zeros((), kind))


def output(net: OnnxNet, op: Op, index: int) -> QParams:
    """How the operator's output is stored."""
    scale, zero = _pair(net, op, index)
    found = qparams(op, scale, zero)
    net.stored[op.outputs[0]] = zero.dtype.name
    return found


def activation(net: OnnxNet, op: Op, index: int) -> Top:
    """An 8-bit input with its scale and zero point behind it, not rounded yet."""
    top = net.top(op, index)
    scale, zero = _pair(net, op, index + 1, net.stored.get(op.inputs[index], "uint8"))
    found = qparams(op, scale, zero)
    if top.constant is not None:
        return centred(net, op, np.asarray(top.constant), scale, zero, 0)
    if top.qparams is None:  # an input of the network: real numbers come in its place
        net.set(op.inputs[index], top._replace(qparams=found))
    elif top.qparams != found:
        raise op.error(f"reads {op.inputs[index]!r} with {found}", f"it is stored with {top.qparams}")
    return net.top(op, index)


def rounded(net: OnnxNet, op: Op, index: int) -> Top:
    """As `activation`, with its value as it is read: rounded."""
    top = activation(net, op, index)
    if top.constant is None:
        return net.valued(op.inputs[index])
    name = f"{op.name}_{op.inputs[index]}"
    net.set(name, top)
    found = net.valued(name)
    del net.tops[name]
    return found


def weight(net: OnnxNet, op: Op, index: int, axis: int = 0) -> Top:
    """Integer weights with their scales and zero points behind them."""
    scale, zero = _pair(net, op, index + 1)
    return centred(net, op, net.constant(op, index), scale, zero, axis)


def centred(net: OnnxNet, op: Op, array: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int) -> Top:
    """A constant that is stored as integers."""
    scale, zero = np.asarray(scale, np.float32).reshape(-1), np.asarray(zero).reshape(-1).astype(np.int64)
    rank = max(array.ndim, 1)
    axis %= rank
    fit = (scale >= SMALLEST) & (scale <= LARGEST)
    if scale.size not in (1, array.shape[axis] if array.ndim else 1) or not fit.all():
        raise op.error(
            f"has {scale.size} scales for {array.shape}", f"accepted are one, or one for each of axis {axis}"
        )

    whole = array.astype(np.int64) - along(zero, axis, rank)
    real = whole.astype(np.float32) * along(scale, axis, rank)
    if array.dtype in (np.int8, np.uint8):
        whole = whole.astype(np.int8 if whole.size == 0 or -128 <= whole.min() <= whole.max() <= 127 else np.int16)
    elif array.dtype == np.int32:
        whole = array
    else:
        raise op.error(f"has integers of type {array.dtype}", "accepted are int8, uint8 and int32")
    eight_bit = array.dtype != np.int32 and scale.size == 1
    found = qparams(op, scale, zero.astype(array.dtype)) if eight_bit else None
    return Top(None, array.shape, real, found, Integers(whole, scale, axis))


@MICROSOFT.of("QuantizeLinear")
@QUANTIZED.of("QuantizeLinear")
def quantize(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(axis=1, saturate=1, output_dtype=0, block_size=0)
    scale, zero = _pair(net, op, 1, np.dtype(TYPES.get(attrs["output_dtype"] or 2, np.float32)).name)
    top = net.top(op)
    if top.constant is not None:  # weights that the file has in float, and rounds: kept as they are rounded
        whole = _rounded(op, np.asarray(top.constant, np.float32), scale, zero, attrs["axis"])
        net.set(op.outputs[0], Top(None, whole.shape, whole))
        return
    found = qparams(op, scale, zero)
    net.stored[op.outputs[0]] = zero.dtype.name
    if top.qparams not in (None, found):  # two roundings, one after the other
        top = net.valued(op.inputs[0])._replace(qparams=None)
    net.set(op.outputs[0], top._replace(qparams=found))


def _rounded(op: Op, array: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int) -> np.ndarray:
    """A constant as the integers that it is stored as."""
    rank = max(array.ndim, 1)
    sizes = (1, array.shape[axis % rank] if array.ndim else 1)
    if zero.dtype not in (np.int8, np.uint8) or scale.size not in sizes or zero.size not in (1, scale.size):
        raise op.error(
            f"has {scale.size} scales and {zero.dtype} zero points for {array.shape}",
            f"accepted are int8 or uint8, one or {sizes[1]}",
        )
    steps = array / along(scale.reshape(-1), axis % rank, rank)
    low, high = np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max
    levels = np.rint(steps) + along(zero.reshape(-1).astype(np.float32), axis % rank, rank)
    return np.clip(levels, low, high).astype(zero.dtype)


@MICROSOFT.of("DequantizeLinear")
@QUANTIZED.of("DequantizeLinear")
def dequantize(net: OnnxNet, op: Op) -> None:
    axis = op.attrs(axis=1, block_size=0)["axis"]
    top = net.top(op)
    scale, zero = _pair(net, op, 1)
    if top.constant is not None:
        array = np.asarray(top.constant)
        if not net.has(op, 2):
            zero = np.zeros((), array.dtype)
        found = centred(net, op, array, scale, zero, axis if scale.size > 1 else 0)
        net.set(op.outputs[0], found)
        return
    activation(net, op, 0)
    net.set(op.outputs[0], net.top(op))


@QUANTIZED.of("QLinearConv")
def qlinear_conv(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None)
    x, kernel = rounded(net, op, 0), weight(net, op, 3)
    bias = _bias(net, op, 8, x, kernel)
    convolution(net, op, x, attrs, kernel, bias, output(net, op, 6))


def _bias(net: OnnxNet, op: Op, index: int, x: Top, kernel: Top) -> Optional[Top]:
    """int32 in units of the input's scale times the weight's."""
    if not net.has(op, index):
        return None
    array = net.constant(op, index)
    scale = (np.float64(net.top(op, 0).qparams.scale) * kernel.integers.scale.astype(np.float64)).astype(np.float32)
    return centred(net, op, array.astype(np.int32), scale, np.zeros(1, np.int32), 0)


@QUANTIZED.of("QLinearMatMul")
def qlinear_matmul(net: OnnxNet, op: Op) -> None:
    op.attrs()
    x, found = rounded(net, op, 0), output(net, op, 6)
    if net.top(op, 3).constant is None:
        y = rounded(net, op, 3)
        shape = (*x.shape[:-1], y.shape[-1])
        if len(x.shape) != 2 or len(y.shape) != 2 or x.shape[1] != y.shape[0]:
            raise op.error(f"multiplies {x.shape} and {y.shape}", "accepted are matrices that fit, or constants")
        net.write(op, net.emit(op, "dot", [x.value, y.value], {}, shape), shape, found)
        return
    kernel = weight(net, op, 3, axis=1)
    fully_connected(net, op, x, kernel, None, transpose=True, qparams=found)


@MICROSOFT.of("QGemm")
def qgemm(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(alpha=1.0, transA=0, transB=0)
    if attrs["transA"] or attrs["alpha"] != 1:
        raise op.error(f"has {attrs}", "accepted are alpha 1 and transA 0")
    x, kernel = rounded(net, op, 0), weight(net, op, 3, axis=0 if attrs["transB"] else 1)
    bias = _bias(net, op, 6, x, kernel)
    found = output(net, op, 7) if net.has(op, 7) else None
    fully_connected(net, op, x, kernel, bias, transpose=not attrs["transB"], qparams=found)


@MICROSOFT.of("QLinearAdd", "QLinearMul")
def qlinear_arithmetic(net: OnnxNet, op: Op) -> None:
    op.attrs()
    parts = [activation(net, op, 0), activation(net, op, 3)]
    rank = max(len(part.shape) for part in parts)
    names = [f"{op.name}_part{i}" for i in range(2)]
    for name, part in zip(names, parts):
        net.set(name, part)
    inner = op._replace(inputs=tuple(names))
    found = two(net, op, op.type[len("QLinear") :], operand(net, inner, 0, rank), operand(net, inner, 1, rank))
    for name in names:
        del net.tops[name]
    net.write(op, found.value, found.shape, output(net, op, 6))


@MICROSOFT.of("QLinearConcat")
def qlinear_concat(net: OnnxNet, op: Op) -> None:
    axis = op.attrs(axis=1)["axis"]
    tops = [rounded(net, op, i) for i in range(2, len(op.inputs), 3)]
    join(net, op, tops, axis, output(net, op, 0))


@MICROSOFT.of("QLinearAveragePool")
def qlinear_average(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(
        auto_pad="NOTSET", ceil_mode=0, channels_last=0, count_include_pad=0, dilations=None, kernel_shape=None,
        pads=None, strides=None,
    )  # fmt: skip
    if attrs["channels_last"]:
        raise op.error("has channels last", "accepted are channels on axis 1")
    pool(net, op, rounded(net, op, 0), attrs, "avg", output(net, op, 3))


@MICROSOFT.of("QLinearGlobalAveragePool")
def qlinear_global(net: OnnxNet, op: Op) -> None:
    if op.attrs(channels_last=0)["channels_last"]:
        raise op.error("has channels last", "accepted are channels on axis 1")
    global_pool(net, op, rounded(net, op, 0), "avg", output(net, op, 3))


@MICROSOFT.of("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax")
def qlinear_function(net: OnnxNet, op: Op) -> None:
    x = rounded(net, op, 0)
    if op.type == "QLinearSigmoid":
        op.attrs()
        name, attrs = "Activation", {"act_type": "sigmoid"}
    elif op.type == "QLinearLeakyRelu":
        name, attrs = "LeakyReLU", {"act_type": "leaky", "slope": float(op.attrs(alpha=0.01)["alpha"])}
    else:
        given = op.attrs(axis=-1, opset=13)
        axis = given["axis"] % len(x.shape)
        if given["opset"] < 13 and any(n != 1 for n in x.shape[axis + 1 :]):
            raise op.error(
                f"is over axes {axis} and behind of {x.shape}", "accepted is the last with more than one value"
            )
        name, attrs = "softmax", {"axis": axis}
    value = net.emit(op, name, [x.value], attrs, x.shape)
    net.write(op, value, x.shape, output(net, op, 3))
