"""From an MXNet network to ONNX operators: every node in order through its row of the table, nothing by name here."""

import itertools
from typing import Dict, List, Mapping, NamedTuple, Set, Tuple

import numpy as np

from ..errors import GraphError
from ..network.graph import TYPE_FLAGS, Graph, Node
from ..network.identity import tensor_key
from ..network.params import label_inputs
from ..network.shapes import infer_shapes
from .builder import Builder, Key, Op
from .constants import evaluate
from .table import Emitter, Refused, lookup, read_attributes
from .targets import Target

_DTYPES = {str(flag): name for name, flag in TYPE_FLAGS.items()}
#: Refusals that one error lists.
_LISTED = 8


class Port(NamedTuple):
    """An input or output of the network."""

    name: str
    dtype: str
    shape: Tuple[int, ...]


class Network(NamedTuple):
    """An ONNX network as plain records.

    Attributes:
        values: ``(node name, output index)`` of MXNet's values -> name of the ONNX value; some may have been dropped.
        shapes: the same keys -> shape.
    """

    ops: List[Op]
    constants: Dict[str, np.ndarray]
    inputs: List[Port]
    outputs: List[Port]
    values: Dict[Key, str]
    shapes: Dict[Key, Tuple[int, ...]]


def walk(graph: Graph, data_shapes: Mapping[str, tuple], target: Target, opset: int) -> Network:
    """Writes the network in ONNX operators.

    Args:
        graph: float, or with explicit quantization.
        data_shapes: input name -> shape; labels need none.

    Raises:
        GraphError: operators that have no exact ONNX form, with node and reason; or shapes that do not fit.
    """
    shapes = infer_shapes(graph, data_shapes)
    b = Builder(shapes, target, opset)
    labels = label_inputs(graph)
    inputs: List[Port] = []
    refused: List[str] = []
    lost: Set[Node] = set()  # what is refused, and what reads it
    for node in graph.nodes:
        b.at(node)
        since = len(b.ops)
        try:
            if not node.is_variable:
                if any(value.node in lost for value in node.inputs):
                    lost.add(node)
                    continue
                names = _emit(b, node, shapes)
            elif node.name in graph.params:
                names = [b.parameter(graph.params[node.name], node.name)]
            elif node.name in labels:
                continue  # of loss operators, which only train with it
            else:
                dtype = _dtype_of(node)
                names = [b.declare(node.name, dtype)]
                inputs.append(Port(names[0], dtype, b.shape(node.out())))
        except Refused as reason:
            refused.append(f"{node.op} {node.name!r}: {reason}")
            lost.add(node)
            continue
        for i, name in enumerate(names):
            b.bind(node.out(i), name, since)
    if refused:
        more = f"; and {len(refused) - _LISTED} more" if len(refused) > _LISTED else ""
        raise GraphError(f"no exact ONNX form for target {target.name!r}: {'; '.join(refused[:_LISTED])}{more}")
    b.at(None)
    try:
        outputs = _outputs(b, graph, {port.name for port in inputs})
    except Refused as reason:
        raise GraphError(f"no exact ONNX form for target {target.name!r}: output {reason}") from None
    ops = _needed(b.ops, {port.name for port in outputs})
    read = set(itertools.chain.from_iterable(op.inputs for op in ops))
    constants = {name: array for name, array in b.constants.items() if name in read}
    return Network(ops, constants, inputs, outputs, b.names, shapes)


def _emit(b: Builder, node: Node, shapes: Mapping) -> List[str]:
    row = lookup(node)
    if row is None:
        raise Refused("the operator has no emitter")
    if row.folds and _is_constant(b, node, row):
        outputs = sum(name == node.name for name, _ in shapes)
        arrays = [b.array(value) for value in node.inputs]
        arrays = [np.zeros(b.shape(v), np.float32) if x is None else x for v, x in zip(node.inputs, arrays)]
        return [
            b.constant(array, array.dtype.name, f"{node.name}/constant") for array in evaluate(node, arrays, outputs)
        ]
    for i, value in enumerate(node.inputs):
        if b.has(value) and b.dtype(b.read(value)) not in row.dtypes:
            raise Refused(f"its input {i} is {b.dtype(b.read(value))}; {', '.join(row.dtypes)} have an ONNX form")
    names = row.function(b, node, read_attributes(node, row))
    return [names] if isinstance(names, str) else names


def _dtype_of(node: Node) -> str:
    flag = node.attrs.get("__dtype__", str(TYPE_FLAGS["float32"]))
    if flag not in _DTYPES:
        raise Refused(f"its type has the number {flag}; {', '.join(TYPE_FLAGS)} have an ONNX form")
    return _DTYPES[flag]


def _is_constant(b: Builder, node: Node, row: Emitter) -> bool:
    """Whether the node's value follows from parameters, and from shapes where only these matter."""
    return all(i in row.shape_only or b.array(value) is not None for i, value in enumerate(node.inputs))


def _outputs(b: Builder, graph: Graph, inputs: Set[str]) -> List[Port]:
    """The network's outputs under their own names; a value that has another name, or is one already, is copied."""
    ports: List[Port] = []
    for value in graph.outputs:
        name, wanted = b.read(value), tensor_key(value)
        if name != wanted or name in inputs or name in b.constants or any(port.name == name for port in ports):
            since = len(b.ops)
            name = b("Identity", [name])
            name = b.renamed(name, b.unique(wanted), since)
        ports.append(Port(name, b.dtype(name), b.shape(value)))
    return ports


def _needed(ops: List[Op], wanted: Set[str]) -> List[Op]:
    """The operators that compute what is wanted."""
    kept, wanted = [], set(wanted)
    for op in reversed(ops):
        if any(name in wanted for name in op.outputs):
            wanted.update(op.inputs)
            kept.append(op)
    return kept[::-1]
