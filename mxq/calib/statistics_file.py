"""Statistics as a file: an .npz archive of plain arrays, with a header in JSON."""

import json
import os
import zipfile
from typing import Callable, Dict

import numpy as np

from ..errors import CalibrationError
from ..network.atomic import write_atomically
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
        "layers": [list(rows.layer) for rows in samples.values()],
    }
    arrays = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for i, key in enumerate(keys):
        arrays.update(_named(f"tensor{i}", statistics._tensors[key].arrays()))
    for i, rows in enumerate(samples.values()):
        arrays.update(_named(f"sample{i}", rows.arrays()))

    def write(temporary: str) -> None:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)

    write_atomically(os.fspath(path), write)


def load(path: str, make: Callable):
    """See Statistics.load; `make` is that class."""
    with open(path, "rb") as file:  # FileNotFoundError as it is
        try:
            with np.load(file, allow_pickle=False) as archive:
                found = {name: archive[name] for name in archive.files}
            header = json.loads(found.pop("header").tobytes())
            known = header["format"] == FORMAT
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise CalibrationError(
                f"{path}: not a statistics file, or damaged ({type(error).__name__}: {error}); collect again"
            ) from None
    if not known:
        raise CalibrationError(f"{path}: not a statistics file; its format must be {FORMAT!r}")
    if header.get("version") != VERSION:
        raise CalibrationError(
            f"{path}: statistics version {header.get('version')!r}; this mxq reads version {VERSION}; collect again"
        )
    try:
        layers = [Layer(*(tuple(p) if isinstance(p, list) else p for p in parts)) for parts in header["layers"]]
        statistics = make(layers=layers)
        for i, key in enumerate(header["tensors"]):
            statistics._tensors[key] = TensorStatistics.of(_of(f"tensor{i}", found))
        for i, layer in enumerate(layers):
            statistics.samples[layer.source].restore(_of(f"sample{i}", found))
        statistics.num_examples = int(header["num_examples"])
        statistics.graph_hash, statistics.stream = str(header["graph_hash"]), header["stream"]
        statistics.data_shapes = {name: tuple(shape) for name, shape in header["data_shapes"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CalibrationError(f"{path}: damaged statistics: {type(error).__name__}: {error}; collect again") from None
    return statistics


def _named(prefix: str, arrays: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    return {f"{prefix}/{name}": _smallest(array) for name, array in arrays.items()}


def _of(prefix: str, arrays: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    return {name[len(prefix) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}


def _smallest(array: np.ndarray) -> np.ndarray:
    """Counts in the smallest type that holds them."""
    if array.dtype != np.int64 or not array.size or array.min() < 0:
        return array
    return array.astype(np.min_scalar_type(int(array.max())))
