"""The errors that mxq raises. All are subclasses of :class:`MXQError`."""

import difflib
from typing import Iterable


class MXQError(Exception):
    """Base class: catch this to catch everything that mxq raises on purpose."""


class LibraryError(MXQError, ImportError):
    """The native library is missing, does not fit, or does not load."""


class GraphError(MXQError, ValueError):
    """A symbol or its parameters are not what a pass or a file format needs."""


class CalibrationError(MXQError, ValueError):
    """Calibration data or a calibration table cannot be used."""


class ConfigError(MXQError, ValueError):
    """An argument has a value that is not accepted."""


class OutOfMemoryError(MXQError, MemoryError):
    """There is not enough memory for what was asked; what was asked may be right."""


def nearest(name: str, known: Iterable[str], n: int = 3) -> str:
    """Returns ``"; nearest: a, b"`` with the known names closest to `name`, or an empty string.

    >>> nearest("conv0_fw", ["conv0_fwd", "fc"])
    '; nearest: conv0_fwd'
    """
    close = difflib.get_close_matches(name, list(known), n=n, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""
