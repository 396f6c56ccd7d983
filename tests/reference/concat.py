"""mxq_concat in numpy."""

from typing import Any, Dict, Sequence

import numpy as np

from mxq.arithmetic.qmath import multiplier, round_clamp


def concat(inputs: Sequence[np.ndarray], attrs: Dict[str, Any]) -> np.ndarray:
    """The output of mxq_concat for the operator's attributes as Python values."""
    out_type, out_zero = attrs.get("out_type", "int8"), attrs.get("out_zero_point", 0)
    out_scale = np.float32(attrs.get("out_scale", 1.0))
    scales = attrs.get("in_scales", (out_scale,) * len(inputs))
    zeros = attrs.get("in_zero_points", (out_zero,) * len(inputs))
    parts = []
    for data, scale, zero in zip(inputs, scales, zeros):
        if (data.dtype.name, np.float32(scale), zero) == (out_type, out_scale, out_zero):
            parts.append(data)
        else:
            t = (data.astype(np.int64) - zero).astype(np.float32) * multiplier(np.float32(scale), out_scale)
            parts.append(round_clamp(t, out_zero, out_type))
    return np.concatenate(parts, axis=attrs.get("dim", 1))
