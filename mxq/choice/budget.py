"""Spends a small part of a network's time, as estimated, on the tensors whose rounding makes most of the noise.

In many networks one or two tensors make nearly all of it: what a global pooling reads, or a depthwise layer before the
embedding. Such a tensor is read with 11 bits by layers that multiply, and as float by poolings, concats and sums (see
mxq.passes.insert_qdq). Tensors that poolings and concats only move go together.

What a tensor costs is measured on a few examples: estimated for all at once (mxq.costs.shares), then measured alone for
those that seem worth it. Where noise is spread evenly, or the network is near float, nothing changes.
"""

import functools
import logging
import math
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from ..arithmetic.noise import Noise, decibel, mean_ratio
from ..calib.table import CalibTable
from ..costs.shares import NoGradient, alone, value_of
from ..data.batches import Batch
from ..network.graph import Graph, Value
from ..network.identity import tensor_key
from ..network.part import Runner
from ..ops import COMPUTE, UNIT, lookup
from ..passes.annotate import quantized_values
from ..passes.insert_qdq import finer_readers
from ..report.precision import FinerTensor, Precision
from .effort import effort, effort_of_parts, effort_of_value
from .together import moved_together

_log = logging.getLogger(__name__)

#: Examples that noise is measured on at most; of few a part.
EXAMPLES, PART = 4, 4
#: A tensor is worth it that makes such a part of the noise that is left: a quarter of a decibel.
WORTH = 0.05
#: A smaller one is worth it, too, where its part of the noise is so many times its part of the time; down to this part.
DENSE, LEAST = 2.0, 0.01
#: dB from which on a network is near enough to float.
NEAR = 33.0
#: A network with an output below so many dB may spend so many times the budget.
FAR, TIMES = 27.0, 3
#: Estimates are a little rough: what seems nearly worth it is measured, and no more than so many.
_NEARLY, _MEASURED = 0.5, 16
#: Costs are counted in such parts.
_UNITS = 1000


class _Candidate(NamedTuple):
    """Tensors that go together, what reading them finer costs (share of time or weights), and their noise."""

    keys: Tuple[str, ...]
    readers: Tuple[str, ...]
    cost: float
    ratio: float


def spend(
    floats: Graph,
    annotated: Graph,
    table: CalibTable,
    qdq: Graph,
    batches: Sequence[Batch],
    watched: Sequence[Value],
    *,
    budget: float,
    fixed: Dict,
    quantized: Callable[[CalibTable], Graph],
    finer: Callable[[Sequence[str]], CalibTable],
    shares: Callable[[], Dict[str, float]],
    ctx=None,
) -> Tuple[Precision, CalibTable]:
    """What was spent on which tensors, and the table that says so.

    Args:
        floats, annotated: the network that was calibrated, and the same with units marked; with shapes.
        table: its ranges.
        qdq: the network with explicit quantization that the table gives.
        batches: a few examples.
        watched: values of `floats` at which noise counts.
        budget: share of the network's time (mxq.choice.effort) and of its weights that may be added; up to TIMES as
            much to a network with an output that is below FAR.
        fixed: inputs that are integers.
        quantized: from a table to the network with explicit quantization.
        finer: the table in which these tensors have more than 8 bits.
        shares: noise by tensor key (see mxq.costs.noise_shares) with this table.
        ctx: where networks run.
    """
    examples = sum(batch.n_valid for batch in batches)
    nothing = functools.partial(Precision, budget, examples, after=None, tensors=())
    if not examples:
        reason = "these statistics hold no examples to measure noise on; collect them again"
        return nothing(before=None, reason=reason), table
    groups = _candidates(annotated, fixed)
    if not groups:
        return nothing(before=None, reason="no tensor can be read finer, or shapes are not known"), table
    meter = _Meter(floats, watched, batches, ctx)
    noise = meter.ratio(qdq)
    before = decibel(noise)
    if not noise > 0 or before >= NEAR:
        return nothing(before=before, reason=f"{before:.1f} dB is near float"), table
    try:
        noise_of = shares()
    except NoGradient as error:
        return nothing(before=before, reason=f"the noise of each tensor cannot be told ({error})"), table
    estimated = [c._replace(ratio=sum(noise_of.get(key, 0.0) for key in c.keys)) for c in groups]
    most = TIMES * budget
    likely = [c for c in estimated if c.cost <= most and _is_worth(c, c.ratio / (_NEARLY * noise))]
    likely = sorted(likely, key=lambda c: (-c.ratio, c.keys))[:_MEASURED]
    measured = [c._replace(ratio=meter.ratio(alone(floats, qdq, c.keys))) for c in likely]
    for room in (budget, most):
        chosen = _choose(measured, noise, room)
        found = finer([key for candidate in chosen for key in candidate.keys]) if chosen else table
        noises = meter.noises(quantized(found) if chosen else qdq)
        if min(noise.db for noise in noises) >= FAR:
            break
    if not chosen:
        return nothing(before=before, reason="its noise is spread evenly, or what makes it costs too much"), table
    after = _mean(noises)
    if not after <= (1 - WORTH) * noise:
        return nothing(before=before, reason="finer tensors changed little"), table
    tensors = tuple(FinerTensor(", ".join(c.keys), min(c.ratio / noise, 1.0), c.cost, c.readers) for c in chosen)
    spent = Precision(room, examples, before, decibel(after), tensors, "")
    _log.info("precision budget: %s", spent.summary())
    return spent, found


def _choose(candidates: List[_Candidate], noise: float, budget: float) -> List[_Candidate]:
    """Those that together take the most noise for the budget, as long as each is worth it.

    The knapsack is packed exactly, with costs in thousandths: https://en.wikipedia.org/wiki/Knapsack_problem.
    """
    room = int(budget * _UNITS + 1e-9)
    best: List[Tuple[float, Tuple[_Candidate, ...]]] = [(0.0, ())] * (room + 1)
    left = noise
    for candidate in sorted(candidates, key=lambda c: (-c.ratio, c.keys)):
        if not _is_worth(candidate, candidate.ratio / left):
            continue
        left = max(left - candidate.ratio, WORTH * noise)
        cost = math.ceil(candidate.cost * _UNITS - 1e-9)
        for free in range(room, cost - 1, -1):
            ratio, packed = best[free - cost]
            if ratio + candidate.ratio > best[free][0]:
                best[free] = ratio + candidate.ratio, (*packed, candidate)
    return list(best[room][1])


def _is_worth(candidate: _Candidate, part: float) -> bool:
    return part >= WORTH or part >= max(LEAST, DENSE * candidate.cost)


def _candidates(annotated: Graph, fixed: Dict) -> List[_Candidate]:
    """Groups of tensors of which every reader can do better than 8 bits."""
    layers = {node.name: node for node in annotated.nodes if _multiplies(node)}
    efforts = [effort(node, annotated) for node in layers.values()]
    if not efforts or None in efforts:
        return []
    total = sum(efforts)
    weights = {name: annotated.param_of(node.inputs[1]).size for name, node in layers.items()}
    all_weights = sum(weights.values())
    values = {tensor_key(v): v for v in quantized_values(annotated)}
    readers = finer_readers(annotated, 11, fixed)
    found = []
    for keys in moved_together(annotated, values):
        uses = [readers.get((id(values[key].node), values[key].index)) for key in keys]
        if any(found_uses is None for found_uses in uses):
            continue
        names = tuple(dict.fromkeys(use.node.attrs[UNIT] for group in uses for use in group))
        longer = sum(effort_of_parts(layers[name], annotated) for name in names)
        longer += sum(effort_of_value(values[key], annotated, parts=bool(group)) for key, group in zip(keys, uses))
        # Weights for both parts are stored; where they are many, they count.
        cost = max(sum(weights[name] for name in names) / all_weights, longer / total)
        found.append(_Candidate(tuple(keys), names, cost, 0.0))
    return found


def _multiplies(node) -> bool:
    spec = lookup(node)
    return spec is not None and spec.kind_of(node) == COMPUTE


class _Meter:
    """Noise of a network at `watched`, beside the float one, on a few examples."""

    def __init__(self, floats: Graph, watched: Sequence[Value], batches: Sequence[Batch], ctx):
        self._keys, self._batches, self._ctx = [tensor_key(value) for value in watched], batches, ctx
        self._exact = self._run(floats)

    def ratio(self, graph: Graph) -> float:
        """Noise over signal, the mean over the values."""
        return _mean(self.noises(graph))

    def noises(self, graph: Graph) -> List[Noise]:
        """Of each value that has a signal."""
        noises = [Noise() for _ in self._keys]
        for exact, found in zip(self._exact, self._run(graph)):
            for noise, a, b in zip(noises, exact, found):
                noise.add(a, b)
        return [noise for noise in noises if noise.signal]

    def _run(self, graph: Graph) -> List[list]:
        heads = [value_of(graph, key) for key in self._keys]
        part = Runner([graph], self._ctx).part(graph, {}, heads)
        return [[output.asnumpy() for output in part.run(batch.arrays)] for batch in self._batches]


def _mean(noises: Sequence[Noise]) -> float:
    """The mean of noise over signal; infinite for NaN."""
    ratio = mean_ratio(noises)
    return ratio if ratio == ratio else float("inf")
