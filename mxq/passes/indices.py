"""Numbers that name something, or nothing: indices, counts, zeros. Moving them is no work for 8 bits.

A class of 1,000 or the row of an embedding is another one after rounding. What merely moves such numbers (reshapes,
slices, concats), towards an operator that reads them as indices or from one that makes them, stays float; so does what
is made of zeros, as the states of recurrent cells are. Layers that multiply end the way in both directions.
"""

from typing import Dict, List, Set

from ..network.graph import Graph, Node
from ..ops import SELECT, lookup

#: Operator -> which of its inputs it reads as indices, coordinates, lengths, or only for their shape.
READ = {
    "Embedding": (0,),
    "take": (1,),
    "batch_take": (1,),
    "pick": (1,),
    "gather_nd": (1,),
    "scatter_nd": (1,),
    "one_hot": (0,),
    "SequenceLast": (1,),
    "SequenceMask": (1,),
    "SequenceReverse": (1,),
    "ROIPooling": (1,),
    "_contrib_ROIAlign": (1,),
    "_contrib_PSROIPooling": (1,),
    "_contrib_DeformablePSROIPooling": (1,),
    "_contrib_Proposal": (2,),
    "_contrib_MultiProposal": (2,),
    "zeros_like": (0,),
    "ones_like": (0,),
    "shape_array": (0,),
    "_equal_scalar": (0,),
    "_not_equal_scalar": (0,),
}
#: Operators whose results are indices, or these beside other numbers, or the same everywhere.
MADE = frozenset(
    "argmax argmin argmax_channel argsort topk shape_array size_array zeros_like ones_like _arange _contrib_box_nms "
    "_contrib_box_non_maximum_suppression _contrib_MultiBoxDetection _contrib_Proposal _contrib_MultiProposal "
    "_contrib_bipartite_matching _contrib_arange_like _contrib_index_array".split()
)
#: Operators of which one factor of 0 is enough.
PRODUCTS = frozenset("elemwise_mul _mul _Mul broadcast_mul".split())
_TIMES = ("_mul_scalar", "_MulScalar")
_REPEAT = ("broadcast_axis", "broadcast_to", "broadcast_like", "tile", "repeat")


def indices(graph: Graph) -> Dict[str, str]:
    """Names of the nodes that only move such numbers -> why they stay float."""
    reasons: Dict[str, str] = {}
    stack = [(v.node, node) for node in graph.nodes for v in _read(node)]
    while stack:
        node, reader = stack.pop()
        if _moves(node) and node.name not in reasons:
            reasons[node.name] = f"{reader.op} {reader.name!r} needs its numbers as they are"
            stack.extend((v.node, reader) for v in node.inputs)
    graph.sort()
    makers: Dict[int, Node] = {}
    for node in graph.nodes:
        if node.op in MADE:
            makers[id(node)] = node
        elif _moves(node):
            found = [makers[id(v.node)] for v in node.inputs if id(v.node) in makers]
            if found:
                makers[id(node)] = found[0]
                reasons.setdefault(node.name, f"{found[0].op} {found[0].name!r} gives numbers to be left as they are")
    return reasons


def zeros(graph: Graph) -> Set[str]:
    """Names of the nodes that are 0 whatever the data are: initial states, ``x * 0`` for its shape, products."""
    graph.sort()
    found: Set[str] = set()
    for node in graph.nodes:
        read = [v.node.name in found for v in node.inputs]
        if node.op in ("_zeros", "zeros_like") or (node.op in _TIMES and float(node.get("scalar", 1)) == 0):
            found.add(node.name)
        elif any(read) and (node.op in PRODUCTS or (read[0] and node.op in _REPEAT) or (all(read) and _moves(node))):
            found.add(node.name)
    return found


def _read(node: Node) -> List:
    return [node.inputs[i] for i in READ.get(node.op, ()) if i < len(node.inputs)]


def _moves(node: Node) -> bool:
    spec = lookup(node)
    return spec is not None and (spec.name == "concat" or spec.kind_of(node) == SELECT)
