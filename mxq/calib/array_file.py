"""Reads .npz archives as np.savez writes them, from files that may be damaged.

np.load believes the sizes in an archive and allocates for them first; here each is compared with what the file holds.
"""

import math
import os
import re
import struct
import zipfile
from typing import BinaryIO, Dict, Mapping, Optional, Tuple

import numpy as np

from ..errors import MXQError
from ..network.fields import Source

_HEADER = re.compile(
    r"\{'descr': '([<|][biuf]\d)', 'fortran_order': (True|False), 'shape': \((|\d+,|\d+(?:, \d+)+)\), \} *\n"
)
#: More is no count of ours, and what follows from it stays within int64.
MOST = 2**62


def read_arrays(source: Source) -> Dict[str, np.ndarray]:
    """Name -> array, of plain numbers. OSError where the file cannot be opened, `source.error` where it is damaged."""
    with open(source.path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        name = ""
        try:
            with zipfile.ZipFile(file) as archive:
                found = {}
                for info in archive.infolist():
                    name = info.filename
                    found[name[:-4]] = _array(archive, info, size)
                return found
        except _DAMAGED as error:
            where = f"{name!r}: " if name else ""
            raise source.foreign(
                f"not an archive of arrays, or damaged ({where}{type(error).__name__}: {error})"
            ) from None


_DAMAGED = (
    zipfile.BadZipFile, EOFError, ValueError, KeyError, IndexError, NotImplementedError, RuntimeError, OverflowError,
    OSError, struct.error,
)  # fmt: skip


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> np.ndarray:
    name = info.filename
    if not name.endswith(".npy") or info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
        raise ValueError(f"member {name!r} of {info.file_size} bytes is no array, or compressed")
    with archive.open(info) as member:
        array = read_array(member, info.file_size)
        if member.read(1):  # at the end the checksum is compared
            raise ValueError(f"more follows array {name!r}")
    return array


def read_array(file: BinaryIO, left: int) -> np.ndarray:
    """The array that np.save wrote, of plain numbers. Raises ValueError, before it allocates, where there is none.

    Args:
        left: how many bytes follow in the file at most.
    """
    begin = file.read(10)
    if begin[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("no array of numpy")
    (length,) = struct.unpack("<H", begin[8:])
    header = _HEADER.fullmatch(file.read(length).decode("latin1"))
    if header is None:
        raise ValueError("an array with another header than numpy writes")
    dtype, shape = np.dtype(header[1]), tuple(map(int, re.findall(r"\d+", header[3])))
    size = math.prod(shape) * dtype.itemsize
    if size > left - 10 - length:
        raise ValueError(f"an array of shape {shape} and type {dtype} in {left} bytes")
    content = file.read(size)
    if len(content) < size:
        raise ValueError(f"an array of shape {shape} that is cut off")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if header[2] == "True" else "C").copy()


class Arrays:
    """Arrays by name whose types, shapes and bounds are checked when they are taken.

    Args:
        found: name -> array.
        source: the file they come from.
        prefix: of the names that belong here.
    """

    def __init__(self, found: Mapping[str, np.ndarray], source: Source, prefix: str = ""):
        self._found, self._source, self._prefix = found, source, prefix

    def below(self, prefix: str) -> "Arrays":
        """Those whose names go on with `prefix`."""
        return Arrays(self._found, self._source, self._prefix + prefix)

    def __bool__(self) -> bool:
        return any(name.startswith(self._prefix) for name in self._found)

    def wrong(self, name: str, accepted: str) -> MXQError:
        """The error to raise for an array that is not accepted."""
        array = self._found[self._prefix + name]
        text = f"array {self._prefix + name!r} of type {array.dtype} and shape {array.shape} is not {accepted}"
        return self._source.damaged(text)

    def integer(self, name: str, least: int = 0, most: int = MOST) -> int:
        return int(self.integers(name, (), least, most))

    def integers(
        self, name: str, shape: Tuple[Optional[int], ...], least: int = 0, most: int = MOST, dtype=np.int64
    ) -> np.ndarray:
        """Of this type, stored in any; None in `shape` stands for any length."""
        return self._taken(name, "iu", shape, least, most, f"of integers from {least} to {most}").astype(dtype)

    def floats(self, name: str, shape: Tuple[Optional[int], ...], dtype, *, least: float = -np.inf) -> np.ndarray:
        """Finite, and of this type."""
        array = self._taken(name, "f", shape, least, np.finfo(np.float32).max, "finite")
        return array.astype(dtype)

    def numbers(self, name: str) -> np.ndarray:
        """Of any shape and type, finite."""
        array = self._found.get(self._prefix + name)
        shape = (None,) * (0 if array is None else array.ndim)
        return self._taken(name, "biuf", shape, -np.inf, np.finfo(np.float64).max, "finite")

    def _taken(self, name: str, kinds: str, shape: Tuple[Optional[int], ...], least, most, bounds: str) -> np.ndarray:
        array = self._found.get(self._prefix + name)
        if array is None:
            raise self._source.damaged(f"array {self._prefix + name!r} is missing")
        fits = array.ndim == len(shape) and all(n in (None, there) for n, there in zip(shape, array.shape))
        if array.dtype.kind not in kinds or not fits:
            lengths = ", ".join("any" if n is None else str(n) for n in shape)
            raise self.wrong(name, f"of {'integers' if kinds == 'iu' else 'floats'} and shape ({lengths})")
        if array.size and not (array.min() >= least and array.max() <= most):  # NaN is in no bounds
            raise self.wrong(name, bounds)
        return array
