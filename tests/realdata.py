"""Real networks and images to test with, where this machine has them.

They are looked for in the folder that the environment variable ``MXQ_DATA`` names, else in ``../shared/data`` beside
the repository: ``models/NAME-symbol.json``, ``models/NAME-0000.params``, ``images/{calib,val}.rec`` with ``.idx``.
Tests that need them call :func:`need` first and are skipped with a reason where they are absent.
"""

import os
import unittest
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Preprocessing(NamedTuple):
    """How pixels become the network's input: ``(pixel - mean) / std`` per channel, in the network's channel order."""

    size: int
    rgb: bool
    mean: Tuple[float, float, float]
    std: Tuple[float, float, float]


_CAFFE = Preprocessing(224, False, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0))
_IMAGENET = Preprocessing(224, True, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

NETWORKS: Dict[str, Preprocessing] = {
    "squeezenet1.1": _CAFFE._replace(size=227),
    "googlenet": _CAFFE,
    "mobilenet0.75": Preprocessing(224, True, (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "resnet18": _IMAGENET,
    "resnet50": _IMAGENET,
}


def data_dir() -> Optional[str]:
    """The folder with ``models`` and ``images``, or None."""
    folder = os.environ.get("MXQ_DATA") or os.path.join(os.path.dirname(REPO), "shared", "data")
    return folder if os.path.isdir(os.path.join(folder, "models")) else None


def models_dir() -> Optional[str]:
    """The folder with the networks, or None."""
    folder = data_dir()
    return os.path.join(folder, "models") if folder else None


def images_dir() -> Optional[str]:
    """The folder with the RecordIO files, or None."""
    folder = data_dir()
    images = os.path.join(folder, "images") if folder else ""
    return images if os.path.isdir(images) else None


def need() -> None:
    """Skips the calling test where the real networks and images are not on this machine."""
    if not (models_dir() and images_dir()):
        raise unittest.SkipTest("no real networks here: set MXQ_DATA to a folder with models/ and images/")


def files(name: str) -> Tuple[str, str]:
    """The symbol file and the parameter file of a network."""
    prefix = os.path.join(models_dir(), name)
    return f"{prefix}-symbol.json", f"{prefix}-0000.params"


def load(name: str) -> Tuple[mx.sym.Symbol, Dict[str, mx.nd.NDArray], Dict[str, mx.nd.NDArray]]:
    """The float network `name` as (symbol, arg_params, aux_params)."""
    return mx.model.load_checkpoint(os.path.join(models_dir(), name), 0)


def pixels(network: str, split: str, n: Optional[int] = None) -> Iterator[Tuple[np.ndarray, int]]:
    """Yields (uint8 CHW image in the network's channel order, centre-cropped to its size; label) of ``{split}.rec``."""
    prep = NETWORKS[network]
    path = os.path.join(images_dir(), split)
    reader = mx.recordio.MXIndexedRecordIO(f"{path}.idx", f"{path}.rec", "r")
    try:
        for key in reader.keys[:n]:
            header, image = mx.recordio.unpack_img(reader.read_idx(key))  # BGR, HWC
            top, left = ((side - prep.size) // 2 for side in image.shape[:2])
            image = image[top : top + prep.size, left : left + prep.size]
            if prep.rgb:
                image = image[:, :, ::-1]
            yield np.ascontiguousarray(image.transpose(2, 0, 1)), int(header.label)
    finally:
        reader.close()


def images(
    network: str, split: str, n: Optional[int] = None, *, batch_size: int = 25, dtype: str = "float32"
) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Yields (batch NCHW, labels) of the first `n` images; the last batch may be smaller.

    dtype 'float32' is normalized as the network wants it; 'uint8' is the raw pixels in the network's channel order.
    """
    prep = NETWORKS[network]
    mean = np.float32(prep.mean).reshape(3, 1, 1)
    std = np.float32(prep.std).reshape(3, 1, 1)
    data, labels = [], []

    def batch():
        stacked = np.stack(data)
        return (stacked if dtype == "uint8" else (stacked - mean) / std), np.array(labels)

    for image, label in pixels(network, split, n):
        data.append(image)
        labels.append(label)
        if len(data) == batch_size:
            yield batch()
            data, labels = [], []
    if data:
        yield batch()
