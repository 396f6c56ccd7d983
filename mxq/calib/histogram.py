"""Counting values into bins, the inner loop of calibration.

>>> import numpy as np
>>> tally = in_numpy(np.float32([-0.5, 0.5, 1.5]), 1.0, 2)
>>> tally.counts.tolist(), tally.outside, tally.sum
([0, 1, 1, 1], 0, 1.5)

Bin ``trunc(x * inverse_width) - (x < 0) + num_bins`` counts x. The native library does the same on all processors.
"""

import ctypes
import functools
import logging
import os
from typing import Callable, NamedTuple, Optional

import numpy as np

from .. import native

logger = logging.getLogger(__name__)

_CHUNK = 1 << 16  # elements: the temporaries stay in the second-level cache


class Tally(NamedTuple):
    """What was counted. If any value is `outside` of the bins, counts and sums are not those of all values."""

    counts: np.ndarray
    outside: int
    min: float
    max: float
    sum: float
    sum_of_squares: float


def tally(x: np.ndarray, inverse_width: float, num_bins: int) -> Tally:
    """Counts the values of a flat contiguous float32 array that is not empty.

    Args:
        x: the values. Those that are not finite are outside of any bin.
        inverse_width: a power of two.
        num_bins: bins on each side of zero.
    """
    function = _native_function()
    return in_numpy(x, inverse_width, num_bins) if function is None else function(x, inverse_width, num_bins)


def in_numpy(x: np.ndarray, inverse_width: float, num_bins: int) -> Tally:
    """The meaning of `tally`."""
    counts = np.zeros(2 * num_bins, np.int64)
    scale = np.float32(inverse_width)
    lo, hi = float(x.min()), float(x.max())
    if not max(-lo, hi) * inverse_width < num_bins:  # NaN too
        with np.errstate(over="ignore", invalid="ignore"):
            outside = x.size - np.count_nonzero(np.abs(x * scale) < num_bins)
        return Tally(counts, int(outside), lo, hi, 0.0, 0.0)
    scaled = np.empty(min(_CHUNK, x.size), np.float32)
    bins = np.empty(scaled.size, np.intp)
    total = squares = 0.0
    for start in range(0, x.size, _CHUNK):
        chunk = x[start : start + _CHUNK]
        n = chunk.size
        np.multiply(chunk, scale, out=scaled[:n])
        np.copyto(bins[:n], scaled[:n], casting="unsafe")
        if lo < 0:
            bins[:n] += num_bins
            bins[:n] -= chunk < 0
            counts += np.bincount(bins[:n], minlength=len(counts))
        else:
            counts[num_bins:] += np.bincount(bins[:n], minlength=num_bins)
        total += float(scaled[:n].sum())  # in units of the width nothing overflows
        squares += float(np.dot(scaled[:n], scaled[:n]))
    return Tally(counts, 0, lo, hi, total / inverse_width, squares / inverse_width**2)


@functools.lru_cache(maxsize=None)
def _native_function() -> Optional[Callable[[np.ndarray, float, int], Tally]]:
    """`tally` by the native library; None, said once, if there is no library or it is older than this function."""
    path = native.library_path()
    try:
        if not os.path.exists(path):
            raise OSError(f"{path} does not exist")
        function = ctypes.CDLL(path).mxq_histogram
    except (OSError, AttributeError) as error:
        logger.info("calibration counts in numpy, which is slower than the native library: %s", error)
        return None
    function.restype = ctypes.c_int64
    pointer = ctypes.c_void_p
    function.argtypes = [pointer, ctypes.c_int64, ctypes.c_float, ctypes.c_int32, pointer, pointer, pointer]

    def in_native(x: np.ndarray, inverse_width: float, num_bins: int) -> Tally:
        counts = np.zeros(2 * num_bins, np.int64)
        moments = np.zeros(2, np.float64)
        extremes = np.array([np.inf, -np.inf], np.float32)
        arrays = (counts.ctypes.data, moments.ctypes.data, extremes.ctypes.data)
        outside = function(x.ctypes.data, x.size, inverse_width, num_bins, *arrays)
        lo, hi = map(float, extremes)
        return Tally(counts, outside, lo, hi, moments[0] / inverse_width, moments[1] / inverse_width**2)

    return in_native
