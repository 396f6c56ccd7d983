"""How many examples a network takes at once.

Calibration joins and cuts batches, and many networks do not allow that: a Reshape with the batch size in it, a
parameter with an axis of examples, regions that name their image by its number. MXNet does not say so: it compares no
numbers of elements in a Reshape, and computes with whatever lies behind the array. So shapes are inferred for two
numbers of examples here and compared. What does not grow with them is run in batches as they come, or in those that
fit.
"""

import logging
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..data.batches import Batch
from ..errors import CalibrationError, GraphError
from .graph import Graph, Node
from .shapes import Shapes

_log = logging.getLogger(__name__)

#: Operators of which only the shape of some input counts, and those inputs.
SHAPE_ONLY = {
    "_contrib_MultiBoxPrior": (0,), "_contrib_arange_like": (0,), "zeros_like": (0,), "ones_like": (0,),
    "shape_array": (0,), "size_array": (0,), "slice_like": (1,), "broadcast_like": (1,), "reshape_like": (1,),
    "Crop": (1,), "_identity_with_attr_like_rhs": (1,),
}  # fmt: skip
#: Operators that find an example by its number, which another of their inputs (its index) holds in column 0.
REGIONS = {
    "ROIPooling": 1, "_contrib_ROIAlign": 1, "_contrib_RROIAlign": 1, "_contrib_PSROIPooling": 1,
    "_contrib_DeformablePSROIPooling": 1,
}  # fmt: skip
#: Those that find it by any index.
INDEXED = ("take", "gather_nd", "scatter_nd", "_scatter_set_nd", "_contrib_index_copy", "_contrib_boolean_mask")
#: Operators that keep the number of elements, where MXNet does not look.
RESHAPES = ("Reshape", "reshape")
#: A network made for one batch size is looked for among so many.
MOST = 64


class BatchSizes:
    """Which batches a float network takes.

    >>> import mxnet as mx
    >>> sizes = BatchSizes(Graph.from_symbol(mx.sym.Reshape(mx.sym.var("x"), shape=(2, 3, -1), name="two"), {}))
    >>> sizes.refusal({"x": (2, 12)}), sizes.grows({"x": (2, 12)})
    (None, False)
    >>> sizes.refusal({"x": (1, 4)})
    "'two' makes no (2, 3, -1) of (1, 4)"

    Args:
        graph: of any float operators.
    """

    def __init__(self, graph: Graph):
        self._graph = graph.copy()
        self._shapes = Shapes(self._graph)
        self._dependent = from_data(self._graph)
        self._known: Dict[tuple, tuple] = {}

    def refusal(self, shapes: Mapping[str, Sequence[int]]) -> Optional[str]:
        """Why the network does not take data of these shapes, or None."""
        return self._inferred(shapes)[0]

    def grows(self, shapes: Mapping[str, Sequence[int]]) -> bool:
        """Whether every example is computed for itself, as far as shapes and operators tell: whatever depends on the
        data has a multiple of n rows for n examples. Then they run in any number at once."""
        n = next(iter(shapes.values()))[0]
        if any(self._by_number(node) for node in self._graph.nodes):
            return False
        (refused, few), (refused_too, many) = (self._inferred(_resized(shapes, m)) for m in (n, 2 * n))
        if refused or refused_too:
            return False
        values = [key for key in few if key[0] in self._dependent]
        complete = {key[0] for key in values} == self._dependent
        return complete and all(_is_double(few[key], many.get(key), n) for key in values)

    def fitting(self, shapes: Mapping[str, Sequence[int]]) -> Optional[int]:
        """The number of examples at once that the network takes, nearest to that of `shapes` from below, else above."""
        n = next(iter(shapes.values()))[0]
        order = [*range(min(n, MOST), 0, -1), *range(n + 1, MOST + 1)]
        return next((m for m in order if self.refusal(_resized(shapes, m)) is None), None)

    def check_regions(self, arrays: Mapping[str, object]) -> None:
        """Refuses regions of images that the batch does not hold: MXNet would read what lies behind."""
        n = len(next(iter(arrays.values())))
        for node in self._graph.nodes:
            source = node.inputs[REGIONS[node.op]].node if node.op in REGIONS else None
            if source is None or source.name not in arrays:
                continue
            numbers = arrays[source.name].asnumpy().reshape(-1, arrays[source.name].shape[-1])[:, 0]
            if numbers.min() < -1 or numbers.max() >= n:
                raise CalibrationError(
                    f"input {source.name!r} of {node.op} {node.name!r} has regions of image {numbers.max():g} in a "
                    f"batch of {n}: they count from 0 in each batch; give a list of batches as the network is fed"
                )

    def _by_number(self, node: Node) -> bool:
        if node.op in REGIONS:
            return True
        reads = node.op in INDEXED and node.inputs[0].node.name in self._dependent
        return reads and int(node.get("axis", 0)) == 0

    def _inferred(self, shapes: Mapping[str, Sequence[int]]) -> Tuple[Optional[str], Dict]:
        """Why these shapes do not fit, and else those of all values that follow from them."""
        key = tuple(sorted((name, tuple(shape)) for name, shape in shapes.items()))
        if key not in self._known:
            try:
                found = self._shapes.infer(shapes)
                self._known[key] = self._contradiction(found), found
            except GraphError as error:
                self._known[key] = str(error), {}
        return self._known[key]

    def _contradiction(self, found: Mapping) -> Optional[str]:
        for node in self._graph.nodes:
            if node.op in RESHAPES:
                before = found.get((node.inputs[0].node.name, node.inputs[0].index))
                after = found.get((node.name, 0))
                if before is not None and (after is None or _size(before) != _size(after)):
                    return f"{node.name!r} makes no {after or node.get('shape')} of {before}"
        return None


def arranged(examples: Iterable[Batch], sizes: BatchSizes) -> Iterator[Batch]:
    """The batches as the network takes them: `whole` where examples cannot run in any number at once.

    A batch that the network does not take is cut into such that it takes, the last one filled up with its last example;
    one that fits in no size is passed on, and whoever runs it says why it does not fit.

    Raises:
        CalibrationError: data of another shape than that of the first batch, which the network takes.
    """
    first, made_for = None, None
    for index, batch in enumerate(examples):
        shapes = {name: tuple(array.shape) for name, array in batch.arrays.items()}
        sizes.check_regions(batch.arrays)
        refused = sizes.refusal(shapes)
        if batch.whole or (refused is None and not sizes.grows(shapes)):
            yield batch.as_whole()
        elif refused is None:
            yield batch
        else:
            if made_for is None or sizes.refusal(_resized(shapes, made_for)) is not None:
                made_for = sizes.fitting(shapes)
                if made_for is not None:
                    _log.info("calibration runs batches of %d, which the network is made for", made_for)
            if made_for is None and first is not None and first != _trailing(shapes):
                raise CalibrationError(
                    f"calibration batch {index} has shapes {shapes}, the first has {first} behind the batch axis, and "
                    f"the network does not take both: {refused}"
                )
            yield from [batch] if made_for is None else _cut(batch, made_for)
        first = first or _trailing(shapes)


def _cut(batch: Batch, size: int) -> Iterator[Batch]:
    for start in range(0, batch.n_valid, size):
        n = min(size, batch.n_valid - start)
        rows = list(range(start, start + n)) + [start + n - 1] * (size - n)
        arrays = {name: array.take(_indices(rows)) for name, array in batch.arrays.items()}
        labels = tuple(label[start : start + n] for label in batch.labels)
        yield Batch(arrays, n).labelled(labels).as_whole()


def _indices(rows: List[int]):
    import mxnet as mx

    return mx.nd.array(rows, dtype=np.int32)


def from_data(graph: Graph) -> set:
    """Names of the nodes whose values depend on those of the network's inputs; all others are constant."""
    graph.sort()
    found = set()
    for node in graph.nodes:
        counts = [v for i, v in enumerate(node.inputs) if i not in SHAPE_ONLY.get(node.op, ())]
        if (node.is_variable and node.name not in graph.params) or any(v.node.name in found for v in counts):
            found.add(node.name)
    return found


def _resized(shapes: Mapping[str, Sequence[int]], n: int) -> Dict[str, tuple]:
    return {name: (n, *shape[1:]) for name, shape in shapes.items()}


def _trailing(shapes: Mapping[str, Sequence[int]]) -> Dict[str, tuple]:
    return {name: tuple(shape[1:]) for name, shape in shapes.items()}


def _is_double(few: tuple, many: Optional[tuple], n: int) -> bool:
    return many is not None and few[1:] == many[1:] and few[0] % n == 0 and 2 * few[0] == many[0]


def _size(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))
