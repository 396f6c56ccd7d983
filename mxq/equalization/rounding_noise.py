"""What the noise of rounding depends on, of a network whose channels may be scaled: see mxq.equalization."""

from typing import Iterator, List, Mapping, NamedTuple, Optional

import numpy as np

from ..arithmetic.qmath import LEVELS
from ..calib.statistics import Statistics
from ..network.graph import Graph
from ..network.identity import tensor_key
from ..ops import COMPUTE, SELECT, Unit
from ..passes.annotate import quantized_values, units
from ..passes.channel_ties import FIXED, Ties
from .importance import importance

#: A channel counts as at least one part in so many of what weights like its own reach: what calibration hardly saw may
#: still come.
LARGEST_GAIN = 32.0
#: Noise of rounded weights beside what independent rounding to nearest makes: their errors are made to cancel.
WEIGHT_NOISE = 0.3

#: Levels of weights, beside those of a tensor: for a magnitude, and for the whole range.
_LEVELS = LEVELS["int8"] / LEVELS["uint8"]


class RoundedTensor(NamedTuple):
    """A tensor that becomes integers: tie, how far it reaches above and below 0, and importance of each channel; noise
    per step^2, the step of weights being their largest magnitude and that of tensors the width of their range."""

    ties: np.ndarray
    above: np.ndarray
    below: np.ndarray
    importance: np.ndarray
    noise: float


class RoundedWeights(NamedTuple):
    """Weights of a layer, or of a group: tie and power of each input channel, magnitudes (O, C), importance (O,)."""

    ties: np.ndarray
    power: np.ndarray
    magnitudes: np.ndarray
    importance: np.ndarray


class RoundingNoise:
    """What is rounded.

    Args:
        annotated: the float graph with shapes and units marked.
        ties: of this graph.
        statistics: of the tensors that units read.
        steps: tensor key -> its rounding steps beside those of 8 bits; 1 where not named, 0 for float.

    Attributes:
        tensors, weights: lists of RoundedTensor and RoundedWeights with channels that can be scaled.
    """

    def __init__(self, annotated: Graph, ties: Ties, statistics: Statistics, steps: Mapping[str, float]):
        self._graph, self._ties, self._statistics = annotated, ties, statistics
        found = units(annotated)
        layers = [unit for unit in found if unit.kind == COMPUTE and self._peaks(unit) is not None]
        powers = {unit.head.name: float(self._output_power(unit).mean()) for unit in layers}
        self._importance = importance(annotated, powers)
        self.tensors = self._rounded_tensors(found, steps, self._reach(layers))
        self.weights: List[RoundedWeights] = [part for unit in layers for part in self._rounded_weights(unit)]

    def _rounded_tensors(self, found: List[Unit], steps: Mapping, reach: np.ndarray) -> List[RoundedTensor]:
        selected = {tensor_key(value) for unit in found if unit.kind == SELECT for value in unit.outputs}
        tensors = []
        for value in quantized_values(self._graph):
            key, own = tensor_key(value), self._ties.of(value)
            step, statistics = steps.get(key, 1.0), self._statistics[key]
            peaks = statistics.channel_peak(self._statistics.num_examples)
            # What is only moved is not rounded again.
            if own is None or peaks is None or key in selected or not step or not peaks.max() > 0:
                continue
            if (own == FIXED).all() or key not in self._importance:
                continue
            peaks = _floored(peaks, reach[own])
            lowest, highest = statistics.channel_extremes
            largest = np.maximum(np.maximum(-lowest, highest), np.finfo(np.float32).tiny)
            above, below = (peaks * np.clip(ends / largest, 0, 1) for ends in (highest, -lowest))
            above = np.where((above > 0) | (below > 0), above, peaks)  # channels that were always 0
            tensors.append(RoundedTensor(own, above, below, self._importance[key], (step * _LEVELS) ** 2))
        return tensors

    def _rounded_weights(self, unit: Unit) -> Iterator[RoundedWeights]:
        head = unit.head
        own, of_output = self._ties.of(unit.inputs[0]), self._importance.get(tensor_key(head.out()))
        if own is None or (own == FIXED).all() or of_output is None:
            return
        weight = np.abs(self._graph.param_of(head.inputs[1]))
        square = self._statistics[tensor_key(unit.inputs[0])].channel_mean_square
        weight, taps = _by_channel(weight, head, len(square))
        groups = len(square) // weight.shape[1]
        if weight.shape[1] == 1:  # depthwise: whatever scales a channel scales its weights
            return
        parts = zip(*(np.split(array, groups) for array in (own, square * taps, weight.max(axis=2), of_output)))
        for ties, power, magnitudes, amount in parts:
            if not (ties == FIXED).all() and magnitudes.any():
                yield RoundedWeights(ties, power, magnitudes, WEIGHT_NOISE * amount)

    def _peaks(self, unit: Unit) -> Optional[np.ndarray]:
        """Largest magnitude of each channel of a layer's input, where its weight has a place for each."""
        key, head = tensor_key(unit.inputs[0]), unit.head
        peaks = self._statistics[key].channel_peak(self._statistics.num_examples) if key in self._statistics else None
        if peaks is None or not head.get("flatten", True):
            return None
        inputs = self._graph.param_of(head.inputs[1]).shape[1] * int(head.get("num_group", 1))
        return peaks if inputs % len(peaks) == 0 else None

    def _output_power(self, unit: Unit) -> np.ndarray:
        """Power of each output channel, for inputs that vary independently around their means."""
        head, statistics = unit.head, self._statistics[tensor_key(unit.inputs[0])]
        weight, _ = _by_channel(self._graph.param_of(head.inputs[1]), head, len(statistics.channel_mean))
        mean, square = statistics.channel_mean, statistics.channel_mean_square
        variance = _over_inputs(np.square(weight, dtype=np.float64).sum(axis=2), np.maximum(square - mean**2, 0))
        return variance + (_over_inputs(weight.sum(axis=2, dtype=np.float64), mean) + self._bias(unit)) ** 2

    def _bias(self, unit: Unit):
        inputs = unit.head.inputs
        return np.asarray(self._graph.param_of(inputs[2]), np.float64) if len(inputs) > 2 else 0.0

    def _reach(self, layers: List[Unit]) -> np.ndarray:
        """By tie: the largest magnitude that weights and bias could give; 0 where unknown."""
        reach = np.zeros(self._ties.count)
        for unit in layers:
            peaks, own = self._peaks(unit), self._ties.of(unit.head.out())
            if own is not None:
                weight, _ = _by_channel(np.abs(self._graph.param_of(unit.head.inputs[1])), unit.head, len(peaks))
                sums = _over_inputs(weight.sum(axis=2, dtype=np.float64), peaks) + np.abs(self._bias(unit))
                np.maximum.at(reach, own, sums)
        reach[FIXED] = 0
        return reach


def _by_channel(weight: np.ndarray, head, channels: int) -> tuple:
    """A weight as (O, C / groups, taps), and how many taps."""
    groups = int(head.get("num_group", 1))
    weight = weight.reshape(len(weight), channels // groups, -1)
    return weight, weight.shape[2]


def _over_inputs(weight: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Sums of products over the inputs of each output's group: (O, C / groups) and (C,) -> (O,)."""
    by_group = weight.reshape(len(inputs) // weight.shape[1], -1, weight.shape[1])
    return np.einsum("goc,gc->go", by_group, inputs.reshape(len(by_group), -1)).reshape(-1)


def _floored(peaks: np.ndarray, reach: np.ndarray) -> np.ndarray:
    used = (peaks > 0) & (reach > 0)
    typical = np.median(peaks[used] / reach[used]) if used.any() else 0.0
    floored = np.maximum(peaks, typical * reach / LARGEST_GAIN)
    return np.where(floored > 0, floored, floored[floored > 0].min())
