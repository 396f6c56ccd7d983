"""A graph while a file of another format is read: tensors by the file's names, their shapes, nodes.

Shapes are counted by the format's own rules, operator by operator; in the end MXNet must infer the same, so that no
rule of rounding is missed.
"""

from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from ..arithmetic.qmath import QParams
from ..errors import GraphError
from ..network.graph import VARIABLE, Graph, Node, Value
from ..network.shapes import infer_shapes
from ..passes.forms import representative_range

Shape = Tuple[int, ...]
#: No tensor of a real network has so many numbers.
MAX_SIZE = 1 << 33


class Integers(NamedTuple):
    """Weights as the file has them: ``scale * integers``, one scale for each index of an axis, or one for all."""

    integers: np.ndarray
    scale: np.ndarray
    axis: int


class Top(NamedTuple):
    """A tensor.

    Attributes:
        value: what computes it, in real numbers and not rounded; None for a constant that nobody has read yet.
        shape: its shape.
        constant: its numbers, where they do not depend on the data.
        qparams: how the file stores it in 8 bits, where it does.
        integers: of a constant, how the file stores it.
    """

    value: Optional[Value]
    shape: Shape
    constant: Optional[np.ndarray] = None
    qparams: Optional[QParams] = None
    integers: Optional[Integers] = None

    @property
    def channels(self) -> int:
        return self.shape[1] if len(self.shape) > 1 else 1


class Builder:
    """The graph as far as it was read."""

    def __init__(self):
        self.graph = Graph([], [], {}, ())
        self.tops: Dict[str, Top] = {}
        self._shapes: Dict[Tuple[int, int], Shape] = {}
        self._inputs: Dict[str, Shape] = {}
        self._pairs: Dict[Tuple, Value] = {}

    def input(self, name: str, shape: Shape) -> None:
        node = Node(VARIABLE, name)
        self.graph.nodes.append(node)
        self._inputs[name] = shape
        self.tops[name] = Top(node.out(), shape)

    def valued(self, name: str) -> Top:
        """A tensor with its value: a constant becomes a parameter, 8-bit values are rounded as in the file."""
        top = self.tops[name]
        if top.value is None:
            array = np.asarray(top.constant, np.float32)
            top = top._replace(value=self.graph.add_param(name, array), shape=array.shape)
            self.tops[name] = top
        return top if top.qparams is None else top._replace(value=self._pair(name, top))

    def _pair(self, name: str, top: Top) -> Value:
        """The value behind ``mxq_quantize_v2 -> mxq_dequantize``, made once."""
        key = (id(top.value.node), top.value.index, top.qparams)
        if key not in self._pairs:
            lo, hi = representative_range(top.qparams)
            attrs = {"min_calib_range": lo, "max_calib_range": hi}
            inputs, kind = [top.value], {"out_type": top.qparams.dtype, **attrs}
            quantize = self.emit_node("mxq_quantize_v2", f"{name}_quantize", inputs, kind, top.shape)
            self._pairs[key] = self.emit_node("mxq_dequantize", f"{name}_dequantize", [quantize], attrs, top.shape)
        return self._pairs[key]

    def set(self, name: str, top: Top) -> None:
        self.tops.pop(name, None)  # outputs come in the order in which they are written last
        self.tops[name] = top

    def emit_node(self, op: str, name: str, inputs: Sequence[Value], attrs: Mapping, shape: Shape) -> Value:
        """A node with one output of this shape."""
        value = self.graph.add(op, name, inputs, attrs).out()
        self._shapes[id(value.node), 0] = shape
        return value

    def finish(self, outputs: Sequence[str], format_name: str) -> Graph:
        """The graph with these tensors as outputs, if MXNet infers the format's shapes."""
        for name in outputs:
            value = self.valued(name).value
            if value.node.is_variable:  # an output is computed: a variable as output has no name of its own
                value = self.graph.add("identity", f"{name}_output", [value], {}).out()
            self.graph.outputs.append(value)
        self.graph.sort()
        self.graph.prune()
        try:
            self.graph.shapes = infer_shapes(self.graph, self._inputs)
        except mx.MXNetError as error:  # attributes that the tables let through
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise GraphError(f"the network has no form in MXNet: {lines[-1]}") from None
        for name, array in self.graph.params.items():
            found = self.graph.shapes.get((name, 0))
            if found is not None and tuple(found) != array.shape:
                raise GraphError(f"parameter {name!r} has the shape {array.shape}; what reads it needs {tuple(found)}")
        for node in self.graph.nodes:
            expected, found = self._shapes.get((id(node), 0)), self.graph.shapes.get((node.name, 0))
            if expected is not None and found is not None and tuple(found) != expected:
                raise GraphError(
                    f"{node.op} {node.name!r} gives {tuple(found)} in MXNet and {expected} in {format_name}"
                )
        return self.graph


def fits(shape: Shape) -> bool:
    """Whether a tensor can have this shape."""
    return all(n >= 1 for n in shape) and float(np.prod([float(n) for n in shape])) <= MAX_SIZE


class Table(Dict[str, Callable]):
    """Type of an operator -> the function that writes it."""

    def of(self, *types: str):
        """Registers a function for these types."""

        def register(function: Callable):
            self.update(dict.fromkeys(types, function))
            return function

        return register
