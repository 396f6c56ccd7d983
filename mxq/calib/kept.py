"""A few whole examples, for what statistics of tensors cannot tell: what rounding one of them does to the outputs.

Those with the smallest hashes stay, so that order, batches and shards change nothing, as with samples of inputs.
"""

from typing import Dict, List, Mapping, NamedTuple

import numpy as np

from ..data.batches import Batch

#: Examples that are kept.
MOST = 4


class Kept(NamedTuple):
    """One example, or a batch that runs as it is: its hash, how many examples it holds, and arrays by input name."""

    hash: int
    count: int
    arrays: Dict[str, np.ndarray]


class KeptExamples:
    """The examples with the smallest hashes.

    >>> kept = KeptExamples()
    >>> kept.update({"x": np.float32([[1], [2]])}, np.uint64([7, 3]))
    >>> [example.hash for example in kept], kept.batches(1, {})[0].arrays["x"].asnumpy().tolist()
    ([3, 7], [[2.0]])
    """

    def __init__(self, found: List[Kept] = ()):
        self._kept: List[Kept] = sorted(found, key=lambda kept: kept.hash)

    def __iter__(self):
        return iter(self._kept)

    def __len__(self) -> int:
        return sum(kept.count for kept in self._kept)

    def update(self, arrays: Mapping[str, np.ndarray], hashes: np.ndarray, *, whole: bool = False) -> None:
        """Looks at a batch, given the hashes of its examples; one that is `whole` is not cut."""
        if whole:
            self._add([Kept(int(hashes.min()), len(hashes), {name: array.copy() for name, array in arrays.items()})])
            return
        last = self._kept[-1].hash if len(self) >= MOST else 2**64
        for i in np.argsort(hashes, kind="stable")[:MOST]:
            if int(hashes[i]) < last:
                self._add([Kept(int(hashes[i]), 1, {name: a[i : i + 1].copy() for name, a in arrays.items()})])

    def merge(self, other: "KeptExamples") -> None:
        self._add(list(other))

    def _add(self, more: List[Kept]) -> None:
        kept = sorted([*self._kept, *more], key=lambda item: item.hash)
        first = 1
        while first < len(kept) and sum(item.count for item in kept[: first + 1]) <= MOST:
            first += 1
        self._kept = kept[:first]

    def batches(self, count: int, dtypes: Mapping[str, str]) -> List[Batch]:
        """At least `count` examples, if there are so many, those of equal shapes together, as types by input name."""
        import mxnet as mx

        groups: Dict[tuple, List[Kept]] = {}
        taken = 0
        for number, kept in enumerate(self._kept):
            if taken >= count:
                break
            taken += kept.count
            alone = (number,) if kept.count > 1 else ()
            groups.setdefault((*alone, *(a.shape for a in kept.arrays.values())), []).append(kept)
        found = []
        for group in groups.values():
            joined = {name: np.concatenate([kept.arrays[name] for kept in group]) for name in group[0].arrays}
            arrays = {name: mx.nd.array(array, dtype=dtypes.get(name, array.dtype)) for name, array in joined.items()}
            found.append(Batch(arrays, sum(kept.count for kept in group)))
        return found
