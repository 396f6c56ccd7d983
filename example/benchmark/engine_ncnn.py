"""ncnn in float32 where a layer is not int8, one image at a time."""

import os

import ncnn
import numpy as np

from mxq.export.ncnn.file import NcnnFile

#: Types of layers with weights, and the parameter that says of what kind these are: 0 for float.
LAYERS, TERM = ("Convolution", "ConvolutionDepthWise", "InnerProduct"), "8="


def versions() -> dict:
    return {"ncnn": ncnn.__version__}


class Runner:
    """A network with one image as its input."""

    batches_per_step = 1

    def __init__(self, network: dict, folder: str, batch: int, threads: int, options: dict):
        if batch != 1:
            raise ValueError(f"batch {batch}: ncnn runs single images")
        self.batch = batch
        self._prefix = os.path.join(folder, "model")
        self._file = NcnnFile(self._prefix, {"num_threads": threads})
        self._images = None

    def kernels(self) -> dict:
        """Layers by kernel, read from the file."""
        found = {"int8": 0, "others": 0}
        with open(f"{self._prefix}.param") as file:
            for kind, *words in (line.split() for line in file):
                if kind in LAYERS:
                    terms = [word for word in words if word.startswith(TERM) and word != f"{TERM}0"]
                    found["int8" if terms else "others"] += 1
        return found

    def put(self, images: np.ndarray) -> None:
        self._images = images

    def step(self) -> None:
        self.outputs()

    def outputs(self) -> list:
        return list(self._file.run({"data": self._images}).values())
