"""A network beside the float one, on the same few examples: SQNR and largest error of each value.

>>> import numpy as np
>>> [(d.noise.db, d.max_error) for d in differences([[np.float32([10, 0])]], [[np.float32([10, 1])]])]
[(20.0, 1.0)]
"""

from typing import Iterable, List, NamedTuple, Sequence

import numpy as np

from ..arithmetic.noise import Noise
from ..data.batches import Batch
from ..network.part import Part

Outputs = List[np.ndarray]


class Difference(NamedTuple):
    """Of one value: its noise beside float, and the largest absolute difference."""

    noise: Noise
    max_error: float


def run(part: Part, batches: Iterable[Batch]) -> List[Outputs]:
    """What a part of a network returns, batch by batch. As a CachedOp it is not fused, unlike in an executor."""
    return [[output.asnumpy() for output in part.run(batch.arrays)] for batch in batches]


def differences(exact: Sequence[Outputs], found: Sequence[Outputs]) -> List[Difference]:
    """What `found` has beside `exact`, value by value over all batches."""
    noises = [Noise() for _ in exact[0]]
    errors = [0.0 for _ in exact[0]]
    for wanted, got in zip(exact, found):
        for index, (a, b) in enumerate(zip(wanted, got)):
            noises[index].add(a, b)
            if a.size:
                errors[index] = max(errors[index], float(np.abs(np.float64(a) - b).max()))
    return [Difference(noise, error) for noise, error in zip(noises, errors)]
