"""Layers with weights: convolution, its transpose, fully connected."""

from typing import Optional, Sequence, Tuple

import numpy as np

from ..network.graph import Node, Value
from ..ops.weighted import spatial_pad
from .builder import Builder
from .table import Refused, emits

_LAYOUTS = ("", "NCW", "NCHW", "NCDHW")


def per_axis(numbers: Sequence[int], rank: int, default: int) -> Tuple[int, ...]:
    """One number for each spatial axis."""
    return tuple(numbers) if numbers else (default,) * rank


def padding_in_front(node: Node) -> Optional[Tuple[Value, tuple, tuple]]:
    """What a Pad of zeros in front of a layer reads, and what it adds at the begin and at the end of spatial axes."""
    source = node.inputs[0].node
    widths = spatial_pad(source) if source.op in ("Pad", "pad") else None
    return None if widths is None else (source.inputs[0], *widths)


@emits(
    "Convolution", kernel=(), stride=(), dilate=(), pad=(), num_filter=0, num_group=1, no_bias=False, layout=""
)  # fmt: skip
def convolution(b: Builder, node: Node, a) -> str:
    if a.layout not in _LAYOUTS:
        raise Refused(f"its layout is {a.layout}; {', '.join(_LAYOUTS[1:])} have an ONNX form")
    rank = len(a.kernel)
    names = b.inputs(node)
    begin = end = per_axis(a.pad, rank, 0)
    before = padding_in_front(node)
    if before is not None:
        value, more_begin, more_end = before
        names[0] = b.read(value)
        begin = tuple(p + more for p, more in zip(begin, more_begin))
        end = tuple(p + more for p, more in zip(end, more_end))
    return b(
        "Conv",
        names,
        kernel_shape=list(a.kernel),
        strides=list(per_axis(a.stride, rank, 1)),
        dilations=list(per_axis(a.dilate, rank, 1)),
        pads=[*begin, *end],
        group=a.num_group,
    )


@emits(
    "Deconvolution", kernel=(), stride=(), dilate=(), pad=(), adj=(), target_shape=(), num_filter=0, num_group=1,
    no_bias=True, layout="",
)  # fmt: skip
def deconvolution(b: Builder, node: Node, a) -> str:
    if a.layout not in _LAYOUTS:
        raise Refused(f"its layout is {a.layout}; {', '.join(_LAYOUTS[1:])} have an ONNX form")
    rank = len(a.kernel)
    stride, dilate = per_axis(a.stride, rank, 1), per_axis(a.dilate, rank, 1)
    pad, extra = per_axis(a.pad, rank, 0), per_axis(a.adj, rank, 0)
    if any(a.target_shape):
        size = b.shape(node.inputs[0])[2:]
        whole = [s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in zip(stride, size, dilate, a.kernel)]
        found = tuple(w - 2 * p + more for w, p, more in zip(whole, pad, extra))
        if found != a.target_shape:  # by the documentation the padding would follow from it
            raise Refused(
                f"its target_shape {a.target_shape} is not the {found} of pad and adj: MXNet fails, or is wrong"
            )
    return b(
        "ConvTranspose",
        b.inputs(node),
        kernel_shape=list(a.kernel),
        strides=list(stride),
        dilations=list(dilate),
        pads=[*pad, *pad],
        output_padding=list(extra),
        group=a.num_group,
    )


@emits("FullyConnected", num_hidden=0, no_bias=False, flatten=True)
def fully_connected(b: Builder, node: Node, a) -> str:
    shape = b.shape(node.inputs[0])
    x, weight, *bias = b.inputs(node)
    if a.flatten:
        if len(shape) != 2:
            x = b.moved(x, (shape[0], int(np.prod(shape[1:]))))
        return b("Gemm", [x, weight, *bias], transB=1)
    y = b("MatMul", [x, _transposed(b, node.inputs[1])])
    return b("Add", [y, *bias]) if bias else y


def _transposed(b: Builder, value: Value) -> str:
    """Weights with inputs first, transposed here where they are constant."""
    weight, array = b.read(value), b.array(value)
    if array is not None:
        return b.constant(array.T, name=f"{weight}_transposed")
    if weight not in b.integers:
        return b.transpose(weight, (1, 0))
    given = b.integers[weight]
    q = b.constant(b.constants[given.q].T, b.dtype(given.q), f"{given.q}_transposed")
    return b.dequantize(given._replace(q=q, axis=1))
