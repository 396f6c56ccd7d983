"""How much of a network's work is int8."""

from typing import NamedTuple, Optional

from ..model import QuantizedModel
from ..network.params import default_data_names
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
    names = {row.node for row in model.report if row.precision == "int8"}
    found = [(node.name in names, multiplications(node, graph)) for node in graph.nodes if not node.is_variable]
    known = [(is_int8, count) for is_int8, count in found if count is not None]
    inputs = [graph.shapes[name, 0] for name in default_data_names(graph) if (name, 0) in graph.shapes]
    examples = max((shape[0] for shape in inputs if shape), default=1)
    int8, total = sum(count for is_int8, count in known if is_int8), sum(count for _, count in known)
    return Share(int8 // examples, total // examples, len(found) - len(known))
