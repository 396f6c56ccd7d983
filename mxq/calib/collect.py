"""Runs the float network over calibration data and gathers statistics of chosen tensors."""

import contextlib
import ctypes
import functools
import hashlib
import time
import warnings
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import CalibrationError
from ..graph import TYPE_FLAGS, Graph, Value
from ..progress import Progress
from ..threads import thread_pool
from .samples import Layer, example_hashes
from .statistics import NUM_BINS, Statistics

#: Examples that run at once: every watched tensor of the network is alive at the same time, for two parts.
SUB_BATCH = 4
_DTYPES = {flag: name for name, flag in TYPE_FLAGS.items()}


class Part(NamedTuple):
    """Examples that run at once: arrays by input name, their hashes, and the hash of the stream after them."""

    arrays: Dict[str, np.ndarray]
    hashes: np.ndarray
    stream: str


def collect(
    graph: Graph,
    keys: Mapping[str, Value],
    data_batches: Iterable,
    *,
    layers: Sequence[Layer] = (),
    ctx=None,
    progress: Optional[bool] = None,
    num_examples: Optional[int] = None,
    num_bins: int = NUM_BINS,
    sub_batch: Optional[int] = SUB_BATCH,
    statistics: Optional[Statistics] = None,
    checkpoint: Optional[Callable[[Statistics], None]] = None,
    checkpoint_seconds: float = 60.0,
) -> Statistics:
    """Statistics of values of a float graph, in one pass over the data.

    >>> import mxnet as mx, numpy as np
    >>> from mxq.calib.data import batches
    >>> graph = Graph.from_symbol(mx.sym.Activation(mx.sym.var("data"), act_type="relu", name="relu"), {})
    >>> data = batches(np.float32([[-1, 2], [3, 4]]), ["data"])
    >>> collect(graph, {"relu": graph.outputs[0]}, data)["relu"].max
    4.0

    Args:
        graph: the float graph; it is not changed.
        keys: the values to watch, under the keys that the result has.
        data_batches: what `mxq.calib.data.batches` returns; first axis = batch.
        layers: layers whose inputs, among the keys, are sampled.
        ctx: where the network runs, the CPU by default.
        progress: see mxq.progress.
        num_examples: for the progress bar only.
        num_bins: histogram bins on each side of zero, a power of two.
        sub_batch: so many examples run at once, however they come in batches: a value that depends on the number, in
            its last digit, is always the same. None runs batches as they come.
        statistics: what an earlier, interrupted run over the same data has; the examples it has seen are skipped.
        checkpoint: called with the statistics every so many seconds.

    Raises:
        CalibrationError: no data, data the network does not accept, a tensor that becomes NaN or infinite, or other
        data than the interrupted run had.
    """
    network = _Network(graph, keys, ctx)
    if statistics is None:
        statistics = Statistics(keys, layers=layers, num_bins=num_bins)
        for key, array in network.constants.items():
            _update(statistics, key, array, None, "as a parameter")
    saved = time.monotonic()
    first = statistics.num_examples
    waiting: List[Tuple[Part, Callable]] = []  # the part before: its values are added while the network runs
    with Progress(num_examples, "calibrating", show=progress) as bar, thread_pool() as start:
        bar.step(first)

        def settle() -> None:
            nonlocal saved
            while waiting:
                part, results = waiting.pop()
                results()
                statistics.num_examples += len(part.hashes)
                statistics.stream = part.stream
                bar.step(len(part.hashes))
                if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
                    checkpoint(statistics)
                    saved = time.monotonic()

        try:
            for part in _parts(data_batches, sub_batch, first, statistics.stream):
                n = len(part.hashes)
                values = list(network.run(part.arrays, n, sub_batch or n))
                settle()
                where = f"in calibration examples {first} to {first + n - 1}"
                waiting.append((part, start(functools.partial(_add, statistics, part.hashes, where), values)))
                first += n
        finally:
            settle()
    if not statistics.num_examples:
        raise CalibrationError("the calibration data is empty")
    return statistics


def _add(statistics: Statistics, hashes: np.ndarray, where: str, value: Tuple[str, Callable]) -> None:
    key, read = value
    output, array = read()  # the array is memory of the output
    _update(statistics, key, array, hashes, where)
    statistics.samples.update(key, array, hashes)


def _update(statistics: Statistics, key: str, array: np.ndarray, examples: Optional[np.ndarray], where: str) -> None:
    try:
        statistics[key].update(array, examples)
    except CalibrationError as error:
        raise CalibrationError(f"tensor {key!r} {where}: {error}; exclude its operator or look at the data") from None


def _parts(data_batches: Iterable, size: Optional[int], skip: int, skipped: Optional[str]) -> Iterator[Part]:
    """Examples in parts of `size`, however they come in batches; the first `skip` (of stream `skipped`) left out."""
    stream, seen = "", 0
    waiting: List[Part] = []  # of fewer than `size` examples together
    for batch in data_batches:
        arrays = {name: _numpy(array) for name, array in batch.arrays.items()}
        hashes = example_hashes(arrays)
        start = 0
        if seen < skip:  # only to see that it is the same data
            start = min(skip - seen, len(hashes))
            stream = _stream(stream, hashes[:start])
            seen += start
            if seen == skip and stream != skipped:
                raise CalibrationError(
                    f"the first {seen} examples are not those that the interrupted run has seen, in the same order; "
                    "give the same data, or start again with resume=False"
                )
        if waiting and _shapes(waiting[0].arrays) != _shapes(arrays):
            yield _joined(waiting)
            waiting = []
        while start < len(hashes):
            room = len(hashes) if size is None else size - sum(len(part.hashes) for part in waiting)
            stop = min(start + room, len(hashes))
            stream = _stream(stream, hashes[start:stop])
            cut = {name: array[start:stop] for name, array in arrays.items()}
            waiting.append(Part(cut, hashes[start:stop], stream))
            if size is None or stop - start == room:
                yield _joined(waiting)
                waiting = []
            start = stop
    if seen < skip:
        raise CalibrationError(
            f"the data holds {seen} examples, and the interrupted run has seen {skip}; give the same data, "
            "or start again with resume=False"
        )
    if waiting:
        yield _joined(waiting)


def _joined(parts: Sequence[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays}
    return Part(arrays, np.concatenate([part.hashes for part in parts]), parts[-1].stream)


def _shapes(arrays: Mapping[str, np.ndarray]) -> Dict[str, tuple]:
    return {name: array.shape[1:] for name, array in arrays.items()}


def _stream(before: str, hashes: np.ndarray) -> str:
    for value in hashes.astype("<u8"):
        before = hashlib.blake2b(before.encode() + value.tobytes(), digest_size=16).hexdigest()
    return before


def _numpy(array) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.asnumpy()


def _read(holder: list, kept: int, of: int) -> Tuple:
    output = holder.pop()
    array = _view(output)
    return output, array[: len(array) * kept // of]


def _view(array) -> np.ndarray:
    """The memory of an NDArray on the CPU as numpy, without a copy, to be read while the NDArray lives."""
    import mxnet as mx

    if array.context.device_type != "cpu" or array.stype != "default" or not array.size:
        return array.asnumpy()
    pointer = ctypes.c_void_p()
    array.wait_to_read()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    dtype = np.dtype(array.dtype)
    memory = (ctypes.c_char * (array.size * dtype.itemsize)).from_address(pointer.value)
    return np.frombuffer(memory, dtype).reshape(array.shape)


class _Network:
    """The part of a graph that computes the watched values.

    Run as a CachedOp: binding an executor would fuse operators first (MXNET_SUBGRAPH_BACKEND), and MXNet's fusion
    breaks graphs whose intermediate values are outputs.
    """

    def __init__(self, graph: Graph, keys: Mapping[str, Value], ctx):
        import mxnet as mx

        self._ctx = ctx or mx.cpu()
        graph = _cut(graph, keys.values())
        self.constants: Dict[str, np.ndarray] = {}
        self._from_data: Dict[str, str] = {}
        self._computed: List[str] = []
        heads = []
        for key, value in zip(keys, graph.outputs):
            if not value.node.is_variable:
                self._computed.append(key)
                heads.append(value)
            elif value.node.name in graph.params:
                self.constants[key] = graph.params[value.node.name]
            else:
                self._from_data[key] = value.node.name
        graph.outputs = heads
        self._run = None
        if heads:
            self._symbol, args, aux = graph.to_symbol()
            self._params = {name: array.as_in_context(self._ctx) for name, array in {**args, **aux}.items()}
            self._free = [name for name in self._symbol.list_inputs() if name not in self._params]
            self._dtypes = {node.name: _DTYPES[node.get("__dtype__", 0)] for node in graph.inputs}
            self._run = mx.nd.CachedOp(self._symbol)

    def run(self, arrays: Mapping[str, np.ndarray], n: int, size: int):
        """Yields (key, function) of every watched value that depends on the data.

        The function, to be called once, returns an NDArray, or None, and the value as an array, which is memory of the
        NDArray. A value takes memory until both are gone.

        Args:
            arrays: n examples by input name.
            size: the examples are filled up to so many, where that changes nothing but the length of every value.
        """
        import mxnet as mx

        for key, name in self._from_data.items():
            if name not in arrays:
                raise CalibrationError(f"calibration data lacks input {name!r}; it has {', '.join(arrays)}")
            yield key, functools.partial(lambda array: (None, array), arrays[name])
        if self._run is None:
            return
        if n < size and self._grows_alike({name: arrays[name].shape for name in self._free if name in arrays}, n, size):
            more = np.append(np.arange(n), np.full(size - n, n - 1))
            arrays, kept = {name: array[more] for name, array in arrays.items()}, (n, size)
        else:
            kept = (1, 1)
        inputs = self._inputs(arrays)
        with mx.autograd.pause(train_mode=False):
            outputs = self._run(*inputs)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        outputs[-1].wait_to_read()  # the network and the statistics would fight for the processors
        for key in self._computed:
            yield key, functools.partial(_read, [outputs.pop(0)], *kept)

    def _grows_alike(self, shapes: Mapping[str, tuple], n: int, size: int) -> bool:
        """Whether the first axis of every watched value is n times something, and so for another number of examples."""
        with contextlib.suppress(CalibrationError):
            few = self._output_shapes(shapes)
            many = self._output_shapes({name: (size, *shape[1:]) for name, shape in shapes.items()})
            return all(a[1:] == b[1:] and a[:1] and a[0] * size == b[0] * n for a, b in zip(few, many))
        return False

    def _inputs(self, arrays: Mapping[str, np.ndarray]) -> list:
        """Arrays of every variable. Labels, which nothing here computes with, are zeros of the inferred shape."""
        import mxnet as mx

        given = {
            name: mx.nd.array(arrays[name], ctx=self._ctx, dtype=self._dtypes[name])
            for name in self._free
            if name in arrays
        }
        inferred, _ = self._infer({name: array.shape for name, array in given.items()})
        for name in self._free:
            if name not in given:
                given[name] = mx.nd.zeros(inferred[name], ctx=self._ctx, dtype=self._dtypes[name])
        return [self._params[name] if name in self._params else given[name] for name in self._symbol.list_inputs()]

    def _output_shapes(self, shapes: Mapping[str, tuple]) -> List[tuple]:
        return self._infer(shapes)[1]

    def _infer(self, shapes: Mapping[str, tuple]) -> tuple:
        """Shapes of all arguments by name and of all outputs. CalibrationError if the network does not fit the data."""
        import mxnet as mx

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # what is missing becomes an error
                inferred, outputs, _ = self._symbol.infer_shape(**shapes)
            if inferred is None:
                raise ValueError("the shapes of all its tensors cannot be inferred")
        except (mx.MXNetError, ValueError) as error:
            absent = [name for name in self._free if name not in shapes]
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise CalibrationError(
                f"the network does not accept calibration data of shapes {dict(shapes)}"
                + (f" without {', '.join(absent)}" if absent else "")
                + f": {reason}; a network made for one batch size needs batches of that size and sub_batch=None"
            ) from error
        return dict(zip(self._symbol.list_arguments(), inferred)), outputs


def _cut(graph: Graph, values: Iterable[Value]) -> Graph:
    """A copy of the graph that returns `values`."""
    positions = {id(node): i for i, node in enumerate(graph.nodes)}
    twin = graph.copy()
    twin.outputs = [Value(twin.nodes[positions[id(v.node)]], v.index) for v in values]
    twin.prune()
    return twin
