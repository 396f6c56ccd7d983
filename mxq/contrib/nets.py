"""Gluon networks: quantize_net_v2 and quantize_net."""

import mxnet as mx

from ..data.batches import batches
from ..errors import ConfigError
from ..flow import quantize_graph as quantize
from ..gluon import QuantizedBlock, make_options
from ..model import QuantizedModel
from ..network.trace import Traced, trace
from ..options import Options
from . import two_steps
from .arguments import (
    CUSTOM,
    GRANULARITIES,
    check_choices,
    check_collector,
    context_of,
    first_batches,
    float_ops,
    mode_of,
    names_list,
    tell,
)
from .monitor import watch

CPU = mx.cpu()


def quantize_net_v2(network, quantized_dtype="auto", quantize_mode="full", quantize_granularity="tensor-wise",
                    exclude_layers=None, exclude_layers_match=None, exclude_operators=None,
                    calib_data=None, data_shapes=None, calib_mode="none",
                    num_calib_examples=None, ctx=CPU, LayerOutputCollector=None, logger=None,
                    *, device=None, num_calib_batches=None) -> QuantizedBlock:  # fmt: skip
    """Turns a float Gluon network into an int8 SymbolBlock.

    >>> net = quantize_net_v2(resnet, calib_data=loader, calib_mode="naive", num_calib_examples=64)  # doctest: +SKIP

    The network stays as it is. See mxq.quantize_net for networks and data, quantize_model for the other arguments, and:

    Args:
        exclude_layers, exclude_layers_match, exclude_operators: lists of node names, parts of them, operators.
        data_shapes: a list of DataDesc or of shapes, where there is no data to tell.
        LayerOutputCollector: see quantize_graph; for calib_mode='customize'.
    """
    ctx = context_of(ctx, device)
    mode = mode_of(calib_mode, custom=True)
    check_collector(mode, LayerOutputCollector)
    check_choices(quantized_dtype, quantize_granularity)
    if mode != "none" and calib_data is None:
        raise ConfigError(f"calib_data must be provided when calib_mode={calib_mode!r}")
    if calib_data is None and data_shapes is None:
        raise ConfigError("data_shapes required: give it, or calib_data")
    traced, data = trace(network, first_batches(calib_data, num_calib_batches), data_shapes)
    options = make_options(
        traced,
        {
            "quantized_dtype": quantized_dtype,
            "quantize_mode": quantize_mode,
            "quantize_granularity": GRANULARITIES[quantize_granularity],
            "calib_mode": mode,
            "num_calib_examples": num_calib_examples,
            "sub_batch": None,
            "ctx": ctx,
        },
        names_list("exclude_layers", exclude_layers),
        names_list("exclude_layers_match", exclude_layers_match),
        float_ops((n.op for n in traced.graph.nodes), names_list("exclude_operators", exclude_operators)),
    )
    if mode == CUSTOM[0]:
        model = _quantize_with(LayerOutputCollector, traced, data, options)
    else:
        model = quantize(traced.graph, data, options)
    tell(logger, model)
    return QuantizedBlock.of(model, traced.names, ctx)


def quantize_net(network, quantized_dtype="auto", quantize_mode="full",
                 exclude_layers=None, exclude_layers_match=None, exclude_operators=None,
                 calib_data=None, data_shapes=None, calib_mode="none",
                 num_calib_examples=None, ctx=CPU, logger=None,
                 *, device=None, num_calib_batches=None, quantize_granularity="tensor-wise",
                 LayerOutputCollector=None) -> QuantizedBlock:  # fmt: skip
    """As quantize_net_v2, in whose place MXNet 2.0 has put it."""
    return quantize_net_v2(
        network, quantized_dtype, quantize_mode, quantize_granularity, exclude_layers, exclude_layers_match,
        exclude_operators, calib_data, data_shapes, calib_mode, num_calib_examples, ctx, LayerOutputCollector, logger,
        device=device, num_calib_batches=num_calib_batches,
    )  # fmt: skip


def _quantize_with(collector, traced: Traced, data, options: Options) -> QuantizedModel:
    """quantize_net with the ranges of the caller's own collector."""
    floats, arg_params, aux_params = traced.graph.to_symbol()
    prepared = two_steps.prepare(floats, (arg_params, aux_params), options)
    two_steps.include(collector, prepared)
    examples = batches(data, traced.names, num_examples=options.num_calib_examples, data_shapes=options.data_shapes)
    count = watch(floats, {**arg_params, **aux_params}, examples, collector, options.ctx)
    return two_steps.calibrated(prepared, collector, CUSTOM[0], options.quantized_dtype, count)
