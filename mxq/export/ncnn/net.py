"""ncnn's two files: layers as text (.param), and what they weigh, one after the other (.bin)."""

from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

MAGIC = 7767517
_FLOAT32 = b"\0\0\0\0"  # the tags in front of weights
_INT8 = (0x000D4B38).to_bytes(4, "little")
_WORD = 4  # bytes that weights are padded to
_ARRAY = -23300  # number of the parameter 0, where it is an array

Number = Union[int, float]
Parameter = Union[Number, Sequence[Number]]


class Layer(NamedTuple):
    """One layer.

    Attributes:
        type: of ncnn's layers, such as 'Convolution'.
        params: number -> value; lists are arrays.
        weights: parts of the .bin file, in the order in which the layer reads them.
    """

    type: str
    name: str
    inputs: List[str]
    outputs: List[str]
    params: Dict[int, Parameter]
    weights: List[bytes]


class Net(NamedTuple):
    """A network in ncnn's layers.

    Attributes:
        inputs: name -> shape without the axis of examples.
        outputs: names of blobs, in the order of MXNet's outputs.
        left_float: layer -> why it is float, where the network that was written has integers.
    """

    layers: List[Layer]
    inputs: Dict[str, Tuple[int, ...]]
    outputs: List[str]
    left_float: Dict[str, str]

    @property
    def int8(self) -> List[str]:
        """Names of the layers that compute with integers."""
        return [layer.name for layer in self.layers if layer.params.get(8) and layer.type in _WITH_INT8]

    def param(self) -> str:
        """Content of the .param file."""
        blobs = sum(len(layer.outputs) for layer in self.layers)
        return "\n".join([str(MAGIC), f"{len(self.layers)} {blobs}", *map(_line, self.layers)]) + "\n"

    def bin(self) -> bytes:
        """Content of the .bin file."""
        return b"".join(part for layer in self.layers for part in layer.weights)


_WITH_INT8 = ("Convolution", "ConvolutionDepthWise", "InnerProduct")


def numbers(array: np.ndarray) -> bytes:
    """Weights without a tag: biases, scales, slopes."""
    return np.ascontiguousarray(array, "<f4").tobytes()


def weights(array: np.ndarray) -> bytes:
    """Weights with a tag, float32 or int8."""
    if array.dtype != np.int8:
        return _FLOAT32 + numbers(array)
    content = np.ascontiguousarray(array).tobytes()
    return _INT8 + content + b"\0" * (-len(content) % _WORD)


def with_splits(layers: Sequence[Layer], outputs: Sequence[str]) -> List[Layer]:
    """Every blob has one reader: a Split stands behind one that has several, or that is an output as well."""
    readers: Dict[str, int] = {}
    for name in [*outputs, *(name for layer in layers for name in layer.inputs)]:
        readers[name] = readers.get(name, 0) + 1
    given: Dict[str, List[str]] = {}
    found: List[Layer] = []
    for layer in layers:
        inputs = [given[name].pop(0) if name in given else name for name in layer.inputs]
        made = [f"{name}_whole" if name in outputs and readers[name] > 1 else name for name in layer.outputs]
        found.append(layer._replace(inputs=inputs, outputs=made))
        for name, source in zip(layer.outputs, made):
            n = readers.get(name, 0)
            if n > 1:
                parts = [f"{name}_splitncnn_{i}" for i in range(n - (name in outputs))]
                own = [name] if name in outputs else []
                found.append(Layer("Split", f"splitncnn_{len(found)}", [source], own + parts, {}, []))
                given[name] = parts
    return found


def _line(layer: Layer) -> str:
    head = f"{layer.type:<24} {layer.name:<24} {len(layer.inputs)} {len(layer.outputs)}"
    params = [_parameter(number, value) for number, value in sorted(layer.params.items())]
    return " ".join([head, *layer.inputs, *layer.outputs, *params])


def _parameter(number: int, value: Parameter) -> str:
    if isinstance(value, (int, float)):
        return f"{number}={_number(value)}"
    return f"{_ARRAY - number}={len(value)}," + ",".join(map(_number, value))


def _number(value: Number) -> str:
    return str(value) if isinstance(value, int) else f"{value:.8e}"
