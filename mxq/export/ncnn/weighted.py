"""Layers with weights: convolution, its transpose, fully connected; float, or with integers.

ncnn rounds what such a layer reads to int8, symmetric, half away from zero. Integers go on from one layer to the next
where nobody else reads them: then the first one rounds its results with the second one's scale.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ...arithmetic.qmath import QParams
from ...network.graph import Graph, Node, Value
from ...ops.fuse import native_activation
from ...ops.spec import sole_user
from ...ops.weighted import tuple_attr
from ...passes.lower import DEQUANTIZE, QUANTIZE
from ...passes.quantize_params import in_qparams
from ..layers import padding_in_front, per_axis
from .builder import Builder, Integers
from .net import Parameter, numbers, weights
from .table import Refused, emits

#: Activations inside a layer: number and parameters. Slopes by channel stay a layer of their own.
_ACTIVATIONS = {
    "relu": lambda attrs: (1, []),
    "leaky": lambda attrs: (2, [attrs["act_alpha"]]),
    "clip": lambda attrs: (3, [attrs["act_alpha"], attrs["act_beta"]]),
}
_HANDS_ON = 100  # added to a term where the layer writes integers


#: Terms that say where scales of weights stand: one for each output, one for each group.
_BY_OUTPUT, _BY_GROUP = 2, 1


class Int8(NamedTuple):
    """What a layer of integers reads: how its input is rounded, and its weights."""

    given: QParams
    weight: Integers

    def scales(self) -> List[bytes]:
        """The scales of weights and input, as ncnn has them."""
        return [numbers(1.0 / self.weight.scale.astype(np.float64)), numbers(np.array([1.0 / self.given.scale]))]


def _integers(b: Builder, node: Node, source: Value) -> Optional[Int8]:
    """What is quantized in front of a layer; None of a float one. Refuses integers that ncnn has not."""
    given = b.scales.get((source.node.name, source.index))
    weight = b.integers.get((node.inputs[1].node.name, node.inputs[1].index))
    if given is None or weight is None:
        if weight is not None and int(source.node.get("fine_steps", 1)) > 1:
            b.left_float[node.name] = "its input has 11 bits, which ncnn has not"
        return None
    if given.dtype != "int8" or given.zero_point:
        raise Refused(
            f"its input is {given.dtype} with zero point {given.zero_point} and ncnn takes int8 without one: quantize "
            "with quantized_dtype='int8'"
        )
    return Int8(given, weight)


def _term(groups: int, weight: np.ndarray) -> Optional[int]:
    """Which scales of weights a convolution has; None where ncnn has none for each output."""
    if groups == 1:
        return _BY_OUTPUT
    return _BY_GROUP if weight.shape[:2] == (groups, 1) else None


def _activation(b: Builder, node: Node, params: Dict[int, Parameter]) -> Value:
    """Takes an activation along that alone reads the layer; returns the last value that the layer computes."""
    user = sole_user(node.out(), b.uses)
    attrs = None if user is None else native_activation(user, b.graph)
    if attrs is None or attrs["act"] not in _ACTIVATIONS:
        return node.out()
    params[9], parts = _ACTIVATIONS[attrs["act"]](attrs)
    if parts:
        params[10] = parts
    b.claim(user)
    return user.out()


def _scale_behind(b: Builder, value: Value) -> Optional[float]:
    """How a value is rounded, where convolutions of integers alone read it; else None."""
    pair = sole_user(value, b.uses)
    if pair is None or pair.op != QUANTIZE or int(pair.get("fine_steps", 1)) > 1:
        return None
    for use in b.readers(pair.out()):
        for reader in b.readers(use.node.out()) if use.node is not None and use.node.op == DEQUANTIZE else [use]:
            node = reader.node
            if node is None or node.op != "Convolution" or node.inputs[1].node.op != DEQUANTIZE:
                return None
            weight = b.graph.param_of(node.inputs[1].node.inputs[0])
            if len(weight.shape) != 4 or _term(int(node.get("num_group", 1)), weight) is None:
                return None
    return in_qparams(pair).scale


#: Input channels from which ncnn's 3x3 Winograd transform of full 8-bit weights overflows 16 bits, and what does not.
_WINOGRAD_CHANNELS, WINOGRAD_BITS = 64, 6


def winograd_layers(graph: Graph) -> List[str]:
    """Convolutions that ncnn may compute by Winograd's transform, with sums that 8-bit weights overflow."""
    found = []
    for node in graph.nodes:
        weight = graph.param_of(node.inputs[1]) if node.op == "Convolution" else None
        if weight is None or weight.shape[2:] != (3, 3) or weight.shape[1] < _WINOGRAD_CHANNELS:
            continue
        plain = all(set(tuple_attr(node, key, 2, 1)) == {1} for key in ("stride", "dilate"))
        if plain and int(node.get("num_group", 1)) == 1:
            found.append(node.name)
    return found


def _two(given: Tuple[int, ...], default: int) -> Tuple[int, int]:
    found = per_axis(given, 2, default)
    if len(found) != 2:
        raise Refused(f"{len(found)} spatial axes; 2 have an ncnn form")
    return found


def _both(first: int, second: int, values: Tuple[int, int]) -> Dict[int, Parameter]:
    """The numbers of a parameter for the width and for the height."""
    return {first: values[1], second: values[0]}


@emits("Convolution", kernel=(), stride=(), dilate=(), pad=(), num_filter=0, num_group=1, no_bias=False, layout="")
def convolution(b: Builder, node: Node, a) -> str:
    if a.layout not in ("", "NCHW"):
        raise Refused(f"its layout is {a.layout}; NCHW has an ncnn form")
    kernel, begin = _two(a.kernel, 1), _two(a.pad, 0)
    end, source = begin, node.inputs[0]
    before = padding_in_front(node)
    if before is not None:
        source, more_begin, more_end = before
        begin = (begin[0] + more_begin[0], begin[1] + more_begin[1])
        end = (end[0] + more_end[0], end[1] + more_end[1])
    weight = b.parameter(node.inputs[1], "weight")
    params: Dict[int, Parameter] = {
        0: a.num_filter,
        **_both(1, 11, kernel),
        **_both(2, 12, _two(a.dilate, 1)),
        **_both(3, 13, _two(a.stride, 1)),
        **_both(4, 14, begin),
        **_both(15, 16, end),
        5: int(len(node.inputs) > 2),
        6: int(weight.size),
    }
    if a.num_group > 1:
        params[7] = a.num_group
    last = _activation(b, node, params)
    kind = "Convolution" if a.num_group == 1 else "ConvolutionDepthWise"
    found = _integers(b, node, source)
    term = _term(a.num_group, weight)
    if found is not None and term is None:
        b.left_float[node.name] = (
            f"it has {a.num_group} groups: ncnn has one scale of weights for each, not each output"
        )
        found = None
    content = [weights(weight if found is None else found.weight.q), *_bias(b, node)]
    if found is not None and term is not None:
        behind = _scale_behind(b, last)
        params[8] = term + (0 if behind is None else _HANDS_ON)
        content += found.scales() + ([] if behind is None else [numbers(np.array([1.0 / behind]))])
    return b(kind, [b.read(source)], params, content)


def _bias(b: Builder, node: Node) -> List[bytes]:
    return [numbers(b.parameter(value, "bias")) for value in node.inputs[2:3]]


@emits("FullyConnected", num_hidden=0, no_bias=False, flatten=True)
def fully_connected(b: Builder, node: Node, a) -> str:
    if not a.flatten and b.rank(node.inputs[0]) > 1:
        raise Refused("its flatten is False and its input has several axes; flatten=True has an ncnn form")
    weight = b.parameter(node.inputs[1], "weight")
    params: Dict[int, Parameter] = {0: a.num_hidden, 1: int(len(node.inputs) > 2), 2: int(weight.size)}
    _activation(b, node, params)
    found = _integers(b, node, node.inputs[0])
    x = b.read(node.inputs[0])
    if b.rank(node.inputs[0]) > 1:
        x = b("Flatten", [x])
    if found is None:
        return b("InnerProduct", [x], params, [weights(weight), *_bias(b, node)])
    params[8] = _BY_OUTPUT
    return b("InnerProduct", [x], params, [weights(found.weight.q), *_bias(b, node), *found.scales()])


@emits(
    "Deconvolution", kernel=(), stride=(), dilate=(), pad=(), adj=(), target_shape=(), num_filter=0, num_group=1,
    no_bias=True, layout="",
)  # fmt: skip
def deconvolution(b: Builder, node: Node, a) -> str:
    if a.layout not in ("", "NCHW"):
        raise Refused(f"its layout is {a.layout}; NCHW has an ncnn form")
    kernel, stride, dilate = _two(a.kernel, 1), _two(a.stride, 1), _two(a.dilate, 1)
    pad, extra = _two(a.pad, 0), _two(a.adj, 0)
    size, out = b.shape(node.inputs[0])[2:], b.shape(node.out())[2:]
    whole = [s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in zip(stride, size, dilate, kernel)]
    if tuple(w - 2 * p + more for w, p, more in zip(whole, pad, extra)) != out:
        raise Refused(f"its target_shape {a.target_shape} is not that of its pad and adj")
    return transposed(b, node, (kernel, stride, dilate, pad, extra), a.num_filter, a.num_group)


def transposed(b: Builder, node: Node, geometry: tuple, outputs: int, groups: int) -> str:
    """A Deconvolution; MXNet has the weights by input, ncnn by output."""
    kernel, stride, dilate, pad, extra = geometry
    weight = b.parameter(node.inputs[1], "weight")
    by_group = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    params: Dict[int, Parameter] = {
        0: outputs,
        **_both(1, 11, kernel),
        **_both(2, 12, dilate),
        **_both(3, 13, stride),
        **_both(4, 14, pad),
        **_both(15, 16, pad),
        **_both(18, 19, extra),
        5: int(len(node.inputs) > 2),
        6: int(weight.size),
    }
    if groups > 1:
        params[7] = groups
    _activation(b, node, params)
    content = [weights(np.ascontiguousarray(by_group.swapaxes(1, 2))), *_bias(b, node)]
    return b("Deconvolution" if groups == 1 else "DeconvolutionDepthWise", [b.read(node.inputs[0])], params, content)
