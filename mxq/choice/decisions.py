"""Operators behind which a small difference becomes another answer."""

from typing import Container, List, Tuple

from ..network.graph import Graph, Value, upstream
from ..network.identity import tensor_key
from ..passes.inference_heads import HEADS
from .sensitivity import last_results

#: Operators that choose among values: their results jump.
DECIDING = frozenset(
    """
    argmax argmin argmax_channel argsort sort topk one_hot round rint floor ceil fix trunc sign
    _greater _greater_equal _lesser _lesser_equal _equal _not_equal _greater_scalar _greater_equal_scalar
    _lesser_scalar _lesser_equal_scalar _equal_scalar _not_equal_scalar broadcast_greater broadcast_greater_equal
    broadcast_lesser broadcast_lesser_equal broadcast_equal broadcast_not_equal
    _contrib_box_nms _contrib_box_non_maximum_suppression _contrib_MultiBoxDetection _contrib_Proposal
    _contrib_MultiProposal _contrib_bipartite_matching _contrib_boolean_mask
    """.split()
)


def decides(value: Value) -> bool:
    """Whether something that chooses lies on the way to a value."""
    return _behind(value, DECIDING)


def _behind(value: Value, operators: Container[str]) -> bool:
    return any(node.op in operators for node in upstream([value.node]))


def measurable(floats: Graph) -> List[Value]:
    """Values that tell how near a network is to float, and that gradients reach: its outputs; in place of those that
    decide, or whose head trains (its gradient is that of a loss), the results of the last layers before them."""
    others = [value for value in floats.outputs if decides(value) or _behind(value, HEADS)]
    before = last_results(Graph(floats.nodes, others, floats.params, floats.aux)) if others else []
    return list(dict.fromkeys([*before, *(value for value in floats.outputs if value not in others)]))


def before_decisions(floats: Graph, qdq: Graph) -> Tuple[List[str], Tuple[Graph, Graph]]:
    """Keys, and copies of both graphs that return them: in place of each output that decides, the results of the last
    layers before it; the other outputs as they are."""
    kept = [value for value in floats.outputs if not decides(value)]
    jumping = floats.copy()
    jumping.outputs = [value for value in jumping.outputs if decides(value)]
    jumping.prune()
    keys = [tensor_key(value) for value in [*last_results(jumping), *kept]]
    return keys, (_returning(floats, keys), _returning(qdq, keys))


def _returning(graph: Graph, keys: List[str]) -> Graph:
    twin = graph.copy()
    by_key = {tensor_key(value): value for value in [*twin.outputs, *(node.out() for node in twin.nodes)]}
    twin.outputs = [by_key[key] for key in keys]
    twin.prune()
    return twin
