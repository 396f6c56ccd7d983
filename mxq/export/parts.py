"""Tensors of 11 bits for runtimes of 8: whole steps and the rests of a step, one behind the other along the channels.

A layer reads twice the channels, and has its weights a second time in parts of a step; so the runtime's int8 layer is
more exact and takes twice the time. What reads such a tensor otherwise (layers in groups, deconvolutions) reads the
sum, as float.
"""

import numpy as np

from ..arithmetic.parts import weights_in_parts
from ..arithmetic.qmath import QMAX, QMIN
from ..network.graph import Graph, Node, Value
from ..passes.lower import DEQUANTIZE, QUANTIZE
from ..passes.quantize_params import in_qparams

#: The axis along which parts stand, in data and in weights.
CHANNELS = 1
#: Attribute of a quantize node: how many rests make a step of what it quantizes.
PARTS = "__parts__"

#: Layers whose weights have the data's channels as their second axis, and attributes with which that is not so.
_LAYERS = {
    "Convolution": lambda node: int(node.get("num_group", 1)) == 1,
    "FullyConnected": lambda node: bool(node.get("flatten", True)),
}


def in_parts(graph: Graph) -> Graph:
    """A copy of a network with explicit quantization in which every tensor has 8 bits.

    Whole steps are rounded down, so that a rest is never negative, as in `qmath.quantize_fine`. Tensors whose range is
    found at run time are left.
    """
    graph = graph.copy()
    for node in list(graph.nodes):
        if node.op == QUANTIZE and _steps(node) > 1 and in_qparams(node) is not None:
            _split(graph, node)
    graph.sort()
    graph.prune()
    return graph


def _steps(node: Node) -> int:
    return int(node.get("fine_steps", 1)) if node.op in (QUANTIZE, DEQUANTIZE) else 1


def _split(graph: Graph, quantize: Node) -> None:
    fine_steps, given = _steps(quantize), in_qparams(quantize)
    low, high = (float(end[given.dtype] - given.zero_point) for end in (QMIN, QMAX))

    def add(op: str, what: str, *inputs: Value, **attrs) -> Value:
        return graph.add(op, f"{quantize.name}_{what}", inputs, attrs).out()

    inverse = float(np.float32(1.0) / np.float32(given.scale))
    steps = add("_mul_scalar", "steps", quantize.inputs[0], scalar=inverse)
    whole = add("clip", "whole", add("floor", "floor", steps), a_min=low, a_max=high)
    rest = add("_mul_scalar", "fine", add("elemwise_sub", "left", steps, whole), scalar=fine_steps)
    rest = add("clip", "rest", rest, a_min=0.0, a_max=float(fine_steps))
    both = add("Concat", "both", whole, rest, dim=CHANNELS, num_args=2)
    quantize.inputs[0] = add("_mul_scalar", "values", both, scalar=float(given.scale))
    quantize.attrs[PARTS] = str(fine_steps)
    del quantize.attrs["fine_steps"]
    for use in graph.uses_of(quantize.out()):
        if use.node is not None and use.node.op == DEQUANTIZE:
            use.node.attrs.pop("fine_steps", None)
            _read(graph, use.node, fine_steps)


def _read(graph: Graph, dequantize: Node, fine_steps: int) -> None:
    """Layers read both parts, all else their sum."""
    others = []
    for use in graph.uses_of(dequantize.out()):
        weight = _weight_of(use.node) if use.node is not None and use.index == 0 else None
        if weight is None:
            others.append(use)
        else:
            use.node.inputs[1] = _weights(graph, weight, fine_steps)
    if not others:
        return

    def add(op: str, what: str, *inputs: Value, **attrs) -> Value:
        return graph.add(op, f"{dequantize.name}_{what}", inputs, attrs).out()

    both = dequantize.out()
    halves = add("SliceChannel", "halves", both, num_outputs=2, axis=CHANNELS).node
    rest = add("_mul_scalar", "rest", halves.out(1), scalar=1 / fine_steps)
    graph.replace(both, add("elemwise_add", "sum", halves.out(0), rest), only=others)


def _weight_of(node: Node):
    """The dequantized weights of a layer that can read parts, else None."""
    if node.op not in _LAYERS or not _LAYERS[node.op](node):
        return None
    weight = node.inputs[1].node
    return weight if weight.op == DEQUANTIZE and weight.get("ranges") == "channel" else None


def _weights(graph: Graph, dequantize: Node, fine_steps: int) -> Value:
    """The same weights for both parts; layers that share them share these."""
    name = f"{dequantize.name}_parts"
    made = next((node for node in graph.nodes if node.name == name), None)
    if made is None:
        q, scale = dequantize.inputs
        array = weights_in_parts(graph.param_of(q), fine_steps)
        param = graph.add_param(f"{q.node.name}_parts", array)
        made = graph.add(DEQUANTIZE, name, [param, scale], dequantize.attrs)
    return made.out()
