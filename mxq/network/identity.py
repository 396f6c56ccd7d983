"""What names a tensor, and what tells one network from another."""

import hashlib
import json

import numpy as np

from .graph import Graph, Value, attr_text


def tensor_key(value: Value) -> str:
    """The name of a tensor in a table: ``node`` for output 0, ``node:index`` for the others.

    >>> from mxq.network.graph import Node
    >>> tensor_key(Node("Convolution", "conv0").out()), tensor_key(Node("split", "s").out(1))
    ('conv0', 's:1')
    """
    return value.node.name if value.index == 0 else f"{value.node.name}:{value.index}"


def graph_hash(graph: Graph) -> str:
    """SHA-256 over what a float graph computes: operators, names, attributes, edges and parameter bytes.

    The same in every process. Independent of the order in which nodes are stored and of attributes that only annotate
    (``__shape__`` and its like).
    """
    digest = hashlib.sha256()
    for node in _from_outputs(graph):
        attrs = {k: attr_text(node.get(k)) for k in sorted(node.attrs) if not k.startswith("__")}
        edges = [[v.node.name, v.index] for v in node.inputs]
        digest.update(json.dumps([node.op, node.name, attrs, edges, node.subgraphs], sort_keys=True).encode())
        array = graph.params.get(node.name) if node.is_variable else None
        if array is not None:
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{array.dtype.name}{array.shape}".encode())
            digest.update(array.reshape(-1).view(np.uint8))
    digest.update(json.dumps([[v.node.name, v.index] for v in graph.outputs]).encode())
    return digest.hexdigest()


def _from_outputs(graph: Graph):
    """Nodes that the outputs need, inputs before users, in an order that the edges alone decide."""
    order, state = [], {}
    for output in graph.outputs:
        stack = [output.node]
        while stack:
            node = stack[-1]
            if id(node) not in state:
                state[id(node)] = "open"
                stack.extend(v.node for v in reversed(node.inputs) if id(v.node) not in state)
            else:
                stack.pop()
                if state[id(node)] == "open":
                    state[id(node)] = "done"
                    order.append(node)
    return order
