"""Where a target wants more quantize/dequantize pairs than mxq needs, and activations that a pair makes needless.

mxq's layers sum and activate before they round. Runtimes that form an int8 layer only of ``DQ -> layer -> Q`` need a
pair at the layer's own output, in front of a residual sum or a PReLU, too. Its range is one more for calibration.
"""

from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np

from ..arithmetic.qmath import QMAX, QMIN, quantize
from ..network.attributes import attr_text
from ..network.graph import Graph, Node, Value
from ..network.identity import tensor_key
from ..ops.fuse import FLATTEN, LIMIT, native_activation
from ..ops.spec import sole_user
from ..passes.insert_qdq import TensorRange
from ..passes.lower import DEQUANTIZE, QUANTIZE
from ..passes.quantize_params import in_qparams
from .quantization import levels
from .targets import Target

#: Makes another float32 of a number.
_LAST_DIGIT = 1 + 2.0**-22
#: Where an activation has no effect: from one value to another.
_WITHIN = {
    "relu": lambda attrs: (0.0, np.inf),
    "clip": lambda attrs: (attrs["act_alpha"], attrs["act_beta"]),
}


def missing_ranges(graph: Graph, target: Target) -> Dict[str, Value]:
    """Values that need a pair which is not there, by tensor key; some may turn out to need none."""
    uses = graph.uses()
    found: Dict[str, Value] = {}
    for layer in _layers(graph, target):
        for value in _candidates(layer, graph, uses):
            if _quantizer(value, uses) is None:
                found[tensor_key(value)] = value
    return found


def place_pairs(graph: Graph, target: Target, ranges: Mapping[str, TensorRange]) -> Graph:
    """A copy of the graph with a pair behind every layer that needs one, and without activations that pairs imply.

    Args:
        graph: with explicit quantization (`QuantizedModel.qdq`).
        ranges: what `missing_ranges` asks for.
    """
    graph = graph.copy()
    for layer in _layers(graph, target):
        for value in reversed(_candidates(layer, graph, graph.uses())):
            _pair_at(graph, value, ranges)
            if value.node is not layer and _is_implied(graph, value.node, target):
                break
    for node in graph.nodes:
        if node.op in target.truncates:
            _keep_float(graph, node)
    graph.sort()
    if target.drops_implied:
        for node in reversed(graph.nodes):
            if _is_implied(graph, node, target):
                graph.replace(node.out(), node.inputs[0])
                graph.prune()  # so that what is in front has one reader
    return graph


def _layers(graph: Graph, target: Target) -> List[Node]:
    """Layers with quantized weights that the target wants a pair behind."""
    return [n for n in graph.nodes if n.op in target.needs_q and n.inputs[1].node.op == DEQUANTIZE]


def _candidates(layer: Node, graph: Graph, uses: Mapping) -> List[Value]:
    """The layer's output, and those of activations and limits right behind it which a pair may imply."""
    found = [layer.out()]
    user = sole_user(layer.out(), uses)
    while user is not None and _within(user, graph) is not None:
        found.append(user.out())
        user = sole_user(user.out(), uses)
    return found


def _within(node: Node, graph: Graph) -> Optional[Tuple[float, float]]:
    limits = graph.param_of(node.inputs[1]) if node.op == LIMIT else None
    if limits is not None:  # by channel, behind a ReLU: tensors end at the least of them
        return -np.inf, float(limits.min())
    attrs = native_activation(node, graph)
    return _WITHIN[attrs["act"]](attrs) if attrs is not None and attrs["act"] in _WITHIN else None


def _quantizer(value: Value, uses: Mapping) -> Optional[Node]:
    """What quantizes a value, or the value with fewer axes."""
    user = sole_user(value, uses)
    while user is not None and user.op in FLATTEN:
        user = sole_user(user.out(), uses)
    return user if user is not None and user.op == QUANTIZE else None


def _pair_at(graph: Graph, value: Value, ranges: Mapping[str, TensorRange]) -> None:
    """Puts a pair at a value that has none: the one that follows a Flatten, or a new one."""
    uses = graph.uses()
    there = _quantizer(value, uses)
    if there is not None and there.inputs[0] == value:
        return
    users = graph.uses_of(value)
    key = tensor_key(value)
    if there is not None:
        attrs = {name: there.attrs[name] for name in ("min_calib_range", "max_calib_range")}
        dtype = there.attrs["out_type"]
    else:
        attrs = {"min_calib_range": ranges[key].lo, "max_calib_range": ranges[key].hi}
        dtype = ranges[key].dtype
    name = key.replace(":", "_")
    quantize_node = graph.add(QUANTIZE, f"{name}_quantize", [value], {"out_type": dtype, **attrs})
    dequantize_node = graph.add(DEQUANTIZE, f"{name}_dequantize", [quantize_node.out()], attrs)
    graph.replace(value, dequantize_node.out(), only=users)


def _keep_float(graph: Graph, node: Node) -> None:
    """Gives the result of an operator a scale that differs from that of its input in the last digit."""
    user = sole_user(node.out(), graph.uses())
    if user is None or user.op != QUANTIZE or in_qparams(user) is None:
        return
    readers = [use.node for use in graph.uses_of(user.out()) if use.node is not None and use.node.op == DEQUANTIZE]
    for quantizer in (user, *readers):
        for end in ("min_calib_range", "max_calib_range"):
            quantizer.attrs[end] = attr_text(float(quantizer.attrs[end]) * _LAST_DIGIT)


def _is_implied(graph: Graph, node: Node, target: Target) -> bool:
    """Whether quantizing a node's output gives the same integers as quantizing its input."""
    within = None if node.is_variable else _within(node, graph)
    user = None if within is None else sole_user(node.out(), graph.uses())
    if user is None or user.op != QUANTIZE or in_qparams(user) is None:
        return False
    given = levels(target, in_qparams(user))
    low, high = quantize(np.float32(within), given)
    return low == QMIN[given.dtype] and high == QMAX[given.dtype]
