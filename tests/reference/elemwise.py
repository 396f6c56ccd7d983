"""mxq_elemwise_add, mxq_elemwise_sub and mxq_elemwise_mul in numpy."""

from typing import Any, Dict

import numpy as np

from mxq.arithmetic.qmath import multiplier, round_clamp


def activate(t: np.ndarray, attrs: Dict[str, Any], out_scale: np.float32) -> np.ndarray:
    """The activation on values in units of the output's scale."""
    act = attrs.get("act", "none")
    if act == "relu":
        return np.maximum(t, np.float32(0))
    if act == "clip":
        low, high = (multiplier(attrs[k], out_scale) for k in ("act_alpha", "act_beta"))
        return np.minimum(np.maximum(t, low), high)
    if act == "leaky":
        return np.where(t < 0, t * np.float32(attrs["act_alpha"]), t)
    return t


def elemwise(op: str, a: np.ndarray, b: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    """The output of the operator named `op` for its attributes as Python values."""
    scale = {k: np.float32(attrs.get(f"{k}_scale", 1.0)) for k in ("a", "b", "out")}
    x = a.astype(np.int64) - attrs.get("a_zero_point", 0)
    y = b.astype(np.int64) - attrs.get("b_zero_point", 0)
    if op == "mxq_elemwise_mul":
        t = (x * y).astype(np.float32) * multiplier(np.float64(scale["a"]) * scale["b"], scale["out"])
    else:
        x = x.astype(np.float32) * multiplier(scale["a"], scale["out"])
        y = y.astype(np.float32) * multiplier(scale["b"], scale["out"])
        t = x + y if op == "mxq_elemwise_add" else x - y
    t = activate(t, attrs, scale["out"])
    out_type = attrs.get("out_type", "int8")
    return t if out_type == "float32" else round_clamp(t, attrs.get("out_zero_point", 0), out_type)
