"""A few calibration examples, spread over all of them, as both networks take them."""

from typing import Dict, Iterable, Iterator, List, Optional, Sequence

import numpy as np

from ..data.batches import Batch
from ..network.graph import Graph, input_dtypes


class FewExamples:
    """Keeps some of the examples that pass, at equal distances: the first alone may be unlike the others.

    >>> import mxnet as mx
    >>> graph = Graph.from_symbol(mx.sym.Activation(mx.sym.var("data"), act_type="relu"), {})
    >>> few = FewExamples(graph, 2, 8)
    >>> batches = [Batch({"data": mx.nd.array([[i], [i + 1]])}, 2) for i in range(0, 10, 2)]
    >>> len(list(few.through(batches))), few.parts(2)[0].arrays["data"].asnumpy().tolist()
    (5, [[0.0], [8.0]])

    Batches that are `whole` are not cut.

    Args:
        network: the float network.
        most: how many examples `parts` will be asked for at most.
        sub_batch: so many run at once; None: batches as they come.
    """

    def __init__(self, network: Graph, most: int, sub_batch: Optional[int] = None):
        self._sub_batch = sub_batch
        self._dtypes = input_dtypes(network)
        self._room, self._stride, self._seen = 2 * most, 1, 0
        self._kept: List[Batch] = []

    def through(self, examples: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; some of their examples are kept."""
        for batch in examples:
            self._keep(batch)
            yield batch

    def __len__(self) -> int:
        return len(self._kept)

    def _keep(self, batch: Batch) -> None:
        whole = batch.whole or self._sub_batch is None
        for start in range(0, 1 if whole else batch.n_valid):
            if self._seen % self._stride == 0:
                arrays = {
                    name: (array if whole else array[start : start + 1]).astype(self._dtypes.get(name, array.dtype))
                    for name, array in batch.arrays.items()
                }
                self._kept.append(Batch(arrays, batch.n_valid).as_whole() if whole else Batch(arrays, 1))
                if len(self._kept) == self._room:
                    self._kept, self._stride = self._kept[::2], 2 * self._stride
            self._seen += 1

    def parts(self, count: int) -> List[Batch]:
        """About `count` examples (whole batches have more), those of equal shapes together."""
        if not self._kept:
            return []
        items = -(-count // self._kept[0].n_valid)
        places = np.unique((2 * np.arange(items) + 1) * len(self._kept) // (2 * items))  # the middle of each stretch
        groups: Dict[tuple, List[Batch]] = {}
        for number, item in enumerate(self._kept[place] for place in places):
            key = (number,) if item.whole else tuple(array.shape for array in item.arrays.values())
            groups.setdefault(key, []).append(item)
        return [part for group in groups.values() for part in self._joined(group)]

    def _joined(self, group: Sequence[Batch]) -> Iterator[Batch]:
        import mxnet as mx

        at_once = self._sub_batch or 1
        for start in range(0, len(group), at_once):
            some = [item.arrays for item in group[start : start + at_once]]
            if len(some) == 1:
                yield group[start]
            else:
                arrays = {name: mx.nd.concat(*[item[name] for item in some], dim=0) for name in some[0]}
                yield Batch(arrays, len(some))
