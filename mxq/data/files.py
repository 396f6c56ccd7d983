"""Examples from files, for the command line: arrays of numpy, images in RecordIO files."""

import contextlib
import itertools
import zipfile
import zlib
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from ..errors import ConfigError
from .iterators import ImageRecordIter

ACCEPTED = ".npy (one input, first axis = examples), .npz (an array for each input) or .rec (RecordIO images)"
_BATCH = 32


class Examples(NamedTuple):
    """What a file holds.

    Attributes:
        data: what quantize_model, preflight and explain take.
        labels: class of every example, or None.
        images: RGB images of the examples for people, or None.
    """

    data: object
    labels: Optional[np.ndarray]
    images: Optional[List[np.ndarray]]


class Images(NamedTuple):
    """How images become the network's input: ``(pixel - mean) / std`` in the network's order of channels.

    Attributes:
        shape: (channels, height, width); images are cropped to it around their centre.
        mean, std: one number, or one for each channel.
        bgr: whether the network wants blue first.
        resize: length of the shorter side before cropping; None: as the images are.
    """

    shape: Optional[Sequence[int]] = None
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    bgr: bool = False
    resize: Optional[int] = None


def read_examples(path: str, n: Optional[int], images: Images) -> Examples:
    """Reads the first `n` examples of a file.

    Args:
        path: its ending says what it is, see ACCEPTED.
        n: how many; None: all.
        images: for RecordIO files.

    Raises:
        ConfigError: no such kind of file, or images without a shape. GraphError, OSError: a file that does not read.
    """
    for ending, read in _READERS.items():
        if path.endswith(ending):
            return read(path, n, images)
    raise ConfigError(f"data file {path!r}: accepted are {ACCEPTED}")


#: The last two: an archive named .npy, an array named .npz.
_UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error, TypeError,
    AttributeError,
)  # fmt: skip


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise ConfigError(f"cannot read data file {path!r}: {error}") from error


def _array(path: str, n: Optional[int], images: Images) -> Examples:
    with _reading(path):
        # Mapped, so that a file that is cut off is no reason to allocate what it promises.
        return Examples(np.array(np.load(path, mmap_mode="r", allow_pickle=False)[:n]), None, None)


def _arrays(path: str, n: Optional[int], images: Images) -> Examples:
    with _reading(path), np.load(path, allow_pickle=False) as file:
        return Examples({name: file[name][:n] for name in file.files}, None, None)


def _records(path: str, n: Optional[int], images: Images) -> Examples:
    if images.shape is None or len(images.shape) != 3:
        raise ConfigError(f"data file {path!r} holds images: --shape tells their size, such as 3,224,224")
    for name in ("mean", "std"):
        if len(getattr(images, name)) not in (1, images.shape[0]):
            raise ConfigError(f"--{name} has {len(getattr(images, name))} numbers: give 1 or {images.shape[0]}")
    options = {} if images.resize is None else {"resize": images.resize}
    # One at a time: MXNet refuses files with fewer images than a batch.
    source = ImageRecordIter(path_imgrec=path, data_shape=tuple(images.shape), batch_size=1, dtype="uint8", **options)
    pixels, labels = [], []
    for batch in itertools.islice(source, n):
        pixels.append(batch.data[0].asnumpy()[0])
        labels.append(batch.label[0].asnumpy().reshape(-1)[0])
    return Examples(_Prepared(pixels, images), np.array(labels), pixels)


class _Prepared:
    """Batches of images as the network wants them, made as often as somebody iterates."""

    def __init__(self, pixels: List[np.ndarray], images: Images):
        self._pixels, self._images = pixels, images

    def __iter__(self) -> Iterator[np.ndarray]:
        mean, std = (np.float32(v).reshape(-1, 1, 1) for v in (self._images.mean, self._images.std))
        order = -1 if self._images.bgr else 1
        for start in range(0, len(self._pixels), _BATCH):
            batch = np.stack(self._pixels[start : start + _BATCH])[:, ::order].astype(np.float32)
            yield (batch - mean) / std


_READERS: Dict[str, Callable[[str, Optional[int], Images], Examples]] = {
    ".npy": _array,
    ".npz": _arrays,
    ".rec": _records,
}
