"""What MXNet's native code prints about what mxq asks of it."""

import contextlib
import os
import re
import sys
import tempfile
from typing import Iterator

#: Said of symbol files of older versions, which load.
OLD_SYMBOLS = r"Loading symbol saved by previous version|Symbol successfully upgraded"


@contextlib.contextmanager
def without_lines(pattern: str) -> Iterator[None]:
    """Lines on stderr that match are left out; the others come when the block ends.

    All of the process' stderr waits for that: for short calls only.
    """
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no stderr, or one that is closed
        yield
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            for line in said.read().splitlines(keepends=True):
                if not re.search(pattern.encode(), line):
                    os.write(2, line)
