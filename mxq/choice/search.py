"""The smallest set of layers to keep float, with few looks at the metric.

Layers are ranked by how much they hurt. If the first k float layers suffice, so do more; the least such k is found by
halving, in steps of the same ratio rather than the same difference, since it usually is small. Then layers in front of
the k-th, which the ranking may have put there by mistake, are tried in int8 again.
"""

import math
from typing import Callable, FrozenSet, List, NamedTuple, Optional, Sequence


class Found(NamedTuple):
    """The outcome of a search.

    Attributes:
        layers: what must stay float, in the order of the ranking; None if not even all of them suffice.
        minimal: whether each was tried in int8 again alone.
    """

    layers: Optional[List[str]]
    minimal: bool


def smallest(ranked: Sequence[str], suffices: Callable[[FrozenSet[str]], bool]) -> Found:
    """The smallest set of layers, at the front of the ranking, that suffices. That none is enough is known already.

    >>> smallest("abcdefgh", lambda layers: {"b", "d"} <= layers)
    Found(layers=['b', 'd'], minimal=True)

    Args:
        ranked: layers, those that hurt most first.
        suffices: whether these layers in float are enough. Asked about ``log2(n)`` times to find the prefix and at
            most :func:`budget` times to shorten it; repeated questions are the caller's to remember.
    """
    least = _prefix(ranked, suffices)
    if least is None:
        return Found(None, False)
    return _shorten(list(ranked[:least]), suffices, budget(len(ranked)))


def budget(layers: int) -> int:
    """How many questions may be asked to shorten a prefix."""
    return math.ceil(math.log2(layers + 1)) + 2


def _prefix(ranked: Sequence[str], suffices: Callable) -> Optional[int]:
    """The least k for which the first k layers suffice, 1 to n; None if all do not."""
    low, high = 0, len(ranked)  # 0 does not; n is believed to, and asked only if nothing less does
    while high - low > 1:
        middle = min(max(round(math.sqrt((low + 1) * high)), low + 1), high - 1)
        if suffices(frozenset(ranked[:middle])):
            high = middle
        else:
            low = middle
    if high == len(ranked) and not (ranked and suffices(frozenset(ranked))):
        return None
    return high


def _shorten(layers: List[str], suffices: Callable, questions: int) -> Found:
    """Takes back what is not needed: one by one, or in groups where there are too many. The last one is needed."""
    doubtful = layers[:-1][::-1]  # what hurts least first
    size = max(math.ceil(len(doubtful) / questions), 1)
    for start in range(0, len(doubtful), size):
        group = set(doubtful[start : start + size])
        rest = [layer for layer in layers if layer not in group]
        if suffices(frozenset(rest)):
            layers = rest
    return Found(layers, size == 1)
