"""mxq_quantize_v2 in numpy."""

from typing import Any, Dict, List

import numpy as np

from mxq.arithmetic.qmath import QParams, dequantize, multiplier, quantize, quantize_fine, range_to_qparams, round_clamp


def quantize_v2(data: np.ndarray, attrs: Dict[str, Any]) -> List[np.ndarray]:
    """The outputs of mxq_quantize_v2 for the operator's attributes as Python values."""
    out_type = attrs.get("out_type", "int8")
    for word in attrs.get("scalars", "").split():
        number = np.float32(float(word[1:]))
        data = {"-": data - number, "+": data + number, "*": data * number, "/": data / number}[word[0]]
    scale, zero = np.float32(attrs.get("in_scale", 1.0)), attrs.get("in_zero_point", 0)
    extra = []
    if attrs.get("fine_steps", 1) > 1:
        to = range_to_qparams(attrs["min_calib_range"], attrs["max_calib_range"], out_type)
        q = np.concatenate(quantize_fine(data, to, attrs["fine_steps"]), axis=attrs.get("axis", 1))
        return [np.ascontiguousarray(np.moveaxis(q, 1, -1)) if attrs.get("layout") == "channels_last" else q]
    if "min_calib_range" in attrs:
        to = range_to_qparams(attrs["min_calib_range"], attrs["max_calib_range"], out_type)
        q = quantize(data, to) if data.dtype == np.float32 else _rescale(data, scale, zero, to)
    elif data.dtype == np.float32:
        lo, hi = (data.min(), data.max()) if data.size else (np.float32(0), np.float32(0))
        q = quantize(data, range_to_qparams(lo, hi, out_type))
        extra = [np.float32([lo]), np.float32([hi])]
    else:
        q = data
        ends = QParams(scale, zero, out_type)
        extra = [np.float32([dequantize(end, ends)]) for end in ((-127, 127) if out_type == "int8" else (0, 255))]
    if attrs.get("layout") == "channels_last":
        q = np.ascontiguousarray(np.moveaxis(q, 1, -1))
    return [q] + extra


def _rescale(data: np.ndarray, scale: np.float32, zero: int, to: QParams) -> np.ndarray:
    if QParams(float(scale), zero, str(data.dtype)) == to:
        return data
    t = (data.astype(np.int64) - zero).astype(np.float32) * multiplier(scale, to.scale)
    return round_clamp(t, to.zero_point, to.dtype)
