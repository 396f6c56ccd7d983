"""Counting values into bins, the inner loop of calibration."""

from typing import Tuple

import numpy as np

_CHUNK = 1 << 16  # elements: the temporaries stay in the second-level cache


def accumulate(x: np.ndarray, inverse_width: float, signed: bool, counts: np.ndarray) -> Tuple[float, float]:
    """Adds the values of `x` to `counts` and returns their sum and sum of squares.

    Bin ``trunc(x * inverse_width) - (x < 0)`` counts from the middle of `counts`. The caller has made sure that every
    value falls into a bin.

    Args:
        x: flat contiguous float32 array, finite.
        inverse_width: a power of two.
        signed: False if no value is negative.
        counts: int64 array of even length, changed in place.
    """
    middle = len(counts) // 2
    scale = np.float32(inverse_width)
    scaled = np.empty(min(_CHUNK, x.size), np.float32)
    bins = np.empty(scaled.size, np.intp)
    total = squares = 0.0
    for start in range(0, x.size, _CHUNK):
        chunk = x[start : start + _CHUNK]
        n = chunk.size
        np.multiply(chunk, scale, out=scaled[:n])
        np.copyto(bins[:n], scaled[:n], casting="unsafe")
        if signed:
            bins[:n] += middle
            bins[:n] -= chunk < 0
            counts += np.bincount(bins[:n], minlength=len(counts))
        else:
            counts[middle:] += np.bincount(bins[:n], minlength=middle)
        total += float(scaled[:n].sum())  # in units of the width nothing overflows
        squares += float(np.dot(scaled[:n], scaled[:n]))
    return total / inverse_width, squares / inverse_width**2
