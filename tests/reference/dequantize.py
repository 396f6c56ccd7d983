"""mxq_dequantize in numpy."""

from typing import Any, Dict, Sequence

import numpy as np

from mxq.arithmetic.qmath import QParams, dequantize_fine, range_to_qparams
from mxq.arithmetic.qmath import dequantize as to_float


def dequantize(inputs: Sequence[np.ndarray], attrs: Dict[str, Any]) -> np.ndarray:
    """The output of mxq_dequantize for the operator's attributes as Python values."""
    data, kind = inputs[0], attrs.get("ranges", "none")
    dtype = str(data.dtype)
    if attrs.get("fine_steps", 1) > 1:
        qparams = range_to_qparams(attrs["min_calib_range"], attrs["max_calib_range"], dtype)
        return dequantize_fine(*np.split(data, 2, axis=1), qparams, attrs["fine_steps"])
    if kind == "channel":
        column = [1] * data.ndim
        column[attrs["axis"]] = -1
        out = data.astype(np.float32) * inputs[1].reshape(column)
    elif kind == "tensor":
        out = to_float(data, range_to_qparams(inputs[1][0], inputs[2][0], dtype))
    elif "scale" in attrs:
        out = to_float(data, QParams(np.float32(attrs["scale"]), attrs.get("zero_point", 0), dtype))
    else:
        out = to_float(data, range_to_qparams(attrs["min_calib_range"], attrs["max_calib_range"], dtype))
    if attrs.get("layout") == "channels_first":
        out = np.ascontiguousarray(np.moveaxis(out, -1, 1))
    return out
