"""What the commands have in common: naming networks, data and files, and how results come out."""

import argparse
import json
import logging
import os
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..data.files import ACCEPTED, Examples, read_examples
from ..data.image_set import Images
from ..errors import ConfigError

_PARAMS, _OTHER_FORMATS = ".params", (".onnx", ".caffemodel", ".tflite")


class Result(NamedTuple):
    """What a command has to say: a document for programs, text for people, its exit status.

    `document` may be JSON already.
    """

    document: Any
    text: str
    status: int = 0


# -- networks ----------------------------------------------------------------------------------------------------------


def add_words(parser: argparse.ArgumentParser, *names: str, help: str) -> None:
    """Adds the arguments by position: a network and what follows it.

    A network is ``SYMBOL PARAMS``, two files, or one word: the symbol file, or what both names begin with. `names` are
    those of what follows, in brackets if it may be left out.
    """
    shown = " ".join(["NETWORK [PARAMS]", *names])
    parser.add_argument("words", nargs="*", metavar=shown, help=help)
    parser.usage = f"{parser.prog} {shown} [options]"
    parser.set_defaults(following=names)


def network_and(args: argparse.Namespace) -> Tuple[str, Optional[str], List[Optional[str]]]:
    """Symbol, parameters (None: beside the symbol), and the words that follow, None for those that were left out.

    Raises ConfigError for too few or too many words.
    """
    words = list(args.words)
    symbol = words.pop(0) if words else None
    params = words.pop(0) if words and words[0].endswith(_PARAMS) else None
    needed = [name for name in args.following if not name.startswith("[")]
    if symbol is None or not len(needed) <= len(words) <= len(args.following):
        given = " ".join(map(repr, args.words)) or "nothing"
        raise UsageError(f"expected NETWORK [PARAMS] {' '.join(args.following)}, got {given}")
    _check_network(symbol, params)
    return symbol, params, words + [None] * (len(args.following) - len(words))


def networks_in(words: Sequence[str]) -> List[Tuple[str, Optional[str]]]:
    """Each network among these words: a symbol file or prefix, with its parameter file where one follows it."""
    found: List[Tuple[str, Optional[str]]] = []
    for word in words:
        if word.endswith(_PARAMS) and found and found[-1][1] is None:
            found[-1] = (found[-1][0], word)
        else:
            found.append((word, None))
    for symbol, params in found:
        _check_network(symbol, params)
    return found


def _check_network(symbol: str, params: Optional[str]) -> None:
    from ..network.files import params_path

    if symbol.endswith(_PARAMS):
        raise ConfigError(
            f"{symbol!r} is a parameter file: the symbol file, or what both names begin with, comes first"
        )
    if symbol.endswith(_OTHER_FORMATS):
        if not os.path.isfile(symbol):
            raise ConfigError(f"there is no file {symbol!r}")
        return
    if not os.path.isfile(symbol) and not os.path.isfile(f"{symbol}-symbol.json"):
        what = f"nor {symbol}-symbol.json" if not symbol.endswith(".json") else "of a network"
        raise ConfigError(f"there is no file {symbol!r} {what}")
    params_path(symbol, params)


def float_network(symbol: str, params: Optional[str]) -> Tuple[Any, Any]:
    """A network as functions of mxq take it; one of another format is read first."""
    if not symbol.endswith(_OTHER_FORMATS):
        return symbol, params
    from ..importers import load

    found = load(symbol)
    if found.quantized:
        raise ConfigError(f"{symbol} is quantized already: `python -m mxq import` makes an int8 network of it")
    return found.symbol, {**found.arg_params, **found.aux_params}


# -- data --------------------------------------------------------------------------------------------------------------


def add_data(parser: argparse.ArgumentParser, *, examples: int = 256, what: str = "use so many examples") -> None:
    """Adds the options that say how data is read."""
    group = parser.add_argument_group("data", f"Data is {ACCEPTED}.")
    group.add_argument("--examples", type=count, default=examples, help=f"{what} (default: {examples})")
    group.add_argument("--shape", type=sizes, metavar="C,H,W", help="channels,height,width that the network takes")
    group.add_argument(
        "--resize",
        type=resize,
        metavar="N",
        help="shorter side before the centre is cropped; 'stretch': to height and width; 0: no resizing; by default so "
        "that the centre is what ImageNet networks are evaluated on (256 for 224), images in .rec files as they are",
    )
    group.add_argument(
        "--mean", type=numbers, metavar="A,B,C", help="subtracted from pixels 0 to 255: one number or three"
    )
    group.add_argument("--std", type=numbers, metavar="A,B,C", help="what is left is divided by it")
    group.add_argument("--bgr", action="store_true", help="the network wants blue first")
    group.add_argument(
        "--list", metavar="FILE", dest="list_file", help="which images of the folder: PATH [CLASS] a line"
    )
    group.add_argument("--labels", metavar="FILE", help="classes of the examples: .npy, or a number a line")
    group.add_argument("--classes", metavar="FILE", help="names of the classes, one a line; folders may be named so")


def read_data(path: str, args: argparse.Namespace, n: Optional[int], dtype: str = "float32") -> Examples:
    """Examples of a file or folder, as the options say. With integers `mean` and `std` are the network's own."""
    integers = dtype != "float32"
    if dtype == "int8" and not (path.endswith(".npy") or ".npz" in path):
        raise ConfigError(f"{path!r}: int8 data are arrays, .npy or .npz; images are uint8")
    how = Images(
        args.shape,
        None if integers else args.mean,
        None if integers else args.std,
        args.bgr,
        args.resize,
        "uint8" if integers else "float32",
    )
    names = lines(args.classes)
    return read_examples(path, n, how, list_file=args.list_file, class_names=names, labels_file=args.labels)


def lines(path: Optional[str]) -> Optional[List[str]]:
    """Lines of a text file."""
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def add_data_shapes(parser: argparse.ArgumentParser, flag: str = "--data-shape", help: str = "") -> None:
    """Adds an option that names the shape of an input, as often as there are inputs."""
    parser.add_argument(flag, action="append", default=[], metavar="NAME=1,3,224,224", type=named_shape, help=help)


# -- kinds of arguments ------------------------------------------------------------------------------------------------


class UsageError(ConfigError):
    """A command line that cannot be understood: exit status 2."""


def named_shape(text: str) -> Tuple[str, Tuple[int, ...]]:
    """``data=1,3,224,224``."""
    name, _, shape = text.rpartition("=")
    if not name or not all(part.strip().isdigit() for part in shape.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}: accepted is NAME=1,3,224,224")
    return name, tuple(int(part) for part in shape.split(","))


def numbers(text: str) -> List[float]:
    """``104,117,123``."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: accepted are numbers with commas between them") from None


def sizes(text: str) -> List[int]:
    """``3,224,224``."""
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdigit() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: accepted is channels,height,width such as 3,224,224")
    return [int(part) for part in parts]


def counts(text: str) -> List[int]:
    """``1,8,32``."""
    return [count(part) for part in text.split(",")]


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.strip().isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: accepted is a whole number from 1")
    return int(text)


def resize(text: str) -> Union[int, str]:
    """A number of pixels or 'stretch'."""
    if text == "stretch" or text.isdigit():
        return text if text == "stretch" else int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: accepted are a number of pixels, 0 (no resizing) and 'stretch'")


# -- files that are written --------------------------------------------------------------------------------------------


def add_output(parser: argparse.ArgumentParser, flag: str, **options: Any) -> None:
    """Adds an option that names a file to write; whether it can be is looked at before any work."""
    action = parser.add_argument(flag, **options)
    parser.set_defaults(outputs=(*(parser.get_default("outputs") or ()), action.dest))


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds --json, which every command has."""
    add_output(
        parser,
        "--json",
        nargs="?",
        const="-",
        metavar="FILE.json",
        help="the result for programs, to the file; without one in place of the text",
    )


def check_outputs(args: argparse.Namespace) -> None:
    """Raises ConfigError for a file that cannot be written, or one that nobody means to replace."""
    for dest in getattr(args, "outputs", ()):
        path = getattr(args, dest)
        if path is None or path == "-":
            continue
        if dest == "json" and (not path.endswith(".json") or path.endswith("-symbol.json")):
            raise UsageError(f"--json {path}: name a file that ends in .json, or nothing, behind all other arguments")
        check_writable(path, f"--{dest.replace('_', '-')}", prefix=dest == "out")


def check_writable(path: str, what: str, *, prefix: bool = False) -> None:
    """Raises ConfigError unless a file of this name, or files that begin with it, can be written."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ConfigError(f"{what} {path}: folder {folder!r} does not exist; create it first")
    if not os.path.basename(path) or (os.path.isdir(path) and not prefix):
        raise ConfigError(f"{what} {path}: this is a folder; give the name of a file")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{what} {path}: folder {folder!r} is not writable")


def say(args: argparse.Namespace, result: Result) -> int:
    """Prints a result, or writes it, as --json says; returns the exit status."""
    from ..network.atomic import write_atomically

    where: Optional[str] = getattr(args, "json", None)
    document = result.document
    text = document if isinstance(document, str) else json.dumps(document, indent=1, default=_plain, allow_nan=False)
    if where != "-" and result.text:
        print(result.text)
    if where == "-":
        print(text.rstrip("\n"))
    elif where is not None:

        def write(temporary: str) -> None:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text.rstrip("\n") + "\n")

        write_atomically(where, write)
    return result.status


def _plain(item: Any) -> Any:
    if hasattr(item, "tolist"):
        return item.tolist()
    raise TypeError(f"{type(item).__name__} has no form in JSON")


def decibels(value: float) -> Union[float, str]:
    """For JSON, which has no infinity."""
    return value if abs(value) != float("inf") else str(value)


def log_to_stderr(level: int = logging.WARNING) -> None:
    """What mxq logs, for people."""
    logging.basicConfig(format="mxq: %(message)s", level=level)
