"""Digests that tie a saved symbol to its parameters, so that files of two saves do not run together.

A region has the digest of its packed parameters from the start. The other int8 operators with parameters get one when
they are saved. The native library compares at the first run, also where MXNet alone loads the files.
"""

import hashlib
import json
from typing import Callable, Dict, Iterator, Mapping, Tuple

import numpy as np

from ..errors import GraphError
from .regions import DIGEST_BYTES, REGION
from .symbol_json import dumps

Params = Mapping[str, object]


def sealed(text: str, params: Params) -> str:
    """The JSON of a symbol with digests of the parameters that it is saved with.

    Args:
        text: of ``Symbol.tojson``.
        params: plain name -> NDArray.
    """
    content = json.loads(text)
    changed = False
    for node, of in _nodes(content, params):
        if "content_id" in node["attrs"] and node["op"] != REGION:
            node["attrs"]["digest"], changed = of(), True
    return dumps(content, indent=2) if changed else text


def check_pair(text: str, params: Params, symbol_path: str, params_path: str) -> None:
    """Raises GraphError, with both paths, where a symbol was saved with other parameters.

    Args:
        text, params: as of `sealed`.
    """
    for node, of in _nodes(json.loads(text), params):
        if "digest" in node["attrs"] and node["attrs"]["digest"] != of():
            raise GraphError(
                f"symbol file {symbol_path!r} and parameter file {params_path!r} do not belong together: the "
                f"parameters of {node['op']} {node['name']!r} are not those that it was saved with. They come from two "
                "saves, or one was damaged or changed; load two files that were saved together"
            )


def _nodes(content: Dict, params: Params) -> Iterator[Tuple[Dict, Callable[[], str]]]:
    """Nodes with attributes, and what gives the digest of the parameters that each reads."""
    nodes = content["nodes"]
    for node in nodes:
        names = [nodes[at]["name"] for at, *_ in node["inputs"] if nodes[at]["op"] == "null"]
        arrays = [params[name] for name in names if name in params]
        if arrays and "attrs" in node:
            yield node, lambda arrays=arrays, is_region=node["op"] == REGION: _digest(arrays, is_region)


def _digest(arrays, is_region: bool) -> str:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    if is_region:  # in the last array, its digest behind it
        digest.update(_bytes(arrays[-1])[:-DIGEST_BYTES])
    else:
        for array in arrays:
            digest.update(_bytes(array))
    return digest.hexdigest()


def _bytes(array) -> np.ndarray:
    array = array.asnumpy() if hasattr(array, "asnumpy") else np.asarray(array)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
