"""What emitters of ncnn's layers write with. Blobs have no axis of examples: axis 1 of MXNet is axis 0 there."""

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...arithmetic.qmath import QParams
from ...network.graph import Graph, Node, Use, Value
from ...network.identity import tensor_key
from ...network.names import unused
from ..table import Refused
from .net import Layer, Parameter, numbers

Key = Tuple[str, int]
#: Axes of a blob, besides that of examples.
_RANKS = range(1, 4)


class Integers(NamedTuple):
    """Weights or a bias as integers, with a scale for each output."""

    q: np.ndarray
    scale: np.ndarray


class Builder:
    """Collects layers while the walk goes through an MXNet network.

    Attributes:
        graph: the network.
        layers: what was emitted, in order.
        names: MXNet value -> blob.
        arrays: MXNet value -> its numbers, where these are constant.
        integers: weights and biases that have integers, by MXNet value.
        scales: values that are rounded for layers of integers -> how.
        left_float: layer -> why it is float.
    """

    def __init__(self, graph: Graph, shapes: Mapping[Key, tuple]):
        self.graph, self.uses = graph, graph.uses()
        self.layers: List[Layer] = []
        self.names: Dict[Key, str] = {}
        self.arrays: Dict[Key, np.ndarray] = {}
        self.integers: Dict[Key, Integers] = {}
        self.scales: Dict[Key, QParams] = {}
        self.left_float: Dict[str, str] = {}
        self._shapes = shapes
        self._taken: set = set()
        self._claimed: set = set()
        self._node: Optional[Node] = None

    # -- what emitters ask -----------------------------------------------------------------------------------------

    def shape(self, value: Value) -> Tuple[int, ...]:
        """Shape of an MXNet value, examples first."""
        shape = self._shapes.get((value.node.name, value.index))
        if shape is None:
            raise Refused(f"the shape of {tensor_key(value)!r} does not follow from those of the data")
        return tuple(shape)

    def rank(self, value: Value) -> int:
        """Number of axes of the blob."""
        return len(self.shape(value)) - 1

    def axis(self, axis: int, value: Value) -> int:
        """The axis of a value's blob. Refuses that of the examples."""
        found = axis % len(self.shape(value)) - 1
        if found < 0:
            raise Refused("it works on the axis of examples, which ncnn has not")
        return found

    def array(self, value: Value) -> Optional[np.ndarray]:
        """The numbers of a value that is constant, else None."""
        return self.arrays.get((value.node.name, value.index))

    def parameter(self, value: Value, what: str) -> np.ndarray:
        """The numbers of a value that must be constant."""
        array = self.array(value)
        if array is None:
            raise Refused(f"its {what} {tensor_key(value)!r} is no parameter")
        return array

    def read(self, value: Value, rank: int = None) -> str:
        """The blob of a value; a constant becomes one, of the same rank as what it goes with."""
        key = (value.node.name, value.index)
        if key in self.names:
            return self.names[key]
        if key not in self.arrays:
            raise Refused(f"{tensor_key(value)!r} has no ncnn form")
        array = self.arrays[key]
        shape = array.shape
        if rank is not None:
            if shape[: max(len(shape) - rank, 0)] != (1,) * (len(shape) - rank):
                raise Refused(f"the constant {tensor_key(value)!r} has an axis of examples")
            shape = ((1,) * rank + shape)[-rank:] if rank else ()
        if len(shape) not in _RANKS:
            raise Refused(f"the constant {tensor_key(value)!r} has {len(shape)} axes; 1 to 3 have an ncnn form")
        params: Dict[int, Parameter] = dict(zip((0, 1, 2), reversed(shape)))
        return self("MemoryData", [], params, [numbers(array)])

    def inputs(self, node: Node) -> List[str]:
        """Blobs of the node's inputs."""
        return [self.read(value) for value in node.inputs]

    def readers(self, value: Value) -> List[Use]:
        """Who reads an MXNet value."""
        return self.uses.get((id(value.node), value.index), [])

    # -- what emitters write ---------------------------------------------------------------------------------------

    def __call__(
        self,
        type: str,
        inputs: Sequence[str],
        params: Mapping[int, Parameter] = None,
        weights: Sequence[bytes] = (),
        *,
        outputs: int = 1,
    ) -> Union[str, List[str]]:
        """Emits a layer; returns the name of its output, or of its outputs where there are several."""
        base = self._node.name if self._node is not None else "mxq"
        blobs = [self.unique(f"{base}/{type}") for _ in range(outputs)]
        self.layers.append(Layer(type, blobs[0], list(inputs), blobs, dict(params or {}), list(weights)))
        return blobs[0] if outputs == 1 else blobs

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """The blob in another shape, which has no axis of examples."""
        if len(shape) not in _RANKS:
            raise Refused(f"a blob of {len(shape)} axes; 1 to 3 have an ncnn form")
        return self("Reshape", [x], dict(zip((0, 1, 2), reversed([int(n) for n in shape]))))

    def claim(self, node: Node) -> None:
        """Says that what was emitted last computes this node too."""
        self._claimed.add(node.name)

    # -- what the walk does ----------------------------------------------------------------------------------------

    def at(self, node: Optional[Node]) -> None:
        """Layers emitted from now on belong to this node."""
        self._node = node

    def is_claimed(self, node: Node) -> bool:
        """Whether a layer in front computes this node."""
        return node.name in self._claimed

    def unique(self, base: str) -> str:
        """A name that no blob has."""
        return unused(base, self._taken)

    def bind(self, value: Value, name: str, since: int) -> None:
        """Says which blob an MXNet value is; one that was emitted for it, by ``layers[since:]``, takes its name."""
        shape = self.shape(value)
        if shape[:1] != (1,) or len(shape) - 1 not in _RANKS:
            raise Refused(f"its value has shape {shape}: ncnn has one example, and 1 to 3 axes besides")
        wanted = tensor_key(value)
        if wanted not in self._taken and any(name in layer.outputs for layer in self.layers[since:]):
            name = self.renamed(name, self.unique(wanted))
            if value.index == 0:
                self._name_layer(name, value.node.name, since)
        self.names[value.node.name, value.index] = name

    def _name_layer(self, blob: str, name: str, since: int) -> None:
        """Tables find layers by their names: that which computes a node has its name."""
        for i, layer in enumerate(self.layers[since:], since):
            if blob in layer.outputs:
                self.layers[i] = layer._replace(name=name)

    def renamed(self, old: str, new: str) -> str:
        """Renames a blob; returns the new name."""
        for layer in self.layers:
            layer.inputs[:] = [new if name == old else name for name in layer.inputs]
            layer.outputs[:] = [new if name == old else name for name in layer.outputs]
        self.names.update((key, new) for key, name in self.names.items() if name == old)
        return new
