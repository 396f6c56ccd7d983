"""Writes Caffe files, and runs them with OpenCV, whose reader of them is another's work than ours."""

import os
import re
from typing import Dict, List

import numpy as np


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


__all__ = ["blob", "caffemodel", "dims", "floats", "head", "layer", "opencv", "write"]
