"""From the exact accumulator of a convolution or fully connected layer to its output, in numpy.

Twin of ``src_ops/ops/output_stage.h``; the order of the float32 operations is stated there.
"""

from typing import Any, Dict, Optional

import numpy as np

from mxq.arithmetic import qmath


def fma(a: np.ndarray, b: np.float32, c: np.ndarray) -> np.ndarray:
    """float32 ``a * b + c`` rounded once.

    The product is exact in float64. The sum is rounded to odd there, so that rounding to float32 is right.
    """
    product = np.asarray(a, np.float64) * np.float64(b)
    c = np.asarray(c, np.float64)
    total = product + c
    back = total - product
    error = (product - (total - back)) + (c - back)
    even = (total.view(np.int64) & 1) == 0
    odd = np.where(error > 0, np.nextafter(total, np.inf), np.nextafter(total, -np.inf))
    return np.where((error != 0) & even, odd, total).astype(np.float32)


def activate(t: np.ndarray, slope: Optional[np.ndarray], attrs: Dict[str, Any]) -> np.ndarray:
    act, out_scale = attrs.get("act", "none"), np.float64(np.float32(attrs.get("out_scale", 1.0)))
    if act == "relu":
        return np.maximum(t, np.float32(0))
    if act == "clip":
        low, high = np.float32(attrs["act_alpha"] / out_scale), np.float32(attrs["act_beta"] / out_scale)
        return np.minimum(np.maximum(t, low), high)
    if act == "leaky":
        return np.where(t < 0, t * np.float32(attrs["act_alpha"]), t)
    if act == "prelu":
        return np.where(t < 0, t * slope, t)
    return t


def output_stage(
    acc: np.ndarray,
    weight_scale: np.ndarray,
    bias: Optional[np.ndarray],
    slope: Optional[np.ndarray],
    residual: Optional[np.ndarray],
    attrs: Dict[str, Any],
) -> np.ndarray:
    """Output of the accumulator `acc`, int64 with the channel last."""
    out_type = attrs["out_type"]
    bias = np.zeros(acc.shape[-1], np.int32) if bias is None else bias
    if out_type == "int32":
        return np.clip(acc + bias.astype(np.int64), -(2**31), 2**31 - 1).astype(np.int32)
    out_scale = np.float64(np.float32(attrs.get("out_scale", 1.0)))
    ratio = np.float64(np.float32(attrs["in_scale"])) * weight_scale.astype(np.float64) / out_scale
    t = acc.astype(np.float32) * ratio.astype(np.float32)
    t = t + (bias * ratio).astype(np.float32)

    def add(t: np.ndarray) -> np.ndarray:
        if residual.dtype == np.float32:
            return t + residual
        centred = (residual.astype(np.int32) - attrs.get("sum_zero_point", 0)).astype(np.float32)
        return fma(centred, qmath.multiplier(np.float32(attrs["sum_scale"]), out_scale), t)

    if attrs.get("sum", "none") == "before_act":
        t = add(t)
    t = activate(t, slope, attrs)
    if attrs.get("sum", "none") == "after_act":
        t = add(t)
    if out_type == "float32":
        return t
    return qmath.round_clamp(t, attrs.get("out_zero_point", 0), out_type)
