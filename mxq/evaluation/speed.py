"""Times of networks that take turns, so that what else the machine does hits all alike."""

import time
from typing import Callable, List, NamedTuple, Sequence, Tuple

import numpy as np

#: Rounds, and seconds of a turn, by default.
ROUNDS, SECONDS = 7, 0.2


class Speed(NamedTuple):
    """Of one thing beside the first.

    Attributes:
        ms: milliseconds of one call, the median of the turns.
        ratio: how many times as long the first takes, the median of the rounds; quartiles `low` and `high`.
    """

    ms: float
    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f}x ({self.low:.2f}-{self.high:.2f})"


def measure_speed(
    steps: Sequence[Callable[[], None]], rounds: int = ROUNDS, seconds: float = SECONDS
) -> Tuple[Speed, ...]:
    """Calls each function for some time, in turns, every other round backwards.

    >>> [speed.ratio for speed in measure_speed([lambda: None], rounds=2, seconds=0.0)]
    [1.0]

    Args:
        steps: what is measured; the others are compared with the first.
        rounds: turns of each.
        seconds: of one turn, a fifth of it again before to warm up; three calls at least.
    """
    times: List[List[float]] = [[] for _ in steps]
    for number in range(rounds):
        order = range(len(steps)) if number % 2 == 0 else reversed(range(len(steps)))
        for which in order:
            times[which].append(_turn(steps[which], seconds))
    found = []
    for one in times:
        ratios = np.array(times[0]) / np.array(one)
        low, middle, high = (float(quartile) for quartile in np.percentile(ratios, (25, 50, 75)))
        found.append(Speed(1e3 * float(np.median(one)), middle, low, high))
    return tuple(found)


def _turn(step: Callable[[], None], seconds: float, least: int = 3) -> float:
    """The median of the calls, in seconds."""
    stop = time.perf_counter() + seconds / 5
    while time.perf_counter() < stop:
        step()
    taken: List[float] = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(taken) < least:
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))
