"""Reductions over axes, and what sorts along one."""

from typing import Dict, List

import numpy as np

from ..network.graph import Node
from .builder import Builder
from .table import Refused, emits


def reduced_axes(axis, exclude: bool, rank: int) -> List[int]:
    """The axes that MXNet reduces: none given is all."""
    given = () if axis is None else tuple(axis) if isinstance(axis, (tuple, list)) else (int(axis),)
    axes = sorted({i % rank for i in given})
    if exclude:
        return [i for i in range(rank) if i not in axes]
    return axes or list(range(rank))


_KINDS: Dict[str, str] = {
    "sum": "ReduceSum",
    "sum_axis": "ReduceSum",
    "mean": "ReduceMean",
    "max": "ReduceMax",
    "max_axis": "ReduceMax",
    "min": "ReduceMin",
    "min_axis": "ReduceMin",
    "prod": "ReduceProd",
}


def _register(name: str, kind: str) -> None:
    @emits(name, axis=None, keepdims=False, exclude=False)
    def reduction(b: Builder, node: Node, a) -> str:
        axes = reduced_axes(a.axis, a.exclude, len(b.shape(node.inputs[0])))
        if not axes:
            return b.read(node.inputs[0])
        y = b.reduce(kind, b.read(node.inputs[0]), axes)
        return y if a.keepdims else b.reshape(y, b.shape(node.out()))


for _name, _kind in _KINDS.items():
    _register(_name, _kind)


@emits("norm", ord=2, axis=None, out_dtype="", keepdims=False)
def norm(b: Builder, node: Node, a) -> str:
    if a.ord not in (1, 2) or a.out_dtype not in ("", "float32"):
        raise Refused(f"its ord is {a.ord} and its out_dtype {a.out_dtype or 'float32'}; 1 or 2 of float32 have a form")
    x = b.read(node.inputs[0])
    x = b("Abs", [x]) if a.ord == 1 else b("Mul", [x, x])
    y = b.reduce("ReduceSum", x, reduced_axes(a.axis, False, len(b.shape(node.inputs[0]))))
    y = y if a.ord == 1 else b("Sqrt", [y])
    return b.reshape(y, b.shape(node.out()))


def _first(b: Builder, node: Node, kind: str, axis) -> str:
    """Index of the largest or smallest, the first of equal ones, as float."""
    x = b.read(node.inputs[0])
    if axis is None:
        x, axis = b.reshape(x, (-1,)), 0
    index = b.cast(b(kind, [x], dtype="int64", axis=int(axis), keepdims=1), "float32")
    return b.reshape(index, b.shape(node.out()))


@emits("argmax", axis=None, keepdims=False)
def argmax(b: Builder, node: Node, a) -> str:
    return _first(b, node, "ArgMax", a.axis)


@emits("argmin", axis=None, keepdims=False)
def argmin(b: Builder, node: Node, a) -> str:
    return _first(b, node, "ArgMin", a.axis)


@emits("argmax_channel")
def argmax_channel(b: Builder, node: Node, a) -> str:
    return _first(b, node, "ArgMax", 1)


def _sorted(b: Builder, node: Node, axis, count: int, ascending: bool) -> List[str]:
    """Values and int64 indices of the first `count` along an axis (all for 0)."""
    if "axis" in node.attrs and axis is None:
        raise Refused("its axis is None; an axis has an ONNX form")
    axis = -1 if axis is None else int(axis)
    size = b.shape(node.inputs[0])[axis]
    k = b.constant([count if 0 < count < size else size], "int64")
    values, indices = b("TopK", [b.read(node.inputs[0]), k], outputs=2, axis=axis, largest=int(not ascending), sorted=1)
    b.retype(indices, "int64")
    return [values, indices]


_INDEX_TYPES = ("float32", "int32", "int64")


@emits("topk", axis=None, k=1, ret_typ="indices", is_ascend=False, dtype="float32")
def topk(b: Builder, node: Node, a) -> List[str]:
    if a.ret_typ not in ("value", "indices", "both") or a.dtype not in _INDEX_TYPES:
        raise Refused(f"its ret_typ is {a.ret_typ} and its dtype {a.dtype}; value, indices and both have an ONNX form")
    values, indices = _sorted(b, node, a.axis, a.k, a.is_ascend)
    indices = b.cast(indices, a.dtype)
    return {"value": [values], "indices": [indices], "both": [values, indices]}[a.ret_typ]


@emits("sort", axis=None, is_ascend=True)
def sort(b: Builder, node: Node, a) -> str:
    return _sorted(b, node, a.axis, 0, a.is_ascend)[0]


@emits("argsort", axis=None, is_ascend=True, dtype="float32")
def argsort(b: Builder, node: Node, a) -> str:
    if a.dtype not in _INDEX_TYPES:
        raise Refused(f"its dtype is {a.dtype}; {', '.join(_INDEX_TYPES)} have an ONNX form")
    return b.cast(_sorted(b, node, a.axis, 0, a.is_ascend)[1], a.dtype)


@emits("cumsum", "_np_cumsum", axis=None, dtype="")
def cumsum(b: Builder, node: Node, a) -> str:
    if a.dtype not in ("", "float32"):
        raise Refused(f"its dtype is {a.dtype}; float32 has an ONNX form")
    x = b.read(node.inputs[0])
    if a.axis is None:
        x = b.reshape(x, (-1,))
    return b("CumSum", [x, b.constant(np.int64(a.axis or 0), "int64")])
