"""Ranges from histograms: pure functions."""

from typing import Tuple

from .statistics import Histogram

Range = Tuple[float, float]


def minmax(histogram: Histogram, dtype: str) -> Range:
    """The whole range: nothing is clipped."""
    return histogram.min, histogram.max
