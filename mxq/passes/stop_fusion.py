"""Keeps MXNet's executors from computing float parts of an int8 network wrongly.

MXNet 1.9.1 fuses a float layer with what follows when an executor is bound, and gets it wrong where a value is read
twice: before and behind its ReLU, by two activations, by a sum that writes over its other operand. Errors are as large
as the signal. A BlockGrad behind such a layer ends the fusion (identities are taken out before it). In inference that
does nothing, in place.

    layer -> readers        becomes        layer -> BlockGrad -> readers
"""

from typing import Dict, List

from ..network.graph import Graph, Node, Use
from ..ops.fuse import ADD

#: Layers that MXNet begins a fusion with.
LAYERS = ("Convolution", "FullyConnected")
#: What it fuses besides sums.
FOLLOWERS = frozenset(
    "Activation LeakyReLU clip relu sigmoid tanh exp sqrt square abs BatchNorm".split()
)  # fmt: skip


def stop_fusion(graph: Graph) -> Graph:
    """Returns the graph with a BlockGrad behind each float layer that MXNet might fuse wrongly."""
    graph = graph.copy()
    uses = graph.uses()
    for node in [n for n in graph.nodes if n.op in LAYERS and not _fuses_rightly(n, uses)]:
        readers = [use for use in uses.get((id(node), 0), []) if use.node is not None]
        if any(use.node.op in FOLLOWERS or use.node.op in ADD for use in readers):
            barrier = graph.add("BlockGrad", f"{node.name}_as_it_is", [node.out()])
            graph.replace(node.out(), barrier.out(), only=readers)
    graph.sort()
    return graph


def _fuses_rightly(node: Node, uses: Dict[tuple, List[Use]]) -> bool:
    """Whether all that may become one operator with the layer is a chain of single readers, without a sum."""
    while True:
        readers = uses.get((id(node), 0), [])
        if len(readers) != 1:
            return False
        reader = readers[0].node
        if reader is None or (reader.op not in FOLLOWERS and reader.op not in ADD):
            return True
        if reader.op in ADD:
            return False
        node = reader
