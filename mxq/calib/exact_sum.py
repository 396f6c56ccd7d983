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
_MASK = (1 << _BITS) - 1
_MANTISSA = 53
_TOGETHER = 64


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
        mantissa, exponent = np.frexp(values)
        whole = (mantissa * 2.0**_MANTISSA).astype(np.int64)
        first, shift = np.divmod(exponent.astype(np.int64) - _MANTISSA, _BITS)
        low = (whole & _MASK) << shift  # up to 63 bits
        high = (whole >> _BITS) << shift  # up to 52 bits and a sign
        middle = (low >> _BITS) + (high & _MASK)
        used = whole != 0
        self._add_limb(0, np.zeros(whole.shape[1:], np.int64))  # zeros have a limb too
        for k in np.unique(first[used]):
            here = used & (first == k)
            for offset, part in enumerate((low & _MASK, middle, high >> _BITS)):
                self._add_limb(int(k) + offset, np.where(here, part, 0).sum(axis=0))

    def merge(self, other: "ExactSum") -> None:
        """Adds another sum."""
        for k, limb in other.limbs.items():
            self._add_limb(k, limb)

    def over(self, axis: int) -> "ExactSum":
        """The sum over an axis of the array."""
        return ExactSum({k: limb.sum(axis=axis) for k, limb in self.limbs.items()})

    def value(self) -> np.ndarray:
        """float64; 0.0 if nothing was added."""
        with np.errstate(over="ignore"):
            limbs = self.limbs
            return sum(np.ldexp(limbs[k].astype(np.float64), _BITS * k) for k in sorted(limbs)) + 0.0

    def _add_limb(self, k: int, limb: np.ndarray) -> None:
        self._limbs[k] = self._limbs[k] + limb if k in self._limbs else np.asarray(limb, np.int64)
