"""What the table of TFLite's operators reads and writes with.

TFLite has channels last, MXNet's layers have them first. A tensor of four axes exists in the layout that its producer
wrote, and in the other one when somebody asks; lowering drops transposes between int8 operators again.
"""

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from ..arithmetic.qmath import QParams
from ..errors import GraphError
from ..network.graph import Value
from .builder import MAX_SIZE, Builder, Integers, Shape, Top, fits

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class Op(NamedTuple):
    """One operator: names of its tensors, and the table of its options (None where it has none)."""

    name: str
    type: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    options: object

    def error(self, given: str, accepted: str) -> GraphError:
        return GraphError(f"operator {self.name!r} (a {self.type}) {given}; {accepted}")


class TfNet(Builder):
    """The graph as far as it was read.

    Attributes:
        stored: tensor -> (shape, how it is stored in 8 bits or None), as the file declares it.
        weights: parameter -> the integers that the file has for it.
        beyond: operator -> how many channels of its weights do not fit int8; it stays float.
        parts: names of layers that are parts of a sum, in float until that is rounded.
    """

    def __init__(self):
        super().__init__()
        self.stored: Dict[str, Tuple[Shape, Optional[QParams]]] = {}
        self.weights: Dict[str, Integers] = {}
        self.beyond: Dict[str, int] = {}
        self.parts: Set[str] = set()

    # -- reading ---------------------------------------------------------------------------------------------------

    def has(self, op: Op, index: int) -> bool:
        return index < len(op.inputs) and bool(op.inputs[index])

    def top(self, op: Op, index: int = 0) -> Top:
        """An input as it is, in the file's layout if it exists so."""
        if not self.has(op, index):
            raise op.error(f"has {len(op.inputs)} inputs", f"it needs input {index}")
        name = op.inputs[index]
        if name not in self.tops and channels_first(name) not in self.tops:
            raise op.error(f"reads {name!r}", "nothing before it writes that")
        return self.tops[name] if name in self.tops else self.tops[channels_first(name)]

    def read(self, op: Op, index: int = 0) -> Top:
        """An input with its value, in the file's layout."""
        self.top(op, index)
        return self.in_layout(op.inputs[index], LAST)

    def image(self, op: Op, index: int = 0) -> Top:
        """An input of four axes with its value, channels first."""
        if len(self.shape(op, index)) != 4:
            raise op.error(f"reads a tensor of shape {self.shape(op, index)}", "accepted are four axes, channels last")
        self.top(op, index)
        return self.in_layout(op.inputs[index], FIRST)

    def shape(self, op: Op, index: int = 0) -> Shape:
        """The shape of an input in the file's layout."""
        self.top(op, index)
        return self.stored[op.inputs[index]][0]

    def in_layout(self, name: str, axes: Tuple[int, ...]) -> Top:
        """A tensor with its value, in the file's layout (LAST) or channels first (FIRST)."""
        wanted, other = (name, channels_first(name)) if axes == LAST else (channels_first(name), name)
        if wanted not in self.tops:
            source = self.valued(other)
            shape = tuple(source.shape[axis] for axis in axes)
            suffix = "last" if axes == LAST else "first"
            value = self.emit_node("transpose", f"{name}_{suffix}", [source.value], {"axes": axes}, shape)
            self.tops[wanted] = Top(value, shape, qparams=source.qparams)
        return self.valued(wanted)

    def constant(self, op: Op, index: int) -> np.ndarray:
        top = self.top(op, index)
        if top.constant is None:
            raise op.error(f"has the input {op.inputs[index]!r} that depends on the data", "accepted are constants")
        return np.asarray(top.constant)

    def param(self, op: Op, array: np.ndarray, suffix: str) -> Value:
        return self.graph.add_param(f"{op.name}_{suffix}", np.asarray(array, np.float32))

    # -- writing ---------------------------------------------------------------------------------------------------

    def emit(
        self, op: Op, mx_op: str, inputs: Sequence[Value], attrs: Mapping, shape: Shape, suffix: str = ""
    ) -> Value:
        shape = tuple(int(n) for n in shape)
        if not fits(shape):
            raise op.error(f"gives a tensor of shape {shape}", f"accepted are sizes from 1, at most {MAX_SIZE} numbers")
        return self.emit_node(mx_op, op.name + suffix, inputs, attrs, shape)

    def write(self, op: Op, value: Value, shape: Shape, *, first: bool = False, output: int = 0) -> None:
        """Says what an output is; `first`: with its channels first. It is rounded as the file declares."""
        name = op.outputs[output]
        declared, qparams = self.stored[name]
        shape = tuple(int(n) for n in shape)
        found = tuple(shape[axis] for axis in LAST) if first else shape
        if declared and found != declared:
            raise op.error(f"gives a tensor of shape {found}", f"the file says {declared}")
        self.stored[name] = (found, qparams)
        self.set(channels_first(name) if first else name, Top(value, shape, qparams=qparams))

    def same(self, op: Op, mx_op: str, attrs: Mapping) -> None:
        """Writes an operator whose output has the shape of its input, in the layout that there is."""
        name = op.inputs[0]
        self.top(op)
        first = channels_first(name) in self.tops
        x = self.valued(channels_first(name) if first else name)
        self.write(op, self.emit(op, mx_op, [x.value], attrs, x.shape), x.shape, first=first)

    def layouts(self, op: Op, indices: Sequence[int]) -> Tuple[List[Top], bool]:
        """Inputs of one shape in one layout: channels first if one of them is so already."""
        names = [op.inputs[i] for i in indices]
        for i in indices:
            self.top(op, i)
        ranks = {len(self.stored[name][0]) for name in names}
        first = ranks == {4} and any(channels_first(name) in self.tops for name in names)
        return [self.in_layout(name, FIRST if first else LAST) for name in names], first


def channels_first(name: str) -> str:
    """The key of a tensor with its channels first."""
    return f"{name}@channels_first"
