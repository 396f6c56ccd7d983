"""The layout of MXNet's ``.params`` files, as far as needed to write one and to see that one is whole.

``mx.nd.save`` does not notice that the disk has no room for the last block.
A size in a broken file can ask MXNet 1.9.1 for gigabytes, which takes a minute or the machine; here each size is
compared with what the file still holds. Formats: ``NDArray::Save`` and ``NDArray::LegacyLoad`` in MXNet's
src/ndarray/ndarray.cc.
"""

import os
import struct
from typing import BinaryIO, Mapping, Optional, Tuple

import numpy as np

from ..errors import GraphError

_LIST_MAGIC = 0x112
_VERSION_1, _VERSION_2, _VERSION_3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # 2: MXNet 1.x; 3: with numpy shapes
_DENSE = 0
#: Index arrays by MXNet's number of the storage: dense, row_sparse, csr.
_INDICES = {_DENSE: 0, 1: 1, 2: 2}
_CPU = (1, 0)
_ITEM_SIZE = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 8: 2, 12: 2}  # by MXNet's number of the dtype
_NUMBERS = {name: i for i, name in enumerate("float32 float64 float16 uint8 int32 int8 int64 bool".split())}
_MAX_RANK = 64


def write_params(path: str, arrays: Mapping[str, object]) -> None:
    """Writes the file of ``mx.nd.save``, byte for byte.

    Args:
        path: a file to write or to replace.
        arrays: name -> NDArray.

    Raises:
        GraphError: something that is no NDArray.
        OSError: not everything could be written.
    """
    with open(path, "wb") as file:
        file.write(struct.pack("<QQQ", _LIST_MAGIC, 0, len(arrays)))
        for name, array in arrays.items():
            _write_array(file, name, array)
        file.write(struct.pack("<Q", len(arrays)))
        for name in arrays:
            text = name.encode()
            file.write(struct.pack("<Q", len(text)) + text)


def _write_array(file: BinaryIO, name: str, array) -> None:
    import mxnet as mx

    if not isinstance(array, mx.nd.NDArray):
        raise GraphError(f"cannot save parameter {name!r}: it is a {type(array).__name__}; give an NDArray")
    number = _NUMBERS.get(np.dtype(array.dtype).name)
    if array.stype != "default" or number is None or not array.size or not array.ndim:
        file.write(array.__getstate__()["handle"])  # as MXNet stores it, in memory
        return
    shape = array.shape
    file.write(struct.pack("<Iii", _VERSION_2, _DENSE, len(shape)))
    file.write(struct.pack(f"<{len(shape)}qiii", *shape, *_CPU, number))
    file.write(np.ascontiguousarray(array.asnumpy()).reshape(-1).view(np.uint8))


class _Broken(Exception):
    pass


def whats_broken(path: str) -> Optional[str]:
    """What in a parameter file does not fit with its sizes; None where all of it fits.

    Args:
        path: an existing file.
    """
    with open(path, "rb") as file:
        try:
            _walk(file, os.path.getsize(path))
        except _Broken as broken:
            return str(broken)
    return None


def _walk(file: BinaryIO, size: int) -> None:
    magic, _, count = _take(file, "<QQQ", "the header")
    if magic != _LIST_MAGIC:
        raise _Broken("it does not begin as a parameter file")
    for i in range(count):
        _walk_array(file, size, f"array {i + 1} of {count}")
    (names,) = _take(file, "<Q", "the names")
    if names not in (0, count):
        raise _Broken(f"it has {names} names for {count} arrays")
    for i in range(names):
        (length,) = _take(file, "<Q", f"name {i + 1} of {names}")
        _skip(file, length, size, f"name {i + 1} of {names}")


def _walk_array(file: BinaryIO, size: int, where: str) -> None:
    (magic,) = _take(file, "<I", where)
    indices, stored = 0, None
    if magic in (_VERSION_2, _VERSION_3):
        (storage,) = _take(file, "<i", where)
        if storage not in _INDICES:
            raise _Broken(f"{where} has the unknown storage {storage}")
        indices = _INDICES[storage]
        stored = _take_shape(file, where) if indices else None
        shape = _take_shape(file, where, numpy=magic == _VERSION_3)
    elif magic == _VERSION_1:
        shape = _take_shape(file, where)
    elif magic <= _MAX_RANK:  # older ones begin with their rank
        shape = _take(file, f"<{magic}I", where)
    else:
        raise _Broken(f"{where} begins with {magic:#010x} as no array does")
    if not shape and magic not in (_VERSION_2, _VERSION_3):
        raise _Broken(f"{where} has no axes, of which MXNet reads a number that old files have not")
    if shape is None or (not shape and magic != _VERSION_3):
        return  # an array without a value
    parts = [(shape if stored is None else stored, _take(file, "<iii", where)[2])]
    for _ in range(indices):
        (flag,) = _take(file, "<i", where)
        parts.append((_take_shape(file, where), flag))
    for part, flag in parts:
        if flag not in _ITEM_SIZE:
            raise _Broken(f"{where} has the unknown dtype {flag}")
        length = _ITEM_SIZE[flag]
        for dimension in part:
            length *= dimension
        _skip(file, length, size, f"{where} of shape {part}")


def _take_shape(file: BinaryIO, where: str, numpy: bool = False) -> Optional[Tuple[int, ...]]:
    """A shape; with `numpy` perhaps None, which is that of no value."""
    (rank,) = _take(file, "<i", where)
    if numpy and rank == -1:
        return None
    if not 0 <= rank <= _MAX_RANK:
        raise _Broken(f"{where} has rank {rank}")
    shape = _take(file, f"<{rank}q", where)
    if any(dimension < 0 for dimension in shape):
        raise _Broken(f"{where} has shape {shape}")
    return shape


def _take(file: BinaryIO, layout: str, what: str) -> tuple:
    data = file.read(struct.calcsize(layout))
    if len(data) < struct.calcsize(layout):
        raise _Broken(f"it ends within {what}")
    return struct.unpack(layout, data)


def _skip(file: BinaryIO, length: int, size: int, what: str) -> None:
    left = size - file.tell()
    if length > left:
        raise _Broken(f"{what} takes {length} bytes, but only {left} follow")
    file.seek(length, os.SEEK_CUR)
