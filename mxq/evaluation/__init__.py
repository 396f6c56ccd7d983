"""Saved networks side by side: what they answer, how large they are, how long they take."""

from .answers import Answers, Compared, compare
from .network import Network
from .shares import Share, int8_share
from .speed import Speed, measure_speed
from .table import columns

__all__ = [
    "Answers", "Compared", "Network", "Share", "Speed", "columns", "compare", "int8_share", "measure_speed",
]  # fmt: skip
