"""Node attributes as text: how MXNet's JSON has them, and back to Python values."""

import ast
import re

import numpy as np


def attr_text(value) -> str:
    """An attribute as MXNet's JSON has it. Floats keep full precision.

    >>> attr_text(0.1), attr_text((1, 2)), attr_text(True)
    ('0.1', '(1, 2)', 'True')
    """
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, (list, tuple)):
        inner = ", ".join(attr_text(v) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return str(value)


_LITERALS = {"true": True, "false": False, "inf": float("inf"), "-inf": -float("inf"), "nan": float("nan")}
_LONG = re.compile(r"(?<=\d)L\b")


def attr_value(text: str):
    """The Python value of an attribute's text; the inverse of :func:`attr_text`.

    Reads what MXNet's own parser reads: ``true``, and ``(3L, 3L)`` as Python 2 wrote it.

    >>> attr_value("(3L, 3L)"), attr_value("false"), attr_value("relu")
    ((3, 3), False, 'relu')
    """
    if text.strip().lower() in _LITERALS:
        return _LITERALS[text.strip().lower()]
    try:
        return ast.literal_eval(_LONG.sub("", text.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
