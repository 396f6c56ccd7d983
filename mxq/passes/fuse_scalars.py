"""Sums and products with numbers in front of a quantize node become part of it: ``(x - 127.5) * 0.0078 -> quantize``.

Networks that normalize pixels themselves do that in float, element by element, on the largest tensor that they have;
MXNet takes longer for it than mxq for the first layers. ``scalars`` of `mxq_quantize_v2` are the same float32
operations in the same order, so integers stay what they were.
"""

from typing import List

from ..network.graph import TYPE_FLAGS, Graph, Node
from ..ops.spec import sole_user

#: MXNet operator -> how `scalars` spells it.
SPELLING = {"_plus_scalar": "+", "_minus_scalar": "-", "_mul_scalar": "*", "_div_scalar": "/"}
#: So many does one quantize node take (src_ops/ops/scalars.h).
MOST = 4


def fuse_scalars(graph: Graph) -> Graph:
    """Returns the lowered graph with such operators inside the quantize nodes that alone read them."""
    graph = graph.copy()
    uses = graph.uses()
    for node in graph.nodes:
        if node.op != "mxq_quantize_v2" or "min_calib_range" not in node.attrs:
            continue
        chain = _chain(node, uses)
        if chain:
            words = [f"{SPELLING[n.op]}{float(n.get('scalar', 0))!r}" for n in chain]
            node.attrs["scalars"] = " ".join(words)
            node.inputs[0] = chain[0].inputs[0]
    graph.prune()
    return graph


def _chain(quantize: Node, uses) -> List[Node]:
    """The operators in front, in order; what they read is float32, as everything that is quantized."""
    chain: List[Node] = []
    value = quantize.inputs[0]
    while len(chain) < MOST and value.node.op in SPELLING and len(value.node.inputs) == 1:
        if sole_user(value, uses) is not (chain[0] if chain else quantize) or not _is_finite(value.node):
            break
        chain.insert(0, value.node)
        value = value.node.inputs[0]
    # MXNet's arithmetic on integers is another.
    return chain if value.node.attrs.get("__dtype__", TYPE_FLAGS["float32"]) in (0, "0") else []


def _is_finite(node: Node) -> bool:
    return abs(float(node.get("scalar", 0))) <= 3e38
