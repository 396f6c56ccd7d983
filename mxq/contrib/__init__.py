"""Drop-in replacements of MXNet's own modules."""

from . import quantization
from . import quantization as quant

__all__ = ["quant", "quantization"]
