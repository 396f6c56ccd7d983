"""Ranges from histograms: pure functions ``(histogram, dtype) -> (lo, hi)``.

>>> import numpy as np
>>> h = Histogram(np.array([900, 90, 9, 1]), 0, 1.0, 0.0, 4.0)
>>> minmax(h, "uint8"), percentile(h, "uint8", percentile=99.0)
((0.0, 4.0), (0.0, 2.0))

For 'int8' (symmetric) one threshold t is chosen for the magnitude and the range is what [-t, t] leaves of [min, max];
for 'uint8' (affine, contains 0) a tensor without negative values has one threshold too, others have one on each side.
"""

import math
from typing import Callable, Tuple

import numpy as np

from ..arithmetic.qmath import LEVELS, QMAX, QMIN, range_to_qparams
from ..errors import ConfigError
from .bins import Histogram

Range = Tuple[float, float]

PERCENTILE = 99.99
# Measured as SQNR of the logits of image networks, at 4, 8 and 12: GoogLeNet 29.5, 30.0 and 30.4 dB, SqueezeNet 37.2,
# 37.6 and 37.9, MobileNet and ResNet-18 within 0.3. Eight networks for faces and detection: 1 dB, up as often as down.
CLIP_WEIGHT = 12.0
# Entropy compares distributions, and fewer than 16 values for each level are none.
FEWEST_VALUES = 4096
# Clipping is for rare values: a choice of entropy that clips a larger share and costs more times the squared error of
# keeping everything is none. On three image networks no tensor cost over 5.3 times as much.
RARE = 1e-3
FAR_WORSE = 8.0
# Candidate thresholds of mse in units of the largest, descending.
_COARSE = 2.0 ** (-np.arange(33) / 4)
_FINE = 2.0 ** (np.arange(4, -9, -1) / 8)


def minmax(histogram: Histogram, dtype: str) -> Range:
    """The whole range: nothing is clipped."""
    return histogram.min, histogram.max


def percentile(histogram: Histogram, dtype: str, *, percentile: float = PERCENTILE) -> Range:
    """Keeps `percentile` % of the values (of the magnitudes for int8; two equal tails otherwise).

    Raises ConfigError unless ``0 < percentile <= 100``.
    """
    if not 0 < percentile <= 100:
        raise ConfigError(f"percentile={percentile!r}: accepted is a number above 0, up to 100")
    cut = 1 - percentile / 100
    if dtype == "uint8" and histogram.min < 0:
        edges = histogram.edges()
        lo, hi = -_tail(histogram.counts[::-1], -edges[::-1], cut / 2), _tail(histogram.counts, edges, cut / 2)
        return min(lo, hi), hi
    magnitudes = _magnitudes(histogram)
    return _within(histogram, _tail(magnitudes.counts, magnitudes.edges(), cut))


def mse(histogram: Histogram, dtype: str, *, clip_weight: float = CLIP_WEIGHT) -> Range:
    """The range with the smallest expected squared error of rounding and clipping together.

    Clipping counts `clip_weight` times: rounding errors are independent and average out in the sums of the next layer,
    clipping always pulls the same way. 1 is the plain squared error of the tensor itself.

    Within a bin the values count as evenly spread (but a spike at zero as zeros), and the error is integrated in closed
    form. Candidates shrink geometrically to 1/256 of the range, then the neighbourhood of the best is searched. The two
    sides of uint8 shrink together first; then each is searched from half to 1.4 times of what they have.
    """
    absmax = max(-histogram.min, histogram.max)
    if not absmax:
        return 0.0, 0.0
    error = expected_error(histogram, dtype, clip_weight)
    if dtype == "int8" or histogram.min >= 0:
        low = -1.0 if dtype == "int8" else 0.0
        return _within(histogram, _search(lambda t: error(low * t, t), absmax * _COARSE))
    lo, hi = histogram.min, max(histogram.max, 0.0)
    shrink = _search(lambda t: error(lo * t, hi * t), _COARSE)  # both sides together, then one at a time
    low, high = lo * shrink, hi * shrink
    low = -_search(lambda t: error(-t, high), np.minimum(-low * _FINE, -lo))
    if hi:
        high = _search(lambda t: error(low, t), np.minimum(high * _FINE, hi))
    return low, high


def expected_error(histogram: Histogram, dtype: str, clip_weight: float = 1.0) -> Callable[[float, float], float]:
    """Returns ``error(lo, hi)``: the sum of squared errors if the tensor is quantized with that range.

    In units of the scale the antiderivative of ``(u - clip(rint(u)))**2`` is ``k / 12 + (u - k)**3 / 3`` with
    ``k = clip(rint(u))``, inside and outside of the range. Where ``|u - k| > 1/2``, the value is clipped.
    """
    edges = histogram.edges()
    widths = np.diff(edges)
    # A bin without width (a single value at its border) is a sliver of the same mass.
    counts = _without_spike(histogram.counts.astype(np.float64), -histogram.first)
    density = counts / np.maximum(widths, histogram.width * 1e-6)
    jumps = -np.diff(density, prepend=0.0, append=0.0)
    spikes = np.flatnonzero(widths <= 0)
    edges[spikes + 1] = edges[spikes] + histogram.width * 1e-6
    used = np.flatnonzero(jumps)
    edges, jumps = edges[used], jumps[used]

    def error(lo: float, hi: float) -> float:
        scale, zero_point, _ = range_to_qparams(lo, hi, dtype)
        u = edges * (1.0 / scale)
        k = np.rint(u)
        np.minimum(np.maximum(k, QMIN[dtype] - zero_point, out=k), QMAX[dtype] - zero_point, out=k)
        u -= k
        cubes = u * u * u
        if clip_weight != 1:
            np.minimum(np.maximum(u, -0.5, out=u), 0.5, out=u)
            cubes = clip_weight * cubes - (clip_weight - 1) * u * u * u
        return float(np.dot(k / 12 + cubes / 3, jumps)) * scale**3

    return error


def entropy(histogram: Histogram, dtype: str) -> Range:
    """The range whose quantized distribution has the smallest Kullback-Leibler divergence from the tensor's own.

    One-sided (256 levels) for a tensor without negative values, two-sided (255 levels for int8) otherwise. A spike at
    zero, as ReLU leaves it, is cut to its neighbours' height: 0 is exact in any range and must not decide it.

    Spikes elsewhere (channels that are constant, as a bias leaves them) and tensors of few values have no distribution
    to compare: the range is that of minmax for less than FEWEST_VALUES values, or where more than a share RARE would be
    clipped and the expected squared error be above FAR_WORSE times that of minmax.

    Source: S. Migacz, 8-bit inference with TensorRT, GTC 2017.
    """
    whole = minmax(histogram, dtype)
    if histogram.counts.sum() < FEWEST_VALUES:
        return whole
    counts, middle = _around_zero(histogram)
    counts = _without_spike(counts, middle)
    if middle:
        levels = (QMAX[dtype] - QMIN[dtype]) // 2 * 2 + 1
        reach = max(middle, len(counts) - middle)
        counts = np.pad(counts, (reach - middle, reach - (len(counts) - middle)))
        middle = reach
    else:
        levels = LEVELS[dtype] + 1
        reach = len(counts)
    step = max(1, reach // 512)
    sizes = np.arange(reach, levels // (2 if middle else 1), -step)
    filled = counts[middle + sizes - 1] > 0 if not middle else (counts[middle + sizes - 1] + counts[middle - sizes]) > 0
    sizes = sizes[filled]
    if not sizes.size:
        return whole
    best = sizes[np.argmin(_divergence(counts, middle, sizes, levels))]
    chosen = _within(histogram, best * histogram.width)
    kept = counts[middle - best if middle else 0 : middle + best].sum()
    if kept < (1 - RARE) * counts.sum():
        error = expected_error(histogram, dtype)
        if error(*chosen) > FAR_WORSE * error(*whole):
            return whole
    return chosen


def _divergence(counts: np.ndarray, middle: int, sizes: np.ndarray, levels: int) -> np.ndarray:
    """KL divergence for every candidate of `sizes` bins on each side that has values (to the right if middle is 0).

    Bins of one level share their mass evenly, so the divergence needs sums per level only: of p, of p log p and of the
    number of bins with values. All three are differences of cumulative sums.
    """

    def cumulative(values):
        return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])

    def entropy_of(p):
        return p * np.log(np.where(p > 0, p, 1.0))

    mass, plogp, filled = cumulative(counts), cumulative(entropy_of(counts)), cumulative(counts > 0)
    start = (middle - sizes if middle else np.zeros_like(sizes))[:, None]
    stop = (middle + sizes)[:, None]
    borders = start + (np.arange(levels + 1) * (stop - start)) // levels
    inside = np.diff(mass[borders], axis=1)
    share = inside / np.maximum(np.diff(filled[borders], axis=1), 1.0)
    total, kept = mass[-1], inside.sum(axis=1)
    first, last = start[:, 0], stop[:, 0] - 1
    divergence = plogp[last + 1] - plogp[first] - (inside * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    # Clipped values pile up in the outermost bins of the reference, not in the quantized distribution.
    for end, clipped, level in ((first, mass[first], 0), (last, total - mass[last + 1], -1)):
        p = counts[end].astype(np.float64)
        q = np.maximum(share[:, level], 1.0)
        divergence += entropy_of(p + clipped) - entropy_of(p) - clipped * np.log(q)
    return divergence / total + np.log(kept / total)


def _search(error: Callable[[float], float], grid: np.ndarray) -> float:
    """The threshold with the smallest error: the best of a descending grid, then of two ever finer ones around it."""
    errors = [error(t) for t in grid]
    for _ in range(2):
        i = int(np.argmin(errors))
        best, least = float(grid[i]), errors[i]
        grid = np.linspace(grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)], 15)
        errors = [error(t) for t in grid]
    i = int(np.argmin(errors))
    return float(grid[i]) if errors[i] < least else best


def _within(histogram: Histogram, threshold: float) -> Range:
    """What [-threshold, threshold] leaves of the tensor's range."""
    t = float(threshold)
    return min(max(histogram.min, -t), t), max(min(histogram.max, t), -t)


def _without_spike(counts: np.ndarray, zero: int) -> np.ndarray:
    """Counts without what makes the bin of zero higher than its neighbours: those are zeros, which any range holds."""
    if 0 <= zero < len(counts):
        neighbours = counts[max(zero - 1, 0) : zero + 2].copy()
        neighbours[min(zero, 1)] = 0
        counts = counts.copy()
        counts[zero] = min(counts[zero], neighbours.max())
    return counts


def _around_zero(histogram: Histogram) -> Tuple[np.ndarray, int]:
    """Counts of bins that reach from below zero (if there are any) to above it, and the index of the bin from 0 up."""
    first, stop = min(histogram.first, 0), max(histogram.first + len(histogram.counts), 1)
    counts = np.zeros(stop - first, histogram.counts.dtype)
    counts[histogram.first - first :][: len(histogram.counts)] = histogram.counts
    return counts, -first


def _magnitudes(histogram: Histogram) -> Histogram:
    """The histogram of absolute values."""
    counts, middle = _around_zero(histogram)
    folded = np.zeros(max(middle, len(counts) - middle), counts.dtype)
    folded[: len(counts) - middle] += counts[middle:]
    folded[:middle] += counts[:middle][::-1]
    absmax = max(-histogram.min, histogram.max)
    used = math.floor(absmax / histogram.width) + 1
    return Histogram(folded[:used], 0, histogram.width, 0.0, absmax)


def _tail(counts: np.ndarray, edges: np.ndarray, cut: float) -> float:
    """The point above which a fraction `cut` of the values lies; within a bin they count as evenly spread."""
    above = np.concatenate([np.cumsum(counts[::-1], dtype=np.float64)[::-1], [0.0]])
    target = cut * above[0]
    i = int(np.argmax(above <= target))  # the first edge that leaves no more than that above it
    if i == 0:
        return float(edges[0])
    part = (above[i - 1] - target) / (above[i - 1] - above[i])
    return float(edges[i - 1] + part * (edges[i] - edges[i - 1]))
