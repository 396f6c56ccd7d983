"""ONNX' operators with weights as MXNet operators.

Weights that the file has as integers are remembered by the name of their parameter (`weights` of the network), so that
the same integers run in the end.
"""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..network.graph import Value
from .builder import Integers, Shape, Table, Top
from .int8_weights import fitted, in_parts
from .onnx_net import OnnxNet, Op

WEIGHTED = Table()


@WEIGHTED.of("Conv")
def conv(net: OnnxNet, op: Op) -> None:
    x = net.read(op)
    attrs = op.attrs(auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None)
    convolution(net, op, x, attrs, net.top(op, 1), net.top(op, 2) if net.has(op, 2) else None)


def convolution(net: OnnxNet, op: Op, x: Top, attrs: Dict, weight: Top, bias: Optional[Top], qparams=None) -> None:
    """Emits a Convolution; `qparams`: how its output is stored."""
    shape = weight.shape
    rank = len(shape) - 2
    if rank not in (1, 2, 3) or len(x.shape) != len(shape) or weight.constant is None:
        raise op.error(f"has weights of shape {shape} for data of {x.shape}", "accepted are constants, 1-D to 3-D")
    group, kernel = attrs["group"], tuple(shape[2:])
    if attrs["kernel_shape"] is not None and tuple(attrs["kernel_shape"]) != kernel:
        raise op.error(f"has kernel_shape {attrs['kernel_shape']}", f"its weights have {kernel}")
    if group < 1 or x.shape[1] != shape[1] * group or shape[0] % group:
        raise op.error(
            f"reads {x.shape[1]} channels in {group} groups", f"its weights of {shape} need {shape[1] * group}"
        )
    found = fitted(net, op, x, weight, inputs=1, axis=1, groups=group)
    x = found.x
    stride, dilation = (op.sizes(attrs, name, rank) for name in ("strides", "dilations"))
    begin, end = padding(op, attrs, x.shape[2:], kernel, stride, dilation)
    size = [
        (n + b + e - (d * (k - 1) + 1)) // s + 1
        for n, b, e, k, s, d in zip(x.shape[2:], begin, end, kernel, stride, dilation)
    ]
    mx_attrs = {
        "num_filter": shape[0],
        "kernel": kernel,
        "stride": stride,
        "pad": begin if begin == end else (0,) * rank,
        "dilate": dilation,
        "num_group": group,
    }
    out = (x.shape[0], shape[0], *size)

    def layer(part: Top, suffix: str, has_bias: bool) -> Value:
        source = x.value if begin == end else padded(net, op, x, begin, end, suffix=suffix)
        inputs = [source, weights(net, op, part, f"weight{suffix}")]
        if bias is not None and has_bias:
            inputs.append(weights(net, op, bias, "bias"))
        return net.emit(op, "Convolution", inputs, {**mx_attrs, "no_bias": len(inputs) < 3}, out, suffix)

    net.write(op, in_parts(net, op, found, layer, out), out, qparams)


def weights(net: OnnxNet, op: Op, top: Top, suffix: str, transpose: bool = False) -> Value:
    """A constant as a parameter; its integers, if the file has such, are remembered."""
    if top.constant is None:
        raise op.error(f"has a {suffix} that depends on the data", "accepted are constants")
    array, integers = np.asarray(top.constant, np.float32), top.integers
    if transpose:
        array = np.ascontiguousarray(array.T)
        if integers is not None:
            axis = integers.axis if integers.scale.size == 1 else 1 - integers.axis
            integers = Integers(np.ascontiguousarray(integers.integers.T), integers.scale, axis)
    value = net.param(op, array, suffix)
    if integers is not None:
        net.weights[value.node.name] = integers
    return value


def padding(op: Op, attrs: Dict, sizes: Sequence[int], kernel, stride, dilation) -> Tuple[Tuple, Tuple]:
    """(begin, end) of each spatial axis."""
    rank = len(kernel)
    mode = attrs["auto_pad"]
    mode = mode.decode() if isinstance(mode, bytes) else mode
    if mode == "NOTSET":
        pads = tuple(attrs["pads"] or (0,) * (2 * rank))
        if len(pads) != 2 * rank or min(pads) < 0:
            raise op.error(f"has pads {pads}", f"accepted are {2 * rank} numbers from 0")
        return pads[:rank], pads[rank:]
    if mode == "VALID":
        return (0,) * rank, (0,) * rank
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise op.error(f"has auto_pad {mode!r}", "accepted are NOTSET, VALID, SAME_UPPER and SAME_LOWER")
    begin, end = [], []
    for n, k, s, d in zip(sizes, kernel, stride, dilation):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        low = total // 2 if mode == "SAME_UPPER" else total - total // 2
        begin.append(low)
        end.append(total - low)
    return tuple(begin), tuple(end)


def padded(net: OnnxNet, op: Op, x: Top, begin, end, value: float = 0.0, suffix: str = ""):
    """A Pad of the spatial axes in front of an operator."""
    pairs = [(0, 0), (0, 0), *zip(begin, end)]
    shape = tuple(n + b + e for n, (b, e) in zip(x.shape, pairs))
    if len(x.shape) == 3:  # MXNet pads four or five axes
        wide = net.emit(op, "expand_dims", [x.value], {"axis": 2}, (*x.shape[:2], 1, x.shape[2]), f"{suffix}_wide")
        attrs = {"mode": "constant", "constant_value": value, "pad_width": (0, 0, 0, 0, 0, 0, *pairs[2])}
        wide = net.emit(op, "Pad", [wide], attrs, (*shape[:2], 1, shape[2]), f"{suffix}_pad")
        return net.emit(op, "Reshape", [wide], {"shape": (0, 0, -1)}, shape, f"{suffix}_narrow")
    attrs = {"mode": "constant", "constant_value": value, "pad_width": tuple(n for pair in pairs for n in pair)}
    return net.emit(op, "Pad", [x.value], attrs, shape, f"{suffix}_pad")


@WEIGHTED.of("ConvTranspose")
def conv_transpose(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(
        auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None, output_shape=None,
        pads=None, strides=None,
    )  # fmt: skip
    x, weight = net.read(op), net.top(op, 1)
    rank = len(weight.shape) - 2
    if rank not in (1, 2) or len(x.shape) != rank + 2:
        raise op.error(
            f"has weights of shape {weight.shape} for data of {x.shape}", "accepted are one or two dimensions"
        )
    stride, dilation = (op.sizes(attrs, name, rank) for name in ("strides", "dilations"))
    more, kernel = op.sizes(attrs, "output_padding", rank, 0), tuple(weight.shape[2:])
    group = attrs["group"]
    if group < 1 or x.shape[1] != weight.shape[0] or weight.shape[0] % group:
        raise op.error(f"reads {x.shape[1]} channels in {group} groups", f"its weights of {weight.shape} do not fit")
    full = [s * (n - 1) + d * (k - 1) + 1 + a for n, k, s, d, a in zip(x.shape[2:], kernel, stride, dilation, more)]
    begin, end = _cropping(op, attrs, full, [n * s for n, s in zip(x.shape[2:], stride)])
    pad = begin if begin == end else (0,) * rank
    inputs = [x.value, weights(net, op, weight, "weight")]
    if net.has(op, 2):
        inputs.append(weights(net, op, net.top(op, 2), "bias"))
    outputs = weight.shape[1] * group
    mx_attrs = {
        "num_filter": outputs,
        "kernel": kernel,
        "stride": stride,
        "pad": pad,
        "adj": more,
        "dilate": dilation,
        "num_group": group,
        "no_bias": len(inputs) < 3,
    }
    shape = (x.shape[0], outputs, *(n - 2 * p for n, p in zip(full, pad)))
    value = net.emit(op, "Deconvolution", inputs, mx_attrs, shape, "" if begin == end else "_full")
    if begin != end:
        ends = tuple(n - e for n, e in zip(full, end))
        shape = (*shape[:2], *(e - b for b, e in zip(begin, ends)))
        value = net.emit(op, "slice", [value], {"begin": (None, None, *begin), "end": (None, None, *ends)}, shape)
    net.write(op, value, shape)


def _cropping(op: Op, attrs: Dict, full: Sequence[int], same: Sequence[int]) -> Tuple[Tuple, Tuple]:
    """What a transposed convolution leaves out at the begin and the end of each spatial axis."""
    rank, mode = len(full), attrs["auto_pad"]
    mode = mode.decode() if isinstance(mode, bytes) else mode
    pads = tuple(attrs["pads"] or (0,) * 2 * rank)
    wanted = attrs["output_shape"] or (same if mode.startswith("SAME") else None)
    if wanted is not None:
        total = [n - int(m) for n, m in zip(full, wanted[-rank:])]
        low = tuple(n // 2 if mode == "SAME_UPPER" else n - n // 2 for n in total)
        pads = low + tuple(n - b for n, b in zip(total, low))
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") or len(pads) != 2 * rank or min(pads) < 0:
        raise op.error(f"has auto_pad {mode}, pads {pads}", f"accepted are {2 * rank} numbers from 0")
    return pads[:rank], pads[rank:]


@WEIGHTED.of("Gemm")
def gemm(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(alpha=1.0, beta=1.0, transA=0, transB=0)
    x, weight = net.read(op), net.top(op, 1)
    if attrs["transA"] or len(x.shape) != 2:
        raise op.error(f"multiplies {x.shape} with transA {attrs['transA']}", "accepted are two axes, transA 0")
    bias = times(net.top(op, 2), attrs["beta"]) if net.has(op, 2) else None
    fully_connected(net, op, x, times(weight, attrs["alpha"]), bias, transpose=not attrs["transB"])


def times(top: Top, factor: float) -> Top:
    """A constant times a number; integers keep, their scales change."""
    if factor == 1 or top.constant is None:
        return top
    kept = top.integers
    if kept is not None:
        kept = kept._replace(scale=(kept.scale * np.float32(factor)).astype(np.float32)) if factor > 0 else None
    return top._replace(constant=np.asarray(top.constant) * np.float32(factor), integers=kept)


@WEIGHTED.of("MatMul")
def matmul(net: OnnxNet, op: Op) -> None:
    op.attrs()
    x, weight = net.read(op), net.top(op, 1)
    if weight.constant is not None and len(weight.shape) == 2 and len(x.shape) >= 2:
        fully_connected(net, op, x, weight, None, transpose=True)
        return
    y = net.read(op, 1)
    if len(x.shape) != len(y.shape) or len(x.shape) < 2 or x.shape[:-2] != y.shape[:-2]:
        raise op.error(f"multiplies {x.shape} and {y.shape}", "accepted are matrices, or batches of them of one size")
    shape = (*x.shape[:-1], y.shape[-1])
    name = {2: "dot", 3: "batch_dot"}.get(len(shape), "_linalg_gemm2")
    net.write(op, net.emit(op, name, [x.value, y.value], {}, shape), shape)


def fully_connected(
    net: OnnxNet, op: Op, x: Top, weight: Top, bias: Optional[Top], *, transpose: bool, qparams=None
) -> None:
    """Emits a FullyConnected over the last axis; `transpose`: the file has (inputs, outputs)."""
    inputs, outputs = weight.shape if transpose else weight.shape[::-1]
    if len(weight.shape) != 2 or x.shape[-1] != inputs:
        raise op.error(f"multiplies {x.shape} and {weight.shape}", "inner sizes must agree")
    x, weight, _ = fitted(net, op, x, weight, inputs=0 if transpose else 1, axis=len(x.shape) - 1)
    values = [x.value, weights(net, op, weight, "weight", transpose)]
    if bias is not None:
        along_outputs = np.size(bias.constant) == (bias.shape[-1] if bias.shape else 1)  # not one for each row
        if bias.constant is None or not along_outputs or np.size(bias.constant) not in (1, outputs):
            raise op.error(f"adds a tensor of shape {bias.shape}", f"accepted are {outputs} constants")
        flat = np.broadcast_to(np.asarray(bias.constant).reshape(-1), (outputs,))
        kept = bias.integers if bias.integers is not None and bias.integers.integers.size == outputs else None
        if kept is not None:
            kept = Integers(kept.integers.reshape(-1), kept.scale, 0)
        values.append(weights(net, op, bias._replace(constant=flat, integers=kept), "bias"))
    shape: Shape = (*x.shape[:-1], outputs)
    attrs = {"num_hidden": outputs, "no_bias": bias is None, "flatten": len(x.shape) == 2}
    net.write(op, net.emit(op, "FullyConnected", values, attrs, shape), shape, qparams)


@WEIGHTED.of("BatchNormalization")
def batch_normalization(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(epsilon=1e-5, momentum=0.9, spatial=1, training_mode=0, consumed_inputs=None, is_test=1)
    if attrs["training_mode"] or not attrs["spatial"]:
        raise op.error("is in training mode, or has statistics of each position", "accepted are inference and channels")
    x = net.read(op)
    gamma, beta, mean, variance = (net.constant(op, i) for i in range(1, 5))
    inputs = [x.value, net.param(op, gamma, "gamma"), net.param(op, beta, "beta")]
    inputs += [net.param(op, mean, "moving_mean", aux=True), net.param(op, variance, "moving_var", aux=True)]
    mx_attrs = {"eps": float(attrs["epsilon"]), "fix_gamma": False, "use_global_stats": True}
    net.write(op, net.emit(op, "BatchNorm", inputs, mx_attrs, x.shape), x.shape)


@WEIGHTED.of("InstanceNormalization")
def instance_normalization(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(epsilon=1e-5)
    scale, bias = (net.param(op, net.constant(op, i).reshape(-1), name) for i, name in ((1, "gamma"), (2, "beta")))
    net.same(op, "InstanceNorm", {"eps": float(attrs["epsilon"])}, [scale, bias])


@WEIGHTED.of("PRelu")
def prelu(net: OnnxNet, op: Op) -> None:
    op.attrs()
    x, slope = net.read(op), net.constant(op, 1)
    channels = x.channels
    shapes: List[Shape] = [(1,), (channels,) + (1,) * (len(x.shape) - 2), (1, channels) + (1,) * (len(x.shape) - 2)]
    if slope.size != 1 and slope.shape not in shapes:
        raise op.error(f"has slopes of shape {slope.shape}", f"accepted is one, or one for each of {channels} channels")
    net.same(op, "LeakyReLU", {"act_type": "prelu"}, [net.param(op, slope.reshape(-1), "gamma")])
