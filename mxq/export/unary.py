"""Functions of one tensor, element by element."""

import math
from typing import Callable, Dict

import numpy as np

from ..network.graph import Node
from .builder import Builder
from .table import ANY, FLOAT, NUMBERS, Refused, emits


def _direct(kind: str) -> Callable[[Builder, str], str]:
    return lambda b, x: b(kind, [x])


def _where(b: Builder, condition: str, yes: str, no: str) -> str:
    return b("Where", [condition, yes, no], dtype="float32")


def _round(b: Builder, x: str) -> str:
    """Halves away from zero."""
    size = b("Abs", [x])
    whole = b("Floor", [size])
    up = b.cast(b("GreaterOrEqual", [b("Sub", [size, whole]), b.constant(0.5)], dtype="bool"), "float32")
    return b("Mul", [b("Sign", [x]), b("Add", [whole, up])])


def _rint(b: Builder, x: str) -> str:
    """Halves down, which is MXNet's own way."""
    below, above = b("Floor", [x]), b("Ceil", [x])
    nearer = b("LessOrEqual", [b("Sub", [x, below]), b("Sub", [above, x])], dtype="bool")
    return _where(b, nearer, below, above)


def _trunc(b: Builder, x: str) -> str:
    return _where(b, b("Less", [x, b.constant(0.0)], dtype="bool"), b("Ceil", [x]), b("Floor", [x]))


def _log1p(b: Builder, x: str) -> str:
    """Exact near 0: log(u) * x / (u - 1) with u = 1 + x as rounded (Kahan; see Higham, "Accuracy and Stability of
    Numerical Algorithms", 1.14.1)."""
    one = b.constant(1.0)
    u = b("Add", [one, x])
    less = b("Sub", [u, one])
    same = b("Equal", [less, b.constant(0.0)], dtype="bool")
    ratio = b("Div", [b("Mul", [b("Log", [u]), x]), _where(b, same, one, less)])
    endless = b("IsInf", [x], dtype="bool")
    return _where(b, same, x, _where(b, endless, x, ratio))


def _expm1(b: Builder, x: str) -> str:
    """Exact near 0: (u - 1) * x / log(u) with u = exp(x) as rounded."""
    one = b.constant(1.0)
    u = b("Exp", [x])
    less = b("Sub", [u, one])
    log = b("Log", [u])
    same = b("Equal", [log, b.constant(0.0)], dtype="bool")
    ratio = b("Div", [b("Mul", [less, x]), _where(b, same, one, log)])
    far = b("Greater", [b("Abs", [x]), b.constant(1.0)], dtype="bool")
    return _where(b, same, x, _where(b, far, less, ratio))


def _scaled(kind: str, factor: float) -> Callable[[Builder, str], str]:
    return lambda b, x: b("Mul", [b(kind, [x]), b.constant(factor)])


def _cube_root(b: Builder, x: str) -> str:
    return b("Mul", [b("Sign", [x]), b("Pow", [b("Abs", [x]), b.constant(1 / 3)])])


_FUNCTIONS: Dict[str, Callable[[Builder, str], str]] = {
    "relu": _direct("Relu"),
    "sigmoid": _direct("Sigmoid"),
    "tanh": _direct("Tanh"),
    "softsign": _direct("Softsign"),
    "exp": _direct("Exp"),
    "log": _direct("Log"),
    "sqrt": _direct("Sqrt"),
    "abs": _direct("Abs"),
    "sign": _direct("Sign"),
    "negative": _direct("Neg"),
    "reciprocal": _direct("Reciprocal"),
    "floor": _direct("Floor"),
    "ceil": _direct("Ceil"),
    "erf": _direct("Erf"),
    "sin": _direct("Sin"),
    "cos": _direct("Cos"),
    "tan": _direct("Tan"),
    "arcsin": _direct("Asin"),
    "arccos": _direct("Acos"),
    "arctan": _direct("Atan"),
    "sinh": _direct("Sinh"),
    "cosh": _direct("Cosh"),
    "arcsinh": _direct("Asinh"),
    "arccosh": _direct("Acosh"),
    "arctanh": _direct("Atanh"),
    "square": lambda b, x: b("Mul", [x, x]),
    "rsqrt": lambda b, x: b("Reciprocal", [b("Sqrt", [x])]),
    "cbrt": _cube_root,
    "rcbrt": lambda b, x: b("Reciprocal", [_cube_root(b, x)]),
    "log2": _scaled("Log", 1 / math.log(2)),
    "log10": _scaled("Log", 1 / math.log(10)),
    "log1p": _log1p,
    "expm1": _expm1,
    "round": _round,
    "rint": _rint,
    "trunc": _trunc,
    "fix": _trunc,
    "degrees": lambda b, x: b("Mul", [x, b.constant(180 / math.pi)]),
    "radians": lambda b, x: b("Mul", [x, b.constant(math.pi / 180)]),
    "logical_not": lambda b, x: b.cast(b("Equal", [x, b.constant(0.0)], dtype="bool"), "float32"),
}


def _register(name: str, function: Callable[[Builder, str], str]) -> None:
    @emits(name)
    def unary(b: Builder, node: Node, a) -> str:
        return function(b, b.read(node.inputs[0]))


for _name, _function in _FUNCTIONS.items():
    _register(_name, _function)


@emits("clip", a_min=0.0, a_max=0.0)
def clip(b: Builder, node: Node, a) -> str:
    return b("Clip", [*b.inputs(node), b.constant(a.a_min), b.constant(a.a_max)])


@emits("smooth_l1", scalar=1.0)
def smooth_l1(b: Builder, node: Node, a) -> str:
    """``0.5 (s x)^2`` where ``|x| < 1 / s^2``, else ``|x| - 0.5 / s^2``."""
    x, squared = b.read(node.inputs[0]), a.scalar**2
    size = b("Abs", [x])
    inside = b("Less", [size, b.constant(1 / squared)], dtype="bool")
    near = b("Mul", [b("Mul", [x, x]), b.constant(0.5 * squared)])
    return _where(b, inside, near, b("Sub", [size, b.constant(0.5 / squared)]))


@emits("_contrib_div_sqrt_dim")
def div_sqrt_dim(b: Builder, node: Node, a) -> str:
    return b("Div", [b.read(node.inputs[0]), b.constant(np.sqrt(b.shape(node.inputs[0])[-1]))])


@emits("_contrib_quadratic", a=0.0, b=0.0, c=0.0)
def quadratic(b: Builder, node: Node, a) -> str:
    x = b.read(node.inputs[0])
    inner = b("Add", [b("Mul", [x, b.constant(a.a)]), b.constant(a.b)])
    return b("Add", [b("Mul", [inner, x]), b.constant(a.c)])


_CASTS = ("float32", "float64", "int32", "int64", "int8", "uint8")


@emits("Cast", "cast", "amp_cast", dtype="", dtypes=ANY)
def cast(b: Builder, node: Node, a) -> str:
    x = b.read(node.inputs[0])
    if a.dtype not in _CASTS:
        raise Refused(f"its dtype is {a.dtype}; {', '.join(_CASTS)} have an ONNX form")
    return b.cast(x, a.dtype)


@emits("zeros_like", "ones_like", shape_only=(0,), dtypes=FLOAT)
def filled_like(b: Builder, node: Node, a) -> str:
    raise Refused("the shape of its input is not known")


@emits("shape_array", "size_array", shape_only=(0,), dtypes=NUMBERS)
def shape_array(b: Builder, node: Node, a) -> str:
    raise Refused("the shape of its input is not known")


@emits("_zeros", "_ones", "_full", "_arange", "_eye", "_linspace", "_zeros_without_dtype")
def filled(b: Builder, node: Node, a) -> str:
    raise Refused("its value is not known")  # these have no inputs, so they are constants before this is asked
