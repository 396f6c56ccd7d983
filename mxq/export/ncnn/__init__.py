"""The way out to ncnn: networks as .param and .bin, calibration tables. Importing it fills the table of emitters."""

from . import (  # noqa: F401  (each registers its rows)
    elementwise,
    movement,
    normalization,
    pooling,
    quantization,
    weighted,
)
from .net import Net
from .scales import ranges_of, table_of, with_ranges_only
from .weighted import WINOGRAD_BITS, winograd_layers
from .write import simplified, write_ncnn

__all__ = [
    "WINOGRAD_BITS",
    "Net",
    "ranges_of",
    "simplified",
    "table_of",
    "winograd_layers",
    "with_ranges_only",
    "write_ncnn",
]
