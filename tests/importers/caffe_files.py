"""Writes Caffe files, and runs them with OpenCV, whose reader of them is another's work than ours."""

import os
import re
import tempfile
from typing import Dict, List

import mxnet as mx
import numpy as np

import mxq


def varint(number: int) -> bytes:
    found = b""
    while True:
        found += bytes([number & 0x7F | (0x80 if number > 0x7F else 0)])
        number >>= 7
        if not number:
            return found


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array: np.ndarray, *, legacy: bool = False, double: bool = False) -> bytes:
    dims = list(array.shape)
    if legacy:  # num, channels, height, width
        dims = [1] * (4 - len(dims)) + dims
        head = b"".join(varint(i + 1 << 3) + varint(n) for i, n in enumerate(dims))
    else:
        head = field(7, field(1, b"".join(map(varint, dims))))
    return head + (field(8, array.astype("<f8").tobytes()) if double else field(5, array.astype("<f4").tobytes()))


def caffemodel(blobs: Dict[str, List[np.ndarray]], *, v1: bool = False, **form) -> bytes:
    found = field(1, b"net")
    for name, arrays in blobs.items():
        parts = field(4 if v1 else 1, name.encode())
        parts += b"".join(field(6 if v1 else 7, blob(array, **form)) for array in arrays)
        found += field(2 if v1 else 100, parts)
    return found


def write(folder: str, text: str, blobs: Dict[str, List[np.ndarray]], **form) -> str:
    """Writes ``net.prototxt`` and ``net.caffemodel``; returns the path of the latter."""
    path = os.path.join(folder, "net.caffemodel")
    with open(os.path.join(folder, "net.prototxt"), "w") as file:
        file.write(text)
    with open(path, "wb") as file:
        file.write(caffemodel(blobs or {"unused": [np.zeros(1)]}, **form))
    return path


def opencv(path: str, inputs: Dict[str, np.ndarray], outputs: List[str]) -> List[np.ndarray]:
    """What OpenCV computes; it knows tensors by the layers that write them last."""
    import cv2

    prototxt = os.path.splitext(path)[0] + ".prototxt"
    with open(prototxt) as file:
        layers = re.findall(r'name: "(\w+)"[^\n]*?((?: top: "\w+")+)', file.read())
    writer = {top: name for name, tops in layers for top in re.findall(r'"(\w+)"', tops)}
    net = cv2.dnn.readNetFromCaffe(prototxt, path)
    for name, array in inputs.items():
        net.setInput(array, name)
    return [np.array(found) for found in net.forward([writer[name] for name in outputs])]


def floats(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)


def head(*shape: int, name: str = "data") -> str:
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims(shape)} }} }} }}\n'


def dims(shape) -> str:
    return " ".join(f"dim: {n}" for n in shape)


def layer(kind: str, name: str, bottoms: str, param: str = "", tops: str = "") -> str:
    links = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(
        f' top: "{t}"' for t in (tops or name).split()
    )
    return f'layer {{ name: "{name}" type: "{kind}"{links} {param} }}\n'


def run(model, inputs):
    shapes = {name: array.shape for name, array in inputs.items()}
    executor = model.symbol.simple_bind(mx.cpu(), grad_req="null", **shapes)
    executor.copy_params_from(model.arg_params, model.aux_params)
    found = executor.forward(is_train=False, **{name: mx.nd.array(array) for name, array in inputs.items()})
    return [output.asnumpy() for output in found]


def check(text, blobs, inputs, *, tolerance=1e-5, **form):
    """Loads the network and compares its outputs with OpenCV's; returns the model."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, text, blobs, **form)
        model = mxq.load(path)
        assert model.format == "Caffe" and not model.quantized
        expected = opencv(path, inputs, model.outputs)
    for name, mine, theirs in zip(model.outputs, run(model, inputs), expected):
        assert mine.shape == theirs.shape, (name, mine.shape, theirs.shape)
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance, err_msg=name)
    return model


#: A small network, and its arrays.
GOOD = head(1, 3, 8, 8) + layer("Convolution", "conv", "data", "convolution_param { num_output: 2 kernel_size: 3 }")
BLOBS = {"conv": [floats(1, 2, 3, 3, 3), floats(2, 2)]}
