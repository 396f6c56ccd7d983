"""Thresholds by KL divergence, as MXNet's module has them."""

import logging
from typing import Dict, Tuple

import mxnet as mx
import numpy as np

from ..calib.bins import Histogram
from ..calib.thresholds import entropy

#: (hist, edges, min, max, threshold)
Hist = Tuple[np.ndarray, np.ndarray, float, float, float]

_log = logging.getLogger(__name__)


def get_optimal_threshold(hist_data: Hist, quantized_dtype: str, num_quantized_bins: int = 255):
    """The threshold that MXNet's own operator finds for one histogram.

    Args:
        hist_data: (hist, edges, min, max, threshold), an odd number of bins.
        quantized_dtype: 'int8', 'uint8' or 'auto'; the last two use twice the bins where no value is negative.

    Returns:
        (min, max, threshold, divergence); the last two are arrays of one element.
    """
    hist, edges, low, high, _ = hist_data
    if len(hist) % 2 != 1:
        raise ValueError(f"the histogram has {len(hist)} bins; accepted is an odd number")
    if low >= 0 and quantized_dtype in ("auto", "uint8"):
        num_quantized_bins = num_quantized_bins * 2 + 1
    threshold, divergence = mx.nd.contrib.calibrate_entropy(
        hist=mx.nd.array(hist), hist_edges=mx.nd.array(edges), num_quantized_bins=num_quantized_bins
    )
    return low, high, threshold.asnumpy(), divergence.asnumpy()


def get_optimal_thresholds(
    hist_dict: Dict[str, Hist], quantized_dtype: str, num_quantized_bins: int = 255, logger=None
) -> Dict[str, Tuple[float, float]]:
    """Name -> (-threshold, threshold), or (0, threshold) where no value is negative and the type is not int8.

    Unlike MXNet's it leaves `hist_dict` as it is and needs no scipy.
    """
    found = {}
    for name, hist_data in hist_dict.items():
        low, _, threshold, divergence = get_optimal_threshold(hist_data, quantized_dtype, num_quantized_bins)
        th = float(threshold[0])
        found[name] = (0.0 if low >= 0 and quantized_dtype in ("auto", "uint8") else -th, th)
        (logger or _log).debug("%s: threshold %g, divergence %g", name, th, float(divergence[0]))
    return found


def entropy_range(hist_data: Hist, quantized_dtype: str) -> Tuple[float, float]:
    """The range that mxq's entropy calibration chooses for a histogram with its middle bin around zero.

    Each bin is halved, so that zero lies between two: what is one-sided (after a ReLU) is treated as such.
    """
    hist, _, low, high, th = hist_data
    hist = np.asarray(hist, np.int64)
    if not th:
        return 0.0, 0.0
    halves = np.repeat(hist, 2)  # every count twice: only proportions matter
    first = -len(hist)
    if low >= 0:
        halves = halves[len(hist) :]
        halves[0] *= 2
        first = 0
    used = np.flatnonzero(halves)
    histogram = Histogram(
        halves[used[0] : used[-1] + 1], first + int(used[0]), float(th) / len(hist), float(low), float(high)
    )
    return entropy(histogram, "int8" if quantized_dtype == "int8" or low < 0 else "uint8")


def smooth_distribution(p: np.ndarray, eps: float = 0.0001) -> np.ndarray:
    """Gives each zero of a discrete distribution `eps` and takes as much off the other entries.

    Source: Han, Kamber, Pei, Data Mining, on the KL divergence of distributions with zeros.
    """
    p = np.asarray(p)
    zeros = p == 0
    n_zeros = int(zeros.sum())
    if n_zeros == p.size:
        raise ValueError("the discrete probability distribution is malformed: every entry is 0")
    taken = eps * n_zeros / (p.size - n_zeros)
    if taken >= 1:
        raise ValueError(f"{n_zeros} of {p.size} entries are 0, too many for eps={eps}")
    smoothed = np.where(zeros, eps, p - taken).astype(np.float32)
    if (smoothed <= 0).any():
        raise ValueError(f"an entry is smaller than the {taken:g} that smoothing takes off it; use a smaller eps")
    return smoothed
