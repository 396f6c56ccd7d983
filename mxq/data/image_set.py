"""Images of a folder, a list or a RecordIO file as a network's input."""

import os
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import ConfigError
from .decode import decode
from .listing import Entry, Listing, listing

#: Images whose shorter side is at most so many times the input's are cropped as they are; others are resized to it
#: times _EVALUATED first, which is 256 for 224, as ImageNet networks are evaluated.
_NEAR, _EVALUATED = 1.25, 8 / 7
_BILINEAR, _AREA = 1, 3
DTYPES = ("float32", "uint8")


class Images(NamedTuple):
    """How images become the network's input: ``(pixel - mean) / std`` in the network's order of channels.

    Attributes:
        shape: (channels, height, width); None: colour images of their own sizes.
        mean, std: one number, or one for each channel; None: pixels as they are.
        bgr: whether the network wants blue first.
        resize: the shorter side before the centre is cropped; 'stretch': to height and width, whatever their ratio; 0:
            not at all; None: so that the centre of ImageNet's evaluation is cropped, see mxq.data.images.
        dtype: 'float32', or 'uint8' for pixels as they are.
    """

    shape: Optional[Sequence[int]] = None
    mean: Optional[Sequence[float]] = None
    std: Optional[Sequence[float]] = None
    bgr: bool = False
    resize: Union[int, str, None] = None
    dtype: str = "float32"

    def check(self) -> None:
        """Raises ConfigError for what does not fit together."""
        shape = self.shape
        if shape is not None and (len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1):
            raise ConfigError(f"shape {tuple(shape)}: accepted is channels,height,width with 1 or 3 channels")
        if not (self.resize in (None, "stretch") or (_whole(self.resize) and self.resize >= 0)):
            raise ConfigError(f"resize {self.resize!r}: accepted are a number of pixels, 0 (not at all) and 'stretch'")
        if shape is None and self.resize not in (None, 0):
            raise ConfigError("resize needs the shape of the network's input")
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype {self.dtype!r}: accepted are {', '.join(DTYPES)}")
        if self.bgr and self.channels == 1:
            raise ConfigError("bgr is for 3 channels, and the shape has 1")
        for name, least in (("mean", -np.inf), ("std", 0.0)):
            given = getattr(self, name)
            if given is None:
                continue
            if self.dtype == "uint8":
                raise ConfigError(f"{name} is for float32: uint8 pixels stay as they are, the network normalizes them")
            if len(given) not in (1, self.channels):
                raise ConfigError(f"--{name} has {len(given)} numbers: give 1 or {self.channels}")
            if not all(np.isfinite(number) and number > least for number in given):
                raise ConfigError(f"{name} {tuple(given)}: accepted are finite numbers{' above 0' * (name == 'std')}")

    @property
    def channels(self) -> int:
        """3 for colour, 1 for grey."""
        return 3 if self.shape is None else self.shape[0]

    def fitted(self, picture: np.ndarray, name: str) -> np.ndarray:
        """The part of a picture (height, width, channels) that the network sees, channels first in RGB order."""
        if self.shape is not None:
            wanted = tuple(self.shape[1:])
            if self.resize == "stretch":
                picture = _resized(picture, wanted, _BILINEAR)  # as ncnn's and darknet's tools do
            else:
                picture = _shorter(picture, self._side(picture.shape[:2], wanted))
            if any(have < want for have, want in zip(picture.shape, wanted)):
                raise ConfigError(
                    f"image {name} has {picture.shape[1]}x{picture.shape[0]} pixels, the network's input "
                    f"{wanted[1]}x{wanted[0]}: give a resize of {max(wanted)} or more, or 'stretch'"
                )
            top, left = ((have - want) // 2 for have, want in zip(picture.shape, wanted))
            picture = picture[top : top + wanted[0], left : left + wanted[1]]
        return np.ascontiguousarray(picture.transpose(2, 0, 1))

    def _side(self, size: Tuple[int, int], wanted: Tuple[int, int]) -> Optional[int]:
        """What the shorter side becomes; None: it stays."""
        if self.resize is not None:
            return int(self.resize) or None
        if all(have >= want for have, want in zip(size, wanted)) and min(size) <= _NEAR * max(wanted):
            return None
        cover = max(min(size) * want / have for have, want in zip(size, wanted))  # no side is too short then
        return int(np.ceil(max(cover, round(_EVALUATED * max(wanted)) if wanted[0] == wanted[1] else 0)))

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        """A batch (examples, channels, height, width) in RGB order as the network takes it."""
        ordered = pixels[:, ::-1] if self.bgr else pixels
        return np.ascontiguousarray(ordered) if self.dtype == "uint8" else normalized(ordered, self.mean, self.std)


def normalized(array: np.ndarray, mean, std) -> np.ndarray:
    """float32 ``(array - mean) / std``, one number for each channel (axis 1) or for all."""
    array = array.astype(np.float32)
    for given, combine in ((mean, np.subtract), (std, np.divide)):
        if given is not None:
            numbers = np.float32(given).reshape(-1)
            array = combine(array, numbers if numbers.size == 1 else numbers.reshape((-1,) + (1,) * (array.ndim - 2)))
    return array


def unsized(how: Images, found: Listing) -> Images:
    """Records have their size from im2rec.py: they are cropped as they are where nobody says otherwise."""
    return how._replace(resize=0) if found.sized and how.resize is None else how


def spread(total: int, count: Optional[int]) -> np.ndarray:
    """Numbers of `count` of `total` examples at equal distances: the first may be of one class.

    >>> spread(10, 4).tolist(), spread(3, None).tolist()
    ([0, 2, 5, 7], [0, 1, 2])
    """
    count = total if count is None else min(count, total)
    return np.arange(count) * total // max(count, 1)


class ImageSet:
    """Batches of images as a network takes them, read again by whoever iterates; see mxq.data.images.

    Attributes:
        labels: int64 class of each image; None where they have none.
        folders: names of class folders, where classes are numbered by these names' order; else empty.
        names: of the files or records.
        pictures: for people: of each image what the network sees, uint8 (channels, height, width) in RGB order.
    """

    def __init__(self, entries: Sequence[Entry], how: Images, *, folders: Sequence[str] = (), batch_size: int = 32):
        how.check()
        if not _whole(batch_size) or batch_size < 1:
            raise ConfigError(f"batch_size={batch_size!r}: accepted is an integer from 1")
        self._entries, self._how, self._batch_size = list(entries), how, int(batch_size)
        labels = [entry.label for entry in self._entries]
        self.labels = None if None in labels or not labels else np.array(labels, np.int64)
        self.folders = tuple(folders)
        self.names = [entry.name for entry in self._entries]
        self.pictures = _Pictures(self)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def num_examples(self) -> int:
        """How many images."""
        return len(self._entries)

    def __repr__(self) -> str:
        shape = "of their own sizes" if self._how.shape is None else "x".join(map(str, self._how.shape))
        return f"<ImageSet: {len(self)} images, {shape}, {self._how.dtype}>"

    def take(self, numbers: Sequence[int]) -> "ImageSet":
        """Some of the images, by their numbers."""
        chosen = [self._entries[number] for number in numbers]
        return ImageSet(chosen, self._how, folders=self.folders, batch_size=self._batch_size)

    def having(self, how: Images) -> "ImageSet":
        """The same images prepared in another way."""
        return ImageSet(self._entries, how, folders=self.folders, batch_size=self._batch_size)

    def picture(self, number: int) -> np.ndarray:
        """What the network sees of an image: uint8 (channels, height, width), in RGB order."""
        entry = self._entries[number]
        return self._how.fitted(decode(entry.read(), entry.name, color=self._how.channels == 3), entry.name)

    def __iter__(self) -> Iterator[Union[np.ndarray, Tuple[np.ndarray, np.ndarray]]]:
        waiting: List[np.ndarray] = []
        for number in range(len(self)):
            picture = self.picture(number)
            if waiting and (len(waiting) == self._batch_size or picture.shape != waiting[0].shape):
                yield self._batch(waiting, number)
                waiting = []
            waiting.append(picture)
        if waiting:
            yield self._batch(waiting, len(self))

    def _batch(self, pictures: List[np.ndarray], end: int):
        data = self._how.normalized(np.stack(pictures))
        return data if self.labels is None else (data, self.labels[end - len(pictures) : end])


class _Pictures(Sequence[np.ndarray]):
    def __init__(self, images: ImageSet):
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number):
        return self._images.picture(range(len(self))[number])


def images(
    path: Union[str, os.PathLike],
    *,
    shape: Optional[Sequence[int]] = None,
    mean: Union[float, Sequence[float], None] = None,
    std: Union[float, Sequence[float], None] = None,
    bgr: bool = False,
    resize: Union[int, str, None] = None,
    dtype: str = "float32",
    num_examples: Optional[int] = None,
    list_file: Optional[str] = None,
    class_names: Optional[Sequence[str]] = None,
    batch_size: int = 32,
) -> ImageSet:
    """Images of a folder, a list or a RecordIO file, for calibration, evaluation and everything else that takes data.

    >>> photos = mxq.data.images("photos", shape=(3, 224, 224), mean=127.5, std=127.5)  # doctest: +SKIP
    >>> model = mxq.quantize_model("net", calib_data=photos)  # doctest: +SKIP

    Args:
        path: a folder, with images in it or in a folder for each class; a text file that lists them; a .rec file.
        shape: (channels, height, width) of the network's input, 3 channels or 1 (grey). None: colour images of their
            own sizes.
        mean, std: the network gets ``(pixel - mean) / std`` of pixels from 0 to 255: one number, or one for each
            channel in the network's order.
        bgr: whether the network wants blue first.
        resize: the centre is cropped to `shape`; before, the shorter side becomes so many pixels. 'stretch': height and
            width become those of `shape`, nothing is cropped. 0: not resized. None: images whose shorter side is up to
            a quarter longer than the input are cropped as they are, others are resized to 8/7 of it first (256 for
            224), or so that they cover it where it is no square; images of .rec files are cropped as they are.
        dtype: 'float32', or 'uint8' for pixels as they are, for a network that normalizes them itself.
        num_examples: so many, at equal distances; all by default.
        list_file: which files of the folder: a path a line, alone, with a class behind it, or as im2rec.py writes it.
        class_names: name by number, for folders that are named so (or by the first word of a name).
        batch_size: images in a batch.

    Returns:
        ImageSet: iterates over batches (N, C, H, W), or pairs of these and int64 classes (N,) where images have some:
        of their folder (see mxq.data.listing), list or record. It reads files when they are needed, each time.

    Raises:
        ConfigError: no images there, or an argument that is not accepted; while iterating, a file that is no image or
        cut off, and one that is smaller than the input, each by its name.
    """
    how = Images(shape, _numbers(mean), _numbers(std), bgr, resize, dtype)
    how.check()
    if num_examples is not None and (not _whole(num_examples) or num_examples < 1):
        raise ConfigError(f"num_examples={num_examples!r}: accepted is an integer from 1")
    found = listing(os.fspath(path), list_file, class_names)
    chosen = [found.entries[number] for number in spread(len(found.entries), num_examples)]
    return ImageSet(chosen, unsized(how, found), folders=found.folders, batch_size=batch_size)


def _numbers(given) -> Optional[Tuple[float, ...]]:
    return None if given is None else tuple(float(number) for number in np.ravel(given))


def _whole(number) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def _shorter(picture: np.ndarray, side: Optional[int]) -> np.ndarray:
    height, width = picture.shape[:2]
    if side is None or side == min(height, width):
        return picture
    scale = side / min(height, width)
    size = [max(side, int(round(scale * length))) for length in (height, width)]
    return _resized(picture, size, _AREA if scale < 0.5 else _BILINEAR)


def _resized(picture: np.ndarray, size: Sequence[int], interpolation: int) -> np.ndarray:
    import mxnet as mx

    if tuple(size) == picture.shape[:2]:
        return picture
    resized = mx.image.imresize(mx.nd.array(picture, dtype=np.uint8), size[1], size[0], interp=interpolation)
    return resized.asnumpy().reshape(*size, -1)
