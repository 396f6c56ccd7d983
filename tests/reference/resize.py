"""mxq_resize in numpy: float32 operations in the order that src_ops/ops/resize.h states."""

from typing import Any, Dict, NamedTuple

import numpy as np

from mxq.arithmetic.qmath import round_clamp


class Taps(NamedTuple):
    """What each position of the output reads along an axis."""

    low: np.ndarray
    high: np.ndarray
    low_weight: np.ndarray
    high_weight: np.ndarray


def taps(size: int, out: int, align_corners: bool) -> Taps:
    step = np.float32(0)
    if out > 1:
        step = np.float32(size - 1) / np.float32(out - 1) if align_corners else np.float32(size) / np.float32(out)
    o = np.arange(out)
    x = step * o.astype(np.float32)
    if not align_corners:
        x = np.maximum((np.float64(step) * (o + 0.5) - 0.5).astype(np.float32), np.float32(0))
    low = x.astype(np.int64)
    weight = x - low.astype(np.float32)
    return Taps(low, np.minimum(low + 1, size - 1), np.float32(1) - weight, weight)


def blend(values: np.ndarray, axis: int, t: Taps) -> np.ndarray:
    """Neighbours along an axis, weighted."""
    across = [1] * values.ndim
    across[axis] = -1
    low, high = values.take(t.low, axis), values.take(t.high, axis)
    return t.low_weight.reshape(across) * low + t.high_weight.reshape(across) * high


def resize(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    """The output of mxq_resize for the operator's attributes as Python values."""
    first = 1 if attrs.get("layout") == "channels_last" else 2
    height, width = data.shape[first : first + 2]
    if "scale_height" in attrs:
        out = [int(np.float32(attrs[f"scale_{k}"]) * np.float32(n)) for k, n in (("height", height), ("width", width))]
    else:
        out = [attrs["height"], attrs["width"]]
    if out == [height, width]:
        return data
    aligned = attrs.get("align_corners", True)
    rows = blend(data.astype(np.float32), first + 1, taps(width, out[1], aligned))
    t = blend(rows, first, taps(height, out[0], aligned))
    return t if data.dtype == np.float32 else round_clamp(t, 0, str(data.dtype))
