"""``mxnet.contrib.quantization`` of MXNet 1.9.1 on mxq's operators: a script changes this one import.

>>> from mxq.contrib import quantization
>>> qsym, qargs, qaux = quantization.quantize_model(sym, args, aux, calib_data=data)  # doctest: +SKIP

Every public function has MXNet's arguments in MXNet's order with MXNet's defaults; behind them, by keyword, it takes
the names of MXNet 2.0 (``device``, ``num_calib_batches``, ...). What differs, on purpose:

* Errors are subclasses of ValueError, as MXNet's. Excluded names that match nothing are errors; the lists stay as they
  are. Names and operators after MXNet's fusion (``sg_mkldnn_conv_bn_act_0``, ``_sg_mkldnn_conv``) mean what is inside.
* Calibration data may be anything that mxq.quantize_model takes. Iterators are reset before and after, padding is no
  data, ``num_calib_examples`` is exact. Nothing is reshaped: MXNet flattens the first two axes of 5-D data.
* ``calib_mode`` also takes mxq's 'mse' and 'percentile'. Ranges have full precision; entropy needs no scipy.
* What BatchNorm folding leaves without use is not among the auxiliary states that come back, but for quantize_graph's:
  keep the float ``aux_params`` under a name of their own.
* Weights are stored as int8, biases as int32, so ``calib_graph`` makes the symbol anew and its result has other nodes
  than the symbol it was given.
* ``logger`` gets a summary, and at debug level a line a node. No environment variable is set.
* ``_quantize_symbol``, ``_calibrate_quantized_sym`` and ``_quantize_params`` do not exist: symbol and parameters become
  int8 together.
"""

# ruff: noqa: F401  (names with an underscore are what scripts take from MXNet's module although not public there)
from mxnet.contrib import quantization as _mxnet

from .collectors import CalibrationCollector, combine_histogram
from .collectors import LayerHistogramCollector as _LayerHistogramCollector
from .collectors import LayerOutputMinMaxCollector as _LayerOutputMinMaxCollector
from .entropy import get_optimal_threshold as _get_optimal_threshold
from .entropy import get_optimal_thresholds as _get_optimal_thresholds
from .entropy import smooth_distribution as _smooth_distribution
from .loading import DataIterWrapper as _DataIterWrapper
from .loading import as_data_iter as _as_data_iter
from .loading import load_params as _load_params
from .loading import load_sym as _load_sym
from .models import calib_graph, quantize_graph, quantize_model, quantize_model_mkldnn, quantize_model_onednn
from .monitor import collect_layer_histogram as _collect_layer_histogram
from .monitor import collect_layer_output_min_max as _collect_layer_output_min_max
from .monitor import collect_layer_statistics as _collect_layer_statistics
from .nets import quantize_net, quantize_net_v2

__all__ = [
    "CalibrationCollector",
    "calib_graph",
    "combine_histogram",
    "quantize_graph",
    "quantize_model",
    "quantize_model_mkldnn",
    "quantize_model_onednn",
    "quantize_net",
    "quantize_net_v2",
]
#: A star import of MXNet's module also brings what that imports (np, Module, DataIter, ...), and scripts rely on it.
_LEAKED = [name for name in vars(_mxnet) if not name.startswith("_") and name not in __all__]
globals().update((name, getattr(_mxnet, name)) for name in _LEAKED)

__all__ += _LEAKED

_GONE = {
    "_quantize_symbol": "quantize_graph",
    "_quantize_params": "quantize_graph",
    "_calibrate_quantized_sym": "calib_graph",
}


def __getattr__(name: str):
    if name in _GONE:
        raise AttributeError(
            f"mxq.contrib.quantization has no {name}: symbol and parameters become int8 together; use {_GONE[name]}"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
