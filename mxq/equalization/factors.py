"""Which factors per channel make the noise of rounding the least.

For channels divided by s, a tensor between -b and a is rounded with steps proportional to its range, which readers feel
times ``s``; a weight w behind it with steps proportional to ``max(|w| s)``, times inputs of power
``m / s^2``. With the importance g of each channel (mxq.equalization.importance) the noise at the outputs is

    sum over tensors   (max_c(a_c / s_c) + max_c(b_c / s_c))^2 * sum_c g_c s_c^2
  + sum over layers    sum_o g_o max_c(|w_oc| s_c)^2 * sum_c m_c / s_c^2

a sum of products of powers of s, so convex in log s: there is one minimum. It is found by balancing, channel by
channel, what a larger factor would cost with what it would save. A norm of high order stands for a maximum.

A channel that was multiplied by f, and its readers by 1 / f, gets f times the factor: the equalized network is the
same, whatever scales training, folding or conversion left between two layers.

Sources: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, for the idea;
Boyd et al., "A tutorial on geometric programming", 2007, for the problem's kind.
"""

from typing import Dict, List, Mapping, NamedTuple

import numpy as np

from ..calib.statistics import Statistics
from ..network.graph import Graph
from ..network.identity import tensor_key
from ..ops.fuse import ADD
from ..passes.annotate import quantized_values, units
from ..passes.channel_ties import FIXED, Ties
from .rounding_noise import RoundedTensor, RoundedWeights, RoundingNoise

#: Of the norms that stand for the maximum of weights and of a tensor, whose range often ends before its largest values.
ORDER, TENSOR_ORDER = 8, 4
ROUNDS = 60
#: How far log s goes from where it starts: powers of float32 hold no more, and a channel that counts so little is no
#: worse for it.
FARTHEST = 9.0


def channel_factors(annotated: Graph, statistics: Statistics, steps: Mapping[str, float]) -> Dict[str, np.ndarray]:
    """Layer (or BatchNorm) name -> float32 factor s per output channel, for those whose output can be scaled.

    Args:
        annotated: the float graph with shapes and units marked.
        statistics: of the tensors that units read.
        steps: tensor key -> its rounding steps beside those of 8 bits, 0 for what is read as float; 1 where not named.
    """
    ties = Ties(annotated)
    noise = RoundingNoise(annotated, ties, statistics, steps)
    if ties.count == 1 or not noise.tensors:
        return {}
    clips = _clips(annotated, ties, statistics, steps)
    classes = _classes(ties.count, clips)
    s = np.exp(_balanced(noise, classes))[classes]
    for clip in clips:
        _bring_to_one_limit(s, clip)
    found = {}
    for node in ties.producers:
        own = ties.of(node.out())
        if (own != FIXED).any():
            found[node.name] = s[own].astype(np.float32)
    return found


# -- the minimum -----------------------------------------------------------------------------------------------------


def _balanced(noise: RoundingNoise, classes: np.ndarray) -> np.ndarray:
    """log s by class of ties."""
    tensors = [(classes[t.ties], t) for t in noise.tensors]
    start = _start(tensors, len(classes))
    log_s = start.copy()
    weights = [_powers(classes[w.ties], w, log_s) for w in noise.weights]
    for _ in range(ROUNDS):
        # What the noise gains (costs) or loses (saves) with a larger factor, as a share of log s.
        costs, saves = np.zeros_like(log_s), np.zeros_like(log_s)
        for own, tensor in tensors:
            _add_tensor(own, tensor, log_s, costs, saves)
        for own, layer, powers in weights:
            _add_weights(own, layer, powers, log_s, costs, saves)
        moves = (costs > 0) & (saves > 0)
        moves[FIXED] = False
        log_s[moves] += np.clip(np.log(saves[moves] / costs[moves]) / (ORDER + 2), -0.5, 0.5)
        np.clip(log_s, start - FARTHEST, start + FARTHEST, out=log_s)
    return log_s


def _start(tensors: List[tuple], count: int) -> np.ndarray:
    """Channels of equal magnitude, on average over the tensors in which they occur."""
    total, times = np.zeros(count), np.zeros(count)
    for own, tensor in tensors:
        np.add.at(total, own, np.log(np.maximum(tensor.above, tensor.below)))
        np.add.at(times, own, 1)
    total[FIXED] = 0
    return total / np.maximum(times, 1)


def _add_tensor(own: np.ndarray, tensor: RoundedTensor, log_s: np.ndarray, costs: np.ndarray, saves: np.ndarray):
    s = np.exp(log_s[own])
    step, shares = 0.0, np.zeros(len(s))  # the width of the range, and what each channel has to do with it
    for ends in (tensor.above, tensor.below):
        largest = (ends / s).max()
        if largest > 0:
            powers = (ends / s / largest) ** TENSOR_ORDER
            norm = largest * powers.sum() ** (1 / TENSOR_ORDER)
            step, shares = step + norm, shares + norm * powers / powers.sum()
    felt = tensor.noise * tensor.importance * s**2
    costs += np.bincount(own, step**2 * felt, len(costs))
    saves += np.bincount(own, step * felt.sum() * shares, len(costs))


def _powers(own: np.ndarray, layer: RoundedWeights, log_s: np.ndarray) -> tuple:
    """The layer with float32 powers of its weights, relative to the start: no power of a real weight underflows."""
    start = np.exp(log_s[own])
    scaled = layer.magnitudes * start
    largest = np.maximum(scaled.max(axis=1), np.finfo(np.float32).tiny)
    powers = ((scaled / largest[:, None]) ** ORDER).astype(np.float32)
    return own, layer._replace(importance=layer.importance * largest**2), (powers, start)


def _add_weights(own, layer: RoundedWeights, powers: tuple, log_s: np.ndarray, costs: np.ndarray, saves: np.ndarray):
    s = np.exp(log_s[own])
    moved = ((s / powers[1]) ** ORDER).astype(np.float32)
    sums = np.maximum(powers[0] @ moved, np.finfo(np.float32).tiny).astype(np.float64)
    rounded = layer.importance * sums ** (2 / ORDER)
    inputs = layer.power / s**2
    costs += np.bincount(own, inputs.sum() * moved * ((rounded / sums).astype(np.float32) @ powers[0]), len(costs))
    saves += np.bincount(own, rounded.sum() * inputs, len(costs))


# -- clips -----------------------------------------------------------------------------------------------------------


class _Clip(NamedTuple):
    """A clip from 0 to `limit`: ties and largest values of its channels, and whether each may have its own limit."""

    ties: np.ndarray
    largest: np.ndarray
    limit: float
    each: bool

    @property
    def at_limit(self) -> np.ndarray:
        return self.largest >= self.limit * (1 - 1e-6)


def _clips(annotated: Graph, ties: Ties, statistics: Statistics, steps: Mapping[str, float]) -> List[_Clip]:
    """Limits per channel cost nothing where the integers end at the least of them: if the clip's output is rounded, as
    it is, in a range of its own. Elsewhere one limit is kept for all channels."""
    rounded = {tensor_key(v) for v in quantized_values(annotated) if steps.get(tensor_key(v), 1)}
    uses, unit_of = annotated.uses(), {n.name: unit for unit in units(annotated) for n in unit.nodes}
    found = []
    for node in annotated.nodes:
        own = ties.of(node.out())
        if node.op != "clip" or own is None or (own == FIXED).all():
            continue
        key = tensor_key(node.out())
        each = key in rounded and key in statistics and statistics[key].channel_absmax is not None
        readers = [use.node for use in uses.get((id(node), 0), [])]
        each = each and not any(
            r is None or r.name not in unit_of or unit_of[r.name].spec.name == "concat" for r in readers
        )
        each = each and not any(r.op in ADD and unit_of.get(r.name) is unit_of.get(node.name) for r in readers)
        largest = statistics[key].channel_absmax if each else np.zeros(len(own))
        found.append(_Clip(own, largest, float(node.get("a_max")), each and not (own == FIXED).any()))
    return found


def _classes(count: int, clips: List[_Clip]) -> np.ndarray:
    """Class of each tie: channels that reach a clip's limit have one factor, and all of a clip with one limit."""
    classes = np.arange(count)
    for clip in clips:
        together = np.unique(classes[clip.ties[clip.at_limit] if clip.each else clip.ties])
        if together.size:
            classes[np.isin(classes, together)] = together.min()
    return classes


def _bring_to_one_limit(s: np.ndarray, clip: _Clip) -> None:
    """Changes factors so that every channel's limit is at least the largest value of the tensor."""
    if not clip.each:
        return
    own = s[clip.ties]
    if clip.at_limit.any():
        largest = own[clip.at_limit].max()
        own = np.minimum(np.maximum(own, clip.largest * largest / clip.limit), largest)
    else:
        own = np.minimum(own, clip.limit / (clip.largest / own).max())
    s[clip.ties] = own
