"""Files of other formats as bytes."""

import mmap
import os

from ..errors import GraphError


def contents(path: str) -> memoryview:
    """The bytes of a file, mapped and not read: what nobody looks at costs no memory.

    Raises:
        FileNotFoundError: there is none. GraphError: it is empty, or a folder.
    """
    if os.path.isdir(path):
        raise GraphError(f"{path!r} is a folder; give a file")
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise GraphError(f"{path!r} is empty")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
