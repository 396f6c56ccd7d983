"""Signal-to-quantization-noise ratios."""

import math
from typing import Iterable

import numpy as np


class Noise:
    """Sums the squares of values and of their errors over batches.

    >>> noise = Noise()
    >>> noise.add(np.float32([10, 0]), np.float32([10, 1]))
    >>> noise.db
    20.0
    """

    def __init__(self):
        self.signal = 0.0
        self.noise = 0.0

    def add(self, exact: np.ndarray, approximate: np.ndarray) -> None:
        """Two arrays of one shape."""
        exact = np.asarray(exact, np.float64).reshape(-1)
        error = exact - np.asarray(approximate, np.float64).reshape(-1)
        self.signal += float(exact @ exact)
        self.noise += float(error @ error)

    @property
    def ratio(self) -> float:
        """Noise power over signal power; infinite for noise on a signal that is zero."""
        if not self.noise:
            return 0.0
        return self.noise / self.signal if self.signal else math.inf

    @property
    def db(self) -> float:
        """``10 log10(signal / noise)``; infinite where both are equal."""
        return decibel(self.ratio)


def decibel(ratio: float) -> float:
    """SQNR of a noise-to-signal ratio.

    >>> decibel(0.001), decibel(0.0)
    (30.0, inf)
    """
    if not ratio:
        return math.inf
    return -10 * math.log10(ratio) if math.isfinite(ratio) else -math.inf


def mean_ratio(noises: Iterable[Noise]) -> float:
    """The mean noise-to-signal ratio: outputs of different scale count alike."""
    ratios = [noise.ratio for noise in noises]
    return sum(ratios) / len(ratios) if ratios else 0.0
