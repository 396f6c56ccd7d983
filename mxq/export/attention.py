"""Attention of Gluon NLP: products of heads whose queries, keys and values lie side by side."""

from typing import List, Tuple

import numpy as np

from ..network.graph import Node, Value
from .builder import Builder
from .table import emits


def _heads(b: Builder, value: Value, heads: int, kinds: int) -> Tuple[List[str], int]:
    """(length, batch, heads * kinds * dim) -> for each kind (batch * heads, length, dim); and dim."""
    length, batch, width = b.shape(value)
    dim = width // heads // kinds
    x = b.reshape(b.read(value), (length, batch * heads, kinds, dim))
    x = b.transpose(x, (2, 1, 0, 3))
    shape = (batch * heads, length, dim)
    if kinds == 1:
        return [b.reshape(x, shape)], dim
    ones = b.constant([1] * kinds, "int64", "split")
    return [b.reshape(part, shape) for part in b("Split", [x, ones], outputs=kinds, axis=0)], dim


def _scores(b: Builder, queries: str, keys: str, dim: int) -> str:
    scaled = b("Mul", [queries, b.constant(1 / np.sqrt(dim))])
    return b("MatMul", [scaled, b.transpose(keys, (0, 2, 1))])


def _weighted(b: Builder, node: Node, attention: Value, values: str, heads: int) -> str:
    """(batch * heads, queries, dim) -> (queries, batch, heads * dim)."""
    y = b.transpose(b("MatMul", [b.read(attention), values]), (1, 0, 2))
    return b.reshape(y, b.shape(node.out()))


@emits("_contrib_interleaved_matmul_selfatt_qk", heads=1)
def self_scores(b: Builder, node: Node, a) -> str:
    (queries, keys, _), dim = _heads(b, node.inputs[0], a.heads, 3)
    return _scores(b, queries, keys, dim)


@emits("_contrib_interleaved_matmul_selfatt_valatt", heads=1)
def self_values(b: Builder, node: Node, a) -> str:
    (_, _, values), _ = _heads(b, node.inputs[0], a.heads, 3)
    return _weighted(b, node, node.inputs[1], values, a.heads)


@emits("_contrib_interleaved_matmul_encdec_qk", heads=1)
def cross_scores(b: Builder, node: Node, a) -> str:
    (queries,), dim = _heads(b, node.inputs[0], a.heads, 1)
    (keys, _), _ = _heads(b, node.inputs[1], a.heads, 2)
    return _scores(b, queries, keys, dim)


@emits("_contrib_interleaved_matmul_encdec_valatt", heads=1)
def cross_values(b: Builder, node: Node, a) -> str:
    (_, values), _ = _heads(b, node.inputs[0], a.heads, 2)
    return _weighted(b, node, node.inputs[1], values, a.heads)
