"""An ONNX file beside MXNet, value by value: which is the first that differs, and by how much.

Both run the same examples. Values of the file that have the name of an MXNet value are compared in the order of the
file, and so are the outputs. Of an int8 file each quantized value is judged alone: MXNet computes it from the integers
that ONNX Runtime had in front of it, so that one that was rounded the other way early does not make all that follows
look wrong.
"""

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..arithmetic.qmath import dequantize, quantize
from ..data.batches import batches
from ..errors import ConfigError, GraphError
from ..network.graph import VARIABLE, Graph, Node, Value
from ..network.identity import tensor_key
from ..network.params import default_data_names
from ..network.part import Runner
from ..passes.lower import DEQUANTIZE, QUANTIZE
from .file import OnnxFile, Pair
from .parts import CHANNELS, PARTS, in_parts

#: Examples that are compared.
EXAMPLES = 8
#: Largest difference of a float value, as a share of the largest magnitude in it. Sums of float32 in another order
#: differ by about 1e-6 a layer.
TOLERANCE = 1e-4
#: Largest difference of an integer, in levels: one, where the last digit of a float decides how it is rounded.
LEVELS = 1
#: Largest share of a value's integers that may differ, and a number of them that always may.
SHARE = 0.02
FEW = 2

Arrays = Dict[str, np.ndarray]


class Compared(NamedTuple):
    """One value of both.

    Attributes:
        name: of the value.
        levels: whether the difference is in levels of an 8-bit tensor; else it is a share of the largest magnitude.
        difference: the largest over all elements and examples.
        share: of the elements that differ (levels only).
        ok: whether that is little enough.
    """

    name: str
    levels: bool
    difference: float
    share: float
    ok: bool

    def __str__(self) -> str:
        if self.levels:
            return f"{self.name!r} by up to {self.difference:g} levels, in {self.share:.2%} of its elements"
        return f"{self.name!r} by up to {self.difference:.3g} of its largest magnitude"


class OnnxCheck(NamedTuple):
    """What was compared, up to the first value that differs.

    Attributes:
        compared: in the order of the file.
        examples: how many examples ran.
    """

    compared: Tuple[Compared, ...]
    examples: int

    @property
    def first(self) -> Optional[Compared]:
        """The first value that differs; None where none does."""
        return next((value for value in self.compared if not value.ok), None)

    @property
    def ok(self) -> bool:
        return self.first is None

    def __str__(self) -> str:
        if self.first is not None:
            before = f"{len(self.compared) - 1} values before agree"
            return f"ONNX Runtime differs from MXNet in {self.first} ({self.examples} examples); {before}"
        return f"ONNX Runtime agrees with MXNet in {len(self.compared)} values ({self.examples} examples)"


class Limits(NamedTuple):
    """What may differ; see the constants of these names."""

    tolerance: float = TOLERANCE
    levels: int = LEVELS
    share: float = SHARE


_LIMITS = Limits()


def check(
    path: str, graph: Graph, data, *, num_examples: int = EXAMPLES, optimize: bool = True, limits: Limits = _LIMITS
) -> OnnxCheck:
    """Compares an ONNX file with a network, float or with explicit quantization; see mxq.check_onnx.

    Args:
        optimize: whether ONNX Runtime optimizes the file. Inner values of a float file are seen without that.
    """
    file = OnnxFile(path, optimize)
    names = default_data_names(graph)
    if sorted(file.inputs) != sorted(names):
        raise GraphError(f"the file has inputs {', '.join(file.inputs)}, and the network has {', '.join(names)}")
    examples = list(_examples(data, file, names, num_examples))
    if not examples:
        raise ConfigError("there are no examples to compare on")
    compare = _compare_integers if file.pairs else _compare_floats
    found: List[Compared] = []
    for value in compare(file, graph, examples, limits):
        found.append(value)
        if not value.ok:
            break
    return OnnxCheck(tuple(found), sum(len(next(iter(arrays.values()))) for arrays in examples))


def _examples(data, file: OnnxFile, names: Sequence[str], num_examples: int) -> Iterator[Arrays]:
    """Examples in the batches that the file takes; the last one is repeated to fill a batch."""
    sizes = [shape[0] for shape in file.inputs.values() if shape and shape[0]]
    size = sizes[0] if sizes else num_examples
    seen = 0
    for batch in batches(data, names, batch_size=size):
        arrays = {name: array.asnumpy() for name, array in batch.arrays.items()}
        for start in range(0, batch.n_valid, size):
            if seen >= num_examples:
                return
            rows = np.minimum(np.arange(start, start + size), batch.n_valid - 1)
            yield {name: array[rows] for name, array in arrays.items()}
            seen += size


def _compare_floats(file: OnnxFile, graph: Graph, examples: Sequence[Arrays], limits: Limits) -> Iterator[Compared]:
    values = {tensor_key(node.out()): node.out() for node in graph.nodes if not node.is_variable}
    heads = {name: values[name] for name in file.computed if name in values}
    heads.update(zip(file.outputs, graph.outputs))  # these by their place
    mine, others = _by_name(graph, heads), file.runner(list(heads))
    worst = _Worst()
    for arrays in examples:
        got, expected = others.run(arrays), mine(arrays)
        for name in heads:
            worst.see(name, *_shares(got[name], expected[name], name))
    for name in heads:
        difference, _ = worst.found[name]
        yield Compared(name, False, difference, 0.0, difference <= limits.tolerance)


def _compare_integers(file: OnnxFile, graph: Graph, examples: Sequence[Arrays], limits: Limits) -> Iterator[Compared]:
    graph = in_parts(graph)
    steps = {node.name: int(node.attrs[PARTS]) for node in graph.nodes if PARTS in node.attrs}
    places = {f"{tensor_key(n.out()).replace(':', '_')}_quantize": n.out() for n in graph.nodes}
    places.update((n.name, n.inputs[0]) for n in graph.nodes if n.op == QUANTIZE)
    unknown = [pair.q for pair in file.pairs if pair.q not in places]
    if unknown:
        raise GraphError(f"QuantizeLinear {unknown[0]!r} of the file has no place in the network; was mxq its writer?")
    fed = {pair.q: _feed(graph, places[pair.q], f"{pair.q}_fed") for pair in file.pairs}
    heads = {pair.q: places[pair.q] for pair in file.pairs}
    heads.update(zip(file.outputs, graph.outputs))
    graph.sort()
    mine, others = _by_name(graph, heads), file.runner(list(heads))
    worst = _Worst()
    for arrays in examples:
        got = others.run(arrays)
        given = {fed[pair.q]: dequantize(got[pair.q], pair.qparams) for pair in file.pairs}
        expected = mine({**arrays, **given})
        for pair in file.pairs:
            worst.see(pair.q, *_levels(got[pair.q], expected[pair.q], pair, steps.get(pair.q, 1)))
        for name in file.outputs:
            worst.see(name, *_shares(got[name], expected[name], name))
    for name in heads:
        difference, share = worst.found[name]
        if name in fed:
            few = share <= limits.share or share * worst.sizes[name] <= FEW
            yield Compared(name, True, difference, share, difference <= limits.levels and few)
        else:
            yield Compared(name, False, difference, 0.0, difference <= limits.tolerance)


def _feed(graph: Graph, value: Value, name: str) -> str:
    """Makes the readers of a value's dequantized integers read a new variable; returns the variable's name."""
    variable = Node(VARIABLE, graph.unique_name(name))
    graph.nodes.insert(0, variable)
    users = graph.uses_of(value)
    quantizers = [use.node for use in users if use.node is not None and use.node.op == QUANTIZE]
    if not quantizers:
        graph.replace(value, variable.out(), only=users)
    for quantizer in quantizers:
        for use in graph.uses_of(quantizer.out()):
            if use.node is not None and use.node.op == DEQUANTIZE:
                graph.replace(use.node.out(), variable.out())
    return variable.name


def _by_name(graph: Graph, heads: Mapping[str, Value]):
    """A function from arrays by input name to the heads by name."""
    import mxnet as mx

    part = Runner([graph]).part(graph, {}, heads.values())

    def run(arrays: Mapping[str, np.ndarray]) -> Arrays:
        given = {name: mx.nd.array(array, dtype=array.dtype) for name, array in arrays.items()}
        return {name: array.asnumpy() for name, array in zip(heads, part.run(given))}

    return run


class _Worst:
    """The largest difference of each value, the share of elements that differ, and how many elements there were."""

    def __init__(self) -> None:
        self.found: Dict[str, Tuple[float, float]] = {}
        self.sizes: Dict[str, int] = {}

    def see(self, name: str, difference: float, differing: int, size: int) -> None:
        before, share = self.found.get(name, (0.0, 0.0))
        seen = self.sizes.get(name, 0)
        self.sizes[name] = seen + size
        self.found[name] = max(difference, before), (share * seen + differing) / max(seen + size, 1)


def _shares(got: np.ndarray, expected: np.ndarray, name: str) -> Tuple[float, int, int]:
    """The largest difference as a share of the largest magnitude; infinite where one is no number and the other is."""
    if got.shape != expected.shape:
        raise GraphError(f"value {name!r} has shape {got.shape} in the file and {expected.shape} in MXNet")
    a, b = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    odd = ~(np.isfinite(a) & np.isfinite(b))
    if not np.array_equal(a[odd], b[odd], equal_nan=True):
        return float("inf"), got.size, got.size
    a, b = a[~odd], b[~odd]
    largest = max(float(np.abs(b).max(initial=0.0)), float(np.finfo(np.float32).tiny))
    return float(np.abs(a - b).max(initial=0.0)) / largest, 0, got.size


def _levels(got: np.ndarray, expected: np.ndarray, pair: Pair, fine_steps: int) -> Tuple[float, int, int]:
    both = [array.astype(np.int64).reshape(got.shape) for array in (got, quantize(expected, pair.qparams))]
    if fine_steps > 1:  # what is a whole step here may be as many rests there
        both = [whole + (rest / fine_steps) for whole, rest in (np.split(array, 2, axis=CHANNELS) for array in both)]
    difference = np.abs(both[0] - both[1])
    return float(difference.max(initial=0)), int((difference > 1 / fine_steps / 2).sum()), difference.size
