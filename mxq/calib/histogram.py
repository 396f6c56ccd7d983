"""Measuring and counting the values of a tensor, the inner loops of calibration.

>>> import numpy as np
>>> x = np.float32([[[-0.5, 0.5, 1.5]]])  # one example, one channel
>>> measure_in_numpy(x).sums.tolist()
[[1.5]]
>>> counts = np.zeros(4, np.int64)
>>> count(x, 1, 1.0, counts)
>>> counts.tolist()
[0, 1, 1, 1]

Bin ``trunc(x * inverse_width) - (x < 0) + num_bins`` counts x. The native library does the same on all processors; only
sums may differ in the last digits, for it adds float32.
"""

from typing import NamedTuple, Optional

import numpy as np

from ..native.loops import native_library
from .bins import MIN_EXPONENT, coarser, exponents

#: Neighbours in memory that are counted together: a line of the cache.
RUN = 16
_CHUNK = 1 << 16  # elements: the temporaries stay in the second-level cache


class Measured(NamedTuple):
    """Of each plane, as arrays (examples, channels). A sum that is not finite tells of a value that is not."""

    min: np.ndarray
    max: np.ndarray
    sums: np.ndarray
    squares: np.ndarray


class Growing(NamedTuple):
    """Extremes (C,) and peaks (parts, C) of channels, float32, and the exponents (C,) and counts (C, 2 * bins) of their
    bins, int64."""

    min: np.ndarray
    max: np.ndarray
    peaks: np.ndarray
    exponents: np.ndarray
    counts: np.ndarray


class ChannelCounts(NamedTuple):
    """Where the values of each channel are counted: inverse_width (C,), counts (C, 2 * bins), zeros (C,)."""

    inverse_width: np.ndarray
    counts: np.ndarray
    zeros: np.ndarray


def measure(x: np.ndarray) -> Measured:
    """Extremes and sums of a contiguous float32 array (examples, channels, plane) that is not empty."""
    library = native_library()
    if library is None:
        return measure_in_numpy(x)
    found = Measured(*(np.empty(x.shape[:2], dtype) for dtype in (np.float32, np.float32, np.float64, np.float64)))
    library.mxq_measure(x.ctypes.data, x.shape[0] * x.shape[1], x.shape[2], *(a.ctypes.data for a in found))
    return found


def add_extremes(found: Measured, parts: np.ndarray, channels: Growing) -> np.ndarray:
    """Adds extremes to those of channels, in place, and makes their bins wide enough; float32 (C,) 1 / width of a bin.

    Args:
        parts: int64 (examples,), rows of the peaks.
    """
    library = native_library()
    if library is None:
        return add_extremes_in_numpy(found, parts, channels)
    inverse_width = np.empty(len(channels.min), np.float32)
    library.mxq_add_extremes(
        found.min.ctypes.data, found.max.ctypes.data, parts.ctypes.data, *found.min.shape,
        *(a.ctypes.data for a in channels[:4]), MIN_EXPONENT, channels.counts.ctypes.data,
        channels.counts.shape[1] // 2, inverse_width.ctypes.data,
    )  # fmt: skip
    return inverse_width


def count(
    x: np.ndarray,
    stride: int,
    inverse_width: float,
    counts: np.ndarray,
    channels: Optional[ChannelCounts] = None,
    hashes: Optional[np.ndarray] = None,
) -> None:
    """Adds the values of a contiguous float32 array (examples, channels, plane) to counts.

    Args:
        stride: a share of 1 / stride of each plane is counted, from a place that depends on the channel and the
            example's hash alone: runs of RUN values, or so few fewer that a plane has room for two of them. One place
            for all examples would never meet what the borders of an image have there.
        hashes: uint64 of each example, or one for all; none: one place in all of them.
        inverse_width: a power of two for which every value is in a bin.
        counts: int64 (2 * bins,) of all channels together, the middle is zero.
        channels: of each channel with its own width; its arrays are added to.
    """
    phases = np.zeros(len(x), np.int64) if hashes is None else (hashes % np.uint64(stride)).astype(np.int64)
    phases = np.ascontiguousarray(np.broadcast_to(phases, len(x)))
    library = native_library()
    if library is None:
        count_in_numpy(x, stride, inverse_width, counts, channels, phases)
        return
    own = (channels.inverse_width.ctypes.data, channels.counts.shape[1] // 2) if channels else (None, 0)
    arrays = (channels.counts.ctypes.data, channels.zeros.ctypes.data) if channels else (None, None)
    library.mxq_count(
        x.ctypes.data, *x.shape, stride, phases.ctypes.data, inverse_width, len(counts) // 2, counts.ctypes.data,
        *own, *arrays,
    )  # fmt: skip


def measure_in_numpy(x: np.ndarray) -> Measured:
    """The meaning of `measure`."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ncp,ncp->nc", x, x, dtype=np.float64)
        return Measured(x.min(axis=2), x.max(axis=2), x.sum(axis=2, dtype=np.float64), squares)


def add_extremes_in_numpy(found: Measured, parts: np.ndarray, channels: Growing) -> np.ndarray:
    """The meaning of `add_extremes`."""
    for part, peak in zip(parts, np.maximum(-found.min, found.max)):
        np.maximum(channels.peaks[part], peak, out=channels.peaks[part])
    np.minimum(channels.min, found.min.min(axis=0), out=channels.min)
    np.maximum(channels.max, found.max.max(axis=0), out=channels.max)
    grow(channels, exponents(np.maximum(-channels.min, channels.max), channels.counts.shape[1] // 2))
    return np.ldexp(np.float32(1), -channels.exponents)


def grow(channels: Growing, wanted: np.ndarray) -> None:
    """Makes bins, in place, as wide as exponents (C,) say, where they are narrower."""
    doublings = np.maximum(wanted - channels.exponents, 0)
    for step in np.unique(doublings[doublings > 0]):
        rows = doublings == step
        channels.counts[rows] = coarser(channels.counts[rows], step)
    channels.exponents[:] += doublings


def count_in_numpy(
    x: np.ndarray,
    stride: int,
    inverse_width: float,
    counts: np.ndarray,
    channels: Optional[ChannelCounts],
    phases: np.ndarray,
) -> None:
    """The meaning of `count`."""
    run = 1 if stride == 1 else max(1, min(RUN, x.shape[2] // (2 * stride)))
    index = np.arange(x.shape[2])
    for channel in range(x.shape[1]):
        first = (channel * 2654435761 % 2**32 % stride + phases[:, None]) % stride
        values = x[:, channel][index // run % stride == first]
        counts += _tally(values, inverse_width, len(counts))
        if channels:
            own = channels.counts[channel]
            own += _tally(values, channels.inverse_width[channel], len(own))
            channels.zeros[channel] += np.count_nonzero(values == 0)


def _tally(x: np.ndarray, inverse_width: float, size: int) -> np.ndarray:
    counts = np.zeros(size, np.int64)
    for start in range(0, x.size, _CHUNK):
        chunk = x[start : start + _CHUNK]
        bins = (chunk * np.float32(inverse_width)).astype(np.intp)
        bins += size // 2
        bins -= chunk < 0
        counts += np.bincount(bins, minlength=size)
    return counts
