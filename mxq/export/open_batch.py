"""A network for any number of examples: written for two numbers, and what differs tells what depends on them."""

from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from ..errors import GraphError
from ..network.graph import Graph
from .builder import Op
from .targets import Target
from .walk import Network, Port, walk

#: Numbers of examples that no other axis is likely to have.
_SIZES = (13, 17)
#: Name of the axis in the file.
AXIS = "N"
_ANY = -1  # in the shape that a Reshape has: what is left


def is_open(data_shapes: Mapping[str, Sequence[int]]) -> bool:
    """Whether an input has 0, which stands for any number, as its first axis.

    >>> is_open({"data": (0, 3, 224, 224)})
    True
    """
    return any(len(shape) > 0 and shape[0] == 0 for shape in data_shapes.values())


def walk_open(graph: Graph, data_shapes: Mapping[str, Sequence[int]], target: Target, opset: int) -> Network:
    """As walk, for any number of examples.

    Raises GraphError, with the operator, where the file would depend on the number.
    """
    first, second = (
        walk(
            graph, {name: (n, *s[1:]) if len(s) and s[0] == 0 else s for name, s in data_shapes.items()}, target, opset
        )
        for n in _SIZES
    )
    if len(first.ops) != len(second.ops):
        raise _depends("the network")
    for a, b in zip(first.ops, second.ops):
        if a != b:
            raise _depends(f"{a.type} {a.name!r}")
    constants: Dict[str, np.ndarray] = {}
    for name, array in first.constants.items():
        other = second.constants.get(name)
        if other is None:
            raise _depends(f"constant {name!r}")
        same = array.shape == other.shape and array.tobytes() == other.tobytes()
        constants[name] = array if same else _shape(name, array, other, first.ops)
    inputs, outputs = (
        list(map(_port, *ports)) for ports in ((first.inputs, second.inputs), (first.outputs, second.outputs))
    )
    shapes = {key: shape for key, shape in first.shapes.items() if shape == second.shapes.get(key)}
    return Network(first.ops, constants, inputs, outputs, first.values, shapes)


def _depends(what: str) -> GraphError:
    return GraphError(f"the number of examples cannot stay open: {what} depends on it; give a number in data_shapes")


def _shape(name: str, array: np.ndarray, other: np.ndarray, ops: Sequence[Op]) -> np.ndarray:
    """The shape of a Reshape, whose one axis that depends on the number follows from the others."""
    readers = [op for op in ops if name in op.inputs]
    reshapes = all(op.type == "Reshape" and op.inputs.index(name) == 1 for op in readers)
    differ = np.flatnonzero(array != other) if array.shape == other.shape else np.zeros(0, int)
    if (
        not reshapes
        or len(differ) != 1
        or (array <= 0).any()
        or _times(int(array[differ[0]]), int(other[differ[0]])) is None
    ):
        raise _depends(f"{readers[0].type} {readers[0].name!r}")
    found = array.copy()
    found[differ[0]] = _ANY
    return found


def _times(size: int, other: int) -> Optional[int]:
    """How many there are for each example, if both sizes say the same."""
    times = size // _SIZES[0]
    return times if times * _SIZES[0] == size and times * _SIZES[1] == other else None


def _port(port: Port, other: Port) -> Port:
    dims: List = []
    for size, wanted in zip(port.shape, other.shape):
        times = None if size == wanted else _times(size, wanted)
        dims.append(size if size == wanted else AXIS if times == 1 else None)
    return port._replace(shape=tuple(dims))
