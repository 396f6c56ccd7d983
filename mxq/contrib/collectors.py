"""What watches the float network during calibration: MXNet's collectors, without their traps.

MXNet 1.9 calls ``collect(name, arr)`` with a name as bytes and a raw handle, 2.0 calls ``collect(name, op_name, arr)``
with an NDArray. The collectors here take both, and both spellings of ``include_layer(s)``.
"""

import ctypes
import inspect
from typing import Dict, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from ..errors import CalibrationError
from .entropy import Hist, get_optimal_thresholds

#: A histogram that would grow beyond so many bins merges bins instead: four times what it starts with.
_MAX_BINS = 4 * 8001


class CalibrationCollector:
    """Base of a caller's own collector, as MXNet 2.0 has it.

    >>> class Peaks(CalibrationCollector):
    ...     def collect(self, name, op_name, arr):
    ...         if name in self.include_layers:
    ...             self.min_max_dict[name] = (float(arr.min().asscalar()), float(arr.max().asscalar()))

    Attributes:
        include_layers: names of the tensors that need a range; filled in by quantize_graph and quantize_net where it is
            None.
        min_max_dict: name -> (min, max).
    """

    def __init__(self):
        self.include_layers: Optional[Sequence[str]] = None
        self.min_max_dict: Dict[str, Tuple[float, float]] = {}

    @property
    def include_layer(self) -> Optional[Sequence[str]]:
        """MXNet 1.9's name of include_layers."""
        return self.include_layers

    @include_layer.setter
    def include_layer(self, names: Optional[Sequence[str]]) -> None:
        self.include_layers = names

    def collect(self, name: str, op_name: str, arr) -> None:
        """Called with every tensor of the float network."""
        raise NotImplementedError(f"{type(self).__name__} must define collect(name, op_name, arr)")

    def post_collect(self) -> Dict[str, Tuple[float, float]]:
        """The ranges, after the last batch."""
        return self.min_max_dict


class _ArrayCollector(CalibrationCollector):
    """Hands on numpy arrays of the included tensors, whichever MXNet calls."""

    def __init__(self, include: Optional[Sequence[str]], logger):
        super().__init__()
        self.include_layers = include
        self.logger = logger
        self._sums: Dict[str, np.ndarray] = {}
        self._counts: Dict[str, int] = {}

    @property
    def channel_means(self) -> Dict[str, np.ndarray]:
        """Name -> mean per channel (axis 1), which calib_graph corrects biases with; MXNet has no such thing."""
        return {name: sums * (sums.size / self._counts[name]) for name, sums in self._sums.items()}

    def collect(self, name, *rest) -> None:
        name, arr = text(name), rest[-1]
        if self.include_layers is not None and name not in self.include_layers:
            return
        arr = as_numpy(arr)
        if not arr.size:
            return
        lo, hi = arr.min(), arr.max()
        if not (np.isfinite(lo) and np.isfinite(hi)):
            raise CalibrationError(f"tensor {name!r} has values that are NaN or infinite during calibration")
        self.add(name, arr, lo, hi)
        if arr.ndim > 1:
            sums = arr.reshape(*arr.shape[:2], -1).sum(axis=(0, 2), dtype=np.float64)
            self._sums[name] = self._sums.get(name, 0.0) + sums
            self._counts[name] = self._counts.get(name, 0) + arr.size
        if self.logger:
            self.logger.debug("collected %s, shape %s, min %g, max %g", name, arr.shape, lo, hi)

    def add(self, name: str, arr: np.ndarray, lo: float, hi: float) -> None:
        raise NotImplementedError


class LayerHistogramCollector(_ArrayCollector):
    """Histograms for entropy calibration: ``hist_dict[name] = (hist, edges, min, max, threshold)``."""

    def __init__(self, num_bins=8001, include_layer=None, logger=None, *, include_layers=None, quantized_dtype="auto"):
        super().__init__(include_layer if include_layers is None else include_layers, logger)
        self.hist_dict: Dict[str, Hist] = {}
        self.num_bins = num_bins
        self.quantized_dtype = quantized_dtype

    def add(self, name: str, arr: np.ndarray, lo: float, hi: float) -> None:
        th = max(abs(lo), abs(hi))
        if name in self.hist_dict:
            self.hist_dict[name] = combine_histogram(self.hist_dict[name], arr, lo, hi, th)
        else:
            self.hist_dict[name] = (*_histogram(arr, self.num_bins, th), lo, hi, th)

    def post_collect(self) -> Dict[str, Tuple[float, float]]:
        return get_optimal_thresholds(self.hist_dict, self.quantized_dtype, logger=self.logger)


class LayerOutputMinMaxCollector(_ArrayCollector):
    """Smallest and largest values: ``min_max_dict[name] = (min, max)``."""

    def __init__(self, quantized_dtype="auto", include_layer=None, logger=None, *, include_layers=None):
        super().__init__(include_layer if include_layers is None else include_layers, logger)
        self.quantized_dtype = quantized_dtype

    def add(self, name: str, arr: np.ndarray, lo: float, hi: float) -> None:
        old = self.min_max_dict.get(name, (lo, hi))
        self.min_max_dict[name] = (min(old[0], lo), max(old[1], hi))


def combine_histogram(old_hist: Hist, arr, new_min, new_max, new_th) -> Hist:
    """Adds an array to a symmetric histogram, which grows by whole bins where the array reaches further.

    As MXNet's, but the histogram of a tensor that was all zeros so far starts anew, and one that would grow without
    bound (a first batch of tiny values) merges bins.

    Args:
        old_hist: (hist, edges, min, max, threshold).
        arr: numpy array.
        new_min, new_max, new_th: its extremes and largest magnitude.

    Returns:
        the same tuple with `arr` counted in.
    """
    hist, edges, old_min, old_max, old_th = old_hist
    low, high = min(old_min, new_min), max(old_max, new_max)
    bins = len(hist)
    if new_th <= old_th:
        added, _ = _histogram(arr, bins, old_th)
        return hist + added, edges, low, high, old_th
    if new_th >= old_th * bins:  # what was seen so far, perhaps zeros only, belongs to the bin in the middle
        added, edges = _histogram(arr, bins, new_th)
        added[bins // 2] += hist.sum()
        return added, edges, low, high, new_th
    step = 2 * old_th / bins
    increased = int((new_th - old_th) // step + 1)
    if 2 * increased + bins > max(_MAX_BINS, bins):
        hist, step = _coarser(hist, step, new_th)
        increased = max(int(np.ceil((new_th - len(hist) / 2 * step) / step)), 0)
    th = (len(hist) / 2 + increased) * step
    added, edges = _histogram(arr, len(hist) + 2 * increased, th)
    added[increased : len(added) - increased] += hist
    return added, edges, low, high, th


def _histogram(arr, bins: int, th: float) -> Tuple[np.ndarray, np.ndarray]:
    return np.histogram(arr, bins=bins, range=(-th, th))


def _coarser(hist: np.ndarray, step: float, new_th: float) -> Tuple[np.ndarray, float]:
    """The same counts in bins an odd number of times as wide, so that the one in the middle stays there.

    They are wide enough for the old number of bins to reach `new_th`.
    """
    factor = int(np.ceil(2 * new_th / (step * len(hist)))) | 1
    middle = len(hist) // 2
    reach = (middle + factor // 2) // factor  # coarse bins on each side that the old ones touch
    padding = reach * factor + factor // 2 - middle
    return np.pad(hist, padding).reshape(-1, factor).sum(axis=1), step * factor


def text(name) -> str:
    """A name as MXNet hands it to a callback."""
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)


def as_numpy(arr) -> np.ndarray:
    """An array as MXNet hands it to a callback: an NDArray, or a raw handle that now belongs to us."""
    if isinstance(arr, np.ndarray):
        return arr
    return (arr if hasattr(arr, "asnumpy") else _from_handle(arr)).asnumpy()


def _from_handle(handle) -> mx.nd.NDArray:
    return mx.nd.NDArray(ctypes.cast(handle, mx.base.NDArrayHandle), writable=False)


def callback_of(collector):
    """A monitor callback ``(name, handle)`` for a collector of either kind."""
    if isinstance(collector, _ArrayCollector) or len(inspect.signature(collector.collect).parameters) < 3:
        return collector.collect
    return lambda name, handle: collector.collect(text(name), "", _from_handle(handle))
