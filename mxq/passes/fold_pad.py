"""Folds zero padding into the convolution or pooling behind it.

``conv(pad0(x), pad=p) = conv(x, pad=p + q)`` where Pad puts `q` zeros on both sides of each spatial axis. MXNet's
float operators pad both sides alike, so padding that differs between the sides stays a Pad node here; the int8
convolution has both sides and takes it in when it is lowered.

For pooling: an average counts its padding as zeros with ``count_include_pad`` (the default); a maximum ignores its own
padding, which is the same as zeros only where the data is never negative.
"""

from typing import Callable, Dict, List, Optional, Tuple

from ..network.attributes import attr_text
from ..network.graph import Graph, Node, Value
from .folded import record_fold
from .linear import channel_axis, kernel_of

PADS = ("Pad", "pad")


def _any_layer(graph: Graph, layer: Node, source: Value, pad: Tuple[int, ...]) -> Optional[str]:
    return None


def _pooling(graph: Graph, layer: Node, source: Value, pad: Tuple[int, ...]) -> Optional[str]:
    if layer.get("global_pool", False):
        return "global pooling has no padding"
    if layer.get("pooling_convention", "valid") != "valid":
        return "a window past the edge, which this pooling convention has, may lie on padding alone"
    if any(p >= k for p, k in zip(pad, kernel_of(layer))):
        return f"pad {pad} would be as large as the kernel {kernel_of(layer)}"
    kind = layer.get("pool_type", "max")
    if kind == "avg" and layer.get("count_include_pad", True):
        return None
    if kind == "max" and _never_negative(source):
        return None
    return f"{kind} pooling does not count its padding as zeros here"


#: Operators with a `pad` attribute -> why they cannot take the padding in, or None.
TAKES_PAD: Dict[str, Callable[[Graph, Node, Value, Tuple[int, ...]], Optional[str]]] = {
    "Convolution": _any_layer,
    "Pooling": _pooling,
}

#: Operators whose output is never negative.
NEVER_NEGATIVE: Dict[str, Callable[[Node], bool]] = {
    "Activation": lambda node: node.get("act_type") in ("relu", "sigmoid", "softrelu"),
    "relu": lambda node: True,
    "sigmoid": lambda node: True,
    "clip": lambda node: float(node.get("a_min", -1)) >= 0,
}


def fold_pad(graph: Graph) -> Graph:
    """Returns a graph where symmetric zero padding is part of the operator that reads it.

    Args:
        graph: a float graph; stays as it is.

    Returns:
        the graph with equal outputs. ``notes`` says for each Pad where it went or why it stays.
    """
    graph = graph.copy()
    for node in [n for n in graph.nodes if n.op in PADS]:
        takers: List[Node] = []
        reasons: List[str] = []
        for use in graph.uses_of(node.out()):
            reason = "it is a graph output" if use.node is None else _fold_one(graph, node, use.node, use.index)
            if reason is None:
                takers.append(use.node)
            elif reason not in reasons:
                reasons.append(reason)
        if takers:
            record_fold(graph, node, takers)
        if reasons:
            graph.notes[node.name] = "; ".join(filter(None, [graph.notes.get(node.name) if takers else "", *reasons]))
    graph.prune()
    return graph


def _fold_one(graph: Graph, node: Node, layer: Node, index: int) -> Optional[str]:
    """Moves the padding into one user; returns why not, if not."""
    if layer.op not in TAKES_PAD or index != 0:
        return f"{layer.op} {layer.name!r} reads it, which takes no padding in"
    if node.get("mode") != "constant" or float(node.get("constant_value", 0)) != 0:
        return f"it pads with mode {node.get('mode')}, value {node.get('constant_value', 0)}, not with zeros"
    rank = len(kernel_of(layer)) + 2
    width = node.get("pad_width")
    if len(width) != 2 * rank:
        return f"pad_width {width} does not fit {layer.name!r}"
    sides = [(width[2 * axis], width[2 * axis + 1]) for axis in range(rank)]
    if sides[0] != (0, 0) or sides[channel_axis(layer)] != (0, 0):
        return "it pads the batch or the channels"
    spatial = [side for axis, side in enumerate(sides) if axis not in (0, channel_axis(layer))]
    if any(begin != end for begin, end in spatial):
        return f"its sides differ: {spatial}"
    own = layer.get("pad") or (0,) * len(spatial)
    pad = tuple(p + begin for p, (begin, _) in zip(own, spatial))
    reason = TAKES_PAD[layer.op](graph, layer, node.inputs[0], pad)
    if reason is None:
        layer.attrs["pad"] = attr_text(pad)
        layer.inputs[0] = node.inputs[0]
    return reason


def _never_negative(value: Value) -> bool:
    test = NEVER_NEGATIVE.get(value.node.op)
    return test is not None and test(value.node)
