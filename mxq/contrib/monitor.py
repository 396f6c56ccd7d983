"""Runs a float network and shows every tensor to a collector, as MXNet's monitor does."""

from typing import Iterable, Mapping, Optional, Sequence

import mxnet as mx

from ..data.batches import Batch, batches
from ..errors import CalibrationError
from ..network.batch_sizes import BatchSizes, arranged
from ..network.bind import unfused
from ..network.graph import Graph
from .collectors import LayerHistogramCollector, LayerOutputMinMaxCollector, callback_of


def watch(sym, params: Mapping, examples: Iterable[Batch], collector, ctx=None) -> int:
    """Runs the network over the batches; returns how many examples they held.

    The collector sees every tensor under the name that ``sym.get_internals().list_outputs()`` has: nothing is fused.

    Args:
        sym: the float symbol.
        params: name -> NDArray, auxiliary states too.
        examples: what `mxq.calib.batches` returns.
        collector: has ``collect(name, arr)`` as MXNet 1.9 calls it (bytes, raw handle), or ``collect(name, op_name,
            arr)`` as 2.0 does (str, str, NDArray); the operator's name is left empty, since a monitor is not told.
    """
    callback, failures = callback_of(collector), []

    def monitor(name, handle):
        try:
            callback(name, handle)
        except Exception as error:  # one that leaves a callback from C is printed and lost
            failures.append(error)

    executor, bound, seen = None, None, 0
    for arrays, n in arranged(examples, BatchSizes(Graph.from_symbol(sym, params))):
        shapes = {name: array.shape for name, array in arrays.items()}
        if bound != shapes:
            with unfused():
                executor = sym.simple_bind(ctx or mx.cpu(), grad_req="null", **shapes)
            executor.copy_params_from(params, {}, allow_extra_params=True)
            executor.copy_params_from({}, params, allow_extra_params=True)
            executor.set_monitor_callback(monitor, monitor_all=True)
            bound = shapes
        for output in executor.forward(is_train=False, **arrays):
            output.wait_to_read()
        if failures:
            raise failures[0]
        seen += n
    return seen


def collect_layer_statistics(mod, data, collector, max_num_examples: Optional[int] = None, logger=None) -> int:
    """Shows every tensor of a bound Module's network to a collector; returns the number of examples.

    Args:
        mod: a Module with parameters; its symbol and parameters are used, and it stays as it is.
        data: a DataIter, or what else mxq takes as calibration data.
        collector: see `watch`.
        max_num_examples: at most so many; padding does not count.
    """
    arg_params, aux_params = mod.get_params()
    examples = batches(data, list(mod.data_names), num_examples=max_num_examples)
    count = watch(mod.symbol, {**arg_params, **aux_params}, examples, collector, _context(mod))
    if logger:
        logger.info("collected statistics from %d examples", count)
    return count


def _context(mod):
    contexts = getattr(mod, "_context", None)  # a Module has no public name for it
    return contexts[0] if contexts else None


def collect_layer_output_min_max(mod, data, quantized_dtype, include_layer=None, max_num_examples=None, logger=None):
    """Returns ``({name: (min, max)}, number of examples)``."""
    collector = LayerOutputMinMaxCollector(quantized_dtype, include_layer, logger)
    count = collect_layer_statistics(mod, data, collector, max_num_examples, logger)
    return collector.min_max_dict, count


def collect_layer_histogram(mod, data, include_layer: Sequence[str] = None, max_num_examples=None, logger=None):
    """Returns ``({name: (hist, edges, min, max, threshold)}, number of examples)``."""
    collector = LayerHistogramCollector(include_layer=include_layer, logger=logger)
    count = collect_layer_statistics(mod, data, collector, max_num_examples, logger)
    return collector.hist_dict, count


def need(names: Mapping[str, Sequence[str]], found: Mapping) -> None:
    """Raises CalibrationError unless `found` has each tensor (key -> names) under one of its names."""
    missing = sorted(key for key, spellings in names.items() if not any(name in found for name in spellings))
    if missing:
        raise CalibrationError(
            f"the collector has no values of {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}: run the "
            "float symbol over data with the collector attached (set_monitor_callback(collector.collect, "
            "monitor_all=True)), or call _collect_layer_statistics; where MXNet fuses operators when it binds, "
            "their inner tensors stay hidden: set os.environ['MXNET_SUBGRAPH_BACKEND'] = 'NONE' first"
        )
