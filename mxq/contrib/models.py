"""Symbols and parameters: quantize_model, and quantize_graph with calib_graph."""

import logging

import mxnet as mx

from ..errors import ConfigError
from ..flow import quantize_graph as quantize
from ..model import QuantizedModel
from ..network.fused import unfuse
from ..network.graph import Graph
from ..network.params import split_params
from ..options import Options
from . import two_steps
from .arguments import (
    CUSTOM,
    GRANULARITIES,
    check_choices,
    check_collector,
    context_of,
    first_batches,
    float_names,
    float_ops,
    mode_of,
    names_list,
    symbol_of,
    tell,
)
from .collectors import LayerHistogramCollector, LayerOutputMinMaxCollector

CPU = mx.cpu()


def quantize_model(sym, arg_params, aux_params,
                   data_names=("data",), label_names=("softmax_label",),
                   ctx=CPU, excluded_sym_names=None, excluded_op_names=None, calib_mode="entropy",
                   calib_data=None, num_calib_examples=None,
                   quantized_dtype="int8", quantize_mode="smart",
                   quantize_granularity="tensor-wise", logger=None,
                   *, device=None, num_calib_batches=None) -> QuantizedModel:  # fmt: skip
    """Turns a float network into an int8 one, with or without calibration.

    >>> qsym, qarg_params, aux_params = quantize_model(sym, arg_params, aux_params, calib_data=data)  # doctest: +SKIP

    Args:
        sym: a Symbol (also one that MXNet has fused), or the path of its JSON file.
        arg_params, aux_params: name -> NDArray.
        data_names, label_names: inputs of the network.
        ctx: one Context, where the float network runs for calibration.
        excluded_sym_names, excluded_op_names: lists of node names and operator names that stay float.
        calib_mode: 'none' (ranges at run time), 'naive', 'entropy', and mxq's 'mse' and 'percentile'.
        calib_data: see mxq.quantize_model.
        num_calib_examples: use exactly so many; all by default.
        quantized_dtype: 'int8', 'uint8' or 'auto' (uint8 for tensors without negative values).
        quantize_mode: 'smart' or 'full'.
        quantize_granularity: 'tensor-wise' (as in MXNet: one scale for the weights of a fully connected layer, one per
            channel for those of a convolution) or 'channel-wise' (always per channel).
        logger: gets a summary.
        device, num_calib_batches: MXNet 2.0's.

    Returns:
        ``(symbol, arg_params, aux_params)``, with ``table``, ``report`` and ``save`` besides.

    Raises:
        ConfigError, GraphError, CalibrationError: all of them ValueErrors.
    """
    ctx = context_of(ctx, device)
    mode = mode_of(calib_mode, custom=False)
    check_choices(quantized_dtype, quantize_granularity)
    sym = symbol_of(sym)
    if mode != "none" and calib_data is None:
        raise ConfigError(f"calib_data must be provided when calib_mode={calib_mode!r}")
    floats = unfuse(sym)
    graph = Graph.from_symbol(floats, *split_params((arg_params, aux_params), floats))
    options = _options(
        sym, graph, data_names, label_names, ctx, excluded_sym_names, excluded_op_names, mode, num_calib_examples,
        quantized_dtype, quantize_mode, quantize_granularity,
    )  # fmt: skip
    model = quantize(graph, first_batches(calib_data, num_calib_batches), options)
    tell(logger, model)
    return model


def quantize_model_mkldnn(sym, arg_params, aux_params,
                          data_names=("data",), label_names=("softmax_label",),
                          ctx=CPU, excluded_sym_names=None, excluded_op_names=None,
                          calib_mode="entropy", calib_data=None, num_calib_examples=None,
                          quantized_dtype="int8", quantize_mode="smart",
                          quantize_granularity="tensor-wise", logger=None,
                          *, device=None, num_calib_batches=None) -> QuantizedModel:  # fmt: skip
    """As quantize_model, on the CPU: mxq fuses in either case."""
    ctx = context_of(ctx, device)
    if ctx.device_type != "cpu":
        raise ConfigError(f"quantize_model_mkldnn is for the CPU, while received ctx={ctx}")
    return quantize_model(
        sym, arg_params, aux_params, data_names, label_names, ctx, excluded_sym_names, excluded_op_names, calib_mode,
        calib_data, num_calib_examples, quantized_dtype, quantize_mode, quantize_granularity, logger,
        num_calib_batches=num_calib_batches,
    )  # fmt: skip


quantize_model_onednn = quantize_model_mkldnn  # MXNet 2.0's name


def quantize_graph(sym, arg_params, aux_params, ctx=CPU,
                   excluded_sym_names=None, excluded_op_names=None,
                   calib_mode="entropy", quantized_dtype="int8",
                   quantize_mode="full", quantize_granularity="tensor-wise",
                   LayerOutputCollector=None, logger=None, *, device=None, data_shapes=None):  # fmt: skip
    """The first of two steps: an int8 network with ranges found at run time, and a collector to calibrate with.

    >>> qsym, qarg_params, aux_params, collector = quantize_graph(sym, args, aux, calib_mode="naive")  # doctest: +SKIP
    >>> executor.set_monitor_callback(collector.collect, monitor_all=True)  # of the float sym  # doctest: +SKIP
    >>> qsym, qarg_params, aux_params = calib_graph(qsym, args, aux, collector, calib_mode="naive")  # doctest: +SKIP

    Arguments as quantize_model, and:

    Args:
        calib_mode: also 'customize' ('custom'): ranges come from `LayerOutputCollector`.
        LayerOutputCollector: an object with ``collect(name, arr)``, or ``collect(name, op_name, arr)`` as in MXNet 2.0,
            and ``min_max_dict`` or ``post_collect()``; a CalibrationCollector whose include_layers is None gets it set.
        data_shapes: input name -> shape; without it broadcasting operators and some that move data stay float.

    Returns:
        (symbol, arg_params, aux_params, collector). All auxiliary states that were given are among those returned,
        also where the symbol has folded them away. ``collector.include_layer`` has the names of the tensors to watch,
        in the float symbol and after MXNet's fusion; the collector is None for calib_mode='none'.
    """
    ctx = context_of(ctx, device)
    mode = mode_of(calib_mode, custom=True)
    check_collector(mode, LayerOutputCollector)
    check_choices(quantized_dtype, quantize_granularity)
    sym = symbol_of(sym)
    floats = unfuse(sym)
    graph = Graph.from_symbol(floats, *split_params((arg_params, aux_params), floats))
    options = _options(
        sym, graph, None, ("softmax_label",), ctx, excluded_sym_names, excluded_op_names, mode, None, quantized_dtype,
        quantize_mode, quantize_granularity,
    )._replace(data_shapes=data_shapes)  # fmt: skip
    prepared = two_steps.prepare(sym, (arg_params, aux_params), options)
    collector = _collector(mode, LayerOutputCollector, prepared, quantized_dtype, logger)
    model = two_steps.attach(two_steps.uncalibrated(prepared), sym, options)
    tell(logger, model)
    # The float network runs next, and scripts give these auxiliary states to it and to calib_graph, as MXNet lets them.
    return model.symbol, model.arg_params, {**(aux_params or {}), **model.aux_params}, collector


def calib_graph(qsym, arg_params, aux_params, collector,
                calib_mode="entropy", quantized_dtype="int8", logger=logging) -> QuantizedModel:  # fmt: skip
    """The second step: the int8 network with the ranges that a filled collector has seen.

    Args:
        qsym: the symbol from quantize_graph, or the path of the file it was saved in.
        arg_params, aux_params: the float parameters that quantize_graph was given.
        collector: from quantize_graph, after the float network has run with it.
        calib_mode: 'naive', 'entropy' or 'customize'.
        quantized_dtype: of the thresholds; the types of the network are those quantize_graph was asked for.
        logger: gets a summary.

    Returns:
        ``(symbol, arg_params, aux_params)`` as quantize_model.
    """
    mode = mode_of(calib_mode, custom=True)
    if mode not in ("naive", "entropy", CUSTOM[0]):
        raise ConfigError(f"calib_mode={calib_mode!r}: set it to 'naive', 'entropy' or 'customize'")
    check_choices(quantized_dtype, "tensor-wise")
    prepared = two_steps.prepare_again(symbol_of(qsym), (arg_params, aux_params))
    model = two_steps.calibrated(prepared, collector, mode, quantized_dtype)
    tell(logger, model)
    return model


def _options(
    sym, graph, data_names, label_names, ctx, excluded_sym_names, excluded_op_names, mode, num_calib_examples,
    quantized_dtype, quantize_mode, quantize_granularity,
) -> Options:  # fmt: skip
    ops = names_list("excluded_op_names", excluded_op_names)
    return Options(
        calib_mode=mode,
        num_calib_examples=num_calib_examples,
        quantized_dtype=quantized_dtype,
        quantize_mode=quantize_mode,
        quantize_granularity=GRANULARITIES[quantize_granularity],
        excluded_sym_names=float_names(sym, names_list("excluded_sym_names", excluded_sym_names)),
        excluded_op_names=float_ops((node.op for node in graph.nodes), ops),
        data_names=None if data_names is None else list(data_names),
        label_names=list(label_names or ()),
        # One step gives what two do, and parameters that scripts can check: plain rounding of the network as it is.
        weight_rounding="nearest",
        equalize=False,
        precision_budget=0.0,
        range_headroom=0.0,
        zero_points=False,  # MXNet has none, and two steps know ranges alone
        regions=False,  # scripts look at the nodes
        keep_labels=True,  # and bind shapes of labels
        sub_batch=None,  # as MXNet: the network may be made for one batch size
        ctx=ctx,
    )


def _collector(mode: str, own, prepared: two_steps.Prepared, quantized_dtype: str, logger):
    if mode == "none":
        return None
    if mode == CUSTOM[0]:
        two_steps.include(own, prepared)
        return own
    names = two_steps.wanted(prepared)
    if mode == "entropy":
        return LayerHistogramCollector(include_layer=names, logger=logger, quantized_dtype=quantized_dtype)
    if mode in ("naive", "minmax"):
        return LayerOutputMinMaxCollector(quantized_dtype, include_layer=names, logger=logger)
    raise ConfigError(f"calib_mode={mode!r} has no collector: use quantize_model, or 'naive', 'entropy', 'customize'")
