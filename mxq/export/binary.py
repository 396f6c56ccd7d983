"""Functions of two tensors, or of a tensor and a number, element by element; sums of several."""

from typing import Callable, Dict, Tuple

import numpy as np

from ..network.graph import Node
from .builder import Builder
from .table import ANY, NUMBERS, Refused, emits

Function = Callable[[Builder, str, str], str]


def _direct(kind: str) -> Function:
    return lambda b, x, y: b(kind, [x, y])


def _truth(b: Builder, x: str) -> str:
    return b("Not", [b("Equal", [x, b.constant(0, b.dtype(x))], dtype="bool")])


def _compared(kind: str) -> Function:
    return lambda b, x, y: b.cast(b(kind, [x, y], dtype="bool"), b.dtype(x))


def _not_equal(b: Builder, x: str, y: str) -> str:
    return b.cast(b("Not", [b("Equal", [x, y], dtype="bool")]), b.dtype(x))


def _logical(kind: str) -> Function:
    return lambda b, x, y: b.cast(b(kind, [_truth(b, x), _truth(b, y)]), b.dtype(x))


def _hypot(b: Builder, x: str, y: str) -> str:
    return b("Sqrt", [b("Add", [b("Mul", [x, x]), b("Mul", [y, y])])])


def _modulo(b: Builder, x: str, y: str) -> str:
    """The result has the sign of the divisor, as in Python; modulo 0 is 0."""
    zero = b.constant(0.0)
    rest = b("Mod", [x, y], fmod=1)
    opposite = b("Less", [b("Mul", [b("Sign", [rest]), b("Sign", [y])]), zero], dtype="bool")
    rest = b("Where", [opposite, b("Add", [rest, y]), rest], dtype="float32")
    return b("Where", [b("Equal", [y, zero], dtype="bool"), zero, rest], dtype="float32")


#: Name of the function -> what it is, whether integers have it too.
_FUNCTIONS: Dict[str, Tuple[Function, bool]] = {
    "add": (_direct("Add"), True),
    "sub": (_direct("Sub"), True),
    "mul": (_direct("Mul"), True),
    "div": (_direct("Div"), False),
    "mod": (_modulo, False),
    "power": (_direct("Pow"), False),
    "maximum": (_direct("Max"), False),
    "minimum": (_direct("Min"), False),
    "hypot": (_hypot, False),
    "equal": (_compared("Equal"), False),
    "not_equal": (_not_equal, False),
    "greater": (_compared("Greater"), False),
    "greater_equal": (_compared("GreaterOrEqual"), False),
    "lesser": (_compared("Less"), False),
    "lesser_equal": (_compared("LessOrEqual"), False),
    "logical_and": (_logical("And"), False),
    "logical_or": (_logical("Or"), False),
    "logical_xor": (_logical("Xor"), False),
}

#: MXNet's spellings: of two equal shapes, of shapes that broadcast, of a tensor and a number.
_SPELLINGS = {
    "add": "elemwise_add _plus _Plus _add _grad_add broadcast_add broadcast_plus",
    "sub": "elemwise_sub _minus _Minus _sub broadcast_sub broadcast_minus",
    "mul": "elemwise_mul _mul _Mul broadcast_mul",
    "div": "elemwise_div _div _Div broadcast_div",
    "mod": "_mod _Mod broadcast_mod",
    "power": "_power _Power broadcast_power",
    "maximum": "_maximum _Maximum broadcast_maximum",
    "minimum": "_minimum _Minimum broadcast_minimum",
    "hypot": "_hypot _Hypot broadcast_hypot",
    "equal": "_equal _Equal broadcast_equal",
    "not_equal": "_not_equal _Not_Equal broadcast_not_equal",
    "greater": "_greater _Greater broadcast_greater",
    "greater_equal": "_greater_equal _Greater_Equal broadcast_greater_equal",
    "lesser": "_lesser _Lesser broadcast_lesser",
    "lesser_equal": "_lesser_equal _Lesser_Equal broadcast_lesser_equal",
    "logical_and": "_logical_and _Logical_And broadcast_logical_and",
    "logical_or": "_logical_or _Logical_Or broadcast_logical_or",
    "logical_xor": "_logical_xor _Logical_Xor broadcast_logical_xor",
}
_SCALAR_SPELLINGS = {
    "add": "_plus_scalar _PlusScalar",
    "sub": "_minus_scalar _MinusScalar",
    "mul": "_mul_scalar _MulScalar",
    "div": "_div_scalar _DivScalar",
    "mod": "_mod_scalar _ModScalar",
    "power": "_power_scalar _PowerScalar",
    "maximum": "_maximum_scalar _MaximumScalar",
    "minimum": "_minimum_scalar _MinimumScalar",
    "hypot": "_hypot_scalar _HypotScalar",
    "equal": "_equal_scalar _EqualScalar",
    "not_equal": "_not_equal_scalar _NotEqualScalar",
    "greater": "_greater_scalar _GreaterScalar",
    "greater_equal": "_greater_equal_scalar _GreaterEqualScalar",
    "lesser": "_lesser_scalar _LesserScalar",
    "lesser_equal": "_lesser_equal_scalar _LesserEqualScalar",
    "logical_and": "_logical_and_scalar _LogicalAndScalar",
    "logical_or": "_logical_or_scalar _LogicalOrScalar",
    "logical_xor": "_logical_xor_scalar _LogicalXorScalar",
}
#: Those whose number comes first.
_REVERSED = {
    "sub": "_rminus_scalar _RMinusScalar",
    "div": "_rdiv_scalar _RDivScalar",
    "mod": "_rmod_scalar _RModScalar",
    "power": "_rpower_scalar _RPowerScalar",
}


def _register_binary(names: str, function: Function, integers: bool) -> None:
    @emits(*names.split(), dtypes=NUMBERS if integers else ("float32",))
    def binary(b: Builder, node: Node, a) -> str:
        return function(b, *b.inputs(node))


def _register_scalar(names: str, function: Function, reverse: bool) -> None:
    @emits(*names.split(), scalar=0.0, is_int=True)
    def scalar(b: Builder, node: Node, a) -> str:
        x, number = b.read(node.inputs[0]), b.constant(a.scalar)
        return function(b, number, x) if reverse else function(b, x, number)


for _name, (_function, _integers) in _FUNCTIONS.items():
    _register_binary(_SPELLINGS[_name], _function, _integers)
    _register_scalar(_SCALAR_SPELLINGS[_name], _function, False)
    if _name in _REVERSED:
        _register_scalar(_REVERSED[_name], _function, True)


@emits("add_n", "ElementWiseSum")
def add_n(b: Builder, node: Node, a) -> str:
    return b("Sum", b.inputs(node))


@emits("where", dtypes=ANY)
def where(b: Builder, node: Node, a) -> str:
    """A condition of one axis chooses rows."""
    condition, yes, no = b.inputs(node)
    chosen, shape = b.shape(node.inputs[0]), b.shape(node.inputs[1])
    condition = _truth(b, condition)
    if len(chosen) < len(shape):
        condition = b.reshape(condition, chosen + (1,) * (len(shape) - len(chosen)))
    return b("Where", [condition, yes, no], dtype=b.dtype(yes))


@emits("dot", transpose_a=False, transpose_b=False, forward_stype=None)
def dot(b: Builder, node: Node, a) -> str:
    """The last axis of the first with the first axis of the second."""
    x, y = b.inputs(node)
    first, second = (b.shape(value) for value in node.inputs)
    if a.transpose_a:
        x = b.transpose(x, [*range(1, len(first)), 0])
        first = first[1:] + first[:1]
    if a.transpose_b:
        y = b.transpose(y, [len(second) - 1, *range(len(second) - 1)])
        second = second[-1:] + second[:-1]
    product = b("MatMul", [b.reshape(x, (-1, first[-1])), b.reshape(y, (second[0], -1))])
    return b.reshape(product, b.shape(node.out()))


@emits("batch_dot", transpose_a=False, transpose_b=False, forward_stype=None)
def batch_dot(b: Builder, node: Node, a) -> str:
    x, y = (
        b.transpose(name, [*range(len(b.shape(value)) - 2), -1 % len(b.shape(value)), -2 % len(b.shape(value))])
        if swapped
        else name
        for name, value, swapped in zip(b.inputs(node), node.inputs, (a.transpose_a, a.transpose_b))
    )
    return b("MatMul", [x, y])


@emits("_linalg_gemm2", "linalg_gemm2", transpose_a=False, transpose_b=False, alpha=1.0, axis=-2)
def gemm2(b: Builder, node: Node, a) -> str:
    if a.axis != -2:
        raise Refused(f"its axis is {a.axis}; -2 has an ONNX form")
    y = batch_dot(b, node, a)
    return y if a.alpha == 1.0 else b("Mul", [y, b.constant(np.float32(a.alpha))])
