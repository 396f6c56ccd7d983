"""Pictures in folders as a network's input, the way Caffe and ncnn prepare them: resized, ``(pixel - mean) * norm``."""

import os
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import ConfigError

_BATCH = 16
#: Order of channels -> (flag and to_rgb of MXNet's decoder, channels).
ORDERS = {"BGR": (1, 0, 3), "RGB": (1, 1, 3), "GRAY": (0, 0, 1)}


class Pixels(NamedTuple):
    """How a picture becomes an input.

    Attributes:
        size: (height, width); None: as the pictures are.
        mean: subtracted, in the order of the channels.
        norm: what is left is multiplied by it: one number, or one for each channel.
        order: of the channels, see ORDERS.
    """

    size: Optional[Tuple[int, int]] = None
    mean: Sequence[float] = (0.0,)
    norm: Sequence[float] = (1.0,)
    order: str = "BGR"


def files_in(path: str) -> List[str]:
    """Every file below a folder, by name; or what a text file lists, a path a line.

    Raises ConfigError where there is none, or neither folder nor file.
    """
    if os.path.isdir(path):
        found = sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    elif os.path.isfile(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            found = [line.strip() for line in file if line.strip()]
    else:
        raise ConfigError(f"{path!r} is no folder of images and no file that lists them")
    if not found:
        raise ConfigError(f"there are no images in {path!r}")
    return found


class Pictures:
    """Batches of pictures as a network wants them, read as often as somebody iterates.

    Args:
        paths: of files that MXNet can decode, such as JPEG and PNG.
        pixels: what becomes of them.

    Raises:
        ConfigError: a mean or norm that does not fit the order. While iterating: a file that is no picture, or pictures
            of several sizes where no size is given.
    """

    def __init__(self, paths: Sequence[str], pixels: Pixels):
        if pixels.order not in ORDERS:
            raise ConfigError(f"order of channels {pixels.order!r}: accepted are {', '.join(ORDERS)}")
        channels = ORDERS[pixels.order][2]
        for name in ("mean", "norm"):
            if len(getattr(pixels, name)) not in (1, channels):
                raise ConfigError(f"{name} has {len(getattr(pixels, name))} numbers: give 1 or {channels}")
        self._paths, self._pixels = list(paths), pixels

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        mean, norm = (np.float32(v).reshape(-1, 1, 1) for v in (self._pixels.mean, self._pixels.norm))
        for start in range(0, len(self._paths), _BATCH):
            pictures = [self._read(path) for path in self._paths[start : start + _BATCH]]
            if len({picture.shape for picture in pictures}) > 1:
                raise ConfigError(f"the images in {os.path.dirname(self._paths[start])!r} have several sizes: give one")
            yield (np.stack(pictures).astype(np.float32) - mean) * norm

    def _read(self, path: str) -> np.ndarray:
        """uint8 (C, H, W)."""
        import mxnet as mx

        flag, to_rgb, _ = ORDERS[self._pixels.order]
        with open(path, "rb") as file:
            content = file.read()
        try:
            if not content:
                raise ValueError("it is empty")
            picture = mx.image.imdecode(content, flag=flag, to_rgb=to_rgb)
            if self._pixels.size is not None:
                height, width = self._pixels.size
                picture = mx.image.imresize(picture, width, height)
            return picture.asnumpy().transpose(2, 0, 1)
        except (mx.MXNetError, ValueError) as error:
            raise ConfigError(f"{path!r} is no image that can be read: {str(error).strip().splitlines()[0]}") from None
