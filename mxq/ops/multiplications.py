"""How many multiplications an operator takes."""

from typing import Callable, Dict, Optional

from ..network.graph import Graph, Node


def multiplications(node: Node, graph: Graph) -> Optional[int]:
    """Of an operator that multiplies matrices or convolves, for the batch that the shapes of the graph are of.

    Returns 0 for every other operator, None where a shape is not known.
    """
    count = _COUNTS.get(node.op)
    return 0 if count is None else count(node, graph)


def _of_weights(output: bool) -> Callable[[Node, Graph], Optional[int]]:
    """Every weight is used once at each position of the output, or of the input."""

    def count(node: Node, graph: Graph) -> Optional[int]:
        weight = graph.param_of(node.inputs[1])
        value = node.out() if output else node.inputs[0]
        shape = graph.shapes.get((value.node.name, value.index))
        if weight is None or shape is None:
            return None
        return weight.size * _product(shape[:1] + shape[2:])

    return count


def _fully_connected(node: Node, graph: Graph) -> Optional[int]:
    weight, shape = graph.param_of(node.inputs[1]), graph.shapes.get((node.name, 0))
    return None if weight is None or shape is None else weight.size * _product(shape[:-1])


def _dot(node: Node, graph: Graph) -> Optional[int]:
    read = node.inputs[0]
    shapes = graph.shapes.get((read.node.name, read.index)), graph.shapes.get((node.name, 0))
    if None in shapes:
        return None
    summed = shapes[0][-2 if node.get("transpose_a", False) and len(shapes[0]) > 1 else -1]
    return summed * _product(shapes[1])


_COUNTS: Dict[str, Callable[[Node, Graph], Optional[int]]] = {
    "Convolution": _of_weights(output=True),
    "Deconvolution": _of_weights(output=False),
    "FullyConnected": _fully_connected,
    "batch_dot": _dot,
    "dot": _dot,
}


def _product(sizes) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product
