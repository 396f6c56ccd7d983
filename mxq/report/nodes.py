"""One line per node of the original network: int8, folded or float, and why."""

import json
from collections import Counter
from typing import Iterator, List, NamedTuple, Optional

from ..network.graph import Graph
from ..ops import UNIT
from ..passes.drop_noops import is_noop
from .precision import Precision
from .verification import Verification

INT8, FOLDED, FLOAT = "int8", "folded", "float"


class NodeReport(NamedTuple):
    """What became of one node.

    Attributes:
        node: its name in the original network.
        op: its MXNet operator.
        precision: 'int8', 'folded' (part of another node, or dropped) or 'float'.
        reason: one line.
    """

    node: str
    op: str
    precision: str
    reason: str


class Report:
    """Node reports in the network's order. ``print(report)`` shows a table.

    >>> report = Report([NodeReport("conv0", "Convolution", "int8", ""), NodeReport("lrn", "LRN", "float", "no form")])
    >>> report.count("int8"), [n.node for n in report.floats()]
    (1, ['lrn'])
    """

    #: What was seen of the int8 network beside float, where somebody looked.
    verification: Optional[Verification] = None
    #: What multiplications were spent on beyond 8 bits, where somebody looked.
    precision: Optional[Precision] = None

    def __init__(self, nodes: List[NodeReport]):
        self.nodes = list(nodes)

    @classmethod
    def of(cls, original: Graph, annotated: Graph) -> "Report":
        """Compares the original network with the annotated one."""
        remaining = {n.name: n for n in annotated.nodes}
        rows = []
        for node in original.nodes:
            if node.is_variable:
                continue
            left = remaining.get(node.name)
            note = annotated.notes.get(node.name, "")
            if left is None:
                rows.append(NodeReport(node.name, node.op, FOLDED, note or "folded away"))
            elif is_noop(left) and not is_noop(node):
                rows.append(NodeReport(node.name, node.op, FOLDED, note or "folded away"))
            elif UNIT not in left.attrs:
                rows.append(NodeReport(node.name, node.op, FLOAT, note or f"{node.op} has no int8 form"))
            else:
                head = left.attrs[UNIT]
                rows.append(NodeReport(node.name, node.op, INT8, "" if head == node.name else f"fused with {head}"))
        return cls(rows)

    def unfolded(self) -> "Report":
        """The report of the same network where nothing became int8 and nothing was changed."""
        reason = "unchanged, as is all of this network"
        return Report([n._replace(precision=FLOAT, reason=reason) if n.precision == FOLDED else n for n in self.nodes])

    def count(self, precision: str) -> int:
        """How many nodes have this precision."""
        return Counter(n.precision for n in self.nodes)[precision]

    def floats(self) -> List[NodeReport]:
        """The nodes that stayed float."""
        return [n for n in self.nodes if n.precision == FLOAT]

    def summary(self) -> str:
        """One line with the counts, and with the SQNR of the outputs where it was measured."""
        counts = f"{self.count(INT8)} nodes int8, {self.count(FOLDED)} folded, {self.count(FLOAT)} float"
        if self.precision is not None and self.precision.tensors:
            counts = f"{counts}; {self.precision.summary()}"
        return counts if self.verification is None else f"{counts}; {self.verification.summary()}"

    def to_json(self) -> str:
        """The rows as a JSON list of objects."""
        return json.dumps([n._asdict() for n in self.nodes], indent=1)

    def __iter__(self) -> Iterator[NodeReport]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        widths = [max([len(row[i]) for row in self.nodes] + [4]) for i in range(3)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)) + "  " + row[3] for row in self.nodes]
        return "\n".join(line.rstrip() for line in [*lines, self.summary()])
