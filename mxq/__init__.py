"""mxq: int8 post-training quantization for Apache MXNet."""

__version__ = "0.1.0"

from .native import library_path
from .native import load as _load

_load()

__all__ = ["library_path"]
