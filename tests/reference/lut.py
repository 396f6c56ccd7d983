"""mxq_lut in numpy."""

from typing import Any, Dict

import numpy as np


def lut(data: np.ndarray, table: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    """The output of mxq_lut for the operator's attributes as Python values."""
    index = data.astype(np.int64) + (128 if data.dtype == np.int8 else 0)
    if table.ndim == 1:
        out = table[index]
    else:
        column = [1] * data.ndim
        column[attrs.get("axis", -1)] = -1
        out = table[np.arange(len(table)).reshape(column), index]
    if attrs.get("layout") == "channels_last":
        out = np.ascontiguousarray(np.moveaxis(out, 1, -1))
    return out
