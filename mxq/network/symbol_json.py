r"""Symbols as JSON that MXNet reads: letters of any alphabet stand for themselves, because its reader knows no ``\u``.

>>> dumps({"name": "свёртка"})
'{"name": "свёртка"}'
"""

import json
import re
from typing import Mapping

from ..errors import GraphError

#: Characters that JSON writes as ``\\u0001`` and its like.
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


def dumps(content: Mapping, indent: int = None) -> str:
    """The text of a symbol's JSON."""
    return json.dumps(content, indent=indent, ensure_ascii=False)


def symbol_of(content: Mapping):
    """An mx.sym.Symbol of what ``json.loads(symbol.tojson())`` gives.

    Raises GraphError for a node whose name or attributes have control characters.
    """
    import mxnet as mx

    for item in content["nodes"]:
        for text in (item["name"], *item.get("attrs", {}).values()):
            if _UNREADABLE.search(text):
                raise GraphError(f"node {item['name']!r}: {text!r} has control characters, which no symbol can hold")

    return mx.sym.load_json(dumps(content))
