"""A quantized network that was read becomes one of int8 operators, with the integers of its file.

The graph that was read runs in float and has a quantize/dequantize pair wherever the file rounds (`builder.py`). So
nothing is calibrated and nothing is rounded here: operators between such pairs become units, their weights and biases
are the integers of the file, and what the file computes in float stays so.
"""

from typing import Container, Dict, Mapping

import numpy as np

from ..arithmetic.qmath import quantize_bias
from ..network.graph import Graph, Node
from ..ops import COMPUTE, Unit
from ..passes.annotate import annotate, leave_float, units
from ..passes.quantize_params import in_qparams
from .builder import Integers


def mark(graph: Graph, parts: Container[str] = ()) -> Graph:
    """Marks units: whatever reads values that the file stores in 8 bits, and has an int8 form.

    Args:
        parts: names of layers whose float results may be added to others.
    """
    annotated = annotate(graph, mode="full")
    left: Dict[str, str] = {}
    for unit in units(annotated):
        floats = [value for value in unit.inputs if value.node.op != "mxq_dequantize" and value.node.name not in parts]
        if floats:
            left[unit.name] = f"the file computes {floats[0].node.name!r}, which it reads, in float"
        elif unit.head.op in _MIXING and _rescales(annotated, unit):
            left[unit.name] = "the file rounds what it mixes in another scale than that of its input"
    return leave_float(annotated, left, mode="full") if left else annotated


#: Operators whose int8 form rounds in the scale of its input what is no longer on that grid.
_MIXING = ("_contrib_BilinearResize2D",)


def _rescales(graph: Graph, unit: Unit) -> bool:
    """Whether the file stores a unit's output in another scale than its input."""
    kept = in_qparams(unit.inputs[0].node)
    readers = [use.node for use in graph.uses_of(unit.output) if use.node is not None]
    return any(node.op == "mxq_quantize_v2" and in_qparams(node) != kept for node in readers)


def keep_integers(graph: Graph, weights: Mapping[str, Integers]) -> Graph:
    """Returns a copy of the marked graph whose units read the integers of the file.

    A bias that the file has in float, or in other units than input scale times weight scale, is rounded.
    """
    graph = graph.copy()
    done: Dict[str, tuple] = {}
    for unit in units(graph):
        if unit.kind == COMPUTE:
            _keep(graph, unit.head, in_qparams(unit.inputs[0].node).scale, weights, done)
    graph.sort()
    graph.prune()
    return graph


def without_integers(graph: Graph, weights: Mapping[str, Integers], beyond: Mapping[str, int]) -> Dict[str, str]:
    """Units that multiply by weights of which the file has no int8 -> why they stay float.

    Args:
        weights: parameter -> integers.
        beyond: node -> how many channels of its weights do not fit int8.
    """
    return {
        unit.name: f"{beyond[unit.name]} channels of its weights lie beyond int8"
        if unit.name in beyond
        else "its weights are float in the file"
        for unit in units(graph)
        if unit.kind == COMPUTE and not _fits(unit.head, weights)
    }


def _fits(head: Node, weights: Mapping[str, Integers]) -> bool:
    found = weights.get(head.inputs[1].node.name)
    return found is not None and (found.scale.size == 1 or found.axis == 0)


def _keep(graph: Graph, head: Node, in_scale: float, weights: Mapping[str, Integers], done: Dict[str, tuple]) -> None:
    name = head.inputs[1].node.name
    if name not in done:
        kept = weights[name]
        scale = np.ascontiguousarray(np.broadcast_to(kept.scale, kept.integers.shape[:1]), np.float32)
        inputs = [graph.add_param(f"{name}_quantize", kept.integers), graph.add_param(f"{name}_scale", scale)]
        node = graph.add("mxq_dequantize", f"{name}_dequantize", inputs, {"ranges": "channel", "axis": 0})
        done[name] = node.out(), scale
    head.inputs[1], scale = done[name]
    if len(head.inputs) < 3:
        return
    bias = head.inputs[2].node.name
    exact = (np.float64(in_scale) * scale).astype(np.float32)
    stored = weights.get(bias)
    if stored is not None and np.allclose(np.broadcast_to(stored.scale, exact.shape), exact, rtol=1e-5, atol=0):
        integers = np.ascontiguousarray(stored.integers, np.int32)
    else:
        integers = quantize_bias(np.asarray(graph.params[bias], np.float64), in_scale, scale)
    inputs = [graph.add_param(f"{bias}_quantize", integers), graph.add_param(f"{bias}_scale", exact)]
    head.inputs[2] = graph.add("mxq_dequantize", f"{bias}_dequantize", inputs, {"ranges": "channel", "axis": 0}).out()
