"""Widens ranges where that is nearly free, for values beyond those that calibration saw.

Calibration sees few examples, and not always what matters: a detector calibrated on photos without what it detects
meets values of two and three times its ranges, and what is cut off there is many times the noise of rounding. A range
h times as wide makes h^2 times the noise of rounding that tensor, but of most tensors this is a small part of the noise
at the outputs. So a share of all noise is spent: what lies below a common level is widened up to it. What an example
without an equal holds is the rarer, the more examples were seen: the share falls with their number.

An input whose rounding makes no noise lies on the steps of its range, as pixels do, and these end where it ends.

The level is that of water-filling (Cover and Thomas, "Elements of Information Theory", 2006, chapter 9): with noise
shares s, the product of all h is the largest that ``sum(s * h**2) <= (1 + share) * sum(s)`` allows. A tensor whose
values were seen less often counts for more in that product: a small map deep in a network has few values an example.
"""

import math
import statistics
from typing import Dict, Mapping, Tuple

from ..calib.table import CalibTable
from ..network.graph import Graph, Value
from ..network.identity import tensor_key
from ..ops.bounds import bounds
from ..passes.annotate import quantized_values
from ..passes.insert_qdq import FINE_STEPS, is_input
from .together import moved_together

#: How many times as wide as what was seen a range becomes at most: a bit of eight.
MOST = 2.0
#: Seen so often, the share is twice as much; seen less, it grows as noise of a mean does, up to eight times.
OFTEN, MORE = 2000.0, 7.0
#: Of all noise, what is none.
_NONE = 1e-7
_HALVINGS = 60


def widened(
    annotated: Graph,
    table: CalibTable,
    noise_of: Mapping[str, float],
    seen: Mapping[str, Tuple[float, float]],
    *,
    share: float,
    fixed: Mapping,
) -> CalibTable:
    """The table with ranges that have room.

    Args:
        annotated: the float graph with shapes and units marked.
        table: its ranges.
        noise_of: by tensor key, what rounding it to 8 bits makes (see mxq.costs.noise_shares).
        seen: by tensor key, the least and the largest value.
        share: of the noise at the outputs, that may be added; more where few examples were seen.
        fixed: inputs that are integers.
    """
    finer = dict.fromkeys(table.finer, 1 / FINE_STEPS[11] ** 2)
    values = {tensor_key(v): v for v in quantized_values(annotated)}
    groups = [tuple(keys) for keys in moved_together(annotated, values)]
    groups = [keys for keys in groups if not any(key in fixed for key in keys)]
    noise = {keys: sum(noise_of.get(key, 0.0) * finer.get(key, 1.0) for key in keys) for keys in groups}
    none = _NONE * sum(noise.values())
    pixels = {keys for keys in groups if noise[keys] <= none and all(is_input(values[key]) for key in keys)}
    noise = {keys: amount for keys, amount in noise.items() if keys not in pixels}
    often = {keys: observations(values[keys[0]], annotated, table.num_examples) for keys in noise}
    if often:
        share *= 1 + min(MORE, (OFTEN / statistics.median(often.values())) ** 2)
    ranges = dict(table.ranges)
    ends = {key: tuple(MOST * max(pair, key=abs) for pair in zip(ranges[key], seen[key])) for key in ranges}
    most = {keys: max([MOST, *(_times(ranges[key], ends[key]) for key in keys if key in ranges)]) for keys in noise}
    for keys, factor in factors(noise, share, most, often).items():
        for key in keys:
            if key in ranges:
                ranges[key] = _wider(ranges[key], factor, ends[key], bounds(values[key], annotated))
    return table.extended(ranges=ranges)


def factors(noise: Mapping, share: float, most: Mapping, often: Mapping) -> Dict:
    """By key, how many times as wide its range may be.

    >>> noise = {"large": 100.0, "small": 1.0}
    >>> found = factors(noise, 0.02, most=dict.fromkeys(noise, 2.0), often=dict.fromkeys(noise, 1))
    >>> {key: round(factor, 3) for key, factor in found.items()}
    {'large': 1.0, 'small': 1.738}

    Args:
        noise: key -> noise power that its rounding makes.
        share: of all noise, that may be added.
        most: key -> largest factor.
        often: key -> how often its values were seen.
    """
    total = sum(noise.values())
    noise = {key: amount if amount > 0 else _NONE * total for key, amount in noise.items()}

    def squares(level: float) -> Dict:
        return {key: min(max(level / (often[key] * s), 1.0), most[key] ** 2) for key, s in noise.items() if s > 0}

    below, above = 0.0, max((most[key] ** 2 * often[key] * s for key, s in noise.items()), default=0.0)
    for _ in range(_HALVINGS):
        level = (below + above) / 2
        spent = sum(noise[key] * square for key, square in squares(level).items())
        below, above = (level, above) if spent <= (1 + share) * total else (below, level)
    return {**most, **{key: square**0.5 for key, square in squares(below).items()}}


def observations(value: Value, graph: Graph, examples: int) -> float:
    """How often the values of a channel were seen: positions of an example are alike, and count as their root."""
    shape = graph.shapes.get((value.node.name, value.index), ())
    return max(examples, 1) * math.sqrt(math.prod(shape[2:]))


def _times(found: Tuple[float, float], ends: Tuple[float, float]) -> float:
    """The largest factor from the one range to the other."""
    return max((end / mine for mine, end in zip(found, ends) if mine), default=1.0)


def _wider(
    found: Tuple[float, float], factor: float, ends: Tuple[float, float], limits: Tuple[float, float]
) -> Tuple[float, float]:
    """A range, wider, but not beyond these ends and what its operator can give."""
    (lo, hi), (lowest, highest) = found, ends
    return (
        min(lo, max(lo * factor, min(lowest, lo), limits[0])),
        max(hi, min(hi * factor, max(highest, hi), limits[1])),
    )
