"""The record of nodes that a pass folded into others, so that their original names still find them."""

from typing import List, Sequence

from ..network.graph import Graph, Node

#: Attribute of a node: names of the nodes folded into it, in the order of folding, separated by commas.
FOLDED = "__mxq_folded__"


def record_fold(graph: Graph, node: Node, into: Sequence[Node]) -> None:
    """Notes that `node` is now part of each node in `into`."""
    for target in into:
        target.attrs[FOLDED] = ",".join(folded_names(target) + [node.name])
    graph.notes[node.name] = f"folded into {', '.join(repr(target.name) for target in into)}"


def folded_names(node: Node) -> List[str]:
    """Names of the nodes that were folded into `node`.

    >>> folded_names(Node("Convolution", "conv0", {FOLDED: "bn0,bn1"}))
    ['bn0', 'bn1']
    """
    return [name for name in node.attrs.get(FOLDED, "").split(",") if name]
