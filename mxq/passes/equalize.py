"""Gives the channels of a tensor scales of their own, so that one scale of integers serves them all.

Float to float, equal outputs. Between two layers with only functions in between that scale with their input (see
channel_rules), ``W2 f(W1 x + b)`` equals ``(W2 s) f((W1 x + b) / s)`` for any positive s per channel. The division
costs nothing in int8, where every output channel has a weight scale of its own. Which factors are good is decided in
mxq.equalization; this file applies them.

What a clip limits is scaled, so it becomes a ReLU and a minimum with a limit per channel.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019.
"""

from typing import Dict, Mapping, Optional

import numpy as np

from ..errors import CalibrationError
from ..network.attributes import attr_text
from ..network.graph import Graph, Node, Value
from ..network.identity import tensor_key
from ..ops import UNIT
from .channel_ties import FIXED, NORMS, Ties
from .linear import LINEAR

#: Attribute of a node that has no counterpart in the network that was given.
ADDED = "__mxq_added__"


def equalize(graph: Graph, factors: Mapping[str, np.ndarray]) -> Graph:
    """Returns a copy of `graph` whose named producers' channels are divided by their factors, and all readers adapted.

    Args:
        graph: a float graph with shapes, or the same with units marked.
        factors: name of a layer (or BatchNorm) -> positive factor per output channel.

    Raises:
        CalibrationError: factors that do not fit the network.
    """
    scales = _Scales(graph, factors)
    graph = graph.copy()
    for node in list(graph.nodes):
        made = scales.of(node.out())
        if node.name in scales.ties.absorbers:
            _absorb(graph, node, scales.of(node.inputs[0]), made)
        elif node.op == "clip" and made is not None:
            _scale_limits(graph, node, made)
    graph.sort()
    return graph


def channel_scales(graph: Graph, factors: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """What `equalize` multiplies the values of tensors by: tensor key -> float64 per channel (axis 1).

    Args:
        graph: the graph before it is equalized.
        factors: see equalize.
    """
    scales = _Scales(graph, factors)
    found = {}
    for node in graph.nodes:
        for index in range(_outputs(node, graph)):
            scale = scales.of(node.out(index))
            if scale is not None:
                found[tensor_key(node.out(index))] = scale
    return found


def _outputs(node: Node, graph: Graph) -> int:
    count = 1
    while (node.name, count) in graph.shapes:
        count += 1
    return count


class _Scales:
    """What every channel is multiplied by."""

    def __init__(self, graph: Graph, factors: Mapping[str, np.ndarray]):
        self.ties = Ties(graph)
        self._of_tie = np.ones(self.ties.count)
        known = np.zeros(self.ties.count, bool)
        for node in self.ties.producers:
            if node.name not in factors:
                continue
            own, scale = self.ties.of(node.out()), 1 / np.asarray(factors[node.name], np.float64)
            if len(scale) != len(own):
                raise CalibrationError(
                    f"the calibration table has {len(scale)} channel factors for {node.name!r}, which has {len(own)} "
                    "channels; calibrate again"
                )
            expected = np.where(known[own], self._of_tie[own], np.where(own == FIXED, 1.0, scale))
            if not np.allclose(scale, expected, rtol=1e-6):
                raise CalibrationError(
                    f"the channel factors of {node.name!r} in the calibration table do not agree with those of other "
                    "layers; calibrate again"
                )
            self._of_tie[own], known[own] = expected, True

    def of(self, value: Value) -> Optional[np.ndarray]:
        """Per channel; None where nothing is scaled."""
        ids = self.ties.of(value)
        found = None if ids is None else self._of_tie[ids]
        return None if found is None or (found == 1).all() else found


def _absorb(graph: Graph, node: Node, given: Optional[np.ndarray], made: Optional[np.ndarray]) -> None:
    """The node reads channels multiplied by `given` and writes them multiplied by `made`."""
    if given is None and made is None:
        return
    arrays = [np.asarray(graph.params[v.node.name], np.float64) for v in node.inputs[1:]]
    if node.op in NORMS:
        arrays = _norm(node, arrays, 1.0 if given is None else given, 1.0 if made is None else made)
    else:
        linear, groups = LINEAR[node.op], int(node.get("num_group", 1))
        if given is not None:
            arrays[0] = linear.scale_inputs(node, arrays[0], 1 / given, groups)
        if made is not None:
            arrays[0] = linear.scale_outputs(arrays[0], made, groups)
            arrays[1:] = [bias * made for bias in arrays[1:]]
    graph.params.update((v.node.name, array.astype(np.float32)) for v, array in zip(node.inputs[1:], arrays))


def _norm(node: Node, arrays: list, given, made) -> list:
    gamma, beta, mean, var = arrays
    if node.get("fix_gamma", True):
        gamma, node.attrs["fix_gamma"] = np.ones_like(gamma), "False"
    return [gamma * made / given, beta * made, mean * given, var]


def _scale_limits(graph: Graph, node: Node, scale: np.ndarray) -> None:
    """A clip from 0 on, of channels that are multiplied by `scale`; the node keeps its name and computes the same."""
    limit = float(node.get("a_max")) * scale
    if (limit == limit[0]).all():
        node.attrs["a_max"] = attr_text(limit[0])
        return
    marks = {key: text for key, text in node.attrs.items() if key == UNIT}
    relu = graph.add("Activation", f"{node.name}_relu", node.inputs, {"act_type": "relu", ADDED: True, **marks})
    shape = (1, -1) + (1,) * (len(graph.shapes[node.name, 0]) - 2)
    limits = graph.add_param(f"{node.name}_limits", limit.reshape(shape).astype(np.float32))
    graph.shapes[relu.name, 0] = graph.shapes[node.name, 0]
    node.op, node.inputs = "broadcast_minimum", [relu.out(), limits]
    for key in ("a_min", "a_max"):
        del node.attrs[key]
