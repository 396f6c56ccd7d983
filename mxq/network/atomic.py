"""Files that are the old ones or the new ones, whatever happens while they are written.

A file is written beside its place under another name, flushed to disk and then moved. Whoever writes it holds a lock on
it for so long: what a killed process left behind has no lock, and the next writer of the same file removes it.
"""

import contextlib
import fcntl
import os
import re
import uuid
from typing import Callable, Iterable, Iterator, Tuple

from ..errors import ConfigError

Write = Callable[[str], object]


def write_atomically(path: str, write: Write) -> None:
    """Calls `write` with a temporary path in the same folder, then moves the result to `path`.

    Args:
        write: raises where not everything could be written, as Python's own files do. ``mx.nd.save`` and
            ``Symbol.save`` do not: they say nothing of a last block that the disk has no room for.

    Raises:
        ConfigError: there is no such folder.
        OSError: the disk is full or the folder is not writable; `path` is as it was.
    """
    write_together([(path, write)])


def write_together(files: Iterable[Tuple[str, Write]]) -> None:
    """As write_atomically, of several files: none is moved to its place before all are whole and on disk."""
    with contextlib.ExitStack() as stack:
        made = []
        for path, write in files:
            path = os.path.realpath(path)  # a link keeps pointing to the file
            with _explained(path):
                temporary = stack.enter_context(_temporary(path))
                write(temporary)
                _flush(temporary)
            made.append((temporary, path))
        for temporary, path in made:
            os.replace(temporary, path)
        for folder in dict.fromkeys(os.path.dirname(path) for _, path in made):
            _flush(folder)  # the moves themselves


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        text = f"cannot write {path!r}: {os.strerror(error.errno)}; what was there is as it was"
        raise OSError(error.errno, text) from error


@contextlib.contextmanager
def _temporary(path: str) -> Iterator[str]:
    """A new file beside `path`, locked; removed in the end unless it was moved."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise ConfigError(f"cannot save {path!r}: folder {folder!r} does not exist; create it first")
    _sweep(folder, name)
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    handle = _locked(temporary)
    try:
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        os.close(handle)


def _locked(path: str) -> int:
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        with contextlib.suppress(OSError):  # a file system without locks: nothing is swept there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(path):
            return handle
        os.close(handle)  # another writer saw it before it had its lock, and removed it


def _sweep(folder: str, name: str) -> None:
    """Removes what killed writers of a file left behind."""
    pattern = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{32}\.tmp")
    for found in filter(pattern.fullmatch, os.listdir(folder)):
        with contextlib.suppress(OSError):  # somebody writes it, or another writer was faster
            handle = os.open(os.path.join(folder, found), os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.remove(os.path.join(folder, found))
            finally:
                os.close(handle)


def _flush(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
