"""Records of a RecordIO file, and whether it is whole: MXNet's reader ends the process at one that is not.

A record is the magic number, a word with the length of its content in the lower 29 bits and its part in the upper 3,
and the content filled up to a multiple of 4 bytes. Content that holds the magic number is written in parts: 1 begins,
2 goes on, 3 ends; 0 is a record in one part (dmlc-core, recordio.h).
"""

import mmap
import os
import struct
from typing import List

from ..errors import ConfigError

MAGIC = 0xCED7230A
_LENGTH = (1 << 29) - 1
_WHOLE, _BEGIN, _END = 0, 1, 3
_HEADER = struct.Struct("<II")


def check_recordio(paths: str) -> None:
    """Raises ConfigError for a file that is missing, empty, of another kind, cut off or damaged between records.

    Every header is read, and nothing of the records: about 1 s for a million records that are in memory.

    Args:
        paths: as MXNet takes them: one, or several with ';' between. Those behind a URI scheme are not looked at.
    """
    for path in paths.split(";"):
        if "://" not in path:
            record_offsets(path)


def record_offsets(path: str) -> List[int]:
    """Where each record of a file begins. Raises ConfigError as `check_recordio`."""
    if not os.path.isfile(path):
        raise ConfigError(f"RecordIO file {path!r} does not exist")
    size = os.path.getsize(path)
    if not size:
        raise ConfigError(f"RecordIO file {path!r} is empty")
    with open(path, "rb") as file:
        if file.read(4) != struct.pack("<I", MAGIC):
            raise ConfigError(f"{path!r} is no RecordIO file: it does not begin with a record; im2rec.py writes them")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            content.madvise(mmap.MADV_RANDOM)  # most of what lies between headers need not be read
            return _walk(path, content, size)


def read_record(path: str, offset: int) -> bytes:
    """The content of the record that begins there, of a file that `record_offsets` has seen whole."""
    parts = []
    with open(path, "rb") as file:
        file.seek(offset)
        part = _BEGIN
        while part not in (_WHOLE, _END):
            _, header = _HEADER.unpack(file.read(_HEADER.size))
            part, length = header >> 29, header & _LENGTH
            parts.append(file.read(length))
            file.seek(-length % 4, os.SEEK_CUR)
    return struct.pack("<I", MAGIC).join(parts)


def _walk(path: str, content: mmap.mmap, size: int) -> List[int]:
    begin, inside, offsets = 0, False, []
    while begin < size:
        if begin + _HEADER.size > size:
            raise _cut_off(path, begin, begin + _HEADER.size, size)
        magic, header = _HEADER.unpack_from(content, begin)
        part = header >> 29
        if magic != MAGIC:
            raise _damaged(path, begin, f"begins with 0x{magic:08x}, not with 0x{MAGIC:08x}")
        if part > _END or inside == (part in (_WHOLE, _BEGIN)):
            raise _damaged(
                path, begin, f"is part {part}, which cannot {'follow a first one' if inside else 'be first'}"
            )
        end = begin + _HEADER.size + ((header & _LENGTH) + 3) // 4 * 4
        if end > size:
            raise _cut_off(path, begin, end, size)
        if not inside:
            offsets.append(begin)
        inside = part not in (_WHOLE, _END)
        begin = end
    if inside:
        raise _damaged(path, size, "is missing: the file ends between the parts of a record")
    return offsets


def _cut_off(path: str, begin: int, end: int, size: int) -> ConfigError:
    return ConfigError(
        f"RecordIO file {path!r} is cut off: its last record begins at byte {begin} and should end at byte {end}, "
        f"but the file has {size} bytes; copy or write it again"
    )


def _damaged(path: str, at: int, what: str) -> ConfigError:
    return ConfigError(
        f"RecordIO file {path!r} is damaged: what should be a record at byte {at} {what}; copy or write it again"
    )
