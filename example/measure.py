"""What the examples measure and how: accuracy beside float, speed in interleaved turns, tables. Needs NumPy alone."""

import os
import platform
import time
from typing import Callable, List, NamedTuple, Sequence, Tuple

import numpy as np


class Accuracy:
    """Counts hits of two networks on the same images, and how far their outputs are apart."""

    def __init__(self):
        self.images = self.same = self.lost = self.won = 0
        self.signal = self.noise = 0.0
        self.hits = np.zeros((2, 2), int)  # network (float, int8) x (top-1, top-5)

    def update(self, labels: np.ndarray, floats: np.ndarray, integers: np.ndarray) -> None:
        self.images += len(labels)
        self.same += int((floats.argmax(1) == integers.argmax(1)).sum())
        self.signal += float(np.square(floats, dtype=np.float64).sum())
        self.noise += float(np.square(floats - integers, dtype=np.float64).sum())
        right = []
        for row, scores in enumerate((floats, integers)):
            best = np.argsort(-scores, axis=1)[:, :5] == np.asarray(labels).reshape(-1, 1)
            self.hits[row] += best[:, 0].sum(), best.any(axis=1).sum()
            right.append(best[:, 0])
        self.lost += int((right[0] & ~right[1]).sum())  # float was right and int8 is wrong
        self.won += int((right[1] & ~right[0]).sum())

    def percent(self, network: int, top: int) -> float:
        """Top-1 or top-5 accuracy of the float (0) or int8 (1) network in percent."""
        return 100.0 * self.hits[network, {1: 0, 5: 1}[top]] / self.images

    @property
    def changed(self) -> int:
        """On how many images the two networks choose different classes."""
        return self.images - self.same

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

    Every other round starts with the second function.
    """
    times: List[List[float]] = [[], []]
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        for which in order:
            times[which].append(float(np.median(turn((first, second)[which], seconds))))
    ratios = [a / b for a, b in zip(*times)]
    medians = [float(np.median(t)) for t in times]
    return Speed(1e3 * medians[0], 1e3 * medians[1], medians[0] / medians[1], min(ratios), max(ratios))


def turn(function: Callable[[], None], seconds: float, least: int = 3) -> List[float]:
    """Calls a function for a fifth of `seconds` to warm up, then for `seconds` and at least `least` times.

    Returns what each of those calls took, in seconds.
    """
    stop = time.perf_counter() + seconds / 5
    while time.perf_counter() < stop:
        function()
    taken = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(taken) < least:
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return taken


class Ratio(NamedTuple):
    """How many times as long one thing took as another: median and quartiles over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def ratio(times: Sequence[float], base: Sequence[float]) -> Ratio:
    """Compares two things round by round, so that a machine that gets slower in between does not matter.

    >>> print(ratio([2.0, 4.0, 2.2], [1.0, 2.0, 1.0]))
    2.00 (2.00-2.10)
    """
    each = np.asarray(times, float) / np.asarray(base, float)
    return Ratio(float(np.median(each)), *(float(q) for q in np.percentile(each, (25, 75))))


def geometric_mean(values: Sequence[float]) -> float:
    """The mean for ratios."""
    return float(np.exp(np.mean(np.log(values))))


def megabytes(*paths: str) -> float:
    """Size of files in MB."""
    return sum(os.path.getsize(path) for path in paths) / 1e6


def machine(threads: int) -> str:
    """The processor, its cores and what it can do, in one line."""
    model, flags = platform.processor() or platform.machine(), ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    model = value.strip()
                if key.strip() == "flags":
                    flags = value.split()
                    break
    features = [name for name in ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8") if name in flags]
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, {threads} thread{'s'[: threads > 1]}, {' '.join(features) or 'no AVX2'}"


def table(rows: List[Tuple]) -> str:
    """Rows of cells as aligned columns; the first row is the header, the first column is left-aligned."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]) for row in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
