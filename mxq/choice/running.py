"""Runs networks over the evaluation data, which may be read many times, and keeps what the float network returned."""

import hashlib
import os
from typing import BinaryIO, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..calib.array_file import read_array
from ..data.batches import Batch, batches, of_integers
from ..data.progress import Progress
from ..errors import CalibrationError, ConfigError, GraphError
from ..network.batch_sizes import BatchSizes, arranged
from ..network.shapes import complete_shapes
from .metrics import Metric

_READ_AGAIN = (
    "the evaluation data is read once for each network that is tried: give a list of batches, an array, a DataLoader "
    "or a DataIter, in the same order each time (shuffle=False, no random augmentation)"
)


class EvalData:
    """Batches with labels, as often as they are wanted.

    Args:
        source: as `calib_data` of quantize_model.
        names: the network's data inputs.
        options: mxq.options.Options; batch size, shapes and type of the data.
        num_examples: use so many; all by default.
        sizes: which batches the network takes; any by default.
    """

    def __init__(
        self, source, names: Sequence[str], options, num_examples: Optional[int] = None, sizes: BatchSizes = None
    ):
        if iter_is_spent_by_reading(source):
            raise ConfigError(f"eval_data is a {type(source).__name__}, which yields its batches once; {_READ_AGAIN}")
        self._source, self._names, self._options, self._num = source, list(names), options, num_examples
        self._sizes = sizes

    def __iter__(self) -> Iterator[Batch]:
        options = self._options
        try:
            found = batches(
                self._source,
                self._names,
                batch_size=options.batch_size,
                num_examples=self._num,
                data_shapes=options.data_shapes,
                sizes_differ=True,
            )
            if options.input_dtype != "float32":
                found = of_integers(found, self._names[0], options.input_dtype)
            if self._sizes is not None:
                found = arranged(found, self._sizes)
            for batch in found:
                yield batch.labelled(tuple(_label(item)[: batch.n_valid] for item in batch.labels))
        except CalibrationError as error:
            raise ConfigError(f"eval_data: {str(error).replace('calibration', 'evaluation')}") from error


def iter_is_spent_by_reading(source) -> bool:
    """Whether data is a generator or the like: its own iterator, without a way back to its beginning."""
    return not hasattr(source, "reset") and hasattr(source, "__next__")


def _label(item) -> np.ndarray:
    return item.asnumpy() if hasattr(item, "asnumpy") else np.asarray(item)


class Runner:
    """A network that takes batches, with operators as they are. Labels it asks for are zeros.

    Run as a CachedOp: binding an executor would let MXNet fuse operators of the float network first, which fails for
    some networks, and say so on stderr each time.
    """

    def __init__(self, symbol, arg_params: Mapping, aux_params: Mapping):
        import mxnet as mx

        self._symbol, self._params = symbol, {**arg_params, **aux_params}
        self._run = mx.nd.CachedOp(symbol, [("static_alloc", "true"), ("static_shape", "true")])
        self._labels: Tuple[object, Dict[str, object]] = (None, {})

    def __call__(self, batch: Batch) -> List[np.ndarray]:
        import mxnet as mx

        given = {**self._labels_for(batch), **batch.arrays, **self._params}
        with mx.autograd.pause(train_mode=False):
            outputs = self._run(*[given[name] for name in self._symbol.list_inputs()])
        return [batch.valid(output.asnumpy()) for output in (outputs if isinstance(outputs, list) else [outputs])]

    def _labels_for(self, batch: Batch) -> Dict[str, object]:
        import mxnet as mx

        names = set(self._symbol.list_arguments())
        shapes = {name: array.shape for name, array in batch.arrays.items() if name in names}
        if self._labels[0] == shapes:
            return self._labels[1]
        try:
            inferred, _ = complete_shapes(self._symbol, shapes)
        except GraphError as error:
            raise ConfigError(f"eval_data: the network does not accept batches of shapes {shapes}: {error}") from error
        missing = {
            name: mx.nd.zeros(shape)
            for name, shape in inferred.items()
            if name not in shapes and name not in self._params
        }
        self._labels = shapes, missing
        return missing


class Written(NamedTuple):
    """How much a finished Reference holds."""

    batches: int
    bytes: int
    digest: str


class Reference:
    """What the float network returned, batch by batch, in a file: read in order, so that memory stays bounded.

    Args:
        file: opened for reading and writing.
        written: what is in it already, from an earlier process.
    """

    def __init__(self, file: BinaryIO, written: Optional[Written] = None):
        self._file, self.written = file, written

    def write(self, data: EvalData, runner: Runner, metric: Metric, *, show: Optional[bool] = None) -> float:
        """Runs the float network over the data; returns the metric of float itself."""
        self._file.seek(0)
        self._file.truncate()
        metric.reset()
        count, digest = 0, hashlib.sha256()
        with Progress(None, "float network", show=show) as bar:
            for batch in data:
                outputs = runner(batch)
                fingerprint = _fingerprint(batch)
                digest.update(fingerprint)
                self._file.write(fingerprint)
                np.save(self._file, np.int64(len(outputs)))
                for output in outputs:
                    np.save(self._file, output)
                metric.update(outputs, outputs, batch)
                count += 1
                bar.step(batch.n_valid)
        self._file.flush()
        os.fsync(self._file.fileno())  # the state file, which says that this one is whole, comes after it
        self.written = Written(count, self._file.tell(), digest.hexdigest())
        return metric.value()

    def score(self, data: EvalData, runner: Runner, metric: Metric, text: str, *, show: Optional[bool] = None) -> float:
        """The metric of the network in `runner`. Raises ConfigError if the data is not what float was given."""
        self._file.seek(0)
        metric.reset()
        count = 0
        with Progress(None, text, show=show) as bar:
            for batch in data:
                if count == self.written.batches or self._file.read(_FINGERPRINT) != _fingerprint(batch):
                    raise ConfigError(f"batch {count} of eval_data is not what the float network saw: {_READ_AGAIN}")
                kept = self._kept()
                metric.update(runner(batch), kept, batch)
                count += 1
                bar.step(batch.n_valid)
        if count < self.written.batches:
            raise ConfigError(
                f"eval_data has {count} batches now; the float network saw {self.written.batches}: {_READ_AGAIN}"
            )
        return metric.value()

    def _kept(self) -> List[np.ndarray]:
        """What the float network returned for the next batch."""
        try:
            return [self._array() for _ in range(int(self._array()))]
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{self._file.name}: damaged outputs of the float network: {error}; delete it and the state beside it"
            ) from error

    def _array(self) -> np.ndarray:
        return read_array(self._file, self.written.bytes - self._file.tell())

    def check_first(self, data: EvalData) -> None:
        """Refuses data whose first batch is not the one that float was given in an earlier process."""
        self._file.seek(0)
        if self._file.read(_FINGERPRINT) != _fingerprint(next(iter(data))):
            raise ConfigError(
                "search_state belongs to a search with other eval_data: its first batch is another one; delete the "
                "file or give another path"
            )


_FINGERPRINT = 32


def _fingerprint(batch: Batch) -> bytes:
    digest = hashlib.sha256()
    for name, array in sorted(batch.arrays.items()):
        digest.update(f"{name}{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array.asnumpy()).reshape(-1).view(np.uint8))
    for label in batch.labels:
        digest.update(np.ascontiguousarray(label).tobytes())
    return digest.digest()
