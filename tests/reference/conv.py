"""mxq_conv in numpy: channels-last int8 convolution, 1-D or 2-D."""

from typing import Any, Dict, Optional

import numpy as np

from .output_stage import output_stage


def accumulate(data: np.ndarray, weight: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    """``SUM (x - in_zero_point) * w`` as int64. Data (N, H, W, C), weight (O, C / groups, kh, kw)."""
    groups = attrs.get("num_group", 1)
    (sh, sw), (dh, dw) = attrs.get("stride", (1, 1)), attrs.get("dilate", (1, 1))
    begin, end = attrs.get("pad_begin", (0, 0)), attrs.get("pad_end", (0, 0))
    x = data.astype(np.int64) - attrs.get("in_zero_point", 0)
    x = np.pad(x, ((0, 0), (begin[0], end[0]), (begin[1], end[1]), (0, 0)))
    filters, depth, kh, kw = weight.shape
    out_h = (x.shape[1] - (kh - 1) * dh - 1) // sh + 1
    out_w = (x.shape[2] - (kw - 1) * dw - 1) // sw + 1
    acc = np.zeros((x.shape[0], out_h, out_w, groups, filters // groups), np.int64)
    w = weight.astype(np.float64).reshape(groups, filters // groups, depth, kh, kw)
    for ky in range(kh):
        for kx in range(kw):
            taps = x[:, ky * dh : ky * dh + (out_h - 1) * sh + 1 : sh, kx * dw : kx * dw + (out_w - 1) * sw + 1 : sw]
            taps = taps.reshape(taps.shape[:3] + (groups, depth)).astype(np.float64)  # exact: far below 2**53
            acc += np.einsum("nhwgi,goi->nhwgo", taps, w[..., ky, kx]).astype(np.int64)
    return acc.reshape(acc.shape[:3] + (filters,))


def conv(
    data: np.ndarray,
    weight: np.ndarray,
    weight_scale: np.ndarray,
    bias: Optional[np.ndarray],
    slope: Optional[np.ndarray],
    residual: Optional[np.ndarray],
    attrs: Dict[str, Any],
) -> np.ndarray:
    """The output of mxq_conv for the operator's attributes as Python values."""
    if weight.ndim == 3:  # 1-D: height 1
        flat = dict(attrs)
        for key, other in (("stride", 1), ("dilate", 1), ("pad_begin", 0), ("pad_end", 0)):
            flat[key] = (other,) + tuple(attrs.get(key, (other,)))
        acc = accumulate(data[:, None], weight[:, :, None], flat)[:, 0]
    else:
        acc = accumulate(data, weight, attrs)
    return output_stage(acc, weight_scale, bias, slope, residual, attrs)
