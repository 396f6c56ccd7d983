"""Examples from files, for the command line: arrays of numpy, images in folders and RecordIO files."""

import contextlib
import os
import zipfile
import zlib
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import ConfigError, nearest
from .image_set import Images, ImageSet, normalized, spread, unsized
from .labels import read_labels
from .listing import LISTS, listing

ACCEPTED = (
    "a folder of images (in it, or a folder for each class), a text file that lists them, .rec (RecordIO images), .npy "
    "(one input, first axis = examples) or .npz (an array for each input; FILE.npz:NAME is one of its arrays)"
)
#: Names of an array of classes in a .npz file.
LABELS = ("label", "labels", "softmax_label")
Data = Union[ImageSet, np.ndarray, Dict[str, np.ndarray]]


class Examples(NamedTuple):
    """What a file or folder holds.

    Attributes:
        data: what quantize_model, preflight and explain take.
        labels: class of every example, or None.
        images: RGB images of the examples for people, or None.
        folders: names of class folders, where classes are numbered by their order and by nothing else.
    """

    data: Data
    labels: Optional[np.ndarray]
    images: Optional[Sequence[np.ndarray]]
    folders: Tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """How many examples."""
        return max(map(len, self.data.values())) if isinstance(self.data, dict) else len(self.data)

    def take(self, numbers: Sequence[int]) -> "Examples":
        """Some of the examples, by their numbers. Arrays that have another length are no examples and stay."""
        data: Data
        if isinstance(self.data, ImageSet):
            return _of_images(self.data.take(numbers))
        if isinstance(self.data, dict):
            total = self.total
            data = {name: array[numbers] if len(array) == total else array for name, array in self.data.items()}
        else:
            data = self.data[numbers]
        return Examples(data, None if self.labels is None else self.labels[numbers], None)

    def split(self, first: int, others: int) -> Tuple["Examples", "Examples", bool]:
        """Examples to calibrate with and others to compare on; and whether these are others: where there are less than
        half as many, they are some of the same.

        Of images those to compare on lie at equal distances, of arrays they follow the first.
        """
        left = self.total - first
        if 2 * left < others:
            chosen = np.arange(min(first, self.total))
            return self.take(chosen), self.take(chosen[spread(len(chosen), others)]), False
        others = min(left, others)
        total = first + others
        numbers = np.arange(total)
        held = spread(total, others) if isinstance(self.data, ImageSet) else numbers[first:]
        return self.take(np.setdiff1d(numbers, held)), self.take(held), True


def read_examples(
    path: str,
    n: Optional[int],
    images: Images,
    *,
    list_file: Optional[str] = None,
    class_names: Optional[Sequence[str]] = None,
    labels_file: Optional[str] = None,
) -> Examples:
    """Reads `n` examples of a file or folder: the first of arrays; of images some at equal distances.

    Args:
        path: what it is says its ending, see ACCEPTED.
        n: how many; None: all.
        images: how images are prepared. `mean` and `std` count for arrays too.
        list_file, class_names: see mxq.data.images.
        labels_file: classes of all examples of the file or folder, see mxq.data.labels.

    Raises:
        ConfigError: no such kind of file, or images without a shape. GraphError, OSError: a file that does not read.
    """
    images.check()
    path, array = _one_of(path)
    ending = os.path.splitext(path)[1].lower()
    if ending in (".npy", ".npz"):
        for name in ("bgr", "resize"):
            if getattr(images, name):
                raise ConfigError(f"--{name} is for images, and {path!r} holds arrays as the network takes them")
        if list_file is not None:
            raise ConfigError(f"--list {list_file!r}: {path!r} is no folder of images")
        found, total = _array(path, n) if ending == ".npy" else _arrays(path, n, array)
        if labels_file is not None:
            found = found._replace(labels=read_labels(labels_file, total)[:n])
        return found._replace(data=_normalized(found.data, images))
    if not (os.path.isdir(path) or ending in (*LISTS, ".rec")):
        known = f"accepted are {ACCEPTED}"
        raise ConfigError(f"data {path!r}: {known if os.path.exists(path) else f'there is no such file; {known}'}")
    found_images = listing(path, list_file, class_names)
    if images.shape is None:
        raise ConfigError(f"{path!r} holds images: --shape tells their size, such as 3,224,224")
    numbers = spread(len(found_images.entries), n)
    chosen = [found_images.entries[number] for number in numbers]
    if labels_file is not None:
        labels = read_labels(labels_file, len(found_images.entries))
        chosen = [entry._replace(label=int(labels[number])) for entry, number in zip(chosen, numbers)]
        found_images = found_images._replace(folders=())
    return _of_images(ImageSet(chosen, unsized(images, found_images), folders=found_images.folders))


def _of_images(images: ImageSet) -> Examples:
    return Examples(images, images.labels, images.pictures, images.folders)


def _normalized(data: Data, images: Images) -> Data:
    if images.mean is None and images.std is None:
        return data
    if isinstance(data, dict):
        raise ConfigError("--mean and --std are for one input: give arrays of a .npz file as the network takes them")
    return normalized(data, images.mean, images.std)


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


def _array(path: str, n: Optional[int]) -> Tuple[Examples, int]:
    with _reading(path):
        # Mapped, so that a file that is cut off is no reason to allocate what it promises.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return Examples(np.array(mapped[:n]), None, None), len(mapped)


def _one_of(path: str) -> Tuple[str, Optional[str]]:
    """The file, and the array in it that ``FILE.npz:NAME`` names."""
    file, colon, name = path.rpartition(".npz:")
    return (f"{file}.npz", name) if colon and not os.path.exists(path) else (path, None)


def _arrays(path: str, n: Optional[int], array: Optional[str] = None) -> Tuple[Examples, int]:
    with _reading(path), np.load(path, allow_pickle=False) as file:
        if array is not None:
            if array not in file.files:
                raise ConfigError(
                    f"data file {path!r} has no array {array!r}{nearest(array, file.files)}; it has "
                    f"{', '.join(file.files)}"
                )
            return Examples(file[array][:n], None, None), len(file[array])
        whole = {name: file[name] for name in file.files}
        count = max(map(len, whole.values()), default=0)
        arrays = {name: array[:n] for name, array in whole.items()}
    if not arrays:
        raise ConfigError(f"data file {path!r} holds no arrays")
    label = next((name for name in LABELS if name in arrays), None)
    total = max(len(array) for name, array in arrays.items() if name != label or len(arrays) == 1)
    labels = arrays[label] if label is not None and len(arrays) > 1 else None
    usable = labels is not None and labels.ndim == 1 and len(labels) == total and labels.dtype.kind in "iu"
    return Examples(arrays, labels.astype(np.int64) if usable else None, None), count
