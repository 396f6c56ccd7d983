"""What emitters write with: ONNX operators and constants as plain records, names, shapes and types of values."""

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

import numpy as np

from ..network.graph import Node, Value
from ..network.identity import tensor_key
from ..network.names import unused
from .table import Refused
from .targets import Target

#: An MXNet value: the node's name and which output.
Key = Tuple[str, int]
#: ReduceX takes its axes as an input from this version on; ReduceSum from 13.
AXES_AS_INPUT = 18


class Op(NamedTuple):
    """One ONNX operator; an empty input name is one that is left out."""

    type: str
    name: str
    inputs: List[str]
    outputs: List[str]
    attrs: Dict[str, object]


class Integers(NamedTuple):
    """What a DequantizeLinear reads: integers, scale and zero point ('' for none); the axis of scales by channel."""

    q: str
    scale: str
    zero_point: str
    axis: Optional[int] = None


class Builder:
    """Collects the ONNX network while the walk goes through an MXNet one.

    Args:
        shapes: ``(node name, output index) -> shape`` of the MXNet network's values.
        target: what is written for.
        opset: version of ONNX's operators.

    Attributes:
        ops: what was emitted, in order.
        constants: name -> array.
        integers: of values that a DequantizeLinear made.
        names: MXNet value -> name of the ONNX value.
    """

    def __init__(self, shapes: Mapping[Key, tuple], target: Target, opset: int):
        self.target, self.opset = target, opset
        self.ops: List[Op] = []
        self.constants: Dict[str, np.ndarray] = {}
        self.integers: Dict[str, Integers] = {}
        self._shapes = shapes
        self._types: Dict[str, str] = {}
        self.names: Dict[Key, str] = {}
        self._taken = {""}
        self._same: Dict[tuple, str] = {}
        self._read: Set[str] = set()
        self._node: Optional[Node] = None

    # -- what emitters ask -----------------------------------------------------------------------------------------

    def inputs(self, node: Node) -> List[str]:
        """ONNX names of the node's inputs."""
        return [self.read(value) for value in node.inputs]

    def read(self, value: Value) -> str:
        """ONNX name of an MXNet value."""
        if not self.has(value):
            raise Refused(f"{tensor_key(value)!r} has no ONNX form")
        return self.names[value.node.name, value.index]

    def has(self, value: Value) -> bool:
        """Whether an MXNet value was written; labels are not."""
        return (value.node.name, value.index) in self.names

    def shape(self, value: Value) -> Tuple[int, ...]:
        """Shape of an MXNet value."""
        shape = self._shapes.get((value.node.name, value.index))
        if shape is None:
            raise Refused(f"the shape of {tensor_key(value)!r} does not follow from those of the data")
        return tuple(shape)

    def array(self, value: Value) -> Optional[np.ndarray]:
        """The numbers of a value that is constant, else None."""
        return self.constants.get(self.read(value)) if self.has(value) else None

    def dtype(self, name: str) -> str:
        """Type of an ONNX value."""
        return self._types[name]

    # -- what emitters write ---------------------------------------------------------------------------------------

    def __call__(
        self, type: str, inputs: Sequence[str], *, outputs: int = 1, dtype: str = None, **attrs
    ) -> Union[str, List[str]]:
        """Emits an operator; returns the name of its output, or of its outputs where there are several.

        Args:
            dtype: of the outputs; that of the first input by default.
            attrs: ONNX attributes.
        """
        inputs = [self._own(name) for name in inputs]
        base = self._node.name if self._node is not None else "mxq"
        names = [self.unique(f"{base}/{type}") for _ in range(outputs)]
        self.ops.append(Op(type, names[0], inputs, names, attrs))
        for name in names:
            self._types[name] = dtype or self._types[inputs[0]]
        return names[0] if outputs == 1 else names

    def _own(self, name: str) -> str:
        """A DequantizeLinear by channel has one reader: ONNX Runtime 1.16 gives the second a copy without its axis."""
        if name in self.integers and self.integers[name].axis is not None:
            if name in self._read:
                return self.dequantize(self.integers[name])
            self._read.add(name)
        return name

    def constant(self, numbers, dtype: str = "float32", name: str = "constant") -> str:
        """A constant; equal ones are one."""
        array = np.ascontiguousarray(np.asarray(numbers, dtype)).reshape(np.shape(numbers))
        key = array.tobytes(), array.dtype.name, array.shape
        if key not in self._same:
            self._same[key] = self.parameter(array, name)
        return self._same[key]

    def parameter(self, array: np.ndarray, name: str) -> str:
        """A constant of its own, under its name if that is free."""
        name = self.unique(name)
        self.constants[name], self._types[name] = array, array.dtype.name
        return name

    def cast(self, x: str, dtype: str) -> str:
        """The value in another type, which may be its own."""
        return x if self.dtype(x) == dtype else self("Cast", [x], dtype=dtype, to=dtype)

    def retype(self, name: str, dtype: str) -> None:
        """Says the type of an output that has another than its operator's first one."""
        self._types[name] = dtype

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """The value in another shape."""
        return self("Reshape", [x, self.constant(shape, "int64", "shape")])

    def transpose(self, x: str, axes: Sequence[int]) -> str:
        """The value with its axes in this order."""
        return x if list(axes) == sorted(axes) else self("Transpose", [x], perm=list(axes))

    def reduce(self, type: str, x: str, axes: Sequence[int]) -> str:
        """ReduceMax and its like; the axes stay, with length 1."""
        if type == "ReduceSum" or self.opset >= AXES_AS_INPUT:
            return self(type, [x, self.constant(axes, "int64", "axes")], keepdims=1)
        return self(type, [x], axes=list(axes), keepdims=1)

    def slice(self, x: str, axes: Sequence[int], begin: Sequence[int], end: Sequence[int], step=None) -> str:
        """Part of a value, along some axes."""
        parts = [begin, end, axes] + ([] if step is None else [step])
        return self("Slice", [x] + [self.constant(part, "int64", "slice") for part in parts])

    def moved(self, x: str, shape: Sequence[int]) -> str:
        """As reshape; of a value that stands for integers, these are reshaped, so that a layer still finds them."""
        if x not in self.integers:
            return self.reshape(x, shape)
        return self.dequantize(self.integers[x]._replace(q=self.reshape(self.integers[x].q, shape)))

    def dequantize(self, integers: Integers) -> str:
        """DequantizeLinear."""
        attrs = {} if integers.axis is None else {"axis": integers.axis}
        name = self("DequantizeLinear", [i for i in integers[:3] if i], dtype="float32", **attrs)
        self.integers[name] = integers
        return name

    # -- what the walk does ----------------------------------------------------------------------------------------

    def at(self, node: Optional[Node]) -> None:
        """Operators emitted from now on belong to this node."""
        self._node = node

    def unique(self, base: str) -> str:
        """A name that no value has."""
        return unused(base, self._taken)

    def declare(self, name: str, dtype: str) -> str:
        """An input of the network."""
        name = self.unique(name)
        self._types[name] = dtype
        return name

    def bind(self, value: Value, name: str, since: int) -> None:
        """Says which ONNX value an MXNet value is. One that was emitted for it, by ``ops[since:]``, takes its name."""
        made = any(name in op.outputs for op in self.ops[since:])
        wanted = tensor_key(value)
        if made and wanted not in self._taken:
            name = self.renamed(name, self.unique(wanted), since)
        self.names[value.node.name, value.index] = name

    def renamed(self, old: str, new: str, since: int) -> str:
        """Renames a value that ``ops[since:]`` made; returns the new name."""
        for op in self.ops[since:]:
            op.inputs[:] = [new if name == old else name for name in op.inputs]
            op.outputs[:] = [new if name == old else name for name in op.outputs]
        self._types[new] = self._types[old]
        if old in self.integers:
            self.integers[new] = self.integers[old]
        return new
