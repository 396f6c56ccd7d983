r"""Symbols as JSON that MXNet reads: letters of any alphabet stand for themselves, because its reader knows no ``\u``.

>>> dumps({"name": "свёртка"})
'{"name": "свёртка"}'
"""

import json
from typing import Mapping


def dumps(content: Mapping, indent: int = None) -> str:
    """The text of a symbol's JSON."""
    return json.dumps(content, indent=indent, ensure_ascii=False)


def symbol_of(content: Mapping):
    """An mx.sym.Symbol of what ``json.loads(symbol.tojson())`` gives."""
    import mxnet as mx

    return mx.sym.load_json(dumps(content))
