"""Extremes, sums and a small histogram of each channel of a tensor.

They tell what the tensor's own histogram would be if its channels were scaled: nothing has to run again when channels
are equalized.
"""

from typing import Dict, Optional, Tuple

import numpy as np

from .array_file import MOST, Arrays
from .bins import MAX_EXPONENT, MIN_EXPONENT, coarser, exponents, trimmed
from .exact_sum import MAX_LIMB, ExactSum
from .histogram import ChannelCounts, Growing, Measured, add_extremes, grow

#: Bins of all channels together on each side of zero, and fewest and most for one.
_TOGETHER, _FEWEST, _MOST = 1 << 16, 64, 2048
#: With more channels a tensor has fewer bins for each.
_MANY = 4096
#: Examples fall into so many parts by their hashes.
PARTS = 64
#: The typical peak is the largest of so many examples: fewer leave too much out, of many it is that of a rare one.
TYPICAL = 32


def bins_of(channels: int) -> int:
    """Bins on each side of zero for one of so many channels, a power of two."""
    if channels > _MANY:
        return max(4, 1 << (_FEWEST * _MANY // channels).bit_length() - 1)
    return min(max(_FEWEST, 1 << (_TOGETHER // channels).bit_length() - 1), _MOST)


class Channels:
    """What is known of the channels (axis 1) of a tensor.

    Attributes:
        min, max: float32 (C,).
        exponents: int64 (C,), the bins of channel c are ``2.0 ** exponents[c]`` wide.
        counts: int64 (C, 2 * bins) of sampled values, zero in the middle; zeros (C,): how many of them are exactly 0.
        peaks: float32 (PARTS, C), the largest magnitude in each part of the examples.
        sums: ExactSum (2, C) of all values and of their squares.
    """

    def __init__(self, channels: int):
        bins = bins_of(channels)
        self.min = np.full(channels, np.inf, np.float32)
        self.max = np.full(channels, -np.inf, np.float32)
        self.exponents = np.full(channels, MIN_EXPONENT, np.int64)
        self.counts = np.zeros((channels, 2 * bins), np.int64)
        self.zeros = np.zeros(channels, np.int64)
        self.peaks = np.zeros((PARTS, channels), np.float32)
        self.sums = ExactSum()

    def __len__(self) -> int:
        return len(self.min)

    def add(self, found: Measured, examples: Optional[np.ndarray]) -> ChannelCounts:
        """Adds extremes and sums of a batch; returns where to count its values.

        Args:
            examples: hashes of the batch's examples (uint64), where the first axis is that of examples.
        """
        parts = np.zeros(len(found.min), np.int64) if examples is None else examples % np.uint64(PARTS)
        inverse_width = add_extremes(found, parts.astype(np.int64), self._growing())
        self.sums.add(np.stack([found.sums, found.squares], axis=1))
        return ChannelCounts(inverse_width, self.counts, self.zeros)

    def merge(self, other: "Channels") -> None:
        grow(self._growing(), other.exponents)
        np.minimum(self.min, other.min, out=self.min)
        np.maximum(self.max, other.max, out=self.max)
        for doublings in np.unique(self.exponents - other.exponents):
            rows = self.exponents - other.exponents == doublings
            self.counts[rows] += coarser(other.counts[rows], doublings)
        self.zeros += other.zeros
        np.maximum(self.peaks, other.peaks, out=self.peaks)
        self.sums.merge(other.sums)

    def _growing(self) -> Growing:
        return Growing(self.min, self.max, self.peaks, self.exponents, self.counts)

    def typical_peak(self, num_examples: int) -> np.ndarray:
        """Largest magnitude per channel among TYPICAL examples, on average over parts of that size; float64 (C,)."""
        together = min(max(PARTS * TYPICAL // max(num_examples, 1), 1), PARTS)
        groups = self.peaks[: PARTS // together * together].reshape(-1, together, len(self))
        return groups.max(axis=1).mean(axis=0, dtype=np.float64)

    def histogram(self, scale: np.ndarray, num_bins: int):
        """Histogram of the tensor with each channel multiplied by a positive factor.

        Within its bin a value counts as evenly spread, but zeros as zeros.
        """
        bins = self.counts.shape[1] // 2
        lo, hi = self.min * scale, self.max * scale
        width = 2.0 ** float(exponents(np.asarray(max(-lo.min(), hi.max(), 0.0)), num_bins))
        channel, index = np.nonzero(self.counts)
        mass = self.counts[channel, index].astype(np.float64)
        mass -= np.where(index == bins, self.zeros[channel], 0)
        step = np.ldexp(scale, self.exponents)[channel]
        begin = np.maximum((index - bins) * step, lo[channel]) / width
        end = np.minimum((index - bins + 1) * step, hi[channel]) / width
        counts = _spread(begin, np.maximum(begin, end), mass, num_bins)
        counts[num_bins] += self.zeros.sum()
        return trimmed(counts, width, float(lo.min()), float(hi.max()))

    def arrays(self) -> Dict[str, np.ndarray]:
        """Everything by name, to be stored."""
        names = ("min", "max", "exponents", "counts", "zeros", "peaks")
        return {**{name: getattr(self, name) for name in names}, **stored_sum("sums", self.sums)}

    @classmethod
    def of(cls, arrays: Arrays) -> "Channels":
        """From what `arrays` gave and a file kept. Raises the file's error for what does not go together."""
        channels = cls(len(arrays.floats("min", (None,), np.float32)))
        size = (len(channels),)
        for name in ("min", "max"):
            setattr(channels, name, arrays.floats(name, size, np.float32))
        if not (channels.min <= channels.max).all():
            raise arrays.wrong("max", "from min on")
        channels.peaks = arrays.floats("peaks", (PARTS, *size), np.float32, least=0.0)
        channels.exponents = arrays.integers("exponents", size, MIN_EXPONENT, MAX_EXPONENT)
        channels.counts = arrays.integers("counts", channels.counts.shape)
        channels.zeros = arrays.integers("zeros", size)
        if not (channels.zeros <= channels.counts[:, channels.counts.shape[1] // 2]).all():
            raise arrays.wrong("zeros", "among those counted")
        channels.sums = restored_sum("sums", arrays, (2, *size))
        return channels


def stored_sum(name: str, total: ExactSum) -> Dict[str, np.ndarray]:
    keys = sorted(total.limbs)
    return {
        f"{name}_keys": np.array(keys, np.int64),
        f"{name}_limbs": np.array([total.limbs[k] for k in keys], np.int64),
    }


def restored_sum(name: str, arrays: Arrays, shape: Tuple[int, ...]) -> ExactSum:
    """What stored_sum gave, of arrays of this shape."""
    keys = arrays.integers(f"{name}_keys", (None,), -MAX_LIMB, MAX_LIMB)
    if not len(keys) or len(set(keys.tolist())) < len(keys):
        raise arrays.wrong(f"{name}_keys", "of one limb or more, each once")
    limbs = arrays.integers(f"{name}_limbs", (len(keys), *shape), least=-MOST)
    return ExactSum({int(k): limb for k, limb in zip(keys, limbs)})


def _spread(begin: np.ndarray, end: np.ndarray, mass: np.ndarray, num_bins: int) -> np.ndarray:
    """Counts in bins of width 1 around zero, of masses that are each evenly spread from `begin` to `end`."""
    size = 2 * num_bins
    first = np.clip(np.floor(begin).astype(np.int64) + num_bins, 0, size - 1)
    last = np.clip(np.ceil(end).astype(np.int64) - 1 + num_bins, 0, size - 1)
    inside = last <= first
    counts = np.bincount(first[inside], mass[inside], size)
    begin, end, mass = begin[~inside] + num_bins, end[~inside] + num_bins, mass[~inside]
    if not mass.size:
        return counts
    # Below a point g lies the sum of density * (g - edge) over the edges before it, each a step of the density.
    edges = np.concatenate([begin, end])
    density = mass / (end - begin)
    jumps = np.concatenate([density, -density])
    cell = np.clip(np.ceil(edges).astype(np.int64), 0, size)
    slope = np.cumsum(np.bincount(cell, jumps, size + 1))
    offset = np.cumsum(np.bincount(cell, jumps * edges, size + 1))
    spread = np.diff(slope * np.arange(size + 1) - offset)
    spread[spread < 1e-9 * mass.sum()] = 0  # what cancellation leaves
    return counts + spread
