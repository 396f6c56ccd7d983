"""SliceChannel (split): every output is a slice in the scale of the whole."""

from typing import List, Optional, Tuple

from ..network.graph import Graph, Node
from .movement import stored_axis
from .spec import SELECT, OpSpec, Unit, activations, alone, register


def _pieces(node: Node, size: int, rank: int) -> Tuple[int, List[Tuple[int, int]]]:
    """The axis, counted from the first, and where each output begins and ends."""
    axis = int(node.get("axis", 1))
    axis += rank if axis < 0 else 0
    if node.op == "SliceChannel" or int(node.get("sections", 0)) > 0:
        step = size // outputs(node)
        return axis, [(i, i + step) for i in range(0, size, step)]
    begins = [int(i) for i in node.get("indices")]
    return axis, list(zip(begins, begins[1:] + [size]))


def outputs(node: Node) -> int:
    """How many outputs a split has."""
    if node.op == "SliceChannel":
        return int(node.get("num_outputs"))
    return int(node.get("sections", 0)) or len(node.get("indices"))


def refuse_split(node: Node, graph: Graph) -> Optional[str]:
    source = node.inputs[0]
    shape = graph.shapes.get((source.node.name, source.index))
    if shape is None:
        return "the shape of its input is unknown; pass data_shapes"
    if int(node.get("axis", 1)) not in (1, 1 - len(shape)):
        return f"splits axis {node.get('axis')}; the channel axis, 1, has an int8 form"
    if node.get("squeeze_axis", False) in (True, 1):
        return "squeeze_axis=True has no int8 form"
    if any(value.node is node for value in graph.outputs):
        return "an output of it is one of the network"
    return None


def lower_split(lowering, unit: Unit) -> None:
    node = unit.head
    x = lowering.q(unit.inputs[0])
    source = node.inputs[0]
    shape = lowering.source.shapes[source.node.name, source.index]
    axis, pieces = _pieces(node, shape[1], len(shape))
    stored = stored_axis(axis, len(shape), x.layout)
    for i, (start, stop) in enumerate(pieces):
        begin, end = [None] * len(shape), [None] * len(shape)
        begin[stored], end[stored] = start, stop
        attrs = {"begin": begin, "end": end}
        lowering.select("mxq_slice", unit, x, attrs, x.layout, len(shape), output=i)


register(
    OpSpec(
        name="split",
        mx_names=("SliceChannel", "split", "_split_v2"),
        kind=SELECT,
        native=("mxq_slice",),
        refuse=refuse_split,
        grow=alone,
        inputs=activations,
        lower=lower_split,
        runtime_range=True,
        outputs=outputs,
        note="of the channels",
    )
)
