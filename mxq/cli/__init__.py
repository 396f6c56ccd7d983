"""The command line: ``mxq`` and ``python -m mxq``."""

from .main import main

__all__ = ["main"]
