"""What the tables of ONNX' operators read and write with."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from ..errors import GraphError
from ..network.graph import Value
from .builder import MAX_SIZE, Builder, Integers, Shape, Top, fits


class Op(NamedTuple):
    """One node of an ONNX graph; names of inputs that are left out are empty."""

    name: str
    type: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    attributes: Dict[str, Any]
    opset: int

    def attrs(self, **defaults) -> Dict[str, Any]:
        """The attributes with these defaults; one that is not among them changes something that nobody reads."""
        for name in self.attributes:
            if name not in defaults:
                raise self.error(f"has the attribute {name}", f"accepted are {', '.join(sorted(defaults)) or 'none'}")
        return {**defaults, **self.attributes}

    def sizes(self, attrs: Mapping, name: str, rank: int, least: int = 1) -> Tuple[int, ...]:
        """An attribute with one number for each spatial axis; the least that is accepted where the file has none."""
        found = tuple(attrs[name] or (least,) * rank)
        if len(found) != rank or not all(least <= n < 1 << 31 for n in found):
            raise self.error(f"has {name} {list(found)}", f"accepted are {rank} numbers from {least}")
        return found

    def error(self, given: str, accepted: str) -> GraphError:
        return GraphError(f"node {self.name!r} (a {self.type}) {given}; {accepted}")


class OnnxNet(Builder):
    """The graph as far as it was read.

    Attributes:
        weights: parameter -> the integers that the file has for it.
        beyond: node -> how many channels of its weights do not fit int8; it stays float.
        parts: names of layers that are parts of a sum, in float until that is rounded.
        stored: tensor that the file has as integers of 8 bits -> their type.
    """

    def __init__(self):
        super().__init__()
        self.stored: Dict[str, str] = {}
        self.weights: Dict[str, Integers] = {}
        self.beyond: Dict[str, int] = {}
        self.parts: Set[str] = set()

    # -- reading ---------------------------------------------------------------------------------------------------

    def has(self, op: Op, index: int) -> bool:
        return index < len(op.inputs) and bool(op.inputs[index])

    def top(self, op: Op, index: int = 0) -> Top:
        """An input as it is: constants and rounding left to the caller."""
        if not self.has(op, index):
            raise op.error(f"has {len(op.inputs)} inputs", f"it needs input {index}")
        if op.inputs[index] not in self.tops:
            raise op.error(f"reads {op.inputs[index]!r}", "nothing before it writes that")
        return self.tops[op.inputs[index]]

    def read(self, op: Op, index: int = 0) -> Top:
        """An input with its value."""
        self.top(op, index)
        return self.valued(op.inputs[index])

    def constant(self, op: Op, index: int, default: Optional[np.ndarray] = None) -> np.ndarray:
        """An input whose numbers must be known."""
        if not self.has(op, index):
            if default is None:
                raise op.error(f"has {len(op.inputs)} inputs", f"it needs input {index}")
            return default
        top = self.top(op, index)
        if top.constant is None:
            raise op.error(f"has the input {op.inputs[index]!r} that depends on the data", "accepted are constants")
        return np.asarray(top.constant)

    def integers(self, op: Op, index: int, attribute: str) -> Optional[List[int]]:
        """A list of integers that older versions have as an attribute and newer ones as an input; None if absent."""
        if attribute in op.attributes:
            return [int(n) for n in op.attributes[attribute]]
        return [int(n) for n in self.constant(op, index).reshape(-1)] if self.has(op, index) else None

    def param(self, op: Op, array: np.ndarray, suffix: str, *, aux: bool = False) -> Value:
        value = self.graph.add_param(f"{op.name}_{suffix}", np.asarray(array, np.float32))
        if aux:
            self.graph.aux.add(value.node.name)
        return value

    # -- writing ---------------------------------------------------------------------------------------------------

    def emit(
        self, op: Op, mx_op: str, inputs: Sequence[Value], attrs: Mapping, shape: Shape, suffix: str = ""
    ) -> Value:
        shape = tuple(int(n) for n in shape)
        if not fits(shape):
            raise op.error(f"gives a tensor of shape {shape}", f"accepted are sizes from 1, at most {MAX_SIZE} numbers")
        return self.emit_node(mx_op, op.name + suffix, inputs, attrs, shape)

    def write(self, op: Op, value: Value, shape: Shape, qparams=None, output: int = 0) -> None:
        """Says what an output is. Outputs that nobody reads may stay unwritten."""
        self.set(op.outputs[output], Top(value, tuple(int(n) for n in shape), qparams=qparams))

    def moved(self, op: Op, mx_op: str, attrs: Mapping, shape: Shape) -> None:
        """Writes an operator that moves or selects values: what was rounded stays so."""
        x = self.read(op)
        value = self.emit(op, mx_op, [x.value], attrs, shape)
        self.write(op, value, shape, x.qparams)

    def same(self, op: Op, mx_op: str, attrs: Mapping, more: Sequence[Value] = ()) -> None:
        """Writes an operator whose output has the shape of its input."""
        x = self.read(op)
        self.write(op, self.emit(op, mx_op, [x.value, *more], attrs, x.shape), x.shape)
