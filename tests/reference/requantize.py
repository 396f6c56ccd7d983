"""mxq_requantize in numpy."""

from typing import Any, Dict, List, Sequence

import numpy as np

from mxq.arithmetic.qmath import multiplier, range_to_qparams, round_clamp

from .quantize_v2 import quantize_v2


def requantize(inputs: Sequence[np.ndarray], attrs: Dict[str, Any]) -> List[np.ndarray]:
    """The outputs of mxq_requantize for the operator's attributes as Python values."""
    data, out_type = inputs[0], attrs.get("out_type", "int8")
    if attrs.get("ranges", "none") == "none":
        to = range_to_qparams(attrs["min_calib_range"], attrs["max_calib_range"], out_type)
        centred = (data.astype(np.int64) - attrs.get("in_zero_point", 0)).astype(np.float32)
        factor = multiplier(np.float32(attrs["in_scale"]), to.scale)
        with np.errstate(over="ignore"):
            return [round_clamp(centred * factor, to.zero_point, out_type)]
    x = range_to_qparams(inputs[1][0], inputs[2][0], attrs.get("in_type", "int8"))
    real = data.astype(np.float32) * (np.float32(x.scale) * inputs[3])
    if not attrs.get("no_bias", False):
        real = real + inputs[4]
    if attrs.get("act", "none") == "relu":
        real = np.maximum(real, np.float32(0))
    return [real] if out_type == "float32" else quantize_v2(real, {"out_type": out_type})
