"""Samples of what a layer multiplies by its weights: rows of patches of its input.

A row's place in the image and whether it is kept follow from a hash of the example alone: of all rows that could be
drawn those with the smallest hashes stay. So the sample is bounded, and the same whatever the order of the examples, in
however many parts they come.
"""

import hashlib
import math
import zlib
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import CalibrationError
from ..native.loops import native_library
from .array_file import Arrays

#: Rows that can be drawn from one example, and rows that are kept.
POSITIONS = 16
ROWS = 1024


class Layer(NamedTuple):
    """A layer whose inputs are sampled. `stride`, `dilate`, `begin`, `end` are empty for fully connected layers; with
    `rows`, such a layer multiplies each row of the last axis (flatten=False)."""

    name: str
    key: str
    groups: int
    kernel: Tuple[int, ...] = ()
    stride: Tuple[int, ...] = ()
    dilate: Tuple[int, ...] = ()
    begin: Tuple[int, ...] = ()
    end: Tuple[int, ...] = ()
    rows: bool = False

    @property
    def source(self) -> str:
        """Names the sample: layers that read the same patches share one."""
        geometry = (self.kernel, self.stride, self.dilate, self.begin, self.end)
        if self.rows:
            return f"{self.key} rows"
        return f"{self.key} {'/'.join('x'.join(map(str, part)) for part in geometry)}" if self.kernel else self.key


def example_hashes(arrays: Mapping[str, np.ndarray], n: int = None) -> np.ndarray:
    """uint64 per example, of the bytes of all its inputs.

    Args:
        n: so many, by default all of the first axis. Inputs whose first axes differ are hashed together, n times.
    """
    inputs = [np.ascontiguousarray(arrays[name]) for name in sorted(arrays)]
    n = len(inputs[0]) if n is None else n
    together = len({len(array) for array in inputs}) > 1
    digests = []
    for i in range(n):
        digest = hashlib.blake2b(digest_size=8)
        for array in inputs:
            if together:
                digest.update(array.tobytes() + bytes([i % 256]))
            else:
                digest.update(array[i].tobytes() if array.ndim == 1 else array[i])
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def hashes_of_rows(hashes: np.ndarray, rows: int, *, distinct: bool = False) -> np.ndarray:
    """uint64 per row (axis 0) of a value: the hash of the example that it belongs to.

    With as many rows for each example they belong to the examples in turn (regions of an image, frames of a film). With
    any other number (time along the first axis) nothing is known but the batch: all of them hash that.

    Args:
        hashes: of the examples that the value was computed from.
        distinct: the rows of an example hash differently; its first as the example.
    """
    if rows == len(hashes):
        return hashes
    with np.errstate(over="ignore"):
        if rows % len(hashes):
            hashes = hashes.sum(dtype=np.uint64, keepdims=True)
        each = rows // len(hashes)
        found = np.repeat(hashes, each)
        return found + np.tile(np.arange(each, dtype=np.uint64) * _NEXT_ROW, len(hashes)) if distinct else found


class _Places:
    """Where a convolution multiplies, in an input of one size; a one-dimensional one is as high as one pixel.

    Attributes:
        size, kernel, dilate: int64 (2,).
        draws: how many rows can be drawn from an example.
    """

    def __init__(self, layer: Layer, spatial: Sequence[int]):
        def two(numbers: Sequence[int], missing: int) -> np.ndarray:
            return np.array((missing,) * (2 - len(numbers)) + tuple(numbers), np.int64)

        self.size, self.kernel, self.dilate = two(spatial, 1), two(layer.kernel, 1), two(layer.dilate, 1)
        self._stride, self._begin = two(layer.stride, 1), two(layer.begin, 0)
        reach = self.size + self._begin + two(layer.end, 0) - self.dilate * (self.kernel - 1) - 1
        self._outputs = reach // self._stride + 1
        self.draws = min(POSITIONS, int(self._outputs.prod()))

    def of(self, hashes: np.ndarray, example: np.ndarray) -> np.ndarray:
        """int64 (n, 3): example and first tap of what the hashes choose."""
        where = np.empty((len(example), 3), np.int64)
        where[:, 0] = example
        chosen = _mixed(hashes)
        for axis, outputs in enumerate(self._outputs.astype(np.uint64)):
            where[:, 1 + axis] = chosen % outputs
            chosen = chosen // outputs
        where[:, 1:] = where[:, 1:] * self._stride - self._begin
        return where


class Rows:
    """The sample of one source.

    Attributes:
        shape: (channels, taps) of a row.
    """

    def __init__(self, layer: Layer, limit: int = ROWS):
        self.layer = layer
        self.limit = limit
        self.shape: Optional[Tuple[int, int]] = None
        self._seed = np.uint64(zlib.crc32(layer.source.encode()))
        self._hashes: List[np.ndarray] = []
        self._rows: List[np.ndarray] = []
        self._worst = np.uint64(2**64 - 1)
        self._geometry: Dict[Tuple[int, ...], _Places] = {}

    def update(self, x: np.ndarray, examples: np.ndarray) -> None:
        """Draws from a value (rows, C, spatial...), given the hashes of the examples it was computed from."""
        x = np.asarray(x, np.float32)
        examples = hashes_of_rows(examples, len(x), distinct=True)
        if self.layer.rows:
            inner = math.prod(x.shape[1:-1])
            with np.errstate(over="ignore"):
                examples = (examples[:, None] + np.arange(inner, dtype=np.uint64) * _GOLDEN).reshape(-1)
            x = x.reshape(-1, x.shape[-1])
        places = self._places(x.shape[2:]) if self.layer.kernel else None
        draws = 1 if places is None else places.draws
        with np.errstate(over="ignore"):
            order = _mixed(examples[:, None] + (self._seed + _COUNTING[:draws]) * _GOLDEN)
        example, draw = np.nonzero(order <= self._worst)
        if not example.size:
            return
        hashes = order[example, draw]
        if len(hashes) > self.limit:  # thousands of regions an image: only those that can stay are copied
            best = np.sort(np.argsort(hashes, kind="stable")[: self.limit])
            hashes, example = hashes[best], example[best]
        if places is None:
            rows, shape = to_bfloat16(x.reshape(len(x), -1)[example]), (x[0].size, 1)
        else:
            rows = _patches(x.reshape(*x.shape[:2], *places.size), places.of(hashes, example), places)
            shape = (x.shape[1], int(places.kernel.prod()))
        self._append(hashes, rows, shape)

    def _places(self, spatial: Tuple[int, ...]) -> "_Places":
        if spatial not in self._geometry:
            self._geometry[spatial] = _Places(self.layer, spatial)
        return self._geometry[spatial]

    def merge(self, other: "Rows") -> None:
        for hashes, rows in zip(other._hashes, other._rows):
            self._append(hashes, rows, other.shape)

    def _append(self, hashes: np.ndarray, rows: np.ndarray, shape: Tuple[int, int]) -> None:
        if self.shape not in (None, shape):
            raise CalibrationError(
                f"the input of layer {self.layer.name!r} has {shape[0]} channels and had {self.shape[0]} before"
            )
        self.shape = shape
        self._hashes.append(hashes)
        self._rows.append(rows)
        if sum(map(len, self._hashes)) >= 2 * self.limit:
            self._compact()

    def _compact(self) -> None:
        """Leaves the rows with the smallest hashes, in their order."""
        if not self._hashes:
            return
        hashes = np.concatenate(self._hashes)
        best = np.argsort(hashes, kind="stable")[: self.limit]
        if len(self._hashes) > 1 or not np.array_equal(best, np.arange(len(hashes))):
            self._hashes, self._rows = [hashes[best]], [np.concatenate(self._rows)[best]]
        if len(best) == self.limit:
            self._worst = self._hashes[0][-1]

    def rows(self, scale: Optional[np.ndarray] = None) -> np.ndarray:
        """float32 (n, channels, taps), in an order that does not depend on how they were drawn.

        Args:
            scale: positive factor per channel.
        """
        if not self._hashes:
            raise CalibrationError(f"no sample of the input of layer {self.layer.name!r}")
        self._compact()
        rows = from_bfloat16(self._rows[0]).reshape(-1, *self.shape)
        if scale is not None:
            # A fully connected layer reads a flattened tensor: several places a channel.
            rows *= np.repeat(np.asarray(scale, np.float32), self.shape[0] // len(scale))[:, None]
        return rows

    def arrays(self) -> Dict[str, np.ndarray]:
        """Everything by name, to be stored."""
        if not self._hashes:
            return {}
        self._compact()
        return {"hashes": self._hashes[0], "rows": self._rows[0], "shape": np.array(self.shape)}

    def restore(self, arrays: Arrays) -> None:
        """Goes on from what `arrays` gave and a file kept. Raises the file's error for what does not go together."""
        if not arrays:
            return
        self.shape = tuple(map(int, arrays.integers("shape", (2,), least=1, most=2**31 - 1)))
        if self.shape[1] != math.prod(self.layer.kernel):
            raise arrays.wrong("shape", f"(channels, {math.prod(self.layer.kernel)})")
        hashes = arrays.integers("hashes", (None,), most=2**64 - 1, dtype=np.uint64)
        if not len(hashes):
            raise arrays.wrong("hashes", "of one row or more")
        rows = arrays.integers("rows", (len(hashes), math.prod(self.shape)), most=2**16 - 1, dtype=np.uint16)
        self._hashes, self._rows = [hashes], [rows]
        self._compact()


class Samples(Mapping):
    """The samples of a network's layers, by `Layer.source`."""

    def __init__(self, layers: Sequence[Layer] = ()):
        self._rows: Dict[str, Rows] = {}
        for layer in layers:
            self._rows.setdefault(layer.source, Rows(layer))
        self._by_key: Dict[str, List[Rows]] = {}
        for rows in self._rows.values():
            self._by_key.setdefault(rows.layer.key, []).append(rows)

    def update(self, key: str, x: np.ndarray, examples: np.ndarray) -> None:
        """Draws from a tensor, for every layer that reads it."""
        for rows in self._by_key.get(key, ()):
            rows.update(x, examples)

    def __getitem__(self, source: str) -> Rows:
        return self._rows[source]

    def __iter__(self):
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """uint16: the upper halves of float32 numbers, rounded to nearest even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


def from_bfloat16(x: np.ndarray) -> np.ndarray:
    """float32 (a copy)."""
    return (x.astype(np.uint32) << 16).view(np.float32)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NEXT_ROW = np.uint64(0xD1B54A32D192ED03)  # odd, and no small multiple of the above
_COUNTING = np.arange(POSITIONS, dtype=np.uint64)


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele et al., 2014): every bit depends on every bit."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _patches(x: np.ndarray, where: np.ndarray, places: _Places) -> np.ndarray:
    """bfloat16 rows (n, C * taps) of x (N, C, height, width) from `where` (n, 3) on: example and first tap."""
    library = native_library()
    if library is None:
        return patches_in_numpy(x, where, places.kernel, places.dilate)
    x = np.ascontiguousarray(x)
    rows = np.empty((len(where), x.shape[1] * int(places.kernel.prod())), np.uint16)
    library.mxq_patches(
        x.ctypes.data, x.shape[1], places.size.ctypes.data, places.kernel.ctypes.data, places.dilate.ctypes.data,
        where.ctypes.data, len(where), rows.ctypes.data,
    )  # fmt: skip
    return rows


def patches_in_numpy(x: np.ndarray, where: np.ndarray, kernel: np.ndarray, dilate: np.ndarray) -> np.ndarray:
    """The meaning of the native library's mxq_patches."""
    y = where[:, 1, None, None] + (np.arange(kernel[0]) * dilate[0])[:, None]
    z = where[:, 2, None, None] + np.arange(kernel[1]) * dilate[1]
    inside = (y >= 0) & (y < x.shape[2]) & (z >= 0) & (z < x.shape[3])
    y, z = np.where(inside, y, 0), np.where(inside, z, 0)
    taps = np.where(inside[..., None], x[where[:, 0, None, None], :, y, z], 0)  # (n, taps..., C)
    return to_bfloat16(np.moveaxis(taps, -1, 1).reshape(len(where), -1))
