"""Small pictures as data URIs, without an image library."""

import base64
import struct
import zlib
from typing import Optional

import numpy as np

#: Longest side of a picture.
SIDE = 128
#: How such a URI begins.
PNG = "data:image/png;base64,"


def data_uri(image: np.ndarray) -> str:
    """A uint8 image (height, width) or (height, width, 3) as PNG in a data URI.

    >>> data_uri(np.zeros((2, 2), np.uint8))[:22]
    'data:image/png;base64,'
    """
    height, width = image.shape[:2]
    rows = np.ascontiguousarray(image).reshape(height, -1)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)  # filter 0: none

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2 if image.ndim == 3 else 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)) + chunk(b"IEND", b"")
    return PNG + base64.b64encode(b"\x89PNG\r\n\x1a\n" + content).decode("ascii")


def picture(array: np.ndarray, *, stretch: bool) -> Optional[str]:
    """A small picture of an image of one or three channels, which come first or last; None for anything else.

    Args:
        array: one example.
        stretch: brings its smallest and largest value to black and white; else 0 and 255 are those.
    """
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or min(array.shape[:2]) < 4:
        return None
    array = _shrink(array.astype(np.float32))
    if stretch:
        lo, hi = float(array.min()), float(array.max())
        array = (array - lo) * (255 / (hi - lo) if hi > lo else 0.0)
    return data_uri(np.clip(np.rint(array), 0, 255).astype(np.uint8))


def _shrink(array: np.ndarray) -> np.ndarray:
    """Means of squares of pixels, so that no side is longer than SIDE."""
    step = -(-max(array.shape[:2]) // SIDE)
    if step == 1:
        return array
    height, width = (max(size // step, 1) for size in array.shape[:2])
    cut = array[: height * step, : width * step]
    if min(array.shape[:2]) < step:
        return array[::step, ::step]
    return cut.reshape(height, step, width, step, -1).mean(axis=(1, 3)).reshape((height, width) + array.shape[2:])
