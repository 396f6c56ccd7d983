"""Functions of one number or two, activations, and the operators that only matter in training."""

from typing import Dict

from ...network.graph import Node
from ...network.identity import tensor_key
from .builder import Builder
from .net import numbers
from .table import Refused, emits

#: Numbers of BinaryOp's functions, by MXNet's spellings.
_BINARY: Dict[int, str] = {
    0: "elemwise_add _plus _Plus _add _grad_add broadcast_add broadcast_plus",
    1: "elemwise_sub _minus _Minus _sub broadcast_sub broadcast_minus",
    2: "elemwise_mul _mul _Mul broadcast_mul",
    3: "elemwise_div _div _Div broadcast_div",
    4: "_maximum _Maximum broadcast_maximum",
    5: "_minimum _Minimum broadcast_minimum",
    6: "_power _Power broadcast_power",
}
_SCALAR: Dict[int, str] = {
    0: "_plus_scalar _PlusScalar",
    1: "_minus_scalar _MinusScalar",
    2: "_mul_scalar _MulScalar",
    3: "_div_scalar _DivScalar",
    4: "_maximum_scalar _MaximumScalar",
    5: "_minimum_scalar _MinimumScalar",
    6: "_power_scalar _PowerScalar",
    7: "_rminus_scalar _RMinusScalar",
    8: "_rdiv_scalar _RDivScalar",
    9: "_rpower_scalar _RPowerScalar",
}
_UNARY = {
    "abs": 0, "negative": 1, "floor": 2, "ceil": 3, "square": 4, "sqrt": 5, "rsqrt": 6, "exp": 7, "log": 8, "sin": 9,
    "cos": 10, "tan": 11, "reciprocal": 15,
}  # fmt: skip


def _register_binary(number: int, names: str) -> None:
    @emits(*names.split())
    def binary(b: Builder, node: Node, a) -> str:
        """ncnn broadcasts as numpy does where both have as many axes."""
        rank = b.rank(node.out())
        blobs = []
        for value in node.inputs:
            if b.array(value) is None and b.rank(value) != rank:
                raise Refused(f"its input {tensor_key(value)!r} has other axes than its result")
            blobs.append(b.read(value, rank))
        return b("BinaryOp", blobs, {0: number})


def _register_scalar(number: int, names: str) -> None:
    @emits(*names.split(), scalar=0.0, is_int=True)
    def scalar(b: Builder, node: Node, a) -> str:
        return b("BinaryOp", b.inputs(node), {0: number, 1: 1, 2: float(a.scalar)})


def _register_unary(number: int, name: str) -> None:
    @emits(name)
    def unary(b: Builder, node: Node, a) -> str:
        return b("UnaryOp", b.inputs(node), {0: number})


for _number, _names in _BINARY.items():
    _register_binary(_number, _names)
for _number, _names in _SCALAR.items():
    _register_scalar(_number, _names)
for _name, _number in _UNARY.items():
    _register_unary(_number, _name)


@emits("add_n", "ElementWiseSum")
def add_n(b: Builder, node: Node, a) -> str:
    blobs = [b.read(value, b.rank(node.out())) for value in node.inputs]
    return blobs[0] if len(blobs) == 1 else b("Eltwise", blobs, {0: 1})


_ACTIVATIONS = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "TanH"}


@emits("Activation", act_type="")
def activation(b: Builder, node: Node, a) -> str:
    if a.act_type not in _ACTIVATIONS:
        raise Refused(f"its act_type is {a.act_type}; {', '.join(_ACTIVATIONS)} have an ncnn form")
    return b(_ACTIVATIONS[a.act_type], b.inputs(node))


@emits("relu")
def relu(b: Builder, node: Node, a) -> str:
    return b("ReLU", b.inputs(node))


@emits("sigmoid")
def sigmoid(b: Builder, node: Node, a) -> str:
    return b("Sigmoid", b.inputs(node))


@emits("tanh")
def tanh(b: Builder, node: Node, a) -> str:
    return b("TanH", b.inputs(node))


@emits("clip", a_min=0.0, a_max=0.0)
def clip(b: Builder, node: Node, a) -> str:
    return b("Clip", b.inputs(node), {0: float(a.a_min), 1: float(a.a_max)})


@emits("hard_sigmoid", alpha=0.2, beta=0.5)
def hard_sigmoid(b: Builder, node: Node, a) -> str:
    return b("HardSigmoid", b.inputs(node), {0: float(a.alpha), 1: float(a.beta)})


@emits("LeakyReLU", act_type="leaky", slope=0.25, lower_bound=0.125, upper_bound=0.334)
def leaky_relu(b: Builder, node: Node, a) -> str:
    x = b.read(node.inputs[0])
    if a.act_type == "prelu":
        slopes = b.parameter(node.inputs[1], "slope").reshape(-1)
        return b("PReLU", [x], {0: int(slopes.size)}, [numbers(slopes)])
    if a.act_type == "elu":
        return b("ELU", [x], {0: float(a.slope)})
    slopes = {"leaky": a.slope, "rrelu": (a.lower_bound + a.upper_bound) / 2}
    if a.act_type not in slopes:
        raise Refused(f"its act_type is {a.act_type}; leaky, prelu, elu and rrelu have an ncnn form")
    return b("ReLU", [x], {0: float(slopes[a.act_type])})


@emits("Dropout", p=0.5, mode="training", axes=())
def dropout(b: Builder, node: Node, a) -> str:
    if a.mode == "always":
        raise Refused("its mode is always: what it computes is random")
    return b.read(node.inputs[0])


@emits("identity", "_copy", "BlockGrad", "stop_gradient", "make_loss")
def identity(b: Builder, node: Node, a) -> str:
    return b.read(node.inputs[0])


@emits("LinearRegressionOutput", "MAERegressionOutput", grad_scale=1.0)
def regression_output(b: Builder, node: Node, a) -> str:
    return b.read(node.inputs[0])


@emits("LogisticRegressionOutput", grad_scale=1.0)
def logistic_output(b: Builder, node: Node, a) -> str:
    return b("Sigmoid", [b.read(node.inputs[0])])
