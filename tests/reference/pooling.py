"""mxq_pooling in numpy: channels-last, the conventions of MXNet's Pooling."""

from typing import Any, Dict, List, Tuple

import numpy as np

from mxq.arithmetic.qmath import QMIN, multiplier, round_clamp


def _axis(size: int, attrs: Dict[str, Any], i: int) -> List[Tuple[int, int, int]]:
    """For each output position: begin and end of its window in the data, and how many positions it counts padded."""
    if attrs.get("global_pool"):
        return [(0, size, size)]
    kernel = attrs["kernel"][i]
    stride = attrs.get("stride", (1,) * len(attrs["kernel"]))[i]
    pad = attrs.get("pad", (0,) * len(attrs["kernel"]))[i]
    convention = attrs.get("pooling_convention", "valid")
    room = size + 2 * pad - kernel
    count = {"valid": room // stride + 1, "full": -(-room // stride) + 1, "same": -(-size // stride)}[convention]
    starts = [o * stride - pad for o in range(count)]
    return [(max(s, 0), min(s + kernel, size), min(s + kernel, size + pad) - s) for s in starts]


def _float_window(window: np.ndarray, is_max: bool) -> np.ndarray:
    """Largest value or sum, one position after another as memory has them."""
    found = np.full((len(window), window.shape[-1]), np.finfo(np.float32).min if is_max else 0, np.float32)
    for row in range(window.shape[1]):
        for column in range(window.shape[2]):
            value = window[:, row, column]
            found = np.maximum(found, value) if is_max else found + value
    return found


def pooling(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    """The output of mxq_pooling for the operator's attributes as Python values."""
    flat = data.ndim == 3
    image = data[:, None] if flat else data
    rows = [(0, 1, 1)] if flat else _axis(data.shape[1], attrs, 0)
    cols = _axis(data.shape[-2], attrs, 0 if flat else 1)
    is_max = attrs.get("pool_type", "max") == "max"
    out_type = data.dtype.name if is_max or data.dtype == np.float32 else attrs.get("out_type", "int8")
    out = np.zeros((len(data), len(rows), len(cols), data.shape[-1]), out_type)
    for oh, (top, bottom, tall) in enumerate(rows):
        for ow, (left, right, wide) in enumerate(cols):
            window = image[:, top:bottom, left:right]
            if data.dtype == np.float32:
                out[:, oh, ow] = _float_window(window, is_max)
                if not is_max:
                    padded = attrs.get("count_include_pad", True) and not attrs.get("global_pool")
                    count = tall * wide if padded and tall > 0 and wide > 0 else window.shape[1] * window.shape[2]
                    out[:, oh, ow] *= multiplier(1.0, max(count, 1))
                continue
            if is_max:
                empty = window.shape[1] * window.shape[2] == 0
                out[:, oh, ow] = QMIN[data.dtype.name] if empty else window.max(axis=(1, 2))
                continue
            padded = attrs.get("count_include_pad", True) and not attrs.get("global_pool")
            count = tall * wide if padded and tall > 0 and wide > 0 else window.shape[1] * window.shape[2]
            total = (window.astype(np.int64) - attrs.get("in_zero_point", 0)).sum(axis=(1, 2))
            in_scale, out_scale = np.float32(attrs.get("in_scale", 1.0)), np.float32(attrs.get("out_scale", 1.0))
            t = total.astype(np.float32) * multiplier(in_scale, np.float64(out_scale) * max(count, 1))
            if out_type == "float32":
                out[:, oh, ow] = t
            else:
                out[:, oh, ow] = round_clamp(t, attrs.get("out_zero_point", 0), out_type)
    if attrs.get("keepdims") is False:
        return out[:, 0, 0]
    return out[:, 0] if flat else out
