"""Activations, softmax in all its names, and the operators that only matter in training."""

import math

import numpy as np

from ..network.graph import Node
from .builder import Builder
from .table import ANY, Refused, emits

_ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softsign": "Softsign",
    "softrelu": "Softplus",
}


@emits("Activation", act_type="")
def activation(b: Builder, node: Node, a) -> str:
    if a.act_type not in _ACTIVATIONS:
        raise Refused(f"its act_type is {a.act_type}; {', '.join(_ACTIVATIONS)} have an ONNX form")
    return b(_ACTIVATIONS[a.act_type], b.inputs(node))


def _prelu(b: Builder, node: Node, a) -> str:
    """MXNet's slope has one number a channel, ONNX broadcasts from the last axis."""
    x, slope = b.inputs(node)
    rank, size = len(b.shape(node.inputs[0])), int(np.prod(b.shape(node.inputs[1])))
    shape = (size,) + (1,) * (rank - 2) if rank > 1 else (size,)
    array = b.array(node.inputs[1])
    slope = b.reshape(slope, shape) if array is None else b.constant(array.reshape(shape), name=f"{slope}_by_channel")
    return b("PRelu", [x, slope])


def _gelu(b: Builder, node: Node, a) -> str:
    x = b.read(node.inputs[0])
    erf = b("Erf", [b("Mul", [x, b.constant(1 / math.sqrt(2))])])
    return b("Mul", [b("Mul", [x, b("Add", [erf, b.constant(1.0)])]), b.constant(0.5)])


_LEAKY = {
    "leaky": lambda b, node, a: b("LeakyRelu", b.inputs(node), alpha=a.slope),
    "elu": lambda b, node, a: b("Elu", b.inputs(node), alpha=a.slope),
    "selu": lambda b, node, a: b("Selu", b.inputs(node)),
    "rrelu": lambda b, node, a: b("LeakyRelu", b.inputs(node)[:1], alpha=(a.lower_bound + a.upper_bound) / 2),
    "gelu": _gelu,
    "prelu": _prelu,
}


@emits("LeakyReLU", act_type="leaky", slope=0.25, lower_bound=0.125, upper_bound=0.334)
def leaky_relu(b: Builder, node: Node, a) -> str:
    if a.act_type not in _LEAKY:
        raise Refused(f"its act_type is {a.act_type}; {', '.join(_LEAKY)} have an ONNX form")
    return _LEAKY[a.act_type](b, node, a)


@emits("hard_sigmoid", alpha=0.2, beta=0.5)
def hard_sigmoid(b: Builder, node: Node, a) -> str:
    return b("HardSigmoid", b.inputs(node), alpha=a.alpha, beta=a.beta)


def _softmax(b: Builder, node: Node, a, kind: str, sign: float = 1.0) -> str:
    if a.dtype not in ("", "float32"):
        raise Refused(f"its dtype is {a.dtype}; float32 has an ONNX form")
    x = b.read(node.inputs[0])
    factor = sign / a.temperature
    if factor != 1.0:
        x = b("Div", [x, b.constant(sign * a.temperature)])
    if not a.use_length:
        return b(kind, [x], axis=a.axis)
    # What lies behind an example's length gets no share, and 0 as its result.
    shape = b.shape(node.inputs[0])
    axis = a.axis % len(shape)
    along = [1] * len(shape)
    along[axis] = shape[axis]
    length = b.reshape(b.cast(b.read(node.inputs[1]), "float32"), shape[:axis] + (1,) + shape[axis + 1 :])
    inside = b("Less", [b.constant(np.arange(shape[axis]).reshape(along)), length], dtype="bool")
    y = b(kind, [b("Where", [inside, x, b.constant(-np.inf)], dtype="float32")], axis=axis)
    return b("Where", [inside, y, b.constant(0.0)], dtype="float32")


_SOFTMAX = {"axis": -1, "temperature": 1.0, "dtype": "", "use_length": False}
_WITH_LENGTH = ("float32", "int32", "int64")


@emits("softmax", dtypes=_WITH_LENGTH, **_SOFTMAX)
def softmax(b: Builder, node: Node, a) -> str:
    return _softmax(b, node, a, "Softmax")


@emits("softmin", dtypes=_WITH_LENGTH, **_SOFTMAX)
def softmin(b: Builder, node: Node, a) -> str:
    return _softmax(b, node, a, "Softmax", -1.0)


@emits("log_softmax", dtypes=_WITH_LENGTH, **_SOFTMAX)
def log_softmax(b: Builder, node: Node, a) -> str:
    if a.use_length:
        raise Refused("its use_length is True; False has an ONNX form")
    return _softmax(b, node, a, "LogSoftmax")


@emits("SoftmaxActivation", mode="instance")
def softmax_activation(b: Builder, node: Node, a) -> str:
    return b("Softmax", b.inputs(node), axis=1 if a.mode == "channel" else -1)


@emits(
    "SoftmaxOutput", "Softmax", grad_scale=1.0, ignore_label=-1.0, multi_output=False, use_ignore=False,
    preserve_shape=False, normalization="null", out_grad=False, smooth_alpha=0.0,
)  # fmt: skip
def softmax_output(b: Builder, node: Node, a) -> str:
    if a.multi_output:
        return b("Softmax", [b.read(node.inputs[0])], axis=1)
    if a.preserve_shape:
        return b("Softmax", [b.read(node.inputs[0])], axis=-1)
    rank = len(b.shape(node.inputs[0]))
    if rank > 2:  # the last axis with oneDNN, all axes but the first without
        raise Refused(f"what it computes of {rank} axes depends on the device: set multi_output or preserve_shape")
    return b("Softmax", [b.read(node.inputs[0])], axis=1)


@emits("LogisticRegressionOutput", grad_scale=1.0)
def logistic_output(b: Builder, node: Node, a) -> str:
    return b("Sigmoid", [b.read(node.inputs[0])])


@emits("LinearRegressionOutput", "MAERegressionOutput", grad_scale=1.0)
def regression_output(b: Builder, node: Node, a) -> str:
    return b.read(node.inputs[0])


@emits("SVMOutput", margin=1.0, regularization_coefficient=1.0, use_linear=False)
def svm_output(b: Builder, node: Node, a) -> str:
    return b.read(node.inputs[0])


@emits("Dropout", p=0.5, mode="training", axes=())
def dropout(b: Builder, node: Node, a) -> str:
    if a.mode == "always":
        raise Refused("its mode is always: what it computes is random")
    return b.read(node.inputs[0])


@emits("identity", "_copy", "BlockGrad", "stop_gradient", "make_loss", dtypes=ANY)
def identity(b: Builder, node: Node, a) -> str:
    return b.read(node.inputs[0])


@emits("MakeLoss", grad_scale=1.0, valid_thresh=0.0, normalization="null", dtypes=ANY)
def make_loss(b: Builder, node: Node, a) -> str:
    return b.read(node.inputs[0])
