"""Calibration: data -> statistics per tensor -> thresholds -> table of ranges."""

from ..data.batches import Batch, batches
from ..network.identity import graph_hash, tensor_key
from .bins import Histogram
from .choose import MODES, choose
from .collect import collect
from .statistics import Statistics, TensorStatistics
from .table import CalibTable

__all__ = [
    "Batch",
    "CalibTable",
    "Histogram",
    "MODES",
    "Statistics",
    "TensorStatistics",
    "batches",
    "choose",
    "collect",
    "graph_hash",
    "tensor_key",
]
