"""Statistics as a file: an .npz archive of plain arrays, with a header in JSON."""

import io
import json
import os
from typing import Callable, Dict, Iterator, Optional, Tuple

import numpy as np

from ..errors import CalibrationError
from ..network.atomic import write_atomically
from ..network.fields import Field, Source, check_format, parse_json
from .array_file import Arrays, read_arrays
from .kept import Kept, KeptExamples
from .samples import Layer
from .tensor_statistics import TensorStatistics

FORMAT = "mxq-statistics"
VERSION = 1


def save(statistics, path: str) -> None:
    """See Statistics.save. What is stored are the values as measured: a view's factors are not."""
    keys, samples = list(statistics._tensors), statistics.samples
    header = {
        "format": FORMAT,
        "version": VERSION,
        "num_examples": statistics.num_examples,
        "graph_hash": statistics.graph_hash,
        "data_shapes": {name: list(shape) for name, shape in statistics.data_shapes.items()},
        "stream": statistics.stream,
        "tensors": keys,
        "layers": [_fields(rows.layer) for rows in samples.values()],
        "examples": [{"count": kept.count, "inputs": list(kept.arrays)} for kept in statistics.examples],
    }
    arrays = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for i, key in enumerate(keys):
        arrays.update(_named(f"tensor{i}", statistics._tensors[key].arrays()))
    for i, rows in enumerate(samples.values()):
        arrays.update(_named(f"sample{i}", rows.arrays()))
    for i, kept in enumerate(statistics.examples):
        arrays[f"example{i}/hash"] = np.array(kept.hash, np.uint64)
        arrays.update((f"example{i}/{j}", array) for j, array in enumerate(kept.arrays.values()))

    archive = io.BytesIO()  # on a full disk zipfile would go on to fail when nobody can catch it
    np.savez(archive, **arrays)

    def write(temporary: str) -> None:
        with open(temporary, "wb") as file:
            file.write(archive.getbuffer())

    write_atomically(os.fspath(path), write)


def load(path: str, make: Callable):
    """See Statistics.load; `make` is that class."""
    source = Source(os.fspath(path), "statistics file", CalibrationError, "collect again")
    found = read_arrays(source)
    if "header" not in found:
        raise source.foreign(f"its format must be {FORMAT!r}")
    header = parse_json(found.pop("header").tobytes(), source)
    check_format(header, FORMAT, VERSION)
    layers = [_layer(field) for field in header["layers"].items()]
    statistics, arrays = make(layers=layers), Arrays(found, source)
    for i, key in enumerate(header["tensors"].items()):
        statistics._tensors[key.text()] = TensorStatistics.of(arrays.below(f"tensor{i}/"))
    for i, layer in enumerate(layers):
        statistics.samples[layer.source].restore(arrays.below(f"sample{i}/"))
    statistics.examples = KeptExamples(_kept(header.get("examples", []), arrays))
    statistics.num_examples = header["num_examples"].integer()
    statistics.graph_hash = header["graph_hash"].text()
    statistics.stream = header["stream"].typed(Optional[str])
    statistics.data_shapes = {name: _sizes(shape) for name, shape in header["data_shapes"].fields().items()}
    return statistics


def _kept(described: Field, arrays: Arrays) -> Iterator[Kept]:
    for i, example in enumerate(described.items()):
        own = arrays.below(f"example{i}/")
        names = [name.text() for name in example["inputs"].items()]
        inputs = {name: own.numbers(str(j)) for j, name in enumerate(names)}
        number = own.integers("hash", (), most=2**64 - 1, dtype=np.uint64)
        yield Kept(int(number), example["count"].integer(least=1), inputs)


def _fields(layer: Layer) -> list:
    """A layer as a list; the last field only where it says something, so that files are as they were before it."""
    return list(layer) if layer.rows else list(layer)[:-1]


def _layer(field: Field) -> Layer:
    parts, fields = field.items(), len(Layer._fields)
    if len(parts) not in (fields - 1, fields):
        raise field.wrong(f"a list of {fields - 1} or {fields}")
    name, key, groups, *geometry = parts[: fields - 1]
    rows = len(parts) == fields and parts[-1].typed(bool)
    layer = Layer(name.text(), key.text(), groups.integer(least=1), *map(_sizes, geometry), rows=rows)
    if len({len(part) for part in layer[3:8]}) != 1 or len(layer.kernel) > 2 or 0 in layer.kernel + layer.stride:
        raise field.wrong("a geometry of one kernel in one or two dimensions")
    if layer.rows and layer.kernel:
        raise field.wrong("rows of a layer without a kernel")
    return layer


def _sizes(field: Field) -> Tuple[int, ...]:
    return tuple(item.integer(most=2**31 - 1) for item in field.items())


def _named(prefix: str, arrays: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    return {f"{prefix}/{name}": _smallest(array) for name, array in arrays.items()}


def _smallest(array: np.ndarray) -> np.ndarray:
    """Counts in the smallest type that holds them."""
    if array.dtype != np.int64 or not array.size or array.min() < 0:
        return array
    return array.astype(np.min_scalar_type(int(array.max())))
