"""Symbol and parameter files: loading that explains what is wrong, saving that leaves no half-written file."""

import contextlib
import difflib
import glob
import json
import logging
import os
import re
from typing import Dict, Iterator, Mapping, Optional, Tuple

from ..errors import ConfigError, GraphError, OutOfMemoryError, nearest
from .atomic import write_together
from .host_noise import OLD_SYMBOLS, without_lines
from .params_format import whats_broken, write_params
from .seal import sealed
from .symbol_json import symbol_of

_log = logging.getLogger(__name__)


def load_symbol(path: str):
    """Reads ``NAME-symbol.json``, also of old MXNet versions.

    Args:
        path: of the file, or NAME.

    Returns:
        an mx.sym.Symbol.

    Raises:
        GraphError: no such file, no JSON, no symbol, or an operator that MXNet does not know (named).
    """
    import mxnet as mx

    path = _with_ending(os.fspath(path), "-symbol.json")
    text = _read(path, "symbol").decode("utf-8", errors="replace")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphError(
            f"symbol file {path!r} is no JSON ({error}); is it cut off, or another kind of file?"
        ) from error
    nodes = raw.get("nodes") if isinstance(raw, dict) else None
    lacking = [key for key in ("nodes", "arg_nodes", "heads") if not isinstance(raw, dict) or key not in raw]
    if lacking or not isinstance(nodes, list) or not nodes:
        raise GraphError(
            f"symbol file {path!r} holds no MXNet symbol: {', '.join(lacking) or 'nodes'} missing or empty"
        )
    _check_operators(path, nodes)
    try:
        with without_lines(OLD_SYMBOLS) if _is_old(raw) else contextlib.nullcontext():
            return symbol_of(raw) if "\\u" in text else mx.sym.load_json(text)  # MXNet does not know this escape
    except Exception as error:  # MXNetError, or a KeyError-like one from inside: the cause is the file
        raise GraphError(f"symbol file {path!r} does not load: {_last_line(error)}") from error


def _is_old(raw: Mapping) -> bool:
    """Whether a symbol is of a version before MXNet 1.9.1."""
    version = (raw.get("attrs") or {}).get("mxnet_version") or [None, 0]
    return not isinstance(version[-1], int) or version[-1] < 10901


def load_params(path: str) -> Dict[str, object]:
    """Reads a ``.params`` file.

    Args:
        path: of the file, or NAME where the file is ``NAME-0000.params``, of any epoch if there is one.

    Returns:
        name -> NDArray; names as in the file, usually ``arg:x`` and ``aux:x`` (see mxq.network.params.split_params).

    Raises:
        GraphError: no such file, a file that is cut off or no parameter file (says where), or arrays without names.
        OutOfMemoryError: its arrays do not fit into memory.
    """
    import mxnet as mx

    path = _with_ending(os.fspath(path), "-[0-9][0-9][0-9][0-9].params")
    size = len(_read(path, "parameter", limit=64))
    if not size:
        raise GraphError(f"parameter file {path!r} is empty; save it again")
    broken = whats_broken(path)
    if broken:
        raise GraphError(
            f"parameter file {path!r} ({os.path.getsize(path)} bytes) is cut off or not a file of mx.nd.save: {broken}"
        )
    try:
        loaded = mx.nd.load(path)
    except Exception as error:  # MXNetError, UnicodeDecodeError in names
        if re.search("bad_alloc|[Mm]emory", f"{type(error).__name__}: {_last_line(error)}"):
            raise OutOfMemoryError(
                f"there is not enough memory to load parameter file {path!r} ({os.path.getsize(path)} bytes): "
                f"{_last_line(error)}"
            ) from error
        raise GraphError(
            f"parameter file {path!r} ({os.path.getsize(path)} bytes) does not load; it is cut off or not a file of "
            f"mx.nd.save: {_last_line(error)}"
        ) from error
    if not isinstance(loaded, dict):
        raise GraphError(f"parameter file {path!r} holds {len(loaded)} arrays without names; save a dict")
    return loaded


def prefix_of(path) -> str:
    """What the files of a network begin with.

    >>> prefix_of("nets/resnet-symbol.json"), prefix_of("nets/resnet")
    ('nets/resnet', 'nets/resnet')
    """
    path = os.fspath(path)
    return path[: -len("-symbol.json")] if path.endswith("-symbol.json") else path


def params_path(symbol: str, params: Optional[str] = None) -> str:
    """The parameter file of a network, by default the one beside the symbol file; GraphError if there is none."""
    path = _with_ending(os.fspath(prefix_of(symbol) if params is None else params), "-[0-9][0-9][0-9][0-9].params")
    _read(path, "parameter", limit=1)
    return path


def _with_ending(path: str, pattern: str) -> str:
    """The path itself, or the one file that begins with it and ends as `pattern` has it."""
    if os.path.exists(path):
        return path
    found = sorted(glob.glob(glob.escape(path) + pattern))
    if len(found) > 1:
        names = ", ".join(map(os.path.basename, found[:8]))
        raise GraphError(f"{path!r} is the beginning of {len(found)} files ({names}): give the whole path of one")
    return found[0] if found else path


def save_model(prefix: str, sym, arg_params: Mapping, aux_params: Mapping = None, *, epoch: int = 0) -> Tuple[str, str]:
    """Writes ``PREFIX-symbol.json`` and ``PREFIX-0000.params`` as ``mx.model.save_checkpoint`` names them.

    Both files are written beside their places, flushed to disk and then moved: killed at any moment, or on a full
    disk, a save leaves the old files or the new ones, never a part of one. Killed between the two moves it leaves one
    of each: the symbol has digests of its int8 parameters, and such a pair is refused when it runs, by MXNet alone too.

    Args:
        prefix: path without the ending; the folder must exist.
        sym: a Symbol, or None to write parameters only.
        arg_params: name -> NDArray.
        aux_params: name -> NDArray.
        epoch: the number in the parameter file's name.

    Returns:
        (symbol path, parameter path).

    Raises:
        GraphError: the folder does not exist.
        ConfigError: no such epoch.
        OSError: the disk is full or the folder is not writable; the files are as they were.
    """
    if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
        raise ConfigError(f"epoch={epoch!r}: accepted is an integer from 0")
    if not os.path.basename(os.fspath(prefix)):
        raise ConfigError(f"cannot save {prefix!r}: a prefix ends in a name, as 'folder/net' does for net-symbol.json")
    folder = os.path.dirname(os.path.abspath(prefix))
    if not os.path.isdir(folder):
        raise GraphError(f"cannot save {prefix!r}: folder {folder!r} does not exist; create it first")
    arrays = {f"arg:{name}": array for name, array in arg_params.items()}
    arrays.update((f"aux:{name}", array) for name, array in (aux_params or {}).items())
    symbol_path, params_path = f"{prefix}-symbol.json", f"{prefix}-{epoch:04d}.params"
    files = [(params_path, lambda path: write_params(path, arrays))]
    written = params_path
    if sym is not None:
        text = sealed(sym.tojson(), {**arg_params, **(aux_params or {})})
        files.append((symbol_path, lambda path: _write_text(path, text)))
        written = f"{symbol_path} and {params_path}"
    write_together(files)
    _log.info("saved %s", written)
    return symbol_path, params_path


def write_symbol(path: str, sym) -> None:
    """Writes the file of ``Symbol.save``, which does not say where the disk is full: this raises OSError."""
    _write_text(path, sym.tojson())


def _write_text(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _read(path: str, what: str, limit: int = -1) -> bytes:
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError as error:
        folder, name = os.path.split(os.path.abspath(path))
        close = difflib.get_close_matches(name, os.listdir(folder)) if os.path.isdir(folder) else []
        hint = f"; in that folder: {', '.join(close)}" if close else ""
        raise GraphError(f"cannot read {what} file {path!r}: {error.strerror or error}{hint}") from error


def _operators(nodes: list) -> Iterator[Tuple[str, str]]:
    """(operator, node name) of every node, those of control-flow subgraphs too."""
    for node in nodes:
        if not isinstance(node, dict) or not isinstance(node.get("op"), str):
            continue  # MXNet's own message says more
        yield node["op"], str(node.get("name"))
        for subgraph in node.get("subgraphs") or ():
            yield from _operators(subgraph.get("nodes", []) if isinstance(subgraph, dict) else [])


def _check_operators(path: str, nodes: list) -> None:
    import mxnet as mx

    known = set(mx.operator.get_all_registered_operators()) | {"null"}
    for op, name in _operators(nodes):
        if op in known:
            continue
        if op.startswith("mxq_"):
            advice = "import mxq registers it; if that was done, `python -m mxq info` says which library is missing"
        else:
            advice = f"load the library that registers it with mx.library.load{nearest(op, known)}"
        raise GraphError(f"symbol file {path!r}: operator {op!r} of node {name!r} is not registered; {advice}")


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^MXNetError:\s*", "", lines[-1]) if lines else type(error).__name__
