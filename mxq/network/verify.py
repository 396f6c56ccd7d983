"""The rules that every graph satisfies, checked after every pass."""

from typing import Callable, Dict, List, Mapping, Sequence

import numpy as np

from ..errors import GraphError
from .graph import Graph, Node, Value
from .regions import decode

PREFIX = "mxq_"

#: stage -> the mxq operators that a graph may have in it; None: all.
STAGES: Dict[str, object] = {
    "float": (),
    "qdq": ("mxq_quantize_v2", "mxq_dequantize", "mxq_requantize"),
    "int8": None,
}


def _weighted(node: Node) -> Sequence[int]:
    count = 2 + (not node.get("no_bias", False)) + (node.get("act") == "prelu")  # weight, scale, bias, slopes
    return tuple(range(1, 1 + count))


def _dequantize(node: Node) -> Sequence[int]:
    return (1,) if node.get("ranges", "none") == "channel" else ()


def _requantize(node: Node) -> Sequence[int]:
    if node.get("ranges", "none") == "none":
        return ()
    return (3,) if node.get("no_bias", False) else (3, 4)


def _region(node: Node) -> Sequence[int]:
    lines, _ = decode(node)
    found = set()
    for line in lines:
        inner = Node(line.op, line.name, line.attrs)
        for i in PARAM_INPUTS.get(line.op, lambda node: ())(inner):
            if i >= len(line.inputs) or line.inputs[i][0] is not None:
                raise GraphError(f"input {i} of {line.name!r} ({line.op}) in region {node.name!r} is no parameter")
            found.add(min(line.inputs[i][1], len(node.inputs) - 1))
    return sorted(found)


#: Which inputs of an mxq operator are parameters, so that their shape is known; all others may be computed.
PARAM_INPUTS: Dict[str, Callable[[Node], Sequence[int]]] = {
    "mxq_conv": _weighted,
    "mxq_fully_connected": _weighted,
    "mxq_affine": lambda node: (1, 2, 3) if node.get("act") == "prelu" else (1, 2),
    "mxq_lut": lambda node: (1,),
    "mxq_dequantize": _dequantize,
    "mxq_requantize": _requantize,
    "mxq_region": _region,
}


def verify(graph: Graph, stage: str = "float", *, data_shapes: Mapping[str, Sequence[int]] = None) -> None:
    """Checks a graph against all rules.

    Args:
        graph: is not changed.
        stage: ``'float'`` (no mxq operator, and MXNet must load it), ``'qdq'`` (only quantize and dequantize) or
            ``'int8'``.
        data_shapes: with them, shapes are inferred too and every output must get one.

    Raises:
        GraphError: names the node, what is wrong with it and what to do.
    """
    if stage not in STAGES:
        raise GraphError(f"stage {stage!r}: accepted are {', '.join(map(repr, STAGES))}")
    for rule in RULES:
        rule(graph, stage)
    if stage == "float" or data_shapes is not None:
        _loads(graph)
    if data_shapes is not None:
        _infers(graph, data_shapes)


def _names(graph: Graph, stage: str) -> None:
    seen: Dict[str, object] = {}
    for node in graph.nodes:
        if not node.name:
            raise GraphError(f"a {node.op} node has no name; give it one (Graph.add does)")
        if node.name in seen:
            raise GraphError(
                f"two nodes are named {node.name!r} ({seen[node.name]} and {node.op}); "
                "use Graph.add or Graph.unique_name"
            )
        seen[node.name] = node.op


def _order(graph: Graph, stage: str) -> None:
    members = {id(node) for node in graph.nodes}
    before = set()
    for node in graph.nodes:
        for i, value in enumerate(node.inputs):
            if not isinstance(value, Value):
                raise GraphError(f"input {i} of {node.name!r} is {value!r}, not a Value; use node.out()")
            if id(value.node) not in members:
                raise GraphError(
                    f"input {i} of {node.name!r} is {value.node.name!r}, which is not in graph.nodes; "
                    "add it or replace it"
                )
            if id(value.node) not in before:
                raise GraphError(f"node {node.name!r} comes before its input {value.node.name!r}; call graph.sort()")
            if value.index < 0 or (value.node.is_variable and value.index != 0):
                raise GraphError(
                    f"input {i} of {node.name!r} is output {value.index} of {value.node.name!r}, "
                    "which has no such output"
                )
        before.add(id(node))


def _outputs(graph: Graph, stage: str) -> None:
    if not graph.outputs:
        raise GraphError("the graph has no outputs")
    members = {id(node) for node in graph.nodes}
    for i, value in enumerate(graph.outputs):
        if id(value.node) not in members:
            raise GraphError(f"output {i} is {value.node.name!r}, which is not in graph.nodes; add it or replace it")
        if value.index < 0 or (value.node.is_variable and value.index != 0):
            raise GraphError(f"output {i} is output {value.index} of {value.node.name!r}, which has no such output")


def _variables(graph: Graph, stage: str) -> None:
    variables = {node.name for node in graph.nodes if node.is_variable}
    for node in graph.nodes:
        if node.is_variable and node.inputs:
            raise GraphError(f"variable {node.name!r} has inputs; a variable has none")
    stray = sorted(set(graph.params) - variables)
    if stray:
        raise GraphError(f"parameters without a variable: {', '.join(stray)}; call graph.prune()")
    stray = sorted(graph.aux - set(graph.params))
    missing = [name for name in stray if name in variables]
    if missing:
        raise GraphError(f"auxiliary states without values: {', '.join(missing)}; they belong to the parameters")
    if stray:
        raise GraphError(f"auxiliary states without a variable: {', '.join(stray)}; call graph.prune()")


def _values(graph: Graph, stage: str) -> None:
    for name, array in graph.params.items():
        if not isinstance(array, np.ndarray):
            raise GraphError(f"parameter {name!r} is a {type(array).__name__}, not a numpy array")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(array.size - np.isfinite(array).sum())
            raise GraphError(
                f"parameter {name!r} of shape {array.shape} has {bad} values that are NaN or infinite; "
                "the network cannot give sound results: train or load it again"
            )


def _attributes(graph: Graph, stage: str) -> None:
    for node in graph.nodes:
        for key, text in node.attrs.items():
            if not isinstance(text, str):
                raise GraphError(
                    f"attribute {key!r} of {node.name!r} is {text!r}; attributes are strings: use attr_text"
                )


def _extension_ops(graph: Graph, stage: str) -> None:
    allowed = STAGES[stage]
    for node in graph.nodes:
        if not node.op.startswith(PREFIX):
            continue
        if allowed is not None and node.op not in allowed:
            raise GraphError(
                f"node {node.name!r} is {node.op}, which a graph of stage {stage!r} does not have"
                + ("; is this network quantized already? Start from the float one" if stage == "float" else "")
            )
        if not node.inputs:
            raise GraphError(f"node {node.name!r} ({node.op}) has no inputs; give it at least its data")
        for i in PARAM_INPUTS.get(node.op, lambda node: ())(node):
            if i >= len(node.inputs):
                raise GraphError(f"node {node.name!r} ({node.op}) has {len(node.inputs)} inputs; input {i} is missing")
            if graph.param_of(node.inputs[i]) is None:
                raise GraphError(
                    f"input {i} of {node.name!r} ({node.op}) is {node.inputs[i].node.name!r}, which is no parameter; "
                    "add it with Graph.add_param, so that its shape is known"
                )


RULES: List[Callable[[Graph, str], None]] = [
    _names,
    _order,
    _outputs,
    _variables,
    _attributes,
    _values,
    _extension_ops,
]


def _loads(graph: Graph) -> None:
    from mxnet.base import MXNetError

    try:
        graph.symbol()
    except MXNetError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise GraphError(f"MXNet does not load the graph: {lines[-1] if lines else error}") from error


def _infers(graph: Graph, data_shapes: Mapping[str, Sequence[int]]) -> None:
    from .shapes import infer_shapes

    shapes = infer_shapes(graph, data_shapes)
    for value in graph.outputs:
        if (value.node.name, value.index) not in shapes:
            raise GraphError(
                f"the shape of output {value} does not follow from {dict(data_shapes)}; give the shape of every input"
            )
