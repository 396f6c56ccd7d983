"""Whether a RecordIO file is whole. MXNet's reader ends the process at one that is cut off.

A record is the magic number, a word with the length of its content in the lower 29 bits, and the content filled up to
a multiple of 4 bytes. The writer splits content that holds the magic number at such a place, so wherever it is found
there a record begins (dmlc-core, recordio.h).
"""

import os
import struct

import numpy as np

from ..errors import ConfigError

MAGIC = 0xCED7230A
_LENGTH = (1 << 29) - 1
_FIRST_TAIL = 1 << 20


def check_recordio(paths: str) -> None:
    """Raises ConfigError for a file that is missing, empty, of another kind or cut off.

    Args:
        paths: as MXNet takes them: one, or several with ';' between. Those behind a URI scheme are not looked at.
    """
    for path in paths.split(";"):
        if "://" not in path:
            _check(path)


def _check(path: str) -> None:
    if not os.path.isfile(path):
        raise ConfigError(f"RecordIO file {path!r} does not exist")
    size = os.path.getsize(path)
    if not size:
        raise ConfigError(f"RecordIO file {path!r} is empty")
    with open(path, "rb") as file:
        if file.read(4) != struct.pack("<I", MAGIC):
            raise ConfigError(f"{path!r} is no RecordIO file: it does not begin with a record; im2rec.py writes them")
        begin, end = _last_record(file, size)
    if end != size:
        raise ConfigError(
            f"RecordIO file {path!r} is cut off: its last record begins at byte {begin} and should end at byte {end}, "
            f"but the file has {size} bytes; copy or write it again"
        )


def _last_record(file, size: int):
    """Where the last record begins and where its header says that it ends."""
    tail = _FIRST_TAIL
    while True:
        start = max(0, size - tail) // 4 * 4
        file.seek(start)
        words = np.frombuffer(file.read((size - start) // 4 * 4), "<u4")
        found = np.flatnonzero(words == MAGIC)
        if len(found):
            begin = start + 4 * int(found[-1])
            header = words[found[-1] + 1 : found[-1] + 2]
            length = int(header[0]) & _LENGTH if header.size else 0
            return begin, begin + 8 + (length + 3) // 4 * 4
        tail *= 8
