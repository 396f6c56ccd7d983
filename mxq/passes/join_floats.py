"""Joins what the heads of a detector compute in float inside the int8 region: ``Flatten -> Concat``.

MXNet dispatches a node for every head there, and its Concat is slower than copying bytes.
"""

from typing import Dict

from ..network.attributes import attr_text
from ..network.graph import Graph, Node, Value
from ..network.verify import PREFIX
from ..ops.fuse import FLATTEN

CONCAT = ("Concat", "concat")


def join_floats(graph: Graph) -> Graph:
    """Returns the lowered graph where every Concat of what only mxq's operators compute is one of them."""
    graph = graph.copy()
    uses = graph.uses()
    for node in [n for n in graph.nodes if n.op in CONCAT]:
        if all(_is_native(value) or _is_flat(value, uses) for value in node.inputs):
            for value in node.inputs:
                if not _is_native(value):
                    _become(value.node, "mxq_flatten", {})
            attrs = {"dim": node.get("dim", 1), "num_args": len(node.inputs), "out_type": "float32"}
            _become(node, "mxq_concat", attrs)
    return graph


def _is_native(value: Value) -> bool:
    """Whether it is float32 from an operator of mxq: what is left to MXNet's operators never reads integers."""
    return value.node.op.startswith(PREFIX)


def _is_flat(value: Value, uses) -> bool:
    """Whether it is such a value as (N, K), and nobody else wants that."""
    node = value.node
    return node.op in FLATTEN and _is_native(node.inputs[0]) and len(uses[id(node), 0]) == 1


def _become(node: Node, op: str, attrs: Dict) -> None:
    node.op = op
    node.attrs = {name: attr_text(content) for name, content in {**attrs, "node": node.name}.items()}
