"""Where images are: a folder, a file that lists them, a RecordIO file."""

import os
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import ConfigError, nearest
from .recordio import read_record, record_offsets

#: Endings of files that are taken for images; the others of a folder are left alone.
ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jp2", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pnm",
)  # fmt: skip
#: Endings of files that list images.
LISTS = (".lst", ".txt")


class Entry(NamedTuple):
    """One image: a name for people, what reads its bytes, and its class, if that is known."""

    name: str
    read: Callable[[], bytes]
    label: Optional[int] = None


class Listing(NamedTuple):
    """Images in order.

    Attributes:
        folders: names of class folders, where classes are numbered by these names' order.
        sized: whether who wrote them has brought them to a size, as im2rec.py does.
    """

    entries: Sequence[Entry]
    folders: Tuple[str, ...] = ()
    sized: bool = False


def listing(path: str, list_file: Optional[str] = None, class_names: Optional[Sequence[str]] = None) -> Listing:
    """The images of a folder, a RecordIO file or a list.

    A folder of folders has a class a folder: the number that is its name, else the line of `class_names` that is its
    name or begins with it (``n01440764 tench``), else its place among the folders' names in order. A flat folder has no
    classes. A list has a path a line, alone, with a class behind it, or as im2rec.py writes it (number, class, path);
    paths are relative to the folder, or else to the list.

    Raises:
        ConfigError: nothing there, no images, a folder that is no class, a line or a record that cannot be read.
    """
    if list_file is None and os.path.isfile(path) and path.lower().endswith(LISTS):
        path, list_file = os.path.dirname(path) or ".", path
    if list_file is not None:
        if not os.path.isdir(path):
            raise ConfigError(f"{path!r} is no folder: a list of images, {list_file!r}, belongs to the folder of them")
        return Listing(_of_list(list_file, path))
    if os.path.isdir(path):
        return _of_folder(path, class_names)
    if path.lower().endswith(".rec"):
        return Listing(_Records(path), sized=True)
    what = "is neither a folder of images, nor a list of them (.txt, .lst), nor a RecordIO file (.rec)"
    raise ConfigError(f"{path!r} {what if os.path.exists(path) else 'does not exist'}")


def _of_folder(path: str, class_names: Optional[Sequence[str]]) -> Listing:
    found, others = [], []
    for folder, folders, names in os.walk(path, followlinks=True):
        folders.sort()
        for name in sorted(names):
            if not name.startswith("."):
                (found if name.lower().endswith(ENDINGS) else others).append(os.path.join(folder, name))
    if not found:
        there = (
            f"it holds {len(others)} other files, such as {os.path.basename(others[0])}" if others else "it is empty"
        )
        raise ConfigError(f"there are no images in {path!r}: {there}; accepted endings are {', '.join(ENDINGS)}")
    parts = [os.path.relpath(name, path).split(os.sep) for name in found]
    tops = sorted({part[0] for part in parts})
    if len(tops) < 2 or any(len(part) == 1 for part in parts):
        return Listing([Entry(repr(name), _reader(name)) for name in found])
    numbers, by_order = _numbers(tops, class_names, path)
    entries = [Entry(repr(name), _reader(name), numbers[part[0]]) for name, part in zip(found, parts)]
    return Listing(entries, tuple(tops) if by_order else ())


def _numbers(folders: List[str], class_names: Optional[Sequence[str]], path: str) -> Tuple[Dict[str, int], bool]:
    """Class by name of a folder, and whether only the order of the folders says so."""
    if all(name.isdecimal() for name in folders):
        return {name: int(name) for name in folders}, False
    if class_names is None:
        return {name: number for number, name in enumerate(folders)}, True
    known: Dict[str, int] = {}
    for number, line in enumerate(class_names):
        known.setdefault(line.strip(), number)
    for number, line in enumerate(class_names):
        known.setdefault(line.split()[0] if line.split() else "", number)
    for name in folders:
        if name not in known:
            raise ConfigError(
                f"folder {name!r} in {path!r} is none of the {len(class_names)} classes{nearest(name, known)}; "
                "accepted is a line of the file of class names, or its first word"
            )
    return {name: known[name] for name in folders}, False


def _of_list(list_file: str, folder: str) -> List[Entry]:
    try:
        with open(list_file, encoding="utf-8", errors="surrogateescape") as file:
            lines = [(number, line.strip()) for number, line in enumerate(file, 1) if line.strip()]
    except OSError as error:
        raise ConfigError(f"cannot read the list of images {list_file!r}: {error.strerror or error}") from error
    entries = []
    for number, line in lines:
        name, label = _line(line)
        tried = [name, os.path.join(folder, name), os.path.join(os.path.dirname(list_file), name)]
        found = next((place for place in tried[1:] + tried[:1] if os.path.isfile(place)), None)
        if found is None:
            raise ConfigError(f"{list_file!r}, line {number}: there is no file {name!r}, also not below {folder!r}")
        entries.append(Entry(repr(found), _reader(found), label))
    if not entries:
        raise ConfigError(f"there are no images in {list_file!r}: give a path a line")
    if len({entry.label is None for entry in entries}) > 1:
        raise ConfigError(f"{list_file!r} has classes in some of its lines and none in others")
    return entries


def _line(line: str) -> Tuple[str, Optional[int]]:
    """Path and class; of several numbers, as detectors' lists have, the path alone.

    >>> _line("a b.jpg"), _line("cats/1.jpg 7"), _line("12\\t7.0\\tcats/1.jpg")
    (('a b.jpg', None), ('cats/1.jpg', 7), ('cats/1.jpg', 7))
    """
    columns = line.split("\t")
    if len(columns) >= 3:
        return columns[-1], _class(columns[1]) if len(columns) == 3 else None
    for separator in ("\t", " "):
        name, found, label = line.rpartition(separator)
        if found and _class(label) is not None and name.lower().endswith(ENDINGS):
            return name.strip(), _class(label)
    return line, None


def _class(text: str) -> Optional[int]:
    try:
        return int(float(text)) if float(text) == int(float(text)) else None
    except (ValueError, OverflowError):
        return None


class _Records(Sequence[Entry]):
    """The images of a RecordIO file; records are read when they are asked for."""

    def __init__(self, path: str):
        self._path, self._offsets = path, record_offsets(path)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number):
        name = f"{number} of {self._path!r}"
        try:
            header, _ = self._unpacked(number)
            label = _first(header.label)
        except Exception as error:  # struct's and NumPy's, for a record that was not packed
            raise ConfigError(f"record {name} holds no packed image: {error}; im2rec.py writes them") from error
        return Entry(f"record {name}", lambda: self._unpacked(number)[1], label)

    def _unpacked(self, number: int) -> tuple:
        import mxnet as mx

        return mx.recordio.unpack(read_record(self._path, self._offsets[number]))


def _first(label) -> Optional[int]:
    """The class of a record; None where its label is something else."""
    numbers = [float(number) for number in getattr(label, "flat", [label])]
    return _class(str(numbers[0])) if len(numbers) == 1 else None


def _reader(path: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise ConfigError(f"cannot read image {path!r}: {error.strerror or error}") from error

    return read
