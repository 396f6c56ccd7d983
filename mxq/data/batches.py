"""Calibration data of any kind as a stream of checked batches."""

import itertools
import logging
import os
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import CalibrationError, ConfigError

logger = logging.getLogger(__name__)

ACCEPTED = (
    "a DataIter, a Gluon DataLoader or Dataset, an array, a dict of arrays by input name, a tuple of arrays (one per "
    "input), or an iterable of batches (arrays, (data, label) tuples, dicts, DataBatch)"
)
# What arrays of other types become. The rest (text, objects, complex numbers, dates) is refused.
_KEPT_DTYPES = ("float32", "uint8", "int8", "int32", "int64")
_CAST_DTYPES = {
    "float16": "float32", "float64": "float32", "bool": "uint8", "int16": "int32", "uint16": "int32", "uint32": "int64",
}  # fmt: skip


class _Pair(NamedTuple):
    arrays: Dict[str, Any]
    n_valid: int


class Batch(_Pair):
    """``(arrays, n_valid)``: arrays by input name, and how many examples they hold (the length of their first axis).

    Attributes:
        labels: what came with the inputs, as it came, padding included. Metrics read it, calibration does not.
        whole: it runs as it is, neither cut nor joined with others. Then rows beyond the first `n_valid` may repeat
            examples, and the first axes of inputs may differ (regions of an image); `n_valid` counts the first input's.
    """

    labels: Tuple[object, ...] = ()
    whole: bool = False

    def labelled(self, labels: Tuple[object, ...]) -> "Batch":
        """The same batch with these labels."""
        return self._twin(labels, self.whole)

    def as_whole(self) -> "Batch":
        """The same batch, neither to be cut nor to be joined."""
        return self._twin(self.labels, True)

    def _twin(self, labels: Tuple[object, ...], whole: bool) -> "Batch":
        batch = Batch(*self)
        batch.labels, batch.whole = labels, whole
        return batch

    def valid(self, output: np.ndarray) -> np.ndarray:
        """What the network returned for the first `n_valid` examples alone."""
        rows = len(next(iter(self.arrays.values())))
        return output[: self.n_valid] if output.shape[:1] == (rows,) else output


class _Raw(NamedTuple):
    """A batch before checks: its items in order or by name, how many examples at its end are padding, labels apart;
    and whether the caller made it one (else it was cut from data in one piece)."""

    items: object
    pad: int = 0
    labels: Tuple[object, ...] = ()
    given: bool = True


def batches(
    calib_data,
    data_names: Sequence[str],
    *,
    batch_size: int = 32,
    num_examples: Optional[int] = None,
    data_shapes: Optional[Mapping[str, Sequence[int]]] = None,
    sizes_differ: bool = False,
) -> Iterator[Batch]:
    """Streams calibration data batch by batch, without padding.

    >>> import numpy as np
    >>> [b.n_valid for b in batches(np.zeros((5, 3), "float32"), ["data"], batch_size=2)]
    [2, 2, 1]

    A batch of several items holds the network's inputs first; what follows them is labels. Dicts are read by input
    name, their other entries are labels. Iterators are reset before and after where they have ``reset``.

    Args:
        calib_data: see ACCEPTED.
        data_names: the network's inputs, in order.
        batch_size: for data that comes in one piece.
        num_examples: use exactly so many; all by default. Fewer available: a warning is logged.
        data_shapes: expected shape by input name, first axis = batch (not compared); 0, -1 or None match anything.
        sizes_differ: whether axes behind the first may have another length in each batch.

    Returns:
        An iterator of Batch: NDArrays on the CPU by input name. Floating point types become float32.

    Raises:
        CalibrationError: no data, a batch that lacks inputs, wrong shapes or types, NaN or infinity.
        ConfigError: num_examples or batch_size below 1.
    """
    for name, value in (("num_examples", num_examples), ("batch_size", batch_size)):
        if value is not None and (isinstance(value, bool) or int(value) != value or value < 1):
            raise ConfigError(f"{name}={value!r}: accepted is an integer from 1")
    if not data_names:
        raise CalibrationError("the network has no data input: there is nothing to calibrate with")
    raw = _raw_batches(calib_data, list(data_names), batch_size)
    return _checked(raw, list(data_names), num_examples, data_shapes, sizes_differ)


def _checked(raw: Iterable[_Raw], names: List[str], num_examples, data_shapes, sizes_differ: bool) -> Iterator[Batch]:
    expected = {name: tuple(data_shapes[name])[1:] for name in names if data_shapes and name in data_shapes}
    source = {name: "the network expects" for name in expected}
    done = 0
    raw = iter(raw)
    try:
        for index, (items, pad, labels, given) in enumerate(raw):
            arrays = _select(items, names, f"calibration batch {index}")
            sizes = {name: array.shape[0] if array.ndim else None for name, array in arrays.items()}
            apart = len(set(sizes.values())) != 1  # regions of an image, one template for many images
            if None in sizes.values() or (apart and not given):
                shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
                raise CalibrationError(
                    f"calibration batch {index}: inputs need a common first (batch) axis; got {shapes}"
                    + ("; a list of batches may have several" if apart else "")
                )
            n = sizes[names[0]] - pad
            if num_examples is not None:
                n = min(n, num_examples - done)
            if n <= 0:
                continue
            for name, array in arrays.items():
                where = f"input {name!r} of calibration batch {index}"
                _check_shape(array.shape, expected.get(name), where, source.get(name))
                if name not in expected:  # every later batch must look like the first
                    shape = (None,) * (array.ndim - 1) if sizes_differ else array.shape[1:]
                    expected[name], source[name] = shape, "calibration batch 0 has"
                arrays[name] = _finite(array if apart else array[:n], name, done)
            batch = Batch({name: _ndarray(array) for name, array in arrays.items()}, n)
            batch = batch.labelled(labels or _rest(items, names))
            yield batch.as_whole() if apart else batch
            done += n
            if done == num_examples:
                return
    finally:
        if hasattr(raw, "close"):
            raw.close()
    if not done:
        raise CalibrationError(
            "the calibration data is empty; an iterator or generator that was used before yields nothing the second "
            "time: pass a list, a DataLoader or a fresh iterator"
        )
    if num_examples is not None:
        logger.warning("calibration data holds %d examples, %d were asked for", done, num_examples)


def first_examples(
    examples: Iterable[Batch], enough: int, *, whole: bool = False
) -> Tuple[List[Batch], Iterator[Batch]]:
    """The first `enough` examples, and all batches again with these first.

    Batches that are whole, or all with `whole`, are not cut for that.

    >>> import numpy as np
    >>> first, every = first_examples(batches(np.zeros((5, 3), "float32"), ["data"], batch_size=2), 3)
    >>> [b.n_valid for b in first], [b.n_valid for b in every]
    ([2, 1], [2, 2, 1])
    """
    kept: List[Batch] = []
    missing = enough
    rest = iter(examples)
    for batch in rest:
        kept.append(batch)
        missing -= batch.n_valid
        if missing <= 0:
            break
    first = list(kept)
    if missing < 0 and not whole and not kept[-1].whole:
        n = kept[-1].n_valid + missing
        first[-1] = Batch({name: array[:n] for name, array in kept[-1].arrays.items()}, n)
    return first, itertools.chain(kept, rest)


def of_integers(found: Iterable[Batch], name: str, dtype: str) -> Iterator[Batch]:
    """The batches with input `name` as integers. Raises CalibrationError for a value that `dtype` does not have."""
    info = np.iinfo(dtype)
    for index, batch in enumerate(found):
        array = batch.arrays[name].asnumpy()
        outside = (array < info.min) | (array > info.max)
        if array.dtype.kind == "f":
            outside |= array != np.rint(array)
        if outside.any():
            raise CalibrationError(
                f"input {name!r} of calibration batch {index} has the value {array[outside][0]}, and input_dtype is "
                f"{dtype!r}: give the integers {info.min} to {info.max} that the network will be fed, not normalized"
            )
        arrays = {**batch.arrays, name: _ndarray(array.astype(dtype))}
        typed = Batch(arrays, batch.n_valid).labelled(batch.labels)
        yield typed.as_whole() if batch.whole else typed


def total_of(data) -> Optional[int]:
    """How many examples there are, if that is known without reading them.

    >>> total_of([np.zeros((3, 2)), np.zeros((2, 2))]), total_of(iter([]))
    (5, None)
    """
    if _is_array(data):
        return data.shape[0] if data.shape else None
    if isinstance(data, Mapping):
        return max((item.shape[0] for item in data.values() if _is_array(item) and item.shape), default=None)
    if isinstance(data, tuple) and data and all(map(_is_array, data)):
        return total_of(data[0])
    if isinstance(data, list):
        parts = [total_of(item) if _is_array(item) or isinstance(item, (tuple, Mapping)) else None for item in data]
        return None if None in parts else sum(parts)
    found = getattr(data, "num_examples", None)
    return found if isinstance(found, int) else None


def _raw_batches(data, names: List[str], batch_size: int) -> Iterator[_Raw]:
    """Brings every accepted kind of data to a stream of _Raw."""
    import mxnet as mx

    if isinstance(data, mx.io.DataIter):
        return _from_data_iter(data, names)
    if isinstance(data, mx.gluon.data.Dataset):
        data = mx.gluon.data.DataLoader(data, batch_size)
    if _is_array(data):
        return _slices([data], batch_size)
    if isinstance(data, Mapping):
        _select(data, names, "calibration data", convert=False)
        return _slices({name: item for name, item in data.items() if name in names or _is_array(item)}, batch_size)
    if isinstance(data, mx.io.DataBatch):
        data = [data]
    if isinstance(data, tuple) and data and all(map(_is_array, data)):
        return _slices(_one_array_per_input(data, names), batch_size)
    if isinstance(data, list) and len(names) > 1 and data and all(map(_is_array, data)):
        return _slices(data, batch_size)  # a batch of several inputs is never a bare array
    if isinstance(data, (str, os.PathLike)):
        raise CalibrationError(f"calibration data is the path {os.fspath(data)!r}: {_reader_of(os.fspath(data))}")
    if isinstance(data, bytes) or not hasattr(data, "__iter__"):
        raise CalibrationError(
            f"calibration data of type {type(data).__name__} is not accepted; accepted are {ACCEPTED}"
        )
    return _from_iterable(data)


def _reader_of(path: str) -> str:
    """What reads a file or folder."""
    if path.endswith((".npy", ".npz")):
        return f"give the arrays in it, such as np.load({os.path.basename(path)!r})"
    return (
        f"mxq.data.images({os.path.basename(path.rstrip(os.sep))!r}, shape=(3, 224, 224), mean=..., std=...) reads "
        "images of a folder, a list or a RecordIO file"
    )


def _from_data_iter(data, names: List[str]) -> Iterator[_Raw]:
    data.reset()
    try:
        for batch in data:
            descriptions = batch.provide_data or data.provide_data or []
            yield _from_data_batch(batch, [item[0] for item in descriptions], names)
    finally:
        data.reset()


def _from_data_batch(batch, given: List[str], names: List[str]) -> _Raw:
    """By name where the iterator uses the network's names, else in order."""
    items = _sequence(batch.data)
    if len(given) == len(items) and set(names) <= set(given):
        items = dict(zip(given, items))
    return _Raw(items, batch.pad or 0, _sequence(batch.label))


def _from_iterable(data) -> Iterator[_Raw]:
    import mxnet as mx

    reset = getattr(data, "reset", lambda: None)
    reset()
    try:
        for item in data:
            if isinstance(item, mx.io.DataBatch):
                yield _Raw(_sequence(item.data), item.pad or 0, _sequence(item.label))
            else:
                yield _Raw([item] if _is_array(item) else item)
    finally:
        reset()


def _sequence(items) -> tuple:
    """The data or the labels of a DataBatch: several, one or none."""
    return () if items is None else tuple(items) if isinstance(items, (list, tuple)) else (items,)


def _rest(items, names: List[str]) -> tuple:
    """What a batch holds beside the network's inputs."""
    if isinstance(items, Mapping):
        return tuple(item for name, item in items.items() if name not in names)
    return tuple(items[len(names) :])


def _one_array_per_input(data: tuple, names: List[str]) -> tuple:
    """Refuses a tuple of batches for a single input, which would be mistaken for data and labels."""
    if len(names) == 1 and len(data) > 1 and data[0].ndim > 1 and data[1].shape[1:] == data[0].shape[1:]:
        raise CalibrationError(
            f"calibration data is a tuple of arrays of shapes {data[0].shape}, {data[1].shape}, and the network has "
            "one input: pass the array alone, or a list if these are batches"
        )
    return data


def _slices(items, batch_size: int) -> Iterator[_Raw]:
    arrays = list(items.values()) if isinstance(items, Mapping) else list(items)
    length = max((a.shape[0] for a in arrays if a.ndim), default=1)

    def cut(array, start):
        return array[start : start + batch_size] if array.ndim else array

    for start in range(0, length, batch_size):
        if isinstance(items, Mapping):
            yield _Raw({name: cut(array, start) for name, array in items.items()}, given=False)
        else:
            yield _Raw([cut(array, start) for array in arrays], given=False)


def _select(items, names: List[str], where: str, convert: bool = True) -> Dict[str, np.ndarray]:
    """The network's inputs among the items of a batch."""
    if isinstance(items, Mapping):
        missing = [name for name in names if name not in items]
        if missing:
            raise CalibrationError(f"{where} lacks input {missing[0]!r}; it has {', '.join(map(str, items))}")
        chosen = {name: items[name] for name in names}
    elif isinstance(items, (list, tuple)):
        if len(items) < len(names):
            raise CalibrationError(
                f"{where} has {len(items)} item(s); the network has {len(names)} inputs: {', '.join(names)}"
            )
        chosen = dict(zip(names, items))
    else:
        raise CalibrationError(f"{where} is of type {type(items).__name__}; accepted are {ACCEPTED}")
    for name, item in chosen.items():
        if not _is_array(item):
            raise CalibrationError(
                f"{where}: input {name!r} is of type {type(item).__name__}; accepted are NDArrays and numpy arrays"
            )
    return {name: _numpy(item, f"{where}: input {name!r}") for name, item in chosen.items()} if convert else chosen


def _is_array(item) -> bool:
    return hasattr(item, "shape") and (hasattr(item, "asnumpy") or hasattr(item, "__array__"))


def _numpy(item, where: str) -> np.ndarray:
    if hasattr(item, "stype") and item.stype != "default":
        item = item.tostype("default")
    array = item.asnumpy() if hasattr(item, "asnumpy") else np.asarray(item)
    name = array.dtype.name
    if name in _KEPT_DTYPES:
        return array
    if name not in _CAST_DTYPES:
        accepted = ", ".join(_KEPT_DTYPES + tuple(_CAST_DTYPES))
        raise CalibrationError(f"{where} has dtype {array.dtype}; accepted are {accepted}")
    with np.errstate(over="ignore"):  # what overflows float32 is reported as infinity with its example
        return array.astype(_CAST_DTYPES[name])


def _check_shape(shape: Tuple[int, ...], expected: Optional[tuple], where: str, source: Optional[str]) -> None:
    if 0 in shape[1:]:
        raise CalibrationError(f"{where} has shape {shape}: an axis is empty")
    if expected is None:
        return
    fits = len(shape) == len(expected) + 1 and all(
        want in (0, -1, None) or want == have for have, want in zip(shape[1:], expected)
    )
    if not fits:
        wanted = ", ".join(["batch"] + ["any" if want in (0, -1, None) else str(want) for want in expected])
        raise CalibrationError(f"{where} has shape {shape}; {source} ({wanted})")


def _finite(array: np.ndarray, name: str, first: int) -> np.ndarray:
    if array.dtype.kind == "f" and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        rows = ~np.isfinite(array.reshape(array.shape[0], -1)).all(axis=1)
        row = int(np.flatnonzero(rows)[0])
        value = array[row][~np.isfinite(array[row])].flat[0]
        raise CalibrationError(f"calibration data: input {name!r} of example {first + row} contains {value}")
    return array


def _ndarray(array: np.ndarray):
    import mxnet as mx

    return mx.nd.array(array, ctx=mx.cpu(), dtype=array.dtype)
