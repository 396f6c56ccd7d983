"""Weights to int8 (one scale per output channel) and biases to int32, offline.

In the graph they are read through ``mxq_dequantize``, so it still runs in float: the int8 array, its scales and the
int32 bias become the parameters ``<weight>_quantize``, ``<weight>_scale`` and ``<bias>_quantize``.

Rounding the weights shifts the mean of a layer's output by ``sum_k (w'[k] - w[k]) E[x_k]``, which calibration knows:
the bias takes it back (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
here with measured means). A tap that often lies on padding counts for the share of positions where it does not.

A channel whose weights are tiny beside its bias would need an int32 bias beyond its range; its weight scale is raised
until the bias fits.
"""

import functools
from typing import Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..arithmetic.qmath import INT32_MAX, QParams, quantize_bias, quantize_weight, range_to_qparams, weight_levels
from ..arithmetic.rounding import round_weight
from ..errors import CalibrationError
from ..network.graph import Graph, Node, Value
from ..network.identity import tensor_key
from ..ops import COMPUTE, Unit
from ..ops.weighted import geometry_of
from .annotate import units

#: Of int8 weights, unless fewer are asked for.
WEIGHT_BITS = 8


def quantize_params(
    graph: Graph,
    *,
    granularity: Union[str, Mapping[str, str]] = "channel-wise",
    channel_means: Optional[Mapping[str, Sequence[float]]] = None,
    moments: Mapping[str, np.ndarray] = None,
    rounded: Dict = None,
    weight_bits: Union[int, Mapping[str, int]] = WEIGHT_BITS,
) -> Graph:
    """Returns a copy of the graph (after `insert_qdq`) whose units read quantized parameters.

    Args:
        granularity: 'channel-wise', or 'tensor-wise' for one scale per weight tensor; or a dict from operator to one
            of these, 'channel-wise' for the operators that it lacks.
        channel_means: tensor key -> mean per channel, for bias correction; layers without keep their biases.
        moments: layer -> second moments of its inputs (see mxq.calib.second_moments), for weights rounded so that
            errors cancel; layers without are rounded to nearest.
        rounded: remembers those weights from one call to the next, for the same network in other selections of int8.
        weight_bits: of all layers, or by layer, for those named.
    """
    graph = graph.copy()
    rounded = {} if rounded is None else rounded
    done: Dict[Tuple, Tuple[Value, np.ndarray, np.ndarray]] = {}
    for unit in units(graph):
        if unit.kind == COMPUTE:
            chosen = granularity if isinstance(granularity, str) else granularity.get(unit.head.op, "channel-wise")
            source = unit.inputs[0].node  # dequantize <- quantize <- the calibrated value
            mean = (channel_means or {}).get(tensor_key(source.inputs[0].node.inputs[0]))
            shift = None
            if mean is not None and _has_channels(graph, unit):
                shift = functools.partial(_mean_shift, graph, unit, np.asarray(mean, np.float64))
            bits = weight_bits if isinstance(weight_bits, int) else weight_bits.get(unit.head.name, WEIGHT_BITS)
            _quantize_unit(graph, unit.head, in_qparams(source), chosen, bits, shift, moments or {}, done, rounded)
    graph.sort()
    graph.prune()
    return graph


def in_qparams(dequantize: Node):
    """QParams on a quantize or dequantize node; None where the range is found at run time."""
    if "min_calib_range" not in dequantize.attrs:
        return None
    lo, hi = float(dequantize.attrs["min_calib_range"]), float(dequantize.attrs["max_calib_range"])
    source = dequantize if "out_type" in dequantize.attrs else dequantize.inputs[0].node
    return range_to_qparams(lo, hi, source.attrs["out_type"])


def _quantize_unit(
    graph: Graph,
    head: Node,
    qparams: QParams,
    granularity: str,
    bits: int,
    mean_shift: Optional[Callable],
    moments: Mapping[str, np.ndarray],
    done: Dict,
    rounded: Dict,
) -> None:
    weight_name = head.inputs[1].node.name
    weight = np.asarray(graph.params[weight_name], np.float32)
    bias = _bias(graph, head)
    absmax = np.abs(weight).reshape(weight.shape[0], -1).max(axis=1)
    if granularity == "tensor-wise":
        absmax = np.full_like(absmax, absmax.max())
    if bias is not None and qparams is not None:
        # Half of int32 is left to the sum of products.
        smallest = np.abs(bias) / (INT32_MAX // 2) / qparams.scale
        absmax = np.maximum(absmax, (smallest * weight_levels(bits)).astype(np.float32))
    key = (weight_name, absmax.tobytes(), bits)
    if key not in done:
        quantized, scale = quantize_weight(weight, absmax, bits)
        if head.name in moments:
            if (head.name, *key) not in rounded:
                rounded[(head.name, *key)] = round_weight(weight, scale, moments[head.name], bits)
            quantized = rounded[(head.name, *key)]
        weight_q = graph.add_param(f"{weight_name}_quantize", quantized)
        weight_scale = graph.add_param(f"{weight_name}_scale", scale)
        node = graph.add(
            "mxq_dequantize", f"{weight_name}_dequantize", [weight_q, weight_scale], {"ranges": "channel", "axis": 0}
        )
        done[key] = node.out(), quantized, scale
    head.inputs[1], quantized, scale = done[key]
    if qparams is None:
        return
    if mean_shift is not None:
        column = scale.reshape((-1,) + (1,) * (weight.ndim - 1)).astype(np.float64)
        bias = (0.0 if bias is None else bias) - mean_shift(quantized * column - weight)
    if bias is not None:
        _write_bias(graph, head, bias, qparams.scale, scale)


def _bias(graph: Graph, head: Node) -> Optional[np.ndarray]:
    return np.asarray(graph.params[head.inputs[2].node.name], np.float64) if len(head.inputs) > 2 else None


def _write_bias(graph: Graph, head: Node, bias: np.ndarray, in_scale: float, weight_scale: np.ndarray) -> None:
    name = head.inputs[2].node.name if len(head.inputs) > 2 else f"{head.name}_bias"
    bias_q = graph.add_param(f"{name}_quantize", quantize_bias(bias, in_scale, weight_scale))
    bias_scale = graph.add_param(f"{name}_scale", (np.float64(in_scale) * weight_scale).astype(np.float32))
    node = graph.add("mxq_dequantize", f"{name}_dequantize", [bias_q, bias_scale], {"ranges": "channel", "axis": 0})
    head.inputs[2:] = [node.out()]
    head.attrs["no_bias"] = "False"


def _has_channels(graph: Graph, unit: Unit) -> bool:
    """Whether axis 1 of the input is what the weight sums over: not for rows (flatten=False) of more than one axis."""
    shape = graph.shapes.get((unit.inputs[0].node.name, unit.inputs[0].index))
    return bool(unit.head.get("flatten", True)) or (shape is not None and len(shape) == 2)


def _mean_shift(graph: Graph, unit: Unit, mean: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Mean of ``error * x`` per output channel, for inputs of the given mean per channel."""
    head = unit.head
    groups = int(head.get("num_group", 1))
    inputs = error.shape[1] * groups
    if inputs % mean.size or (head.op != "FullyConnected" and inputs != mean.size):
        raise CalibrationError(
            f"the calibration table has {mean.size} channel means for the input of {head.name!r}, whose weight is for "
            f"{inputs} inputs; calibrate again"
        )
    if head.op == "FullyConnected":
        # Flattened channels-first: each channel's mean stands for its positions.
        return error @ np.repeat(mean, inputs // mean.size)
    per_tap = error * _inside(graph, unit, error.shape[2:])
    per_group = mean.reshape(groups, -1)  # (G, I/G)
    sums = per_tap.reshape(groups, error.shape[0] // groups, error.shape[1], -1).sum(axis=3)
    return np.einsum("goi,gi->go", sums, per_group).reshape(-1)


def _inside(graph: Graph, unit: Unit, kernel: Tuple[int, ...]) -> np.ndarray:
    """Share of output positions at which each tap of the kernel lies on the image and not on its padding."""
    shape = graph.shapes.get((unit.inputs[0].node.name, unit.inputs[0].index))
    if shape is None:
        return np.ones(kernel)
    share = np.ones(())
    geometry = geometry_of(unit)
    for size, k, stride, dilate, begin, end in zip(shape[2:], kernel, *geometry):
        outputs = (size + begin + end - dilate * (k - 1) - 1) // stride + 1
        position = np.arange(outputs)[:, None] * stride + np.arange(k)[None, :] * dilate - begin
        share = np.multiply.outer(share, ((position >= 0) & (position < size)).mean(axis=0))
    return share
