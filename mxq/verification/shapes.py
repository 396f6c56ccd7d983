"""Whether a network binds from the shapes of its data alone, as executors and the C predict API ask for it."""

from typing import Mapping

from ..errors import GraphError
from ..model import QuantizedModel
from ..network.graph import Graph
from ..network.shapes import complete_shapes, infer_shapes


def shapes_follow(model: QuantizedModel, network: Graph, shapes: Mapping[str, tuple]) -> None:
    """Raises GraphError if shapes of the int8 network do not follow from those of the data where float's do.

    Args:
        model: the int8 network.
        network: the float network that it stands for.
        shapes: data input -> shape; with unknown ones among them nothing can be said.
    """
    if not shapes or not all(s and all(n is not None and n > 0 for n in s) for s in shapes.values()):
        return
    try:
        _, wanted = complete_shapes(network.symbol(), shapes)
    except GraphError:
        return  # the float network asks for more, too
    given = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    int8 = Graph.from_symbol(model.symbol, model.arg_params, model.aux_params)
    inferred = infer_shapes(int8, shapes)  # refuses what would let MXNet write past a buffer
    try:
        _, found = complete_shapes(model.symbol, shapes)
    except GraphError as error:
        unknown = [node for node in int8.nodes if (node.name, 0) not in inferred]
        first = f"; the first tensor without a shape is {unknown[0].op} {unknown[0].name!r}" if unknown else ""
        raise GraphError(
            f"the int8 network cannot be bound: its shapes do not follow from {given}, as the float network's do "
            f"({error}){first}"
        ) from error
    if [tuple(s) for s in found] != [tuple(s) for s in wanted]:
        raise GraphError(f"for {given} the int8 network returns shapes {found}, the float network {wanted}")
