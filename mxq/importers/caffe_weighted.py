"""Caffe's layers with weights, and those that normalize: what they compute as MXNet operators.

Caffe's BatchNorm keeps sums and a factor, without gamma and beta, which a Scale behind it brings. Weights may have
leading axes of size 1.
"""

from typing import Dict

import numpy as np

from .builder import Shape, Table, Top
from .caffe_fields import FILLERS, WINDOW, count, image, pair, window
from .caffe_net import Layer, Net
from .prototext import Message

WEIGHTED = Table()

_CONVOLUTION = ("num_output", "bias_term", "group", "dilation", "axis", *WINDOW, *FILLERS)


@WEIGHTED.of("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
def convolution(net: Net, it: Layer) -> None:
    param = it.param("convolution_param", _CONVOLUTION)
    x = image(net, it, param)
    attrs = _attributes(it, param, x, 1 if it.type == "Convolution" else x.channels)
    outputs, axes = (
        attrs["num_filter"],
        zip(x.shape[2:], *(attrs[name] for name in ("pad", "dilate", "kernel", "stride"))),
    )
    size = [(n + 2 * p - (d * (k - 1) + 1)) // s + 1 for n, p, d, k, s in axes]
    channels = (outputs, x.channels // attrs["num_group"])
    _weighted(net, it, param, x, channels, attrs, (outputs, *size), "Convolution")


@WEIGHTED.of("Deconvolution")
def deconvolution(net: Net, it: Layer) -> None:
    param = it.param("convolution_param", _CONVOLUTION)
    x = image(net, it, param)
    attrs = _attributes(it, param, x, 1)
    outputs, axes = (
        attrs["num_filter"],
        zip(x.shape[2:], *(attrs[name] for name in ("pad", "dilate", "kernel", "stride"))),
    )
    size = [s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, p, d, k, s in axes]
    channels = (x.channels, outputs // attrs["num_group"])
    _weighted(net, it, param, x, channels, attrs, (outputs, *size), "Deconvolution")


def _attributes(it: Layer, param: Message, x: Top, groups: int) -> Dict:
    """Those of a convolution, either way; `groups` where the layer does not say."""
    kernel, stride, pad = window(it, param)
    outputs, group = count(it, param, "num_output"), param.one("group", groups)
    if group < 1 or x.channels % group or outputs % group:
        raise it.error(f"has {x.channels} and {outputs} channels in {group} groups", "both must divide")
    attrs = {"kernel": kernel, "stride": stride, "pad": pad, "dilate": pair(it, param, "dilation", 1)}
    return {"num_filter": outputs, "num_group": group, **attrs}


def _weighted(net: Net, it: Layer, param: Message, x: Top, channels: Shape, attrs: Dict, shape: Shape, op: str) -> None:
    bias = param.one("bias_term", True)
    inputs = [x.value, net.weight(it, 0, (*channels, *attrs["kernel"]), "weight")]
    if bias:
        inputs.append(net.weight(it, 1, shape[:1], "bias"))
    shape = (x.shape[0], *shape)
    net.write(it, net.emit(it, op, inputs, {**attrs, "no_bias": not bias}, shape), shape)


@WEIGHTED.of("InnerProduct")
def inner_product(net: Net, it: Layer) -> None:
    param = it.param("inner_product_param", ("num_output", "bias_term", "axis", "transpose", *FILLERS))
    x = net.bottom(it)
    outputs, axis = count(it, param, "num_output"), param.one("axis", 1) % len(x.shape)
    if axis != 1 and axis != len(x.shape) - 1:
        raise it.error(f"has axis {axis} of {len(x.shape)}", "accepted are 1 and the last")
    inner = int(np.prod(x.shape[axis:]))
    weight = net.weight(it, 0, (inner, outputs) if param.one("transpose", False) else (outputs, inner), "weight")
    if param.one("transpose", False):
        net.graph.params[weight.node.name] = np.ascontiguousarray(net.graph.params[weight.node.name].T)
    bias = param.one("bias_term", True)
    inputs = [x.value, weight] + ([net.weight(it, 1, (outputs,), "bias")] if bias else [])
    shape = (*x.shape[:axis], outputs)
    attrs = {"num_hidden": outputs, "no_bias": not bias, "flatten": axis == 1}
    net.write(it, net.emit(it, "FullyConnected", inputs, attrs, shape), shape)


@WEIGHTED.of("BatchNorm")
def batch_norm(net: Net, it: Layer) -> None:
    param = it.param("batch_norm_param", ("use_global_stats", "moving_average_fraction", "eps"))
    x = net.bottom(it)
    if not param.one("use_global_stats", True):
        raise it.error("has use_global_stats: false", "accepted is true: statistics of a batch are for training")
    blobs = net.blobs(it, 3)
    if len(blobs) != 3:
        raise it.error(f"has {len(blobs)} arrays", "accepted are mean, variance and their factor")
    factor = float(blobs[2].reshape(-1)[0]) if blobs[2].size else 0.0
    kept = 0.0 if factor == 0 else 1.0 / factor
    channels = x.channels
    mean, variance = (_vector(net, it, i, channels) * np.float32(kept) for i in (0, 1))
    _normalize(net, it, x, np.ones(channels), np.zeros(channels), mean, variance, param.one("eps", 1e-5))


@WEIGHTED.of("Scale")
def scale(net: Net, it: Layer) -> None:
    param = it.param("scale_param", ("axis", "num_axes", "filler", "bias_term", "bias_filler"))
    x = net.bottom(it)
    axis = param.one("axis", 1)
    if len(it.bottoms) > 1:
        if param.one("bias_term", False):
            raise it.error("has two inputs and a bias", "accepted is one of them")
        broadcast(net, it, "broadcast_mul", axis)
        return
    channels = x.channels
    if axis % len(x.shape) != 1 or param.one("num_axes", 1) != 1:
        raise it.error(
            f"has axis {axis} and {param.one('num_axes', 1)} axes", "accepted is one factor a channel, axis 1"
        )
    gamma = _vector(net, it, 0, channels)
    beta = _vector(net, it, 1, channels) if param.one("bias_term", False) else np.zeros(channels)
    source = x.value.node
    if source.op == "BatchNorm" and source.name + "_gamma" in net.graph.params and _is_plain(net, source):
        # Behind a BatchNorm these are its gamma and beta. It stays where others read it, else it is pruned.
        mean, variance = (net.graph.params[v.node.name] for v in source.inputs[3:5])
        before = Top(source.inputs[0], x.shape)
        _normalize(net, it, before, gamma, beta, mean, variance, source.get("eps"))
        return
    _normalize(net, it, x, gamma, beta, np.zeros(channels), np.full(channels, 1 - _EPS), _EPS)


#: With this epsilon and a variance of 1 less it, a BatchNorm multiplies and adds alone.
_EPS = 2.0**-10


@WEIGHTED.of("Bias")
def bias(net: Net, it: Layer) -> None:
    param = it.param("bias_param", ("axis", "num_axes", "filler"))
    x = net.bottom(it)
    if len(it.bottoms) > 1:
        broadcast(net, it, "broadcast_add", param.one("axis", 1))
        return
    if param.one("axis", 1) % len(x.shape) != 1 or param.one("num_axes", 1) != 1:
        raise it.error(f"has axis {param.one('axis', 1)}", "accepted is one number a channel, axis 1")
    channels = x.channels
    beta = _vector(net, it, 0, channels)
    _normalize(net, it, x, np.ones(channels), beta, np.zeros(channels), np.full(channels, 1 - _EPS), _EPS)


def _normalize(net: Net, it: Layer, x: Top, gamma, beta, mean, variance, eps: float) -> None:
    inputs = [x.value, net.param(it, gamma, "gamma"), net.param(it, beta, "beta")]
    inputs += [net.param(it, mean, "moving_mean", aux=True), net.param(it, variance, "moving_var", aux=True)]
    attrs = {"eps": eps, "fix_gamma": False, "use_global_stats": True}
    net.write(it, net.emit(it, "BatchNorm", inputs, attrs, x.shape), x.shape)


def _is_plain(net: Net, node) -> bool:
    gamma, beta = (net.graph.params[v.node.name] for v in node.inputs[1:3])
    return bool((gamma == 1).all() and (beta == 0).all())


def _vector(net: Net, it: Layer, index: int, channels: int) -> np.ndarray:
    array = net.blobs(it, index + 1)[index].reshape(-1)
    if array.size != channels:
        raise it.error(f"has {array.size} numbers (array {index})", f"its input has {channels} channels")
    return array


@WEIGHTED.of("PReLU")
def prelu(net: Net, it: Layer) -> None:
    param = it.param("prelu_param", ("filler", "channel_shared"))
    x = net.bottom(it)
    shape = (1,) if param.one("channel_shared", False) else (x.channels,)
    net.same(it, "LeakyReLU", {"act_type": "prelu"}, [net.weight(it, 0, shape, "gamma")])


def broadcast(net: Net, it: Layer, op: str, axis: int) -> None:
    """Two inputs: the second spans axes of the first, from `axis` on."""
    x, other = net.bottom(it), net.bottom(it, 1)
    rank = len(x.shape)
    axis %= rank
    if x.shape[axis : axis + len(other.shape)] != other.shape:
        raise it.error(f"reads {x.shape} and {other.shape}", f"the second must be as the first from axis {axis} on")
    shape = (1,) * axis + other.shape + (1,) * (rank - axis - len(other.shape))
    value = other.value
    if shape != other.shape:
        kept = (0,) if axis == 0 else (1,)
        value = net.emit(it, "Reshape", [value], {"shape": kept + shape[1:]}, shape, "_spread")
    net.write(it, net.emit(it, op, [x.value, value], {}, x.shape), x.shape)
