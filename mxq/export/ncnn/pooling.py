"""Pooling, global pooling, reductions."""

from typing import Dict

from ...network.graph import Node
from ..layers import per_axis
from ..pooling import Windows
from ..reduction import reduced_axes
from .builder import Builder
from .net import Parameter
from .table import Refused, emits

_KINDS = {"max": 0, "avg": 1}
_FULL, _VALID = 0, 1


@emits(
    "Pooling", kernel=(), pool_type="max", global_pool=False, pooling_convention="valid", stride=(), pad=(), p_value=2,
    count_include_pad=True, layout="",
)  # fmt: skip
def pooling(b: Builder, node: Node, a) -> str:
    shape, out = b.shape(node.inputs[0]), b.shape(node.out())
    if a.pool_type not in _KINDS or a.layout not in ("", "NCHW") or len(shape) != 4:
        raise Refused(f"its pool_type is {a.pool_type}, with {len(shape)} axes; max and avg of NCHW have an ncnn form")
    x, kind = b.read(node.inputs[0]), _KINDS[a.pool_type]
    if a.global_pool:
        return b.reshape(b("Pooling", [x], {0: kind, 4: 1}), out[1:])
    if a.pooling_convention not in ("valid", "full"):
        raise Refused(f"its pooling_convention is {a.pooling_convention}; valid and full have an ncnn form")
    kernel, stride, pad = a.kernel, per_axis(a.stride, 2, 1), per_axis(a.pad, 2, 0)
    windows = Windows(shape[2:], out[2:], kernel, stride, pad)  # refuses those that lie outside
    include = a.count_include_pad and any(pad)
    if kind and include and any(windows.beyond):
        raise Refused("it averages padding, and its last window reaches beyond that; ncnn divides by all of it")
    params: Dict[int, Parameter] = {
        0: kind, 1: kernel[1], 11: kernel[0], 2: stride[1], 12: stride[0], 3: pad[1], 13: pad[0], 14: pad[1],
        15: pad[0], 5: _FULL if a.pooling_convention == "full" else _VALID, 6: int(include),
    }  # fmt: skip
    return b("Pooling", [x], params)


@emits("_contrib_AdaptiveAvgPooling2D", output_size=())
def adaptive_average(b: Builder, node: Node, a) -> str:
    height, width = b.shape(node.out())[2:]
    pooled = b("Pooling", b.inputs(node), {0: _KINDS["avg"], 7: 1, 8: width, 18: height})
    return b.reshape(pooled, b.shape(node.out())[1:])


def _register(name: str, number: int) -> None:
    @emits(name, axis=None, keepdims=False, exclude=False)
    def reduction(b: Builder, node: Node, a) -> str:
        axes = reduced_axes(a.axis, a.exclude, len(b.shape(node.inputs[0])))
        along = [b.axis(axis, node.inputs[0]) for axis in axes]
        if not along:
            return b.read(node.inputs[0])
        params: Dict[int, Parameter] = {0: number, 1: 0, 3: along, 4: 1, 5: 1}
        return b.reshape(b("Reduction", b.inputs(node), params), b.shape(node.out())[1:])


for _name, _number in (("sum", 0), ("sum_axis", 0), ("mean", 3), ("max", 4), ("min", 5), ("prod", 6)):
    _register(_name, _number)
