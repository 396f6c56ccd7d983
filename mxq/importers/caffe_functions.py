"""Caffe's pooling and its functions of one number, as MXNet operators.

Caffe rounds the size of pooling up and drops a last window that begins in the padding.
"""

import math
from typing import List, Optional, Sequence, Tuple

from .builder import Table
from .caffe_fields import WINDOW, image, window
from .caffe_net import Layer, Net
from .prototext import Message

_POOLING = ("pool", "global_pooling", "engine", "round_mode", "ceil_mode", *WINDOW)

FUNCTIONS = Table()


@FUNCTIONS.of("Pooling")
def pooling(net: Net, it: Layer) -> None:
    param = it.param("pooling_param", _POOLING)
    x = image(net, it, param)
    kinds = {"MAX": "max", 0: "max", "AVE": "avg", 1: "avg"}
    kind = kinds.get(param.all("pool")[-1] if param.all("pool") else "MAX")
    if kind is None:
        raise it.error(f"has pool: {param.one('pool')}", "accepted are MAX and AVE")
    if param.one("global_pooling", False):
        attrs = {"kernel": (1, 1), "pool_type": kind, "global_pool": True}
        shape = (*x.shape[:2], 1, 1)
        net.write(it, net.emit(it, "Pooling", [x.value], attrs, shape), shape)
        return
    kernel, stride, pad = window(it, param)
    up = param.one("round_mode") not in ("FLOOR", 1) and param.one("ceil_mode", True)
    sizes, full = [], []
    for n, k, s, p in zip(x.shape[2:], kernel, stride, pad):
        if n + 2 * p < k:
            raise it.error(f"has a window of {k} on {n} + 2 * {p}", "it must fit")
        count = (math.ceil if up else math.floor)((n + 2 * p - k) / s) + 1
        full.append(count)
        if p and (count - 1) * s >= n + p:
            count -= 1  # a window that begins in the padding behind the image is dropped
        if (count - 1) * s >= n + p:
            raise it.error(f"has a window behind an image of {n} (kernel {k}, stride {s})", "each must hold a value")
        sizes.append(count)
    attrs = {"kernel": kernel, "stride": stride, "pad": pad, "pool_type": kind}
    attrs["pooling_convention"] = "full" if up else "valid"
    down = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape[2:], kernel, stride, pad)]
    shape = (*x.shape[:2], *sizes)
    if up and down == sizes:
        attrs["pooling_convention"], full = "valid", sizes
    value = net.emit(it, "Pooling", [x.value], attrs, (*x.shape[:2], *full), "" if full == sizes else "_full")
    if full != sizes:
        ends = tuple(None if whole == size else size for whole, size in zip(full, sizes))
        value = net.emit(it, "slice", [value], {"begin": (None,) * 4, "end": (None, None, *ends)}, shape)
    net.write(it, value, shape)


@FUNCTIONS.of("ReLU")
def relu(net: Net, it: Layer) -> None:
    slope = it.param("relu_param", ("negative_slope", "engine")).one("negative_slope", 0.0)
    if slope:
        net.same(it, "LeakyReLU", {"act_type": "leaky", "slope": slope})
    else:
        net.same(it, "Activation", {"act_type": "relu"})


@FUNCTIONS.of("ReLU6")
def relu6(net: Net, it: Layer) -> None:
    it.param("relu_param", ("engine",))
    net.same(it, "clip", {"a_min": 0.0, "a_max": 6.0})


@FUNCTIONS.of("Sigmoid")
def sigmoid(net: Net, it: Layer) -> None:
    it.param("sigmoid_param", ("engine",))
    net.same(it, "Activation", {"act_type": "sigmoid"})


@FUNCTIONS.of("TanH")
def tanh(net: Net, it: Layer) -> None:
    it.param("tanh_param", ("engine",))
    net.same(it, "Activation", {"act_type": "tanh"})


@FUNCTIONS.of("ELU")
def elu(net: Net, it: Layer) -> None:
    alpha = it.param("elu_param", ("alpha",)).one("alpha", 1.0)
    net.same(it, "LeakyReLU", {"act_type": "elu", "slope": alpha})


@FUNCTIONS.of("AbsVal")
def absolute(net: Net, it: Layer) -> None:
    it.param("", ())
    net.same(it, "abs", {})


@FUNCTIONS.of("BNLL")
def softplus(net: Net, it: Layer) -> None:
    it.param("", ())
    net.same(it, "Activation", {"act_type": "softrelu"})


@FUNCTIONS.of("Power")
def power(net: Net, it: Layer) -> None:
    param = it.param("power_param", ("power", "scale", "shift"))
    _scalars(net, it, [*_scaled(param), ("_power_scalar", param.one("power", 1.0), 1.0)])


@FUNCTIONS.of("Exp")
def exponential(net: Net, it: Layer) -> None:
    param = it.param("exp_param", ("base", "scale", "shift"))
    _scalars(net, it, [*_scaled(param, _logarithm(it, param)), ("exp", None, 0.0)])


@FUNCTIONS.of("Log")
def logarithm(net: Net, it: Layer) -> None:
    param = it.param("log_param", ("base", "scale", "shift"))
    base = _logarithm(it, param)
    if base == 0:
        raise it.error("has base 1", "accepted is -1 for e, or another number above 0")
    _scalars(net, it, [*_scaled(param), ("log", None, 0.0), ("_mul_scalar", 1.0 / base, 1.0)])


def _logarithm(it: Layer, param: Message) -> float:
    """The natural logarithm of the layer's base."""
    base = param.one("base", -1.0)
    if base != -1.0 and base <= 0:
        raise it.error(f"has base {base}", "accepted is -1 for e, or a number above 0")
    return 1.0 if base == -1.0 else math.log(base)


_Step = Tuple[str, Optional[float], float]  # an operator, its number if it has one, the number that changes nothing


def _scaled(param: Message, factor: float = 1.0) -> List[_Step]:
    """x * scale + shift, times a factor."""
    scale, shift = factor * param.one("scale", 1.0), factor * param.one("shift", 0.0)
    return [("_mul_scalar", scale, 1.0), ("_plus_scalar", shift, 0.0)]


def _scalars(net: Net, it: Layer, steps: Sequence[_Step]) -> None:
    """One operator for each step whose number is not neutral; the last one has the layer's name."""
    x = net.bottom(it)
    todo = [(op, {} if number is None else {"scalar": number}) for op, number, neutral in steps if number != neutral]
    value = x.value
    for i, (op, attrs) in enumerate(todo or [("identity", {})]):
        value = net.emit(it, op, [value], attrs, x.shape, "" if i >= len(todo) - 1 else op)
    net.write(it, value, x.shape)


@FUNCTIONS.of("LRN")
def lrn(net: Net, it: Layer) -> None:
    param = it.param("lrn_param", ("local_size", "alpha", "beta", "k", "norm_region", "engine"))
    if param.one("norm_region") not in (None, "ACROSS_CHANNELS", 0):
        raise it.error(f"has norm_region: {param.one('norm_region')}", "accepted is ACROSS_CHANNELS")
    size = param.one("local_size", 5)
    if size < 1 or size % 2 == 0:
        raise it.error(f"has local_size {size}", "accepted are odd numbers")
    attrs = {
        "nsize": size,
        "alpha": param.one("alpha", 1.0),
        "beta": param.one("beta", 0.75),
        "knorm": param.one("k", 1.0),
    }
    net.same(it, "LRN", attrs)


@FUNCTIONS.of("Softmax", "SoftmaxWithLoss")
def softmax(net: Net, it: Layer) -> None:
    x = net.bottom(it)
    axis = it.param("softmax_param", ("axis", "engine")).one("axis", 1)
    value = net.emit(it, "softmax", [x.value], {"axis": axis % len(x.shape)}, x.shape)
    net.write(it, value, x.shape)
