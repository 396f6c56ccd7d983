"""mxq_affine in numpy."""

from typing import Any, Dict, Optional

import numpy as np

from mxq.arithmetic import qmath

from .output_stage import activate


def affine(
    data: np.ndarray, scale: np.ndarray, shift: np.ndarray, slope: Optional[np.ndarray], attrs: Dict[str, Any]
) -> np.ndarray:
    """The output of mxq_affine for the operator's attributes as Python values."""
    in_scale, out_scale = np.float32(attrs.get("in_scale", 1.0)), np.float32(attrs.get("out_scale", 1.0))
    v = data
    if data.dtype != np.float32:
        v = (data.astype(np.int32) - attrs.get("in_zero_point", 0)).astype(np.float32)
    ratio = np.float64(in_scale) * scale.astype(np.float64) / np.float64(out_scale)
    t = v * ratio.astype(np.float32)
    t = t + (shift.astype(np.float64) / np.float64(out_scale)).astype(np.float32)
    t = activate(t, slope, attrs)
    out_type = attrs.get("out_type", "int8")
    return t if out_type == "float32" else qmath.round_clamp(t, attrs.get("out_zero_point", 0), out_type)
