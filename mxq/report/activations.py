"""Checks of what the float network computes on data."""

from typing import Container, List

import numpy as np

from ..calib.bins import Histogram
from ..calib.statistics import Statistics
from .finding import Finding
from .parameters import dead_channels

#: How far the largest value may lie above the 99.9th percentile of magnitudes. Trained networks stay below 10.
FAR = 30.0
#: Values that it takes to speak of a percentile.
ENOUGH = 10000
PERCENTILE = 0.999


def activations(statistics: Statistics, constants: Container[str] = ()) -> List[Finding]:
    """Outliers, constant tensors and channels that are never active.

    Args:
        statistics: of the tensors that become integers.
        constants: keys of those that are constant by construction, such as initial states.
    """
    found = []
    examples = f"{statistics.num_examples} example{'s' if statistics.num_examples != 1 else ''}"
    for key, tensor in statistics.items():
        if not tensor.count:
            continue
        if tensor.min == tensor.max:
            if tensor.count > statistics.num_examples and key not in constants:
                found.append(
                    Finding(
                        "warning",
                        "constant",
                        key,
                        f"every value is {tensor.min:.6g} on {examples}",
                        "nothing gets through here: look at the parameters before it and at the data",
                    )
                )
            continue
        magnitude = percentile(tensor.histogram(), PERCENTILE)
        largest = max(-tensor.min, tensor.max)
        if tensor.count >= ENOUGH and largest > FAR * magnitude:
            found.append(
                Finding(
                    "warning",
                    "outlier",
                    key,
                    f"the largest magnitude is {largest:.4g}, 99.9 % lie below {magnitude:.4g} on {examples}",
                    "ranges chosen by extremes leave no steps for the rest: look at the data, choose a calib_mode that "
                    "cuts outliers ('mse', 'percentile'), or keep the layers that read it float",
                )
            )
        mean = tensor.channel_mean
        if mean is not None and tensor.min >= 0 and not mean.all():
            dead = int(np.count_nonzero(mean == 0))
            found.append(dead_channels(key, dead, len(mean), f"never active on {examples}"))
    return found


def percentile(histogram: Histogram, share: float) -> float:
    """The magnitude that `share` of the values do not exceed, to the width of a bin."""
    edges = histogram.edges()
    magnitude = np.maximum(np.abs(edges[:-1]), np.abs(edges[1:]))
    order = np.argsort(magnitude, kind="stable")
    sums = np.cumsum(histogram.counts[order])
    return float(magnitude[order][np.searchsorted(sums, share * sums[-1])])
