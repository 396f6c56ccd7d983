"""What the tables of Caffe's layers write with."""

from typing import List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..errors import GraphError
from ..network.graph import Value
from .builder import MAX_SIZE, Builder, Shape, Top, fits
from .prototext import Message


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


class Net(Builder):
    """The graph as far as it was read, and the weights of the layers."""

    def __init__(self, blobs: Mapping[str, List[np.ndarray]]):
        super().__init__()
        self._blobs = blobs

    # -- reading ---------------------------------------------------------------------------------------------------

    def bottom(self, layer: Layer, index: int = 0) -> Top:
        """What the layer reads; constants become parameters."""
        self.read(layer, index)
        return self.valued(layer.bottoms[index])

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
        return self.emit_node(op, layer.name + suffix, inputs, attrs, shape)

    def write(self, layer: Layer, value: Value, shape: Shape) -> None:
        """Says that this is the layer's top."""
        self.write_all(layer, [(value, shape)])

    def write_all(self, layer: Layer, found: Sequence[Tuple[Value, Shape]]) -> None:
        if len(layer.tops) != len(found):
            raise layer.error(f"writes {len(layer.tops)} tensors", f"accepted is {len(found)}")
        for name, (value, shape) in zip(layer.tops, found):
            self.set(name, Top(value, shape))

    def write_constant(self, layer: Layer, array: np.ndarray) -> None:
        self._check_size(layer, array.shape)
        if len(layer.tops) != 1:
            raise layer.error(f"writes {len(layer.tops)} tensors", "accepted is 1")
        self.set(layer.tops[0], Top(None, array.shape, array))

    def same(self, layer: Layer, op: str, attrs: Mapping, more: Sequence[Value] = ()) -> None:
        """A layer whose output has the shape of its input."""
        x = self.bottom(layer)
        self.write(layer, self.emit(layer, op, [x.value, *more], attrs, x.shape), x.shape)

    def alias(self, layer: Layer) -> None:
        """A layer that only gives its input other names."""
        for name in layer.tops:
            self.set(name, self.read(layer))

    def _check_size(self, layer: Layer, shape: Shape) -> None:
        if not fits(shape):
            raise layer.error(
                f"gives a tensor of shape {shape}", f"accepted are sizes from 1, at most {MAX_SIZE} numbers"
            )
