"""Runs the float network over calibration data and gathers statistics of chosen tensors."""

import functools
import hashlib
import logging
import time
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..arithmetic.noise import Noise
from ..data.batches import Batch, first_examples
from ..data.progress import Progress
from ..errors import CalibrationError
from ..native.threads import thread_pool
from ..network.graph import Graph, Value
from .samples import Layer, example_hashes
from .statistics import Statistics
from .tensor_statistics import NUM_BINS
from .watched import WatchedNetwork

_log = logging.getLogger(__name__)

#: Examples that run at once: every watched tensor of the network is alive at the same time.
SUB_BATCH = 8
#: Noise over signal between an example alone and among others; of last digits it is 1e-12.
NOT_ITSELF = 1e-6


class Part(NamedTuple):
    """Examples that run at once: arrays by input name, their hashes, the hash of the stream after them, and how many
    they are filled up to. `whole` ones are not to be cut."""

    arrays: Dict[str, np.ndarray]
    hashes: np.ndarray
    stream: str
    size: int = 0
    whole: bool = False


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
        data_batches: what `mxq.data.batches.batches` returns, arranged for the network (see mxq.network.batch_sizes).
        layers: layers whose inputs, among the keys, are sampled.
        ctx: where the network runs, the CPU by default.
        progress: see mxq.data.progress.
        num_examples: for the progress bar only.
        num_bins: histogram bins on each side of zero, a power of two.
        sub_batch: so many examples run at once, however they come in batches: a value that depends on the number, in
            its last digit, is always the same. None runs batches as they come; so does a network in which an example
            changes what another one gives, and a batch that is `whole`.
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
        if sub_batch is not None:
            few, data_batches = first_examples(data_batches, 2)
            sub_batch = sub_batch if _independent(network, few) else None
        for part in _parts(data_batches, sub_batch, first, statistics.stream):
            n = len(part.hashes)
            values = network.run(part.arrays, part.size)
            where = f"in calibration examples {first} to {first + n - 1}"
            for_all(functools.partial(_add, statistics, part.hashes, where), values.items())
            statistics.examples.update(part.arrays, part.hashes, whole=part.whole or sub_batch is None)
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


def _independent(network: WatchedNetwork, examples: Sequence[Batch]) -> bool:
    """Whether the second example gives alone what it gives behind the first: shapes do not show a softmax over them."""
    if any(batch.whole for batch in examples):
        return True  # batches say for themselves that they run as they are
    arrays = [{name: _numpy(array) for name, array in batch.arrays.items()} for batch in examples]
    if len(arrays) > 1 and _shapes(arrays[0]) != _shapes(arrays[1]):
        return True
    both = {name: np.concatenate([part[name] for part in arrays])[:2] for name in arrays[0]} if arrays else {}
    if not both or len(next(iter(both.values()))) < 2:
        return True
    try:
        together = {key: np.array(array) for key, array in network.run(both).items()}
        alone = network.run({name: array[1:] for name, array in both.items()})
    except CalibrationError:
        return True  # the data does not fit, and whoever runs all of it says so
    for key, array in alone.items():
        noise = Noise()
        with np.errstate(invalid="ignore"):  # infinities are told of when they are counted
            noise.add(array, together[key][-len(array) :])
        if NOT_ITSELF < noise.ratio < np.inf:
            _log.info("%s of an example depends on others: calibration runs batches as they come", key)
            return False
    return True


def _parts(data_batches: Iterable, size: Optional[int], skip: int, skipped: Optional[str]) -> Iterator[Part]:
    """Examples in parts of `size`, however they come in batches; the first `skip` (of stream `skipped`) left out.

    Each part is filled up to `size`, until examples of another shape have come: images of many sizes run in parts as
    they are, which saves the time.
    """
    stream, seen = "", 0
    waiting: List[Part] = []  # of fewer than `size` examples together
    filled, shapes = size or 0, None
    for batch in data_batches:
        arrays = {name: _numpy(array) for name, array in batch.arrays.items()}
        hashes = example_hashes(arrays, batch.n_valid)
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
        if shapes is not None and shapes != _shapes(arrays):
            filled = 0
            yield from _joined(waiting, filled)
            waiting = []
        shapes = _shapes(arrays)
        if batch.whole and start < len(hashes):
            yield from _joined(waiting, filled)
            waiting = []
            stream = _stream(stream, hashes[start:])
            yield Part(arrays, hashes, stream, whole=True)
            continue
        while start < len(hashes):
            room = len(hashes) if size is None else size - sum(len(part.hashes) for part in waiting)
            stop = min(start + room, len(hashes))
            stream = _stream(stream, hashes[start:stop])
            cut = {name: array[start:stop] for name, array in arrays.items()}
            waiting.append(Part(cut, hashes[start:stop], stream))
            if size is None or stop - start == room:
                yield from _joined(waiting, filled)
                waiting = []
            start = stop
    if seen < skip:
        raise CalibrationError(
            f"the data holds {seen} examples, and the interrupted run has seen {skip}; give the same data, "
            "or start again with resume=False"
        )
    yield from _joined(waiting, filled)


def _joined(parts: Sequence[Part], size: int) -> Iterator[Part]:
    """The parts as one, if there are any."""
    if parts:
        arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays}
        yield Part(arrays, np.concatenate([part.hashes for part in parts]), parts[-1].stream, size)


def _shapes(arrays: Mapping[str, np.ndarray]) -> Dict[str, tuple]:
    return {name: array.shape[1:] for name, array in arrays.items()}


def _stream(before: str, hashes: np.ndarray) -> str:
    for value in hashes.astype("<u8"):
        before = hashlib.blake2b(before.encode() + value.tobytes(), digest_size=16).hexdigest()
    return before


def _numpy(array) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.asnumpy()
