"""Regions: several int8 operators as one node, and back.

A node ``mxq_region`` holds its operators as text in the attribute ``graph``, which src_ops/ops/region.h describes. The
same text read back gives the nodes again: :func:`expand_regions`.
"""

import hashlib
from typing import Dict, List, NamedTuple, Sequence, Tuple

from .errors import GraphError
from .graph import Graph, Node, Value

REGION = "mxq_region"
#: Attribute of the identity node that carries an output's name out of a region with several outputs.
OUTPUT = "__mxq_output__"

_ESCAPES = (("%", "%25"), ("\t", "%09"), ("\n", "%0A"))


class Line(NamedTuple):
    """One operator of a region.

    Attributes:
        op, name, attrs: as of a Node.
        inputs: ``(None, i)`` is input `i` of the region, ``(line, i)`` output `i` of another line.
    """

    op: str
    name: str
    attrs: Dict[str, str]
    inputs: List[Tuple[object, int]]


def encode(nodes: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]) -> Dict[str, str]:
    """The attributes of a region node that computes `outputs` of `nodes` from `inputs`.

    Args:
        nodes: in topological order; everything they read is among them or among `inputs`.
        inputs: what the region reads, in the order of its inputs.
        outputs: values of `nodes`, in the order of the region's outputs.
    """
    line_of = {id(node): i for i, node in enumerate(nodes)}
    input_of = {(id(v.node), v.index): i for i, v in enumerate(inputs)}

    def reference(value: Value) -> str:
        if id(value.node) not in line_of:
            return f"i{input_of[id(value.node), value.index]}"
        return f"{line_of[id(value.node)]}" + (f":{value.index}" if value.index else "")

    lines = []
    for node in nodes:
        fields = [node.op, _escaped(node.name), " ".join(reference(v) for v in node.inputs)]
        fields += [f"{key}={_escaped(text)}" for key, text in sorted(node.attrs.items()) if key != "node"]
        lines.append("\t".join(fields))
    text = "\n".join(lines)
    attrs = {"num_inputs": str(len(inputs)), "graph": text, "outputs": " ".join(reference(v) for v in outputs)}
    attrs["content_id"] = hashlib.sha1("\n".join(attrs.values()).encode()).hexdigest()[:16]
    return attrs


def decode(node: Node) -> Tuple[List[Line], List[Tuple[int, int]]]:
    """The operators of a region node, and its outputs as ``(line, output)``.

    Raises:
        GraphError: text that `encode` did not write.
    """
    try:
        lines = []
        for text in node.attrs["graph"].split("\n"):
            op, name, inputs, *attrs = text.split("\t")
            pairs = (item.split("=", 1) for item in attrs)
            values = {key: _unescaped(value) for key, value in pairs}
            lines.append(Line(op, _unescaped(name), values, [_value(v) for v in inputs.split(" ")]))
        outputs = [_value(v) for v in node.attrs["outputs"].split(" ")]
    except (KeyError, ValueError, IndexError) as error:
        raise GraphError(f"region {node.name!r} cannot be read ({error!r}); make the network again") from error
    count = len(node.inputs)
    for place, (line, index) in [(i, v) for i, row in enumerate(lines) for v in row.inputs] + [
        (len(lines), v) for v in outputs
    ]:
        if index >= count if line is None else line >= place:
            raise GraphError(f"region {node.name!r}: line {place} reads what is not there; make the network again")
    return lines, outputs


def expand_regions(graph: Graph) -> Graph:
    """The graph with every region as the operators it consists of, under their own names.

    >>> graph = expand_regions(Graph.from_symbol(model.symbol, model.arg_params))  # doctest: +SKIP

    Args:
        graph: any stage; stays as it is.

    Returns:
        a new Graph that computes the same, integer for integer. A graph without regions comes as a copy.

    Raises:
        GraphError: a region whose text cannot be read.
    """
    graph = graph.copy()
    taken = {n.name for n in graph.nodes if n.op != REGION and OUTPUT not in n.attrs}
    nodes: List[Node] = []
    moved: Dict[Tuple[int, int], Value] = {}
    for node in graph.nodes:
        node.inputs = [moved.get((id(v.node), v.index), v) for v in node.inputs]
        if node.op == REGION:
            made: List[Node] = []
            lines, outputs = decode(node)
            for line in lines:
                name = line.name if line.name not in taken else graph.unique_name(line.name)
                taken.add(name)
                inputs = [node.inputs[i] if at is None else made[at].out(i) for at, i in line.inputs]
                made.append(Node(line.op, name, {**line.attrs, "node": name}, inputs))
            nodes += made
            moved.update(((id(node), k), made[at].out(i)) for k, (at, i) in enumerate(outputs))
        elif OUTPUT in node.attrs:
            moved[id(node), 0] = node.inputs[0]
        else:
            nodes.append(node)
    graph.nodes = nodes
    graph.outputs = [moved.get((id(v.node), v.index), v) for v in graph.outputs]
    graph.sort()
    return graph


def _value(text: str) -> Tuple[object, int]:
    if text.startswith("i"):
        return None, int(text[1:])
    line, _, index = text.partition(":")
    return int(line), int(index or 0)


def _escaped(text: str) -> str:
    for plain, code in _ESCAPES:
        text = text.replace(plain, code)
    return text


def _unescaped(text: str) -> str:
    for plain, code in reversed(_ESCAPES):
        text = text.replace(code, plain)
    return text
