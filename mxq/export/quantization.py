"""Explicit quantization: pairs of QuantizeLinear and DequantizeLinear, in the form that the target wants."""

import numpy as np

from ..arithmetic.qmath import QMIN, QParams
from ..network.graph import Node
from ..passes.quantize_params import in_qparams
from .builder import Builder, Integers
from .table import Refused, emits
from .targets import Target

_NO_PARTS = (
    "it has 11 bits and the target has no form for two parts: quantize with activation_bits=8 and precision_budget=0"
)


def levels(target: Target, given: QParams) -> QParams:
    """The same levels as a target has them. Refuses those that it has not.

    >>> from .targets import TARGETS
    >>> levels(TARGETS["openvino"], QParams(0.5, 0, "int8"))
    QParams(scale=0.5, zero_point=128, dtype='uint8')
    """
    if given.dtype != target.signed and given.dtype == "int8":
        return QParams(given.scale, given.zero_point + QMIN["uint8"] - QMIN["int8"], "uint8")
    if given.dtype == "uint8" and not target.unsigned:
        raise Refused("it is uint8 and the target takes int8 only: quantize with quantized_dtype='int8'")
    if given.zero_point and not target.zero_points:
        raise Refused(
            f"its zero point is {given.zero_point} and the target takes 0 only: quantize with quantized_dtype='int8'"
        )
    return given


def _constants(b: Builder, node: Node, given: QParams) -> tuple:
    """Scale and zero point, of rank 0: with rank 1, ONNX Runtime leaves layers float."""
    scale = b.constant(given.scale, name=f"{node.name}_scale")
    return scale, b.constant(given.zero_point, given.dtype, f"{node.name}_zero_point")


def _known(b: Builder, node: Node) -> QParams:
    given = in_qparams(node)
    if given is None:
        raise Refused("its range is found at run time: calibrate the network")
    return levels(b.target, given)


@emits(
    "mxq_quantize_v2", dtypes=("float32", "uint8", "int8"), folds=False, out_type="int8", min_calib_range=0.0,
    max_calib_range=0.0, fine_steps=1,
)  # fmt: skip
def quantize(b: Builder, node: Node, a) -> str:
    if a.fine_steps > 1:
        raise Refused(_NO_PARTS)
    wanted = _known(b, node)
    x = b.read(node.inputs[0])
    if b.dtype(x) == wanted.dtype and (wanted.scale, wanted.zero_point) == (1.0, 0):
        return x  # integers of the network's input, which stand for themselves
    return b("QuantizeLinear", [b.cast(x, "float32"), *_constants(b, node, wanted)], dtype=wanted.dtype)


@emits(
    "mxq_dequantize", dtypes=("float32", "uint8", "int8", "int32"), folds=False, ranges="none", axis=0,
    min_calib_range=0.0, max_calib_range=0.0, fine_steps=1,
)  # fmt: skip
def dequantize(b: Builder, node: Node, a) -> str:
    if a.fine_steps > 1:
        raise Refused(_NO_PARTS)
    if a.ranges == "channel":
        return _parameter(b, node, a.axis)
    return b.dequantize(Integers(b.read(node.inputs[0]), *_constants(b, node, _known(b, node))))


def _parameter(b: Builder, node: Node, axis: int) -> str:
    """Weights, or a bias, with a scale for each output channel."""
    q, scale = (b.array(value) for value in node.inputs)
    if q is None or scale is None:
        raise Refused("it dequantizes by channel what is no parameter")
    names = b.inputs(node)
    if q.dtype != np.int32:
        zeros = b.constant(np.zeros(scale.shape), q.dtype.name, f"{names[0]}_zero_point")
        return b.dequantize(Integers(names[0], names[1], zeros, axis))
    if b.target.int32_bias:
        return b.dequantize(Integers(names[0], names[1], "", axis))
    return b.constant(q.astype(np.float32) * scale, name=f"{node.name}_float")
