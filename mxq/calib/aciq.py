"""Ranges in closed form, from moments alone.

Source: Banner et al., "Post-Training 4-Bit Quantization of Convolution Networks for Rapid-Deployment" (ACIQ), 2019.
"""

import math
from typing import Tuple

import numpy as np

from ..arithmetic.qmath import LEVELS
from .bins import Histogram

#: Candidate thresholds in units of the spread.
_GRID = np.linspace(0.5, 40.0, 1600)
#: Mean magnitude by root mean square: 0.707 for Laplace, 0.798 for Gauss; the border is in the middle.
_LAPLACE_BELOW = (math.sqrt(0.5) + math.sqrt(2 / math.pi)) / 2


def aciq(histogram: Histogram, dtype: str) -> Tuple[float, float]:
    """The range with the smallest squared error if the tensor has a Laplace or a normal distribution.

    Whichever the ratio of mean and root mean square magnitude is nearer to. A tensor without negative values has half
    of one, without its zeros, which any range holds; 'int8' is centered at zero, 'uint8' of both signs at the mean.
    What the distribution has beyond the largest value seen is not kept.
    """
    edges = histogram.edges()
    middle, counts = (edges[:-1] + edges[1:]) / 2, histogram.counts.astype(np.float64)
    one_sided = histogram.min >= 0
    if one_sided:
        counts[edges[:-1] <= 0] = 0  # the bin of zero
    if not counts.sum():
        return histogram.min, histogram.max
    center = 0.0 if one_sided or dtype == "int8" else float(np.average(middle, weights=counts))
    distance = np.abs(middle - center)
    mean = float(np.average(distance, weights=counts))
    deviation = math.sqrt(float(np.average(distance**2, weights=counts)))
    if not mean:
        return histogram.min, histogram.max
    # Steps between the center and the threshold.
    steps = LEVELS[dtype] if one_sided or dtype == "int8" else LEVELS[dtype] / 2
    if mean < _LAPLACE_BELOW * deviation:
        threshold = mean * _least(2 * np.exp(-_GRID), steps)
    else:
        tail = np.array([math.erfc(t / math.sqrt(2)) for t in _GRID])
        clipped = (1 + _GRID**2) * tail - math.sqrt(2 / math.pi) * _GRID * np.exp(-(_GRID**2) / 2)
        threshold = deviation * _least(clipped, steps)
    lo = 0.0 if one_sided else max(center - threshold, histogram.min)
    hi = min(center + threshold, histogram.max)
    return (min(max(lo, histogram.min), hi), hi)


def _least(clipped: np.ndarray, steps: float) -> float:
    """The threshold at which clipping and rounding together cost least."""
    return float(_GRID[np.argmin(clipped + (_GRID / steps) ** 2 / 12)])
