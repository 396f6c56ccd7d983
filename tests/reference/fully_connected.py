"""mxq_fully_connected in numpy."""

from typing import Any, Dict, Optional

import numpy as np

from .output_stage import output_stage


def fully_connected(
    data: np.ndarray,
    weight: np.ndarray,
    weight_scale: np.ndarray,
    bias: Optional[np.ndarray],
    slope: Optional[np.ndarray],
    residual: Optional[np.ndarray],
    attrs: Dict[str, Any],
) -> np.ndarray:
    """The output of mxq_fully_connected for the operator's attributes as Python values."""
    rows = data.reshape(data.shape[0], -1) if attrs.get("flatten", True) else data
    centred = rows.astype(np.float64) - attrs.get("in_zero_point", 0)
    acc = (centred @ weight.astype(np.float64).T).astype(np.int64)  # exact: far below 2**53
    return output_stage(acc, weight_scale, bias, slope, residual, attrs)
