"""Histograms whose bins are powers of two wide: they grow by merging whole bins, so parts add up exactly."""

import math
from typing import NamedTuple

import numpy as np

# Smallest bin width 2**-120: its reciprocal is a normal float32. Smaller values share the bins next to zero.
MIN_EXPONENT = -120
# Largest: all of float32 within two bins.
MAX_EXPONENT = 128


class Histogram(NamedTuple):
    """Counts of values in bins of equal width: bin i holds ``[(first + i) * width, (first + i + 1) * width)``.

    Below zero a bin is closed above, not below. `min` and `max` are exact. Counts are whole numbers, or shares of them
    where values were scaled by channel.
    """

    counts: np.ndarray
    first: int
    width: float
    min: float
    max: float

    def edges(self) -> np.ndarray:
        """The len(counts) + 1 bin borders, the outermost moved to `min` and `max`."""
        edges = (self.first + np.arange(len(self.counts) + 1, dtype=np.float64)) * self.width
        edges[0], edges[-1] = max(edges[0], self.min), min(edges[-1], self.max)
        return edges


def exponents(absmax: np.ndarray, num_bins: int) -> np.ndarray:
    """The smallest e with absmax < num_bins * 2**e, from MIN_EXPONENT up."""
    _, exponent = np.frexp(absmax)
    return np.where(absmax > 0, np.maximum(exponent - (num_bins.bit_length() - 1), MIN_EXPONENT), MIN_EXPONENT)


def coarser(counts: np.ndarray, doublings: int) -> np.ndarray:
    """The same counts (last axis, zero in its middle) in bins that are 2**doublings times as wide."""
    if doublings == 0:
        return counts
    half = counts.shape[-1] // 2
    group = min(1 << min(int(doublings), 62), half)
    merged = counts.reshape(*counts.shape[:-1], -1, group).sum(axis=-1)
    out = np.zeros_like(counts)
    reach = merged.shape[-1] // 2
    out[..., half - reach : half + reach] = merged
    return out


def trimmed(counts: np.ndarray, width: float, lo: float, hi: float) -> Histogram:
    """The bins from the smallest to the largest value; the middle of `counts` is zero."""
    half = len(counts) // 2
    used = np.flatnonzero(counts)
    ends = [math.trunc(v / width) - (v < 0) + half for v in (lo, hi)]
    first = max(min([ends[0], *used[:1]]), 0)
    last = min(max([ends[1], *used[-1:]]), len(counts) - 1)
    return Histogram(counts[first : last + 1].copy(), int(first) - half, width, lo, hi)
