"""A few calibration examples, spread over all of them, as both networks take them."""

from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..data.batches import Batch
from ..errors import GraphError
from ..network.graph import TYPE_FLAGS, Graph
from ..network.shapes import infer_shapes

_DTYPES = {flag: name for name, flag in TYPE_FLAGS.items()}

Arrays = Dict[str, object]


class FewExamples:
    """Keeps some of the examples that pass, at equal distances: the first alone may be unlike the others.

    >>> import mxnet as mx
    >>> graph = Graph.from_symbol(mx.sym.Activation(mx.sym.var("data"), act_type="relu"), {})
    >>> few = FewExamples(graph, 2, 8)
    >>> batches = [Batch({"data": mx.nd.array([[i], [i + 1]])}, 2) for i in range(0, 10, 2)]
    >>> len(list(few.through(batches))), few.parts(2)[0].arrays["data"].asnumpy().tolist()
    (5, [[0.0], [8.0]])

    Batches are cut only where the network does the same for any number of examples; else they are kept whole.

    Args:
        network: the float network.
        most: how many examples `parts` will be asked for at most.
        sub_batch: so many run at once; None: batches as they come.
    """

    def __init__(self, network: Graph, most: int, sub_batch: Optional[int] = None):
        self._network, self._sub_batch = network, sub_batch
        self._dtypes = {node.name: _DTYPES[node.get("__dtype__", 0)] for node in network.inputs}
        self._room, self._stride, self._seen = 2 * most, 1, 0
        self._kept: List[Tuple[Arrays, int]] = []
        self._cuts: Optional[bool] = None

    def through(self, examples: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; some of their examples are kept."""
        for batch in examples:
            self._keep(batch)
            yield batch

    def __len__(self) -> int:
        return len(self._kept)

    def _keep(self, batch: Batch) -> None:
        if self._cuts is None:
            self._cuts = batch.n_valid == 1 or self._sub_batch is not None and _any_number(self._network, batch)
        size = 1 if self._cuts else batch.n_valid
        for start in range(0, batch.n_valid, size):
            if self._seen % self._stride == 0:
                arrays = {
                    name: array[start : start + size].astype(self._dtypes.get(name, array.dtype))
                    for name, array in batch.arrays.items()
                }
                self._kept.append((arrays, size))
                if len(self._kept) == self._room:
                    self._kept, self._stride = self._kept[::2], 2 * self._stride
            self._seen += 1

    def parts(self, count: int) -> List[Batch]:
        """About `count` examples (whole batches have more), those of equal shapes together."""
        if not self._kept:
            return []
        items = -(-count // self._kept[0][1])
        places = np.unique((2 * np.arange(items) + 1) * len(self._kept) // (2 * items))  # the middle of each stretch
        groups: Dict[tuple, List[Arrays]] = {}
        for arrays, _ in (self._kept[place] for place in places):
            groups.setdefault(tuple(array.shape for array in arrays.values()), []).append(arrays)
        return [part for group in groups.values() for part in self._joined(group)]

    def _joined(self, group: Sequence[Arrays]) -> Iterator[Batch]:
        import mxnet as mx

        at_once = (self._sub_batch or 1) if self._cuts else 1
        for start in range(0, len(group), at_once):
            some = group[start : start + at_once]
            arrays = {name: mx.nd.concat(*[item[name] for item in some], dim=0) for name in some[0]}
            yield Batch(arrays, len(next(iter(arrays.values()))))


def _any_number(network: Graph, batch: Batch) -> bool:
    """Whether every value that depends on the data has elements in proportion to the examples."""
    whole: Mapping[str, tuple] = {name: tuple(array.shape) for name, array in batch.arrays.items()}
    size = batch.n_valid
    try:
        many, one = (infer_shapes(network, {k: (n, *s[1:]) for k, s in whole.items()}) for n in (size, 1))
    except GraphError:
        return False
    depends: Dict[int, bool] = {}
    for node in network.nodes:
        depends[id(node)] = node.name in whole or any(depends[id(v.node)] for v in node.inputs)
    keys = [(node.name, 0) for node in network.nodes if depends[id(node)]]
    return all(k in many and k in one and np.prod(many[k]) == np.prod(one[k]) * size for k in keys)
