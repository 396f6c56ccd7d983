"""Names that nothing has yet."""

import itertools
from typing import Set


def unused(name: str, taken: Set[str]) -> str:
    """The name, with a number behind it if it is taken. Adds to `taken`.

    >>> taken = {"conv", "conv_1"}
    >>> unused("conv", taken), unused("pool", taken)
    ('conv_2', 'pool')
    """
    numbered = (name if i == 0 else f"{name}_{i}" for i in itertools.count())
    found = next(candidate for candidate in numbered if candidate not in taken)
    taken.add(found)
    return found
