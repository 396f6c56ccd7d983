"""Drops operators that pass their first input on unchanged at inference.

The arithmetic: ``y = x``, bit for bit. What counts is in ``NOOPS``; an operator that only sometimes is one has a test
there that returns why it stays.

A node that is a graph output stays, so that the output keeps its name; its other users read its input directly.
"""

from typing import Callable, Dict, Mapping, Optional

import numpy as np

from ..network.graph import Graph, Node, Value
from ..network.shapes import infer_types

#: Returns None if the node is a no-op, else why it stays. `dtype` is the proven dtype of its first input, or None.
Test = Callable[[Node, Optional[str]], Optional[str]]


def _always(node: Node, dtype: Optional[str]) -> Optional[str]:
    return None


def _dropout(node: Node, dtype: Optional[str]) -> Optional[str]:
    return "Dropout with mode='always' is random at inference too" if node.get("mode") == "always" else None


def _cast(node: Node, dtype: Optional[str]) -> Optional[str]:
    target = node.get("dtype")
    if dtype is None:
        return f"the dtype of its input is not known, so the cast to {target} may matter"
    return None if dtype == target else f"casts {dtype} to {target}"


NOOPS: Dict[str, Test] = {
    "_copy": _always,
    "identity": _always,
    "_np_copy": _always,
    "BlockGrad": _always,
    "stop_gradient": _always,
    "_identity_with_attr_like_rhs": _always,
    "make_loss": _always,
    "MakeLoss": _always,  # grad_scale and normalization act on the gradient only
    "IdentityAttachKLSparseReg": _always,
    "_contrib_gradientmultiplier": _always,
    "Dropout": _dropout,
    "Cast": _cast,
    "cast": _cast,
    "amp_cast": _cast,
}


def is_noop(node: Node) -> bool:
    """Whether a node passes its first input on, whatever its attributes and types are."""
    return NOOPS.get(node.op) is _always


def drop_noops(graph: Graph, *, data_types: Mapping[str, object] = None) -> Graph:
    """Removes Dropout, identity, BlockGrad, loss wrappers and casts to the same type.

    Args:
        graph: a float graph; stays as it is.
        data_types: input name -> dtype; without it a Cast of an input stays, for want of a proof.

    Returns:
        the smaller graph. ``notes`` has a line for each no-op that stayed and each that went.
    """
    graph = graph.copy()
    candidates = [node for node in graph.nodes if node.op in NOOPS]
    if not candidates:
        return graph
    needs_types = any(NOOPS[node.op] is _cast for node in candidates)
    types: Dict[tuple, np.dtype] = infer_types(graph, data_types or {}) if needs_types else {}
    for node in candidates:
        source = node.inputs[0]
        known = types.get((source.node.name, source.index))
        reason = NOOPS[node.op](node, None if known is None else known.name)
        if reason is None:
            reason = _bypass(graph, node, source)
        graph.notes[node.name] = reason or "dropped: passes its input on unchanged at inference"
    graph.prune()
    return graph


def _bypass(graph: Graph, node: Node, source: Value) -> Optional[str]:
    """Lets the users of `node` read `source`; returns why the node itself stays, if it does."""
    uses = graph.uses()
    if any((id(node), index) in uses for index in range(1, 3)):
        return "a second output of it (a mask) is used"
    users = uses.get((id(node), 0), [])
    graph.replace(node.out(), source, only=[use for use in users if use.node is not None])
    return "no effect, kept for the name of the output" if any(use.node is None for use in users) else None
