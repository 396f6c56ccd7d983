"""The arithmetic contract of mxq in numpy. Everything else agrees with this file integer for integer.

Conventions, stated once:

* ``real = scale * (q - zero_point)``; a scale is a positive float32, a zero point an integer.
* ``q = clamp(rint(t + zero_point))`` where ``t`` is the value in units of the scale, in float32, and ``rint`` rounds
  half to even.
* int8 is symmetric (zero point 0, scale = absmax / 127, -128 may occur); uint8 is affine and contains 0.
* Weights are int8 in [-127, 127], one scale per output channel; biases are int32 in units of input scale times
  weight scale.
* A multiplier between two scales is computed in float64 and rounded to float32 once.

``src_ops/core/qmath.h`` is the C++ twin.
"""

import math
from typing import NamedTuple, Tuple

import numpy as np

QMIN = {"int8": -128, "uint8": 0}
QMAX = {"int8": 127, "uint8": 255}
#: Largest level that a range maps to: the scale of a symmetric tensor is absmax / LEVELS.
LEVELS = {"int8": 127, "uint8": 255}
INT32_MAX = 2**31 - 1
_SMALLEST_NORMAL = np.finfo(np.float32).tiny


class QParams(NamedTuple):
    """How integers stand for real numbers: ``real = scale * (q - zero_point)``."""

    scale: float
    zero_point: int
    dtype: str


def range_to_qparams(lo: float, hi: float, dtype: str) -> QParams:
    """Scale and zero point of an 8-bit tensor whose values lie in ``[lo, hi]``.

    >>> range_to_qparams(-1.0, 127.0, "int8")
    QParams(scale=1.0, zero_point=0, dtype='int8')

    A range without width gets scale 1. Raises ValueError for a range that is not finite or not ordered.
    """
    lo, hi = float(lo), float(hi)
    if not (math.isfinite(lo) and math.isfinite(hi) and lo <= hi):
        raise ValueError(f"range ({lo}, {hi}): both ends must be finite and in order")
    if dtype == "int8":
        scale = np.float32(max(abs(lo), abs(hi)) / LEVELS[dtype])
    elif dtype == "uint8":
        lo, hi = min(lo, 0.0), max(hi, 0.0)
        scale = np.float32((hi - lo) / LEVELS[dtype])
    else:
        raise ValueError(f"dtype {dtype!r}: accepted are 'int8' and 'uint8'")
    if not scale >= _SMALLEST_NORMAL:  # zero, or so small that its reciprocal overflows
        scale = np.float32(1.0)
    zero_point = 0
    if dtype == "uint8":
        zero_point = min(max(round(-lo / float(scale)), QMIN[dtype]), QMAX[dtype])  # half to even
    return QParams(float(scale), zero_point, dtype)


def multiplier(source: float, target: float) -> np.float32:
    """The float32 factor that takes values of scale `source` to scale `target`. Works on arrays."""
    return np.float32(np.float64(source) / np.float64(target))


def round_clamp(t: np.ndarray, zero_point: int, dtype: str) -> np.ndarray:
    """``clamp(rint(t + zero_point))`` of float32 `t` as an array of `dtype`; NaN becomes the smallest value."""
    t = np.asarray(t, np.float32) + np.float32(zero_point)
    t = np.where(np.isnan(t), np.float32(QMIN[dtype]), t)
    return np.clip(np.rint(t), QMIN[dtype], QMAX[dtype]).astype(dtype)


def quantize(x: np.ndarray, qparams: QParams) -> np.ndarray:
    """float32 -> 8 bit: ``clamp(rint(x * (1 / scale) + zero_point))``, the reciprocal rounded to float32.

    >>> quantize(np.float32([0.5, 1.5, -300.0]), QParams(1.0, 0, "int8")).tolist()
    [0, 2, -128]
    """
    inverse = np.float32(1.0) / np.float32(qparams.scale)
    with np.errstate(over="ignore", invalid="ignore"):
        return round_clamp(np.asarray(x, np.float32) * inverse, qparams.zero_point, qparams.dtype)


def dequantize(q: np.ndarray, qparams: QParams) -> np.ndarray:
    """8 bit or int32 -> float32: ``float32(q - zero_point) * scale``."""
    centred = np.asarray(q).astype(np.int64) - qparams.zero_point
    return centred.astype(np.float32) * np.float32(qparams.scale)


def quantize_fine(x: np.ndarray, qparams: QParams, fine_steps: int) -> Tuple[np.ndarray, np.ndarray]:
    """float32 -> two 8-bit parts: whole steps, rounded down, and the rest in ``1 / fine_steps`` of a step.

    >>> [p.tolist() for p in quantize_fine(np.float32([2.25, -300.0]), QParams(1.0, 0, "int8"), 8)]
    [[2, -128], [2, 0]]

    Both parts have the zero point added, so that ``scale * (whole - zero_point) + scale / fine_steps *
    (rest - zero_point)`` is the value. A rest lies in [0, fine_steps]; it saturates where the zero point leaves less.
    """
    inverse = np.float32(1.0) / np.float32(qparams.scale)
    with np.errstate(over="ignore", invalid="ignore"):
        t = np.asarray(x, np.float32) * inverse + np.float32(qparams.zero_point)
        low, high = QMIN[qparams.dtype], QMAX[qparams.dtype]
        whole = np.clip(np.floor(np.where(np.isnan(t), np.float32(low), t)), low, high)
        rest = np.nan_to_num(np.rint((t - whole) * np.float32(fine_steps)), nan=0.0)
    rest = np.minimum(np.clip(rest, 0, fine_steps) + qparams.zero_point, high)
    return whole.astype(qparams.dtype), rest.astype(qparams.dtype)


def dequantize_fine(whole: np.ndarray, rest: np.ndarray, qparams: QParams, fine_steps: int) -> np.ndarray:
    """The float32 values of two parts as `quantize_fine` makes them."""
    return dequantize(whole, qparams) + dequantize(
        rest, qparams._replace(scale=float(multiplier(qparams.scale, fine_steps)))
    )


def requantize(acc: np.ndarray, scale, qparams: QParams) -> np.ndarray:
    """int32 -> 8 bit: ``clamp(rint(float32(acc) * M + zero_point))`` with ``M = float32(scale / out_scale)``.

    `scale` is the scale of the accumulator: a number, or an array that broadcasts against `acc`.
    """
    return round_clamp(
        np.asarray(acc).astype(np.float32) * multiplier(scale, qparams.scale), qparams.zero_point, qparams.dtype
    )


def weight_levels(bits: int) -> int:
    """Largest integer of symmetric weights of so many bits.

    >>> weight_levels(8), weight_levels(7), weight_levels(6)
    (127, 63, 31)
    """
    return 2 ** (bits - 1) - 1


def quantize_weight(weight: np.ndarray, absmax: np.ndarray = None, bits: int = 8) -> Tuple[np.ndarray, np.ndarray]:
    """Per-output-channel symmetric int8 weights.

    Args:
        weight: float array, output channels first.
        absmax: range per output channel; the largest absolute value by default.
        bits: 8, or fewer for processors that add two products in 16 bits.

    Returns:
        (int8 weight of the same shape, float32 scale of shape (O,)). An all-zero channel gets scale 1.
    """
    weight = np.asarray(weight, np.float32)
    flat = np.abs(weight).reshape(weight.shape[0], -1)
    absmax = flat.max(axis=1) if absmax is None else np.asarray(absmax, np.float32)
    levels = weight_levels(bits)
    scale = (absmax.astype(np.float64) / levels).astype(np.float32)
    scale = np.where(scale >= np.finfo(np.float32).tiny, scale, np.float32(1.0))
    column = scale.reshape((-1,) + (1,) * (weight.ndim - 1))
    q = np.rint(weight.astype(np.float64) / column.astype(np.float64))
    return np.clip(q, -levels, levels).astype(np.int8), scale


def quantize_bias(bias: np.ndarray, in_scale: float, weight_scale: np.ndarray) -> np.ndarray:
    """Bias as int32 in units of ``in_scale * weight_scale[c]``, saturated."""
    step = np.float64(in_scale) * np.asarray(weight_scale, np.float64)
    return np.clip(np.rint(np.asarray(bias, np.float64) / step), -INT32_MAX, INT32_MAX).astype(np.int32)
