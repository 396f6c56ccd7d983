"""What the tables of Caffe's layers write with: tops by name, their shapes, weights, nodes of the graph.

Shapes are Caffe's own, counted layer by layer; in the end MXNet must infer the same, so that no rule of rounding is
missed.
"""

from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import GraphError
from ..network.graph import VARIABLE, Graph, Node, Value
from ..network.shapes import infer_shapes
from .prototext import Message

Shape = Tuple[int, ...]
#: No tensor of a real network has so many numbers.
MAX_SIZE = 1 << 33


class Layer(NamedTuple):
    """One layer of a prototxt; `params` are the names of its own messages, such as ``convolution_param``."""

    name: str
    type: str
    bottoms: Tuple[str, ...]
    tops: Tuple[str, ...]
    message: Message
    params: Tuple[str, ...]

    @property
    def line(self) -> int:
        return self.message.line

    def param(self, name: str, accepted: Sequence[str]) -> Message:
        """The layer's parameters; refuses what this layer does not know."""
        for other in self.params:
            if other != name:
                raise self.error(f"has {other}", f"accepted is {name}")
        return self.message.sub(name).accept(f"{self.type} {self.name!r}", accepted)

    def error(self, given: str, accepted: str) -> GraphError:
        return GraphError(f"layer {self.name!r} (a {self.type}, line {self.line}) {given}; {accepted}")


class Top(NamedTuple):
    """A tensor: its value in the graph, its shape, and its numbers where they do not depend on the data."""

    value: Optional[Value]
    shape: Shape
    constant: Optional[np.ndarray] = None

    @property
    def channels(self) -> int:
        return self.shape[1] if len(self.shape) > 1 else 1


class Builder:
    """The graph as far as it was read."""

    def __init__(self, blobs: Mapping[str, List[np.ndarray]]):
        self.graph = Graph([], [], {}, ())
        self.tops: Dict[str, Top] = {}
        self._blobs = blobs
        self._shapes: Dict[Tuple[int, int], Shape] = {}
        self._inputs: Dict[str, Shape] = {}

    def input(self, name: str, shape: Shape) -> None:
        node = Node(VARIABLE, name)
        self.graph.nodes.append(node)
        self._inputs[name] = shape
        self.tops[name] = Top(node.out(), shape)

    # -- reading ---------------------------------------------------------------------------------------------------

    def bottom(self, layer: Layer, index: int = 0) -> Top:
        """What the layer reads; constants become parameters."""
        top = self.read(layer, index)
        if top.value is not None:
            return top
        name = layer.bottoms[index]
        top = top._replace(value=self.graph.add_param(f"{name}_constant", np.asarray(top.constant, np.float32)))
        self.tops[name] = top
        return top

    def read(self, layer: Layer, index: int = 0) -> Top:
        """As `bottom`, constants as they are."""
        if index >= len(layer.bottoms):
            raise layer.error(f"reads {len(layer.bottoms)} tensors", f"it needs {index + 1}")
        name = layer.bottoms[index]
        if name not in self.tops:
            raise layer.error(f"reads {name!r}", "no layer before it writes that")
        return self.tops[name]

    def blobs(self, layer: Layer, least: int) -> List[np.ndarray]:
        found = self._blobs.get(layer.name, [])
        if len(found) < least:
            raise layer.error(f"has {len(found)} arrays of weights in the .caffemodel", f"it needs {least}")
        return found

    def weight(self, layer: Layer, index: int, shape: Shape, suffix: str, *, aux: bool = False) -> Value:
        """An array of the layer as a parameter ``LAYER_suffix``, in the shape that MXNet wants."""
        array = self.blobs(layer, index + 1)[index]
        if array.size != int(np.prod(shape, dtype=np.int64)):
            raise layer.error(f"has weights of shape {array.shape} (array {index})", f"it needs {shape}")
        return self.param(layer, array.reshape(shape), suffix, aux=aux)

    def param(self, layer: Layer, array: np.ndarray, suffix: str, *, aux: bool = False) -> Value:
        value = self.graph.add_param(f"{layer.name}_{suffix}", np.asarray(array, np.float32))
        if aux:
            self.graph.aux.add(value.node.name)
        return value

    # -- writing ---------------------------------------------------------------------------------------------------

    def emit(
        self, layer: Layer, op: str, inputs: Sequence[Value], attrs: Mapping, shape: Shape, suffix: str = ""
    ) -> Value:
        """A node with one output of this shape."""
        self._check_size(layer, shape)
        value = self.graph.add(op, layer.name + suffix, inputs, attrs).out()
        self._shapes[id(value.node), 0] = shape
        return value

    def write(self, layer: Layer, value: Value, shape: Shape) -> None:
        """Says that this is the layer's top."""
        self.write_all(layer, [(value, shape)])

    def write_all(self, layer: Layer, found: Sequence[Tuple[Value, Shape]]) -> None:
        if len(layer.tops) != len(found):
            raise layer.error(f"writes {len(layer.tops)} tensors", f"accepted is {len(found)}")
        for name, (value, shape) in zip(layer.tops, found):
            self._set(name, Top(value, shape))

    def write_constant(self, layer: Layer, array: np.ndarray) -> None:
        self._check_size(layer, array.shape)
        if len(layer.tops) != 1:
            raise layer.error(f"writes {len(layer.tops)} tensors", "accepted is 1")
        self._set(layer.tops[0], Top(None, array.shape, array))

    def same(self, layer: Layer, op: str, attrs: Mapping, more: Sequence[Value] = ()) -> None:
        """A layer whose output has the shape of its input."""
        x = self.bottom(layer)
        self.write(layer, self.emit(layer, op, [x.value, *more], attrs, x.shape), x.shape)

    def alias(self, layer: Layer) -> None:
        """A layer that only gives its input other names."""
        for name in layer.tops:
            self._set(name, self.read(layer))

    def finish(self, outputs: Sequence[str]) -> Graph:
        """The graph with these tops as outputs, if MXNet infers Caffe's shapes."""
        for name in outputs:
            top = self.tops[name]
            value = top.value
            if value is None:
                value = self.graph.add_param(f"{name}_constant", np.asarray(top.constant, np.float32))
            if value.node.is_variable:  # an output is computed: a variable as output has no name of its own
                value = self.graph.add("identity", f"{name}_output", [value], {}).out()
            self.graph.outputs.append(value)
        self.graph.sort()
        self.graph.prune()
        inferred = infer_shapes(self.graph, self._inputs)
        for node in self.graph.nodes:
            expected, found = self._shapes.get((id(node), 0)), inferred.get((node.name, 0))
            if expected is not None and found is not None and tuple(found) != expected:
                raise GraphError(f"{node.op} {node.name!r} gives {tuple(found)} in MXNet and {expected} in Caffe")
        return self.graph

    def _set(self, name: str, top: Top) -> None:
        self.tops.pop(name, None)  # outputs come in the order in which they are written last
        self.tops[name] = top

    def _check_size(self, layer: Layer, shape: Shape) -> None:
        if any(n < 1 for n in shape) or int(np.prod([float(n) for n in shape])) > MAX_SIZE:
            raise layer.error(
                f"gives a tensor of shape {shape}", f"accepted are sizes from 1, at most {MAX_SIZE} numbers"
            )


class LayerTable(Dict[str, Callable[[Builder, Layer], None]]):
    """Layer type -> the function that writes it."""

    def layer(self, *types: str):
        """Registers a function for these types."""

        def register(function: Callable[[Builder, Layer], None]):
            self.update(dict.fromkeys(types, function))
            return function

        return register
