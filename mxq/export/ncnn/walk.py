"""From an MXNet network to ncnn's layers: every node in order through its row of the table, nothing by name here."""

from typing import Dict, List, Mapping, Set

from ...errors import GraphError
from ...network.graph import Graph, Node
from ...network.identity import tensor_key
from ...network.params import label_inputs
from ...network.shapes import infer_shapes
from ..constants import evaluate
from ..table import Refused, read_attributes
from .builder import Builder
from .net import Layer, Net, Parameter, with_splits
from .table import TABLE

#: Refusals that one error lists.
_LISTED = 8
#: Characters of a name that ncnn reads.
_LONGEST = 255


def walk(graph: Graph, data_shapes: Mapping[str, tuple]) -> Net:
    """Writes the network in ncnn's layers.

    Args:
        graph: float, or with explicit quantization.
        data_shapes: input name -> shape, with one example.

    Raises:
        GraphError: operators that have no exact form, with node and reason; or shapes that do not fit.
    """
    shapes = infer_shapes(graph, data_shapes)
    b = Builder(graph, shapes)
    labels = label_inputs(graph)
    inputs: Dict[str, tuple] = {}
    refused: List[str] = []
    lost: Set[Node] = set()
    for node in graph.nodes:
        if any(value.node in lost for value in node.inputs):
            lost.add(node)
            continue
        b.at(node)
        try:
            if not node.is_variable:
                _emit(b, node, shapes)
            elif node.name in graph.params:
                b.arrays[node.name, 0] = graph.params[node.name]
            elif node.name not in labels:
                inputs[node.name] = _input(b, node)
        except Refused as reason:
            refused.append(f"{node.op} {node.name!r}: {reason}")
            lost.add(node)
    if refused:
        more = f"; and {len(refused) - _LISTED} more" if len(refused) > _LISTED else ""
        raise GraphError(f"no exact ncnn form: {'; '.join(refused[:_LISTED])}{more}")
    b.at(None)
    try:
        outputs = _outputs(b, graph, inputs)
    except Refused as reason:
        raise GraphError(f"no exact ncnn form: output {reason}") from None
    layers = with_splits(_needed(b.layers, outputs), outputs)
    for name in (name for layer in layers for name in (layer.name, *layer.outputs)):
        if len(name) > _LONGEST or any(c.isspace() for c in name):
            raise GraphError(f"{name!r} is no name in ncnn: it has spaces or more than {_LONGEST} characters")
    return Net(layers, inputs, outputs, b.left_float)


def _input(b: Builder, node: Node) -> tuple:
    if node.attrs.get("__dtype__", "0") != "0":
        raise Refused("its type is not float32; inputs of ncnn are")
    shape = b.shape(node.out())
    params: Dict[int, Parameter] = dict(zip((0, 1, 2), reversed(shape[1:])))
    since = len(b.layers)
    b.bind(node.out(), b("Input", [], params), since)
    return shape[1:]


def _emit(b: Builder, node: Node, shapes: Mapping) -> None:
    row = TABLE.get(node.op)
    if row is None:
        raise Refused("the operator has no emitter")
    if b.is_claimed(node):
        name = b.names[node.inputs[0].node.name, node.inputs[0].index]
        b.names[node.name, 0] = b.renamed(name, b.unique(node.name))
        return
    arrays = [b.array(value) for value in node.inputs]
    if row.folds and all(array is not None for array in arrays):
        outputs = sum(name == node.name for name, _ in shapes)
        b.arrays.update(((node.name, i), array) for i, array in enumerate(evaluate(node, arrays, outputs)))
        return
    since = len(b.layers)
    names = row.function(b, node, read_attributes(node, row))
    for i, name in enumerate([names] if isinstance(names, str) else names or []):
        b.bind(node.out(i), name, since)


def _outputs(b: Builder, graph: Graph, inputs: Mapping) -> List[str]:
    """The network's outputs under their own names; a value that has another name, or is one already, is copied."""
    found: List[str] = []
    for value in graph.outputs:
        name, wanted = b.read(value), tensor_key(value)
        if name != wanted or name in inputs or name in found:
            name = b.renamed(b("Noop", [name]), b.unique(wanted))
        found.append(name)
    return found


def _needed(layers: List[Layer], outputs: List[str]) -> List[Layer]:
    """The layers that compute what is wanted, and every input."""
    kept, wanted = [], set(outputs)
    for layer in reversed(layers):
        if layer.type == "Input" or any(name in wanted for name in layer.outputs):
            wanted.update(layer.inputs)
            kept.append(layer)
    return kept[::-1]
