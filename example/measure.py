"""What the examples measure and how: networks bound once, accuracy beside float, speed in interleaved turns."""

import os
import time
from typing import Callable, Dict, List, NamedTuple, Tuple

import mxnet as mx
import numpy as np


class Bound:
    """A network bound for one input shape on the CPU; calling it with a batch returns the first output.

    MXNet 1.9.1 fuses a float network with its own MKLDNN backend when it binds one: float is measured at its best.
    """

    def __init__(self, symbol, arg_params: Dict, aux_params: Dict, shape: Tuple[int, ...], dtype: str = "float32"):
        self.shape = tuple(shape)
        self.dtype = dtype
        self._executor = symbol.simple_bind(mx.cpu(), data=self.shape, type_dict={"data": dtype}, grad_req="null")
        self._executor.copy_params_from(arg_params, aux_params, allow_extra_params=True)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        data = mx.nd.array(batch, dtype=self.dtype)
        short = self.shape[0] - data.shape[0]
        if short:  # the last batch is filled up
            data = mx.nd.concat(data, mx.nd.zeros((short, *self.shape[1:]), dtype=self.dtype), dim=0)
        return self._executor.forward(is_train=False, data=data)[0].asnumpy()[: len(batch)]

    def step(self) -> None:
        """One forward on the batch it was called with last, waited for."""
        self._executor.forward(is_train=False)[0].wait_to_read()


class Accuracy:
    """Counts hits of two networks on the same images, and how far their outputs are apart."""

    def __init__(self):
        self.images = self.same = 0
        self.signal = self.noise = 0.0
        self.hits = np.zeros((2, 2), int)  # network (float, int8) x (top-1, top-5)

    def update(self, labels: np.ndarray, floats: np.ndarray, integers: np.ndarray) -> None:
        self.images += len(labels)
        self.same += int((floats.argmax(1) == integers.argmax(1)).sum())
        self.signal += float(np.square(floats, dtype=np.float64).sum())
        self.noise += float(np.square(floats - integers, dtype=np.float64).sum())
        for row, scores in enumerate((floats, integers)):
            best = np.argsort(-scores, axis=1)[:, :5] == np.asarray(labels).reshape(-1, 1)
            self.hits[row] += best[:, 0].sum(), best.any(axis=1).sum()

    def percent(self, network: int, top: int) -> float:
        """Top-1 or top-5 accuracy of the float (0) or int8 (1) network in percent."""
        return 100.0 * self.hits[network, {1: 0, 5: 1}[top]] / self.images

    @property
    def agreement(self) -> float:
        """How often both networks choose the same class, in percent."""
        return 100.0 * self.same / self.images

    @property
    def sqnr(self) -> float:
        """Signal-to-quantization-noise ratio of all outputs in dB."""
        return float("inf") if not self.noise else 10 * np.log10(self.signal / self.noise)


class Speed(NamedTuple):
    """Milliseconds of two networks (medians of the turns), and the ratio of them with its spread over the rounds."""

    first_ms: float
    second_ms: float
    ratio: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f}x ({self.lowest:.2f}-{self.highest:.2f})"


def interleaved(first: Callable[[], None], second: Callable[[], None], rounds: int = 9, seconds: float = 0.4) -> Speed:
    """Times two functions in turns, so that what else the machine does hits both alike.

    A turn starts with calls that are not timed, for a fifth of `seconds`; then calls are timed one by one for
    `seconds`. Every other round starts with the second function.
    """
    times: List[List[float]] = [[], []]
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        for which in order:
            times[which].append(_turn((first, second)[which], seconds))
    ratios = [a / b for a, b in zip(*times)]
    medians = [float(np.median(t)) for t in times]
    return Speed(1e3 * medians[0], 1e3 * medians[1], medians[0] / medians[1], min(ratios), max(ratios))


def _turn(function: Callable[[], None], seconds: float) -> float:
    stop = time.perf_counter() + seconds / 5
    while time.perf_counter() < stop:
        function()
    taken = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(taken) < 3:
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def megabytes(*paths: str) -> float:
    """Size of files in MB."""
    return sum(os.path.getsize(path) for path in paths) / 1e6


def table(rows: List[Tuple]) -> str:
    """Rows of cells as aligned columns; the first row is the header, the first column is left-aligned."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]) for row in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
