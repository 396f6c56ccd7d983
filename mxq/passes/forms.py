"""The forms in which a value of the lowered graph exists: float or integers, channels first or last."""

from dataclasses import dataclass
from typing import Optional, Tuple

from ..arithmetic.qmath import QParams
from ..network.graph import TYPE_FLAGS, Node, Value


@dataclass(frozen=True)
class Form:
    """A value of the new graph: float (``dtype`` 'float32') or integers.

    `layout` is 'first' (as the network has it) or 'last' (channels last). `runtime` holds the minimum and maximum as
    values of the graph where no range was calibrated. `fine_steps` above 1 says that the channels come twice: whole
    steps, then the rests in parts of a step.
    """

    value: Value
    layout: str
    rank: Optional[int] = None
    dtype: str = "float32"
    scale: float = 1.0
    zero_point: int = 0
    runtime: Optional[Tuple[Value, Value]] = None
    fine_steps: int = 1

    @property
    def qparams(self) -> QParams:
        return QParams(self.scale, self.zero_point, self.dtype)


def integer_input(node: Node) -> Optional[QParams]:
    """What the integers of a data variable stand for: themselves; None for any other node."""
    for dtype in ("int8", "uint8"):
        if node.is_variable and node.attrs.get("__dtype__") == str(TYPE_FLAGS[dtype]):
            return QParams(1.0, 0, dtype)
    return None


def permutation(rank: int, layout: str) -> Tuple[int, ...]:
    """Axes for `transpose` that bring a stored tensor into `layout` from the other one."""
    if layout == "last":
        return (0, *range(2, rank), 1)
    return (0, rank - 1, *range(1, rank - 1))


def representative_range(qparams: QParams) -> Tuple[float, float]:
    """A range that `range_to_qparams` maps to these very parameters."""
    levels = {"int8": (-127, 127), "uint8": (0, 255)}[qparams.dtype]
    return tuple(qparams.scale * (level - qparams.zero_point) for level in levels)
