"""mxq_lrn in numpy: float32 operations in the order that src_ops/ops/lrn.h states."""

from typing import Any, Dict

import numpy as np

from mxq.arithmetic.qmath import multiplier, round_clamp

#: Coefficients from the highest power down.
THREE_QUARTERS = np.float32(
    [0.5622953176498413, -0.6119309067726135, 0.6563432216644287, -0.7499600648880005, 0.9999998211860657]
)
LOG2 = np.float32(
    [
        0.17063453793525696,
        -0.27269798517227173,
        0.29726260900497437,
        -0.3589618504047394,
        0.48046502470970154,
        -0.7213758826255798,
        1.442699670791626,
        0.0,
    ]
)
EXP2 = np.float32(
    [
        0.001326472731307149,
        0.009671512991189957,
        0.05550733581185341,
        0.24022242426872253,
        0.6931470036506653,
        1.0,
    ]
)


def horner(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    value = np.full(x.shape, coefficients[0])
    for c in coefficients[1:]:
        value = value * x + c
    return value


def power(u: np.ndarray, exponent: np.float32) -> np.ndarray:
    """float32 `u` > 0 raised to `exponent`, bit for bit as lrn_power."""
    u = np.where(u < np.float32(1e37), u, np.float32(1e37))
    bits = u.view(np.int32)
    if exponent == -0.75:
        g = (np.int32(0x4F5851EC) - (bits >> 2)).view(np.float32)
        v = u * ((g * g) * (g * g)) - np.float32(1)
        return g * g * g * horner(THREE_QUARTERS, v)
    e = (bits - np.int32(0x3F3504F3)) >> 23
    z = (bits - (e << 23)).view(np.float32) - np.float32(1)
    y = (horner(LOG2, z) + e.astype(np.float32)) * np.float32(exponent)
    y = np.clip(y, np.float32(-125), np.float32(125))
    r = np.rint(y)
    return (horner(EXP2, y - r).view(np.int32) + (r.astype(np.int32) << 23)).view(np.float32)


def lrn(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    """The output of mxq_lrn for the operator's attributes as Python values."""
    nsize, channels = attrs["nsize"], data.shape[-1]
    in_scale, out_scale = np.float32(attrs.get("in_scale", 1.0)), np.float32(attrs.get("out_scale", 1.0))
    if data.dtype == np.float32:
        v = data
    else:
        v = (data.astype(np.int64) - attrs.get("in_zero_point", 0)).astype(np.float32)
    reach = min(nsize // 2, channels - 1)
    padded = np.pad(v * v, [(0, 0)] * (data.ndim - 1) + [(reach, reach)])
    sums = np.zeros_like(v)
    for j in range(2 * reach + 1):
        sums = sums + padded[..., j : j + channels]
    weight = np.float32(np.float64(attrs.get("alpha", 1e-4)) / nsize * np.float64(in_scale) * np.float64(in_scale))
    u = np.float32(attrs.get("knorm", 2.0)) + weight * sums
    t = v * multiplier(in_scale, out_scale) * power(u, np.float32(-attrs.get("beta", 0.75)))
    out_type = attrs.get("out_type", "int8")
    return t if out_type == "float32" else round_clamp(t, attrs.get("out_zero_point", 0), out_type)
