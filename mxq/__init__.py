"""mxq: int8 post-training quantization for Apache MXNet.

>>> import mxq
>>> model = mxq.quantize_model("net-symbol.json", "net-0000.params", images)  # doctest: +SKIP
>>> model.save("net-int8")  # doctest: +SKIP

Importing it registers the int8 operators with MXNet, so that saved int8 networks load and run.
"""

import numpy as _numpy

from .native import library_path, num_threads, set_num_threads
from .native import load as _load
from .native.host_numpy import supply as _supply
from .version import __version__  # noqa: F401

_supply(_numpy)  # before MXNet is imported
_load()

from . import contrib, data  # noqa: E402  (the operators come first)
from .api import quantize_model  # noqa: E402
from .calib.statistics import Statistics  # noqa: E402
from .calib.table import CalibTable  # noqa: E402
from .collection import collect_statistics  # noqa: E402
from .delivery import deliver  # noqa: E402
from .errors import CalibrationError, ConfigError, GraphError, LibraryError, MXQError  # noqa: E402
from .explanation import Explanation, explain  # noqa: E402
from .explanation.preflight import preflight  # noqa: E402
from .gluon import quantize_net  # noqa: E402
from .importers import load  # noqa: E402
from .interchange import check_onnx, export_ncnn, export_onnx, ncnn_weight_bits  # noqa: E402
from .model import QuantizedModel  # noqa: E402

__all__ = [
    "CalibTable",
    "CalibrationError",
    "ConfigError",
    "Explanation",
    "GraphError",
    "LibraryError",
    "MXQError",
    "QuantizedModel",
    "Statistics",
    "check_onnx",
    "collect_statistics",
    "contrib",
    "data",
    "deliver",
    "explain",
    "export_ncnn",
    "export_onnx",
    "library_path",
    "load",
    "ncnn_weight_bits",
    "num_threads",
    "preflight",
    "quantize_model",
    "quantize_net",
    "set_num_threads",
]
