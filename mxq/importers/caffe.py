"""Reads Caffe networks: a ``.prototxt`` that says what they compute, and a ``.caffemodel`` with their weights.

Without Caffe: the text format and the wire format of protocol buffers are read here (`prototext.py`, `protobuf.py`),
and of the schema (BVLC's caffe.proto) only what layers need. Layers of the first version (``layers { type: CONVOLUTION
}``) count too. Which layers there are stands in the tables of the other files of this name.
"""

import os
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import GraphError, nearest
from ..network.graph import Graph
from .caffe_detection import DETECTION
from .caffe_functions import FUNCTIONS
from .caffe_net import Layer, Net
from .caffe_shapes import SHAPES
from .caffe_weighted import WEIGHTED
from .files import contents
from .protobuf import BYTES, Field, WireError, fields
from .prototext import Message, TextError, parse

#: Types of the first version -> names of today; those that only differ in case are not listed.
_V1 = {
    "ABSVAL": "AbsVal", "BNLL": "BNLL", "CONCAT": "Concat", "CONVOLUTION": "Convolution",
    "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout", "ELTWISE": "Eltwise", "EXP": "Exp", "FLATTEN": "Flatten",
    "INNER_PRODUCT": "InnerProduct", "LRN": "LRN", "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU",
    "SIGMOID": "Sigmoid", "SLICE": "Slice", "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split",
    "TANH": "TanH", "ACCURACY": "Accuracy", "DATA": "Data", "IMAGE_DATA": "ImageData", "MEMORY_DATA": "MemoryData",
    "DUMMY_DATA": "DummyData", "HDF5_DATA": "HDF5Data", "SILENCE": "Silence", "MVN": "MVN",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
}  # fmt: skip
#: Layers that only training has.
_DROPPED = ("Accuracy", "EuclideanLoss")
#: What it reads is no output.
_SILENCE = "Silence"
_DATA = ("Input", "Data", "ImageData", "MemoryData", "DummyData", "HDF5Data", "AnnotatedData", "WindowData")
#: Fields of a layer that say how it is trained, or where it stands: nothing about what it computes.
_BESIDE = (
    "name", "type", "bottom", "top", "param", "blobs_lr", "weight_decay", "phase", "include", "exclude",
    "propagate_down", "loss_weight", "blobs", "loss_param", "transform_param",
)  # fmt: skip
#: Numbers of fields in the wire format.
_NET_LAYERS_V1, _NET_LAYER = 2, 100
_NAME = {_NET_LAYERS_V1: 4, _NET_LAYER: 1}
_BLOBS = {_NET_LAYERS_V1: 6, _NET_LAYER: 7}
_BLOB_DIMS, _BLOB_DATA, _BLOB_SHAPE, _BLOB_DOUBLE = (1, 2, 3, 4), 5, 7, 8


class Network(NamedTuple):
    """A float network as it was read: its graph, the names of its outputs, shapes of its inputs."""

    graph: Graph
    outputs: Tuple[str, ...]
    shapes: Dict[str, Tuple[int, ...]]


def read(
    caffemodel: str, prototxt: Optional[str] = None, *, data_shapes: Optional[Mapping[str, Sequence[int]]] = None
) -> Network:
    """Reads a network.

    Args:
        caffemodel: the weights.
        prototxt: what the network computes; by default the file beside it with this ending.
        data_shapes: input name -> shape, in place of those in the file, or where it has none.

    Raises:
        GraphError: a file that is damaged, a layer or a field of it that is not known (named), weights that do not fit.
    """
    if prototxt is None:
        prototxt = os.path.splitext(caffemodel)[0] + ".prototxt"
        if not os.path.exists(prototxt):
            raise GraphError(f"{caffemodel!r} has weights alone: {prototxt!r} does not exist; give prototxt=FILE")
    try:
        net = parse(contents(prototxt).tobytes().decode("utf-8", errors="replace"))
        shapes = _inputs(net)
        layers = [layer for layer in _layers(net) if _is_deployed(layer, net.sub("state"))]
    except TextError as error:
        raise GraphError(f"{prototxt!r}: {error}") from None
    try:
        blobs = _read_blobs(contents(caffemodel))
    except WireError as error:
        raise GraphError(f"{caffemodel!r}: {error}") from None
    try:
        return _build(net, layers, shapes, blobs, data_shapes or {})
    except TextError as error:
        raise GraphError(f"{prototxt!r}: {error}") from None


#: Layer type -> what writes it.
LAYERS = {**WEIGHTED, **FUNCTIONS, **SHAPES, **DETECTION}


def _build(net: Message, layers: List[Layer], shapes: Dict, blobs: Dict, given: Mapping) -> Network:
    for layer in layers:
        if layer.type in _DATA:
            shapes.update(_data_shapes(layer))
    for name in given:
        if name not in shapes:
            raise GraphError(f"data_shapes has {name!r}, no input of the network; inputs: {', '.join(shapes)}")
    builder = Net(blobs)
    inputs = {}
    for name, shape in shapes.items():
        shape = tuple(given.get(name, shape))
        if not shape or any(not isinstance(n, (int, np.integer)) or not 1 <= n < 1 << 31 for n in shape):
            raise GraphError(f"input {name!r} has the shape {shape} in the file; give data_shapes={{{name!r}: (...)}}")
        builder.input(name, shape)
        inputs[name] = shape
    read_by_name: Dict[str, int] = {}
    for layer in layers:
        if layer.type in (*_DATA, _SILENCE):
            read_by_name.update(dict.fromkeys(layer.bottoms, 1))
            continue
        if layer.type not in LAYERS:
            raise GraphError(
                f"layer {layer.name!r} (line {layer.line}) is a {layer.type!r}{nearest(layer.type, LAYERS)}; known are "
                f"{', '.join(sorted(LAYERS))}"
            )
        for name in layer.bottoms:
            read_by_name[name] = read_by_name.get(name, 0) + 1
        before = {name: builder.tops.get(name) for name in layer.tops}
        for name in layer.tops:
            if before[name] is not None and name not in layer.bottoms:
                raise layer.error(f"writes {name!r}, which another layer wrote", "accepted is that of its own inputs")
        LAYERS[layer.type](builder, layer)
        for name in layer.tops:
            if builder.tops.get(name) is not before[name]:
                read_by_name[name] = 0  # in place: what is there now has no reader yet
    names = [name for name, top in builder.tops.items() if not read_by_name.get(name) and name not in inputs]
    if not names:
        raise GraphError("the network has no output: every top is read by some layer")
    return Network(builder.finish(names, "Caffe"), tuple(names), inputs)


def _layers(net: Message) -> Iterator[Layer]:
    if net.all("layer") and net.all("layers"):
        raise TextError("line 1: layers of both versions, 'layer' and 'layers', in one file")
    for message in net.all("layer") + net.all("layers"):
        if not isinstance(message, Message):
            raise TextError(f"line {net.line}: layer is {message!r}; accepted is a message in braces")
        kind = message.one("type", "")
        kind = _V1.get(kind, kind) if net.all("layers") else kind
        bottoms, tops = (tuple(map(str, message.all(name))) for name in ("bottom", "top"))
        params = tuple(name for name in message.fields if name not in _BESIDE)
        yield Layer(message.one("name", ""), kind, bottoms, tops, message, params)


def _is_deployed(layer: Layer, state: Message) -> bool:
    """Whether a layer is part of the network that answers, by Caffe's rules: in phase TEST, with the file's `state`."""
    include, exclude = (
        [rule for rule in layer.message.all(name) if isinstance(rule, Message)] for name in ("include", "exclude")
    )
    if (include and not any(_is_met(rule, state) for rule in include)) or any(_is_met(rule, state) for rule in exclude):
        return False
    return layer.type not in _DROPPED


def _is_met(rule: Message, state: Message) -> bool:
    rule.accept("a rule", ("phase", "min_level", "max_level", "stage", "not_stage"))
    level, stages = state.one("level", 0), state.all("stage")
    return (
        rule.one("phase") in (None, "TEST", 1)
        and rule.one("min_level", level) <= level <= rule.one("max_level", level)
        and all(stage in stages for stage in rule.all("stage"))
        and not any(stage in stages for stage in rule.all("not_stage"))
    )


def _inputs(net: Message) -> Dict[str, Tuple[int, ...]]:
    """Inputs that the file names at its top: ``input`` with ``input_shape`` or four ``input_dim`` each."""
    names, shapes, dims = net.all("input"), net.all("input_shape"), net.all("input_dim")
    if shapes:
        found = [tuple(shape.all("dim")) for shape in shapes if isinstance(shape, Message)]
    else:
        found = [tuple(dims[i : i + 4]) for i in range(0, len(dims), 4)]
    return {name: found[i] if i < len(found) else () for i, name in enumerate(names)}


def _data_shapes(layer: Layer) -> Dict[str, Tuple[int, ...]]:
    """Of a layer that brings data: its first top; the others are labels."""
    message = layer.message
    shapes = message.sub("input_param").all("shape") or message.sub("dummy_data_param").all("shape")
    if shapes:
        return {
            top: tuple(shapes[min(i, len(shapes) - 1)].all("dim"))
            for i, top in enumerate(layer.tops)
            if isinstance(shapes[min(i, len(shapes) - 1)], Message)
        }
    sizes = message.sub("memory_data_param")
    dims = tuple(sizes.one(name, 0) for name in ("batch_size", "channels", "height", "width"))
    return {layer.tops[0]: dims if all(dims) else ()} if layer.tops else {}


def _read_blobs(data: memoryview) -> Dict[str, List[np.ndarray]]:
    """Layer name -> its arrays, of the layers that have some."""
    found: Dict[str, List[np.ndarray]] = {}
    for field in fields(data):
        if field.number not in _NAME or field.kind != BYTES:
            continue
        name, blobs = "", []
        for part in fields(field.message()):
            if part.number == _NAME[field.number]:
                name = part.text()
            elif part.number == _BLOBS[field.number]:
                blobs.append(part)
        if blobs:
            found[name] = [_blob(name, blob) for blob in blobs]
    if not found:
        raise WireError("no layer has weights; is this a .caffemodel?")
    return found


def _blob(layer: str, field: Field) -> np.ndarray:
    shape: Optional[List[int]] = None
    legacy = dict.fromkeys(_BLOB_DIMS, 1)
    parts: List[np.ndarray] = []
    for part in fields(field.message()):
        if part.number in _BLOB_DIMS:
            legacy[part.number] = part.integer()
        elif part.number == _BLOB_DATA:
            parts.append(part.floats())
        elif part.number == _BLOB_DOUBLE:
            parts.append(part.floats("<f8").astype(np.float32))
        elif part.number == _BLOB_SHAPE:
            shape = [n for dims in fields(part.message()) if dims.number == 1 for n in dims.integers()]
    array = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    dims = list(legacy.values()) if shape is None else shape
    count = 1
    for n in dims:
        count *= n if 0 <= n < 1 << 40 else -1
        if not 0 <= count < 1 << 40:
            raise WireError(f"layer {layer!r} has weights of shape {dims}")
    if count != array.size:
        raise WireError(
            f"layer {layer!r} has weights of shape {dims}, and {array.size} numbers of them"
            + ("; are they stored in another form than float32?" if not array.size else "")
        )
    return array.reshape(dims)
