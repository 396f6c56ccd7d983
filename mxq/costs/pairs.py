"""Quantize/dequantize pairs around activations, in a graph with explicit quantization."""

from ..network.graph import Node, Value


def is_pair(node: Node) -> bool:
    """Whether a node is the second of such a pair."""
    return node.op == "mxq_dequantize" and node.inputs[0].node.op == "mxq_quantize_v2"


def source_of(dequantize: Node) -> Value:
    """The value that the pair rounds."""
    return dequantize.inputs[0].node.inputs[0]
