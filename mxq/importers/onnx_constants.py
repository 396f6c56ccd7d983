"""Nodes of an ONNX graph whose inputs are known: computed while the file is read, with numpy.

Shapes that networks compute from shapes are such nodes. Only what they need is here; what is large or not listed stays
a node of the network.
"""

from typing import Callable, Dict, List, Optional, Tuple

import numpy as np

#: Types of tensors by their number in ONNX.
TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}
#: No larger result is computed here: shapes are small, and weights as large as they are in the file.
MAX_SIZE = 1 << 26


def _axes(a: Dict, x: List[np.ndarray], at: int = 1) -> tuple:
    return tuple(int(n) for n in (a["axes"] if "axes" in a else x[at]))


def _reshape(a: Dict, x: List[np.ndarray]) -> np.ndarray:
    dims = [int(n) for n in (a["shape"] if "shape" in a else x[1])]
    return x[0].reshape([x[0].shape[i] if d == 0 and not a.get("allowzero") else d for i, d in enumerate(dims)])


def _slice(a: Dict, x: List[np.ndarray]) -> np.ndarray:
    starts, ends = (a["starts"], a["ends"]) if "starts" in a else (x[1], x[2])
    axes = a.get("axes", x[3] if len(x) > 3 and x[3] is not None else range(len(starts)))
    steps = x[4] if len(x) > 4 and x[4] is not None else [1] * len(starts)
    index = [slice(None)] * x[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        index[int(axis)] = slice(int(start), int(end), int(step))
    return x[0][tuple(index)]


def _divide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))).astype(x.dtype) if x.dtype.kind in "iu" else x / y


def _reduced(function: Callable) -> Callable[[Dict, List[np.ndarray]], np.ndarray]:
    def of(a: Dict, x: List[np.ndarray]) -> np.ndarray:
        axes = a.get("axes", x[1] if len(x) > 1 else [])
        if not len(axes) and a.get("noop_with_empty_axes"):
            return x[0]
        axis = tuple(int(n) for n in axes) or None
        return function(x[0], axis=axis, keepdims=bool(a.get("keepdims", 1)))

    return of


_FOLDED: Dict[str, Callable[[Dict, List[np.ndarray]], np.ndarray]] = {
    "Identity": lambda a, x: x[0],
    "Cast": lambda a, x: x[0].astype(TYPES[a["to"]]),
    "Gather": lambda a, x: np.take(x[0], x[1].astype(np.int64), axis=a.get("axis", 0)),
    "Unsqueeze": lambda a, x: np.expand_dims(x[0], _axes(a, x)),
    "Squeeze": lambda a, x: np.squeeze(x[0], _axes(a, x)) if "axes" in a or len(x) > 1 else np.squeeze(x[0]),
    "Concat": lambda a, x: np.concatenate(x, axis=a["axis"]),
    "Reshape": _reshape,
    "Flatten": lambda a, x: x[0].reshape(int(np.prod(x[0].shape[: a.get("axis", 1)])), -1),
    "Transpose": lambda a, x: np.transpose(x[0], a.get("perm")),
    "Slice": _slice,
    "Add": lambda a, x: x[0] + x[1],
    "Sub": lambda a, x: x[0] - x[1],
    "Mul": lambda a, x: x[0] * x[1],
    "Div": lambda a, x: _divide(x[0], x[1]),
    "Floor": lambda a, x: np.floor(x[0]),
    "Ceil": lambda a, x: np.ceil(x[0]),
    "Sqrt": lambda a, x: np.sqrt(x[0]),
    "Neg": lambda a, x: -x[0],
    "Equal": lambda a, x: x[0] == x[1],
    "Where": lambda a, x: np.where(x[0], x[1], x[2]),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ConstantOfShape": lambda a, x: np.full(_sizes(x[0]), np.reshape(a.get("value", np.float32(0)), ())),
    "Expand": lambda a, x: np.broadcast_to(x[0], np.broadcast_shapes(x[0].shape, _sizes(x[1]))),
}


#: Operators whose results are as large as their inputs together, spread over each other.
_SPREADING = ("Add", "Sub", "Mul", "Div", "Equal", "Where")


def _sizes(dims: np.ndarray) -> Tuple[int, ...]:
    return tuple(int(n) for n in np.reshape(dims, -1))


def _count(kind: str, a: Dict, x: List[np.ndarray]) -> float:
    """How many numbers a node gives, where that may be many more than its inputs have."""
    if kind == "Expand":
        return float(np.prod(np.broadcast_shapes(x[0].shape, _sizes(x[1])), dtype=np.float64))
    if kind == "ConstantOfShape":
        return float(np.prod([float(n) for n in _sizes(x[0])]))
    if kind == "Gather":
        return float(x[0].size) / max(x[0].shape[a.get("axis", 0)], 1) * x[1].size
    if kind in _SPREADING:
        return float(np.prod(np.broadcast_shapes(*(part.shape for part in x)), dtype=np.float64))
    return 0.0


def fold(kind: str, attributes: Dict, inputs: List[Optional[np.ndarray]]) -> Optional[np.ndarray]:
    """The result of a node whose inputs are all known; None where it is not computed here.

    Raises ValueError, IndexError, KeyError or TypeError where the node makes no sense.
    """
    function = _FOLDED.get(kind)
    if function is None or not inputs or inputs[0] is None:
        return None
    while inputs[-1] is None:
        inputs = inputs[:-1]
    if _count(kind, attributes, inputs) > MAX_SIZE:
        return None
    return np.asarray(function(attributes, inputs))
