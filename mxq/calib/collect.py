"""Runs the float network over calibration data and gathers statistics of chosen tensors."""

import functools
import hashlib
import time
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..data.progress import Progress
from ..errors import CalibrationError
from ..native.threads import thread_pool
from ..network.graph import Graph, Value
from .samples import Layer, example_hashes
from .statistics import Statistics
from .tensor_statistics import NUM_BINS
from .watched import WatchedNetwork

#: Examples that run at once: every watched tensor of the network is alive at the same time.
SUB_BATCH = 8


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
    >>> from mxq.data.batches import batches
    >>> graph = Graph.from_symbol(mx.sym.Activation(mx.sym.var("data"), act_type="relu", name="relu"), {})
    >>> data = batches(np.float32([[-1, 2], [3, 4]]), ["data"])
    >>> collect(graph, {"relu": graph.outputs[0]}, data)["relu"].max
    4.0

    Args:
        graph: the float graph; it is not changed.
        keys: the values to watch, under the keys that the result has.
        data_batches: what `mxq.data.batches.batches` returns; first axis = batch.
        layers: layers whose inputs, among the keys, are sampled.
        ctx: where the network runs, the CPU by default.
        progress: see mxq.data.progress.
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
    network = WatchedNetwork(graph, keys, ctx)
    if statistics is None:
        statistics = Statistics(keys, layers=layers, num_bins=num_bins)
        for key, array in network.constants.items():
            _update(statistics, key, array, None, "as a parameter")
    saved = time.monotonic()
    first = statistics.num_examples
    with Progress(num_examples, "calibrating", show=progress) as bar, thread_pool() as for_all:
        bar.step(first)
        for part in _parts(data_batches, sub_batch, first, statistics.stream):
            n = len(part.hashes)
            values = network.run(part.arrays, n, sub_batch or n)
            where = f"in calibration examples {first} to {first + n - 1}"
            for_all(functools.partial(_add, statistics, part.hashes, where), values.items())
            first += n
            statistics.num_examples, statistics.stream = first, part.stream
            bar.step(n)
            if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
                checkpoint(statistics)
                saved = time.monotonic()
    if not statistics.num_examples:
        raise CalibrationError("the calibration data is empty")
    return statistics


def _add(statistics: Statistics, hashes: np.ndarray, where: str, value: Tuple[str, np.ndarray]) -> None:
    key, array = value
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
