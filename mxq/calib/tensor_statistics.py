"""What calibration remembers of a tensor: extremes, moments and a histogram that grows with the data.

>>> import numpy as np
>>> stats = TensorStatistics(num_bins=8)
>>> stats.update(np.float32([0.0, 0.5, 1.5]))
>>> stats.update(np.float32([-7.0]))
>>> stats.count, stats.min, stats.max, stats.width
(4, -7.0, 1.5, 1.0)

The bin width is a power of two, the same function of the largest magnitude whatever the order of the data: scaling by
it is exact in float32 and growing merges whole bins. Sums are added as integers. So parts merge to what one pass over
the whole gives, bit for bit, as long as the network computes the same values for an example.
"""

from typing import Dict, Optional, Tuple

import numpy as np

from ..errors import CalibrationError
from .array_file import Arrays
from .bins import MAX_EXPONENT, MIN_EXPONENT, Histogram, coarser, exponents, trimmed
from .channels import Channels, restored_sum, stored_sum
from .exact_sum import ExactSum
from .histogram import count, measure
from .samples import hashes_of_rows

#: Bins on each side of zero: between a half and all of them are in use, 16 to 32 or more per step of an 8-bit type.
NUM_BINS = 4096
#: About so many values of an example are counted in the histograms; extremes and sums are those of all.
COUNTED = 1 << 13
#: But so many of each channel.
_COUNTED_OF_CHANNEL = 4
#: No data has more; counts of them add up within int64.
_MOST_VALUES = 2**48


class TensorStatistics:
    """Statistics of one tensor over all batches.

    Args:
        num_bins: bins on each side of zero, a power of two.

    Attributes:
        count: how many values were seen.
        min, max: of all values.
    """

    def __init__(self, num_bins: int = NUM_BINS):
        if num_bins < 2 or num_bins & (num_bins - 1):
            raise CalibrationError(f"num_bins={num_bins}: accepted is a power of two from 2")
        self.num_bins = num_bins
        self.count = 0
        self.min = np.inf
        self.max = -np.inf
        self._exponent = MIN_EXPONENT
        self._counts = np.zeros(2 * num_bins, np.int64)
        self._sums = ExactSum()  # of values and of squares; while there are channels, they have them
        self._channels: Optional[Channels] = None
        self._scale: Optional[np.ndarray] = None

    @property
    def width(self) -> float:
        return 2.0**self._exponent

    def update(self, array: np.ndarray, examples: np.ndarray = None) -> None:
        """Adds values of any shape. Raises CalibrationError for NaN or infinity, and then adds nothing.

        Args:
            examples: hashes of the examples that it was computed from (see mxq.calib.samples.example_hashes).
        """
        x = np.ascontiguousarray(array, np.float32)
        if not x.size:
            return
        x = x.reshape(*x.shape[:2], -1) if x.ndim > 1 else x.reshape(1, 1, -1)
        found = measure(x)
        if not np.isfinite(found.sums).all():
            bad = np.flatnonzero(~np.isfinite(x))
            raise CalibrationError(f"{bad.size} of {x.size} values are not finite, the first is {x.flat[bad[0]]}")
        lo, hi = float(found.min.min()), float(found.max.max())
        self._grow(int(exponents(np.asarray(max(-lo, hi)), self.num_bins)))
        self._keep_channels(x.shape[1] if array.ndim > 1 else None)
        self.count += x.size
        self.min, self.max = min(self.min, lo) + 0.0, max(self.max, hi) + 0.0
        where, hashes = None, None if examples is None else hashes_of_rows(examples, len(x))
        if self._channels is None:
            self._sums.add(np.stack([found.sums.reshape(-1), found.squares.reshape(-1)], axis=1))
        else:
            where = self._channels.add(found, hashes)
        stride = max(1, min(x[0].size // COUNTED, x.shape[2] // _COUNTED_OF_CHANNEL)) if array.ndim > 1 else 1
        count(x, stride, 1 / self.width, self._counts, where, hashes)

    def merge(self, other: "TensorStatistics") -> None:
        """Adds what `other` has seen."""
        if other.num_bins != self.num_bins:
            raise CalibrationError(f"statistics with {self.num_bins} and {other.num_bins} bins do not merge")
        if not other.count:
            return
        self._grow(other._exponent)
        self._counts += coarser(other._counts, self._exponent - other._exponent)
        self._keep_channels(None if other._channels is None else len(other._channels))
        if self._channels is not None:
            self._channels.merge(other._channels)
        else:
            self._sums.merge(other._all_sums())
        self.count += other.count
        self.min, self.max = min(self.min, other.min), max(self.max, other.max)

    def scaled(self, scale: np.ndarray) -> "TensorStatistics":
        """Statistics of the tensor with each channel (axis 1) multiplied by a positive factor; not to be updated.

        Raises CalibrationError for a tensor without channels, or with another number of them.
        """
        if self._channels is None or len(self._channels) != len(scale):
            there = "no" if self._channels is None else len(self._channels)
            raise CalibrationError(f"{len(scale)} factors for a tensor with {there} channels")
        twin = object.__new__(TensorStatistics)
        twin.__dict__.update(self.__dict__)
        twin._scale = np.asarray(scale, np.float64) * (1.0 if self._scale is None else self._scale)
        twin.min = float((self._channels.min * twin._scale).min())
        twin.max = float((self._channels.max * twin._scale).max())
        return twin

    @property
    def sum(self) -> float:
        return self._moment(0)

    @property
    def sum_of_squares(self) -> float:
        return self._moment(1)

    @property
    def channel_mean(self) -> Optional[np.ndarray]:
        """Mean per channel (axis 1), float64; None for tensors without one or where its size changed."""
        if self._channels is None:
            return None
        return self._channels.sums.value()[0] * (len(self._channels) / self.count) * self._factors()

    @property
    def channel_mean_square(self) -> Optional[np.ndarray]:
        """Mean of squares per channel, float64; None as for channel_mean."""
        if self._channels is None:
            return None
        return self._channels.sums.value()[1] * (len(self._channels) / self.count) * self._factors() ** 2

    @property
    def channel_absmax(self) -> Optional[np.ndarray]:
        """Largest magnitude per channel, float64; None as for channel_mean."""
        if self._channels is None:
            return None
        return np.maximum(-self._channels.min, self._channels.max).astype(np.float64) * self._factors()

    @property
    def channel_extremes(self) -> Optional[Tuple[np.ndarray, np.ndarray]]:
        """Smallest and largest value per channel, float64; None as for channel_mean."""
        if self._channels is None:
            return None
        return tuple(ends.astype(np.float64) * self._factors() for ends in (self._channels.min, self._channels.max))

    def channel_peak(self, num_examples: int) -> Optional[np.ndarray]:
        """Largest magnitude per channel among a few dozen examples, float64; None as for channel_mean."""
        return None if self._channels is None else self._channels.typical_peak(num_examples) * self._factors()

    def histogram(self) -> Histogram:
        """The bins from the smallest to the largest value. Raises CalibrationError if there is no data.

        Large tensors are counted in part, see COUNTED; `min` and `max` are exact all the same.
        """
        if not self.count:
            raise CalibrationError("no data: statistics of an empty tensor have no histogram")
        if self._scale is not None:
            return self._channels.histogram(self._scale, self.num_bins)
        return trimmed(self._counts, self.width, self.min, self.max)

    def _factors(self):
        return 1.0 if self._scale is None else self._scale

    def _moment(self, which: int) -> float:
        if not self.count:
            return 0.0
        if self._scale is None:
            return float(self._all_sums().value()[which])
        return float((self._channels.sums.value()[which] * self._scale ** (which + 1)).sum())

    def _all_sums(self) -> ExactSum:
        return self._sums if self._channels is None else self._channels.sums.over(axis=1)

    def _keep_channels(self, channels: Optional[int]) -> None:
        """Starts channels with the first values; another number of them, or none, ends them for good."""
        if not self.count:
            self._channels = None if channels is None else Channels(channels)
        elif self._channels is not None and len(self._channels) != channels:
            self._sums = self._all_sums()
            self._channels = None

    def _grow(self, exponent: int) -> None:
        if exponent > self._exponent:
            self._counts = coarser(self._counts, exponent - self._exponent)
            self._exponent = exponent

    def arrays(self) -> Dict[str, np.ndarray]:
        """Everything by name, to be stored."""
        found = {
            "count": np.array(self.count),
            "extremes": np.array([self.min, self.max]),
            "exponent": np.array(self._exponent),
            "counts": self._counts,
        }
        if self._channels is None:
            return {**found, **stored_sum("sums", self._sums)}
        return {**found, **{f"channels.{name}": array for name, array in self._channels.arrays().items()}}

    @classmethod
    def of(cls, arrays: Arrays) -> "TensorStatistics":
        """From what `arrays` gave and a file kept. Raises the file's error for what does not go together."""
        counts = arrays.integers("counts", (None,))
        bins = len(counts) // 2
        if bins < 2 or bins & (bins - 1) or len(counts) % 2:
            raise arrays.wrong("counts", "as long as two times a power of two")
        stats = cls(bins)
        stats.count = arrays.integer("count", most=_MOST_VALUES)
        if not stats.count:
            return stats
        stats._exponent = arrays.integer("exponent", MIN_EXPONENT, MAX_EXPONENT)
        stats._counts = arrays.integers("counts", (None,), most=stats.count)
        stats.min, stats.max = map(float, arrays.floats("extremes", (2,), np.float64))
        if not -bins * stats.width <= stats.min <= stats.max <= bins * stats.width:
            raise arrays.wrong("extremes", "in order and within the histogram")
        own = arrays.below("channels.")
        if own:
            stats._channels = Channels.of(own)
            if (stats.min, stats.max) != (stats._channels.min.min(), stats._channels.max.max()):
                raise arrays.wrong("extremes", "those of the channels")
        else:
            stats._sums = restored_sum("sums", arrays, (2,))
        return stats
