"""Per tensor that becomes integers: range used and seen, saturated share, rounding error, histogram."""

from typing import Iterable, Optional, Tuple

import numpy as np

from ..arithmetic.noise import Noise
from ..arithmetic.qmath import QMAX, QMIN
from ..calib.tensor_statistics import TensorStatistics
from ..network.graph import Node
from ..passes.quantize_params import in_qparams
from .result import Histogram, Tensor

#: Bins of a histogram that is shown; more than half of them are in use.
BINS = 128


class TensorMeter:
    """Measures one tensor over batches.

    Args:
        dequantize: the second node of its pair.
    """

    def __init__(self, dequantize: Node):
        self._dtype = dequantize.inputs[0].node.attrs["out_type"]
        self._bits = 7 + int(dequantize.get("fine_steps", 1)).bit_length()
        self._qparams = in_qparams(dequantize)
        self._noise = Noise()
        self._statistics = TensorStatistics()
        self._saturated = 0

    def add(self, exact: np.ndarray, rounded: np.ndarray) -> None:
        """Float values and the same through integers."""
        self._noise.add(exact, rounded)
        self._statistics.update(exact)
        if self._qparams is not None:
            lo, hi = self._used()
            half = self._qparams.scale / 2
            self._saturated += int(np.count_nonzero(exact < lo - half) + np.count_nonzero(exact > hi + half))

    def _used(self) -> Tuple[float, float]:
        scale, zero_point, dtype = self._qparams
        return scale * (QMIN[dtype] - zero_point), scale * (QMAX[dtype] - zero_point)

    def result(self, key: str, readers: Iterable[str], calibrated: Optional[TensorStatistics]) -> Tensor:
        """The result; `calibrated`: what calibration remembers of this tensor."""
        known = self._qparams is not None
        return Tensor(
            key,
            self._dtype,
            self._bits,
            self._qparams.scale if known else None,
            self._qparams.zero_point if known else None,
            self._used() if known else None,
            (float(self._statistics.min), float(self._statistics.max)),
            None if calibrated is None else (float(calibrated.min), float(calibrated.max)),
            self._saturated / self._statistics.count,
            self._noise.db,
            tuple(readers),
            coarse(self._statistics),
        )


def coarse(statistics: TensorStatistics, bins: int = BINS) -> Histogram:
    """The histogram in at most `bins` bins, each the sum of whole ones.

    >>> statistics = TensorStatistics()
    >>> statistics.update(np.float32([0, 1, 2, 3]))
    >>> coarse(statistics, 2)
    Histogram(lo=0.0, hi=4.0, counts=(2, 2))
    """
    fine = statistics.histogram()
    group = 1
    while True:  # bins begin at multiples of their width, so that zero is an edge
        first = fine.first // group
        last = (fine.first + len(fine.counts) - 1) // group
        if last - first + 1 <= bins:
            break
        group *= 2
    counts = np.zeros(last - first + 1, np.int64)
    np.add.at(counts, (fine.first + np.arange(len(fine.counts))) // group - first, fine.counts)
    width = fine.width * group
    return Histogram(first * width, (last + 1) * width, tuple(counts.tolist()))
