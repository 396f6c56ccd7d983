"""How long operators take, counted in multiplications of a convolution with many channels.

Multiplications alone do not tell: a depthwise layer makes few of them, each with data of its own, and what lies between
layers is written and read. Measured on the layers of MobileNet, 112x112 to 7x7, on an AMD Zen 4 with AVX-512 VNNI,
where such a convolution makes 190 multiplications in a nanosecond of a thread; each figure is within a factor of 2.
"""

import math
from typing import Optional

from ..network.graph import Graph, Node, Value
from ..ops.multiplications import multiplications

#: A multiplication of a layer with groups.
_GROUPED = 3
#: A number that a layer computes: output stage, and written.
_COMPUTED = 30
#: A number that is written as float, read, and written in two parts.
_PARTS = 64
#: A number that is written and read as float in place of 8 bits.
_FLOAT = 8
#: A number that a layer with groups computes of two parts: one after the other, over a float result.
_GROUPED_PARTS = 110


def effort(node: Node, graph: Graph) -> Optional[int]:
    """Of a layer that multiplies; None where a shape is not known."""
    count, size = multiplications(node, graph), _size(node.out(), graph)
    if count is None or size is None:
        return None
    return count * (_GROUPED if _has_groups(node) else 1) + size * _COMPUTED


def effort_of_parts(node: Node, graph: Graph) -> Optional[int]:
    """What is added where such a layer reads its data in two parts."""
    count, size = multiplications(node, graph), _size(node.out(), graph)
    if count is None or size is None:
        return None
    return size * _GROUPED_PARTS if _has_groups(node) else count


def effort_of_value(value: Value, graph: Graph, parts: bool) -> int:
    """What is added where a value is written in two parts, or stays float; 0 where its shape is not known."""
    return (_size(value, graph) or 0) * (_PARTS if parts else _FLOAT)


def _has_groups(node: Node) -> bool:
    return int(node.get("num_group", 1)) > 1


def _size(value: Value, graph: Graph) -> Optional[int]:
    shape = graph.shapes.get((value.node.name, value.index))
    return None if shape is None else math.prod(shape)
