"""Sums that do not depend on the order: floating point numbers added as integers.

>>> import numpy as np
>>> total = ExactSum()
>>> for value in (1e20, 1.0, -1e20):
...     total.add(np.array([[value]]))
>>> total.value()
array([1.])

A number is cut into limbs of 32 bits, each a multiple of ``2**(32 * k)``, and limbs of equal k are added as int64. That
is exact for up to two thousand million numbers.
"""

from typing import Dict, List

import numpy as np

_BITS = 32
#: float64 has no limbs beyond, on either side.
MAX_LIMB = 34
_TOGETHER = 32
_EXACT = 1 << 20


class ExactSum:
    """A sum of float64 arrays of one shape.

    Attributes:
        limbs: k -> int64 array; the sum is that of ``limbs[k] * 2**(32 * k)``. Equal sets of numbers in any order and
            any parts give equal limbs.
    """

    def __init__(self, limbs: Dict[int, np.ndarray] = None):
        self._limbs: Dict[int, np.ndarray] = dict(limbs or {})
        self._waiting: List[np.ndarray] = []  # one addition of many numbers is quicker than many of few

    @property
    def limbs(self) -> Dict[int, np.ndarray]:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._add(np.concatenate(waiting))
        return self._limbs

    def add(self, values: np.ndarray) -> None:
        """Adds finite numbers: the first axis is summed over."""
        self._waiting.append(np.array(values, np.float64))
        if sum(map(len, self._waiting)) >= _TOGETHER:
            _ = self.limbs  # adds them

    def _add(self, values: np.ndarray) -> None:
        for start in range(_EXACT, len(values), _EXACT):
            self._add(values[start : start + _EXACT])
        values = values[:_EXACT]
        self._add_limb(0, np.zeros(values.shape[1:], np.int64))  # zeros have a limb too
        _, exponent = np.frexp(np.abs(values).max(initial=0.0))
        k = (int(exponent) - 1) // _BITS  # of the first limb that is not zero
        while values.any():
            # The limbs of a number have its sign and do not depend on others; _EXACT of them add up without rounding.
            part = np.trunc(_shifted(values, -_BITS * k))
            if part.any():
                self._add_limb(k, part.sum(axis=0).astype(np.int64))
            values = values - _shifted(part, _BITS * k)
            k -= 1

    def merge(self, other: "ExactSum") -> None:
        """Adds another sum."""
        for k, limb in other.limbs.items():
            self._add_limb(k, limb)

    def over(self, axis: int) -> "ExactSum":
        """The sum over an axis of the array."""
        return ExactSum({k: limb.sum(axis=axis) for k, limb in self.limbs.items()})

    def value(self) -> np.ndarray:
        """float64; 0.0 if nothing was added."""
        total = carry = 0
        keys = sorted(self.limbs)
        with np.errstate(over="ignore"):
            for k, following in zip(keys, keys[1:] + [None]):
                limb = self.limbs[k] + carry
                # Half a limb at most stays behind: the first limbs are not lost in the cancellation of the last ones.
                carry = (limb + (1 << (_BITS - 1))) >> _BITS if following == k + 1 else 0
                total = total + np.ldexp((limb - (carry << _BITS)).astype(np.float64), _BITS * k)
        return total + 0.0

    def _add_limb(self, k: int, limb: np.ndarray) -> None:
        self._limbs[k] = self._limbs[k] + limb if k in self._limbs else np.asarray(limb, np.int64)


def _shifted(values: np.ndarray, bits: int) -> np.ndarray:
    """values * 2**bits."""
    return values * 2.0**bits if abs(bits) < 1000 else np.ldexp(values, bits)
