"""Heads that train become what they compute at inference, so that their label is no input any more.

================================================  ==================================================================
head                                              forward
================================================  ==================================================================
SoftmaxOutput, multi_output                       softmax over axis 1
SoftmaxOutput, preserve_shape                     softmax over the last axis
SoftmaxOutput                                     softmax over all axes but the first together; see below
LogisticRegressionOutput                          sigmoid
LinearRegressionOutput, MAERegressionOutput,      the data
SVMOutput
================================================  ==================================================================

Labels and the options grad_scale, ignore_label, normalization and margin concern the gradient. The node keeps its name.
A label that something else reads stays an input.

A plain SoftmaxOutput of four axes is the softmax over the last one in MXNet 1.9.1 on processors, where oneDNN computes
it; it becomes that. Where nobody knows the number of axes, it stays.
"""

from typing import Callable, Dict, Iterable, Mapping, Optional, Set

from ..network.graph import Graph, Node
from ..network.params import LABEL_INPUT

#: Turns a head, whose data has so many axes, into what it computes; or returns why it stays.
Head = Callable[[Graph, Node, Optional[int]], Optional[str]]

REPLACED = "computes what it computes at inference; its label is no input any more"


def inference_heads(graph: Graph, *, keep: Iterable[str] = (), shapes: Optional[Mapping] = None) -> Graph:
    """Returns a graph without the labels of its heads; ``notes`` has a line for each head.

    Args:
        graph: a float graph; stays as it is.
        keep: inputs that stay, because data is given for them.
        shapes: (node name, output) -> shape, as far as known.
    """
    graph = graph.copy()
    labels: Set[str] = set()
    for node in list(graph.nodes):
        if node.op not in HEADS or len(node.inputs) <= LABEL_INPUT[node.op]:
            continue
        source, label = node.inputs[0], node.inputs[LABEL_INPUT[node.op]].node
        axes = len((shapes or {}).get((source.node.name, source.index), ())) or (2 if _is_matrix(source.node) else None)
        refused = HEADS[node.op](graph, node, axes)
        graph.notes[node.name] = refused or REPLACED
        if not refused and label.is_variable:
            labels.add(label.name)
    if labels:
        read = {value.node.name for node in graph.nodes for value in node.inputs}
        read |= {value.node.name for value in graph.outputs} | set(keep)
        graph.nodes = [node for node in graph.nodes if node.name not in labels - read]
        graph.prune()
    return graph


def _softmax(graph: Graph, node: Node, axes: Optional[int]) -> Optional[str]:
    multi, preserve = node.get("multi_output", False), node.get("preserve_shape", False)
    data = node.inputs[0]
    if multi or preserve or axes in (2, 4):
        node.op, node.attrs, node.inputs = "softmax", {"axis": "1" if multi else "-1"}, [data]
    elif axes is None:
        return (
            "keeps its label: over which axes its softmax goes depends on a shape that is not known; give data_shapes"
        )
    else:
        rows = graph.add("Reshape", f"{node.name}_rows", [data], {"shape": (0, -1)})
        together = graph.add("softmax", f"{node.name}_together", [rows.out()], {"axis": -1})
        node.op, node.attrs, node.inputs = "reshape_like", {}, [together.out(), data]
        graph.sort()
    return None


def _is_matrix(node: Node) -> bool:
    """Whether the value surely has two axes, so that all but the first are one."""
    return node.op in ("Flatten", "flatten") or (node.op == "FullyConnected" and bool(node.get("flatten", True)))


def _become(op: str) -> Head:
    def replace(graph: Graph, node: Node, axes: Optional[int]) -> None:
        node.op, node.attrs, node.inputs = op, {}, node.inputs[:1]

    return replace


HEADS: Dict[str, Head] = {
    "SoftmaxOutput": _softmax,
    "Softmax": _softmax,
    "LogisticRegressionOutput": _become("sigmoid"),
    "LinearRegressionOutput": _become("_copy"),
    "MAERegressionOutput": _become("_copy"),
    "SVMOutput": _become("_copy"),
}
