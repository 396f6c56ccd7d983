"""Widens ranges where that is nearly free, for values beyond those that calibration saw.

Calibration sees few examples, and not always what matters: a detector calibrated on photos without what it detects
meets values of two and three times its ranges, and what is cut off there is many times the noise of rounding. A range
h times as wide makes h^2 times the noise of rounding that tensor, but of most tensors this is a small part of the noise
at the outputs. So a share of all noise is spent: what lies below a common level is widened up to it. What an example
without an equal holds is the rarer, the more examples were seen: the share falls with their number.

An input whose rounding makes no noise lies on the steps of its range, as pixels do, and these end where it ends.

The level is that of water-filling (Cover and Thomas, "Elements of Information Theory", 2006, chapter 9): with noise
shares s, the product of all h is the largest that ``sum(s * h**2) <= (1 + share) * sum(s)`` allows.
"""

from typing import Dict, Mapping, Tuple

from ..calib.table import CalibTable
from ..network.graph import Graph, Value
from ..network.identity import tensor_key
from ..ops.bounds import bounds
from ..passes.annotate import quantized_values
from ..passes.insert_qdq import FINE_STEPS, is_input
from .together import moved_together

#: How many times as wide a range becomes at most: a bit of eight.
MOST = 2.0
#: Of so few examples the share is twice as much, of fewer in proportion, up to four times.
FEW, MORE = 80, 3.0
#: Of all noise, what is none.
_NONE = 1e-7
_HALVINGS = 60


def widened(
    annotated: Graph, table: CalibTable, noise_of: Mapping[str, float], *, share: float, fixed: Mapping
) -> CalibTable:
    """The table with ranges that have room.

    Args:
        annotated: the float graph with shapes and units marked.
        table: its ranges.
        noise_of: by tensor key, what rounding it to 8 bits makes (see mxq.costs.noise_shares).
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
    share *= 1 + min(MORE, FEW / max(table.num_examples, 1))
    ranges = dict(table.ranges)
    for keys, factor in factors(noise, share).items():
        ranges.update({key: _wider(ranges[key], factor, values[key], annotated) for key in keys if key in ranges})
    return table.extended(ranges=ranges)


def factors(noise: Mapping, share: float, most: float = MOST) -> Dict:
    """By key, how many times as wide its range may be.

    >>> {key: round(factor, 3) for key, factor in factors({"large": 100.0, "small": 1.0}, 0.02).items()}
    {'large': 1.0, 'small': 1.738}

    Args:
        noise: key -> noise power that its rounding makes.
        share: of all noise, that may be added.
        most: largest factor.
    """
    total = sum(noise.values())

    def squares(level: float) -> Dict:
        return {key: min(max(level / s, 1.0), most**2) if s > 0 else most**2 for key, s in noise.items()}

    below, above = 0.0, most**2 * total
    for _ in range(_HALVINGS):
        level = (below + above) / 2
        spent = sum(s * square for s, square in zip(noise.values(), squares(level).values()))
        below, above = (level, above) if spent <= (1 + share) * total else (below, level)
    return {key: square**0.5 for key, square in squares(below).items()}


def _wider(found: Tuple[float, float], factor: float, value: Value, graph: Graph) -> Tuple[float, float]:
    """A range, wider, but not beyond what its operator can give."""
    least, largest = bounds(value, graph)
    lo, hi = found
    return (min(lo, max(lo * factor, least)), max(hi, min(hi * factor, largest)))
