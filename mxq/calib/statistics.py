"""What calibration remembers of a tensor: extremes, moments and a histogram that grows with the data.

>>> import numpy as np
>>> stats = TensorStatistics(num_bins=8)
>>> stats.update(np.float32([0.0, 0.5, 1.5]))
>>> stats.update(np.float32([-7.0]))
>>> stats.count, stats.min, stats.max, stats.width
(4, -7.0, 1.5, 1.0)

The bin width is a power of two, the same function of the largest magnitude whatever the order of the data: scaling by
it is exact in float32 and growing merges whole bins. So parts merge to exactly the histogram of the whole.
"""

import math
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import CalibrationError, nearest
from .histogram import tally

#: Bins on each side of zero: between a half and all of them are in use, 16 to 32 or more per step of an 8-bit type.
NUM_BINS = 4096
# Smallest bin width 2**-120: its reciprocal is a normal float32. Smaller values share the bins next to zero.
_MIN_EXPONENT = -120


class Histogram(NamedTuple):
    """Counts of values in bins of equal width: bin i holds ``[(first + i) * width, (first + i + 1) * width)``.

    Below zero a bin is closed above, not below. `min` and `max` are exact.
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


class TensorStatistics:
    """Statistics of one tensor over all batches.

    Args:
        num_bins: bins on each side of zero, a power of two.
    """

    def __init__(self, num_bins: int = NUM_BINS):
        if num_bins < 2 or num_bins & (num_bins - 1):
            raise CalibrationError(f"num_bins={num_bins}: accepted is a power of two from 2")
        self.num_bins = num_bins
        self.count = 0
        self.min = math.inf
        self.max = -math.inf
        self.sum = 0.0
        self.sum_of_squares = 0.0
        self._channel_sums: Optional[np.ndarray] = None
        self._exponent = _MIN_EXPONENT
        self._counts = np.zeros(2 * num_bins, np.int64)

    @property
    def width(self) -> float:
        return 2.0**self._exponent

    def update(self, array: np.ndarray) -> None:
        """Adds values (any shape). Raises CalibrationError for NaN or infinity, and then adds nothing."""
        flat = np.ascontiguousarray(array, np.float32).reshape(-1)
        if not flat.size:
            return
        found = tally(flat, 1 / self.width, self.num_bins)
        if found.outside:
            bad = np.flatnonzero(~np.isfinite(flat))
            if bad.size:
                raise CalibrationError(f"{bad.size} of {flat.size} values are not finite, the first is {flat[bad[0]]}")
            self._grow(_exponent(max(-found.min, found.max), self.num_bins))
            found = tally(flat, 1 / self.width, self.num_bins)
        self._counts += found.counts
        self.count += flat.size
        self.min, self.max = min(self.min, found.min), max(self.max, found.max)
        self.sum += found.sum
        self.sum_of_squares += found.sum_of_squares
        self._add_channels(_channel_sums(array), before=self.count - flat.size)

    def _add_channels(self, sums: Optional[np.ndarray], before: int) -> None:
        """Adds sums per channel to those of `before` values; sums of another number of channels end them for good."""
        if not before:
            self._channel_sums = sums
        elif self._channel_sums is not None:
            same = sums is not None and sums.shape == self._channel_sums.shape
            self._channel_sums = self._channel_sums + sums if same else None

    @property
    def channel_mean(self) -> Optional[np.ndarray]:
        """Mean per channel (axis 1), float64; None for tensors without one or where its size changed."""
        if self._channel_sums is None:
            return None
        return self._channel_sums * (self._channel_sums.size / self.count)

    def merge(self, other: "TensorStatistics") -> None:
        """Adds what `other` has seen."""
        if other.num_bins != self.num_bins:
            raise CalibrationError(f"statistics with {self.num_bins} and {other.num_bins} bins do not merge")
        self._grow(other._exponent)
        self._counts += _coarser(other._counts, self._exponent - other._exponent)
        if other.count:
            self._add_channels(other._channel_sums, before=self.count)
        self.count += other.count
        self.min, self.max = min(self.min, other.min), max(self.max, other.max)
        self.sum += other.sum
        self.sum_of_squares += other.sum_of_squares

    def histogram(self) -> Histogram:
        """The bins from the smallest to the largest value. Raises CalibrationError if there is no data."""
        if not self.count:
            raise CalibrationError("no data: statistics of an empty tensor have no histogram")
        used = np.flatnonzero(self._counts)
        first, last = int(used[0]), int(used[-1])
        return Histogram(self._counts[first : last + 1].copy(), first - self.num_bins, self.width, self.min, self.max)

    def _grow(self, exponent: int) -> None:
        if exponent > self._exponent:
            self._counts = _coarser(self._counts, exponent - self._exponent)
            self._exponent = exponent


def _channel_sums(array: np.ndarray) -> Optional[np.ndarray]:
    """Sums over all axes but axis 1, in float64 over the batch; None for arrays without that axis."""
    if array.ndim < 2:
        return None
    rows = array.reshape(*array.shape[:2], -1)
    with np.errstate(over="ignore"):
        sums = rows.sum(axis=2).sum(axis=0, dtype=np.float64)
    return sums if np.isfinite(sums).all() else rows.sum(axis=(0, 2), dtype=np.float64)


def _exponent(absmax: float, num_bins: int) -> int:
    """The smallest e with absmax < num_bins * 2**e, from _MIN_EXPONENT up."""
    return max(math.frexp(absmax)[1] - (num_bins.bit_length() - 1), _MIN_EXPONENT) if absmax else _MIN_EXPONENT


def _coarser(counts: np.ndarray, doublings: int) -> np.ndarray:
    """The same counts in bins that are 2**doublings times as wide."""
    if doublings == 0:
        return counts
    half = len(counts) // 2
    group = min(1 << min(doublings, 62), half)
    merged = counts.reshape(-1, group).sum(axis=1)
    out = np.zeros_like(counts)
    out[half - len(merged) // 2 : half + len(merged) // 2] = merged
    return out


class Statistics(Mapping):
    """Statistics per tensor key, and over how many examples.

    Reads like a dict: ``statistics["conv0"].max``.
    """

    def __init__(self, keys=(), *, num_bins: int = NUM_BINS):
        self._tensors: Dict[str, TensorStatistics] = {key: TensorStatistics(num_bins) for key in keys}
        self.num_examples = 0

    def __getitem__(self, key: str) -> TensorStatistics:
        try:
            return self._tensors[key]
        except KeyError:
            raise CalibrationError(f"no statistics of tensor {key!r}{nearest(key, self._tensors)}") from None

    def __contains__(self, key: object) -> bool:
        return key in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def merge(self, other: "Statistics") -> None:
        """Adds what `other` has seen of the same tensors. Raises CalibrationError if the tensors differ."""
        ours, theirs = set(self), set(other)
        if ours != theirs:
            odd: List[str] = sorted(ours ^ theirs)[:3]
            raise CalibrationError(f"statistics of different tensors do not merge; only one has {', '.join(odd)}")
        for key, tensor in self._tensors.items():
            tensor.merge(other[key])
        self.num_examples += other.num_examples

    def extremes(self) -> Dict[str, Tuple[float, float]]:
        return {key: (tensor.min, tensor.max) for key, tensor in self._tensors.items()}
