"""Pooling. MXNet's windows are written out as padding, so that no runtime has to know its conventions."""

from typing import List, Tuple

import numpy as np

from ..network.graph import Node
from .builder import Builder
from .layers import per_axis
from .table import Refused, emits

_LAYOUTS = ("", "NCW", "NCHW", "NCDHW")


class Windows:
    """Where windows lie: padding at both ends of each axis, and what the last window reaches beyond that."""

    def __init__(self, size: Tuple[int, ...], out: Tuple[int, ...], kernel, stride, pad):
        self.kernel, self.stride, self.begin = kernel, stride, pad
        spans = [s * (o - 1) + k for s, o, k in zip(stride, out, kernel)]
        self.beyond = tuple(max(span - n - 2 * p, 0) for span, n, p in zip(spans, size, pad))
        # Rows that no window reads are cut where they exceed the padding; a valid pooling may leave some.
        self.end = tuple(p + more for p, more in zip(pad, self.beyond))
        for span, n, p, k in zip(spans, size, pad, kernel):
            if p >= k or span - k - p >= n:
                raise Refused("one of its windows lies outside the data")

    def attrs(self, begin=None, end=None) -> dict:
        pads = [*(self.begin if begin is None else begin), *(self.end if end is None else end)]
        return {"kernel_shape": list(self.kernel), "strides": list(self.stride), "pads": pads}


def _maximum(b: Builder, x: str, w: Windows, include: bool) -> str:
    return b("MaxPool", [x], **w.attrs())


def _average(b: Builder, x: str, w: Windows, include: bool) -> str:
    """MXNet divides by the part of a window inside the data, or, with count_include_pad, inside data and padding."""
    if not include or not any(w.begin):
        return b("AveragePool", [x], count_include_pad=0, **w.attrs())
    if not any(w.beyond):
        return b("AveragePool", [x], count_include_pad=1, **w.attrs())
    zeros = [0, 0, *w.begin]
    padded = b("Pad", [x, b.constant(zeros + zeros, "int64", "pads"), b.constant(0.0)], mode="constant")
    return b("AveragePool", [padded], count_include_pad=0, **w.attrs([0] * len(w.begin), w.beyond))


def _sum(b: Builder, x: str, w: Windows, include: bool) -> str:
    mean = b("AveragePool", [x], count_include_pad=1, **w.attrs())
    return b("Mul", [mean, b.constant(float(np.prod(w.kernel)))])


_KINDS = {"max": _maximum, "avg": _average, "sum": _sum}


def _power(b: Builder, x: str, p: int) -> str:
    return x if p == 1 else b("Pow", [x, b.constant(float(p))])


def _root(b: Builder, x: str, p: int) -> str:
    """Sums of third powers may be negative."""
    if p == 1:
        return x
    if p == 2:
        return b("Sqrt", [x])
    return b("Mul", [b("Sign", [x]), b("Pow", [b("Abs", [x]), b.constant(1 / p)])])


_GLOBAL = {
    "max": lambda b, x, axes: b("GlobalMaxPool", [x]),
    "avg": lambda b, x, axes: b("GlobalAveragePool", [x]),
    "sum": lambda b, x, axes: b.reduce("ReduceSum", x, axes),
}


@emits(
    "Pooling", kernel=(), pool_type="max", global_pool=False, pooling_convention="valid", stride=(), pad=(), p_value=2,
    count_include_pad=True, layout="",
)  # fmt: skip
def pooling(b: Builder, node: Node, a) -> str:
    kind, root = (a.pool_type, 0) if a.pool_type != "lp" else ("sum", a.p_value)
    if kind not in _KINDS or a.layout not in _LAYOUTS:
        raise Refused(f"its pool_type is {a.pool_type} and its layout {a.layout or 'NCHW'}")
    if a.pooling_convention not in ("valid", "full"):
        raise Refused(f"its pooling_convention is {a.pooling_convention}; valid and full have an ONNX form")
    if root not in (0, 1, 2, 3):
        raise Refused(f"its p_value is {root}; 1, 2 and 3 have an ONNX form")
    shape = b.shape(node.inputs[0])
    rank = len(shape) - 2
    x = b.read(node.inputs[0])
    if root:
        x = _power(b, x, root)
    if a.global_pool:
        y = _GLOBAL[kind](b, x, list(range(2, rank + 2)))
    else:
        stride, pad = per_axis(a.stride, rank, 1), per_axis(a.pad, rank, 0)
        y = _KINDS[kind](b, x, Windows(shape[2:], b.shape(node.out())[2:], a.kernel, stride, pad), a.count_include_pad)
    return _root(b, y, root) if root else y


@emits("_contrib_AdaptiveAvgPooling2D", output_size=())
def adaptive_average(b: Builder, node: Node, a) -> str:
    """Equal windows are an AveragePool; else each axis is a product with a constant matrix of shares."""
    size, out = b.shape(node.inputs[0])[2:], b.shape(node.out())[2:]
    x = b.read(node.inputs[0])
    if out == (1, 1):
        return b("GlobalAveragePool", [x])
    if all(n % o == 0 for n, o in zip(size, out)):
        kernel = [n // o for n, o in zip(size, out)]
        return b("AveragePool", [x], kernel_shape=kernel, strides=kernel)
    rows, columns = (_shares(n, o) for n, o in zip(size, out))
    return b("MatMul", [b("MatMul", [b.constant(rows), x], dtype="float32"), b.constant(columns.T)])


def _shares(size: int, out: int) -> np.ndarray:
    """Row i averages from floor(i * size / out) to ceil((i + 1) * size / out)."""
    rows: List[np.ndarray] = []
    for i in range(out):
        start, stop = i * size // out, -(-(i + 1) * size // out)
        row = np.zeros(size)
        row[start:stop] = 1 / (stop - start)
        rows.append(row)
    return np.stack(rows)
