"""How much of a network's work is int8."""

from typing import NamedTuple, Optional

from ..model import QuantizedModel
from ..ops.multiplications import multiplications


class Share(NamedTuple):
    """Multiplications in int8 and in all, of one example; `unknown` operators multiply too, but not known how often."""

    int8: int
    total: int
    unknown: int = 0

    @property
    def percent(self) -> Optional[float]:
        return 100 * self.int8 / self.total if self.total else None


def int8_share(model: QuantizedModel) -> Share:
    """Of convolutions and products of matrices in the float network, those that became int8.

    >>> int8_share(model).percent  # doctest: +SKIP
    99.2
    """
    graph = model.floats
    int8 = {row.node for row in model.report if row.precision == "int8"}
    found = [(node.name in int8, multiplications(node, graph)) for node in graph.nodes if not node.is_variable]
    counts = [(inside, count) for inside, count in found if count is not None]
    inside = sum(count for is_int8, count in counts if is_int8)
    examples = (
        max((shape[0] for (name, _), shape in graph.shapes.items() if name in graph_inputs(graph)), default=1) or 1
    )
    total = sum(count for _, count in counts)
    return Share(inside // examples, total // examples, len(found) - len(counts))


def graph_inputs(graph) -> set:
    return {node.name for node in graph.inputs}
