"""Weights to int8 (one scale per output channel) and biases to int32, offline.

In the graph they are read through ``mxq_dequantize``, so it still runs in float: the int8 array, its scales and the
int32 bias become the parameters ``<weight>_quantize``, ``<weight>_scale`` and ``<bias>_quantize``.

A channel whose weights are tiny beside its bias would need an int32 bias beyond its range; its weight scale is raised
until the bias fits.
"""

from typing import Dict, Mapping, Tuple, Union

import numpy as np

from ..graph import Graph, Node, Value
from ..ops import COMPUTE
from ..qmath import INT32_MAX, QParams, quantize_bias, quantize_weight, range_to_qparams
from .annotate import units


def quantize_params(graph: Graph, *, granularity: Union[str, Mapping[str, str]] = "channel-wise") -> Graph:
    """Returns a copy of the graph (after `insert_qdq`) whose units read quantized parameters.

    Args:
        granularity: 'channel-wise', or 'tensor-wise' for one scale per weight tensor; or a dict from operator to one
            of these, 'channel-wise' for the operators that it lacks.
    """
    graph = graph.copy()
    done: Dict[Tuple, Tuple[Value, np.ndarray]] = {}
    for unit in units(graph):
        if unit.kind == COMPUTE:
            chosen = granularity if isinstance(granularity, str) else granularity.get(unit.head.op, "channel-wise")
            _quantize_unit(graph, unit.head, in_qparams(unit.inputs[0].node), chosen, done)
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


def _quantize_unit(graph: Graph, head: Node, qparams: QParams, granularity: str, done: Dict) -> None:
    weight_name = head.inputs[1].node.name
    weight = np.asarray(graph.params[weight_name], np.float32)
    absmax = np.abs(weight).reshape(weight.shape[0], -1).max(axis=1)
    if granularity == "tensor-wise":
        absmax = np.full_like(absmax, absmax.max())
    bias_value = head.inputs[2] if len(head.inputs) > 2 else None
    if bias_value is not None and qparams is not None:
        bias = np.abs(np.asarray(graph.params[bias_value.node.name], np.float64))
        # Half of int32 is left to the sum of products.
        smallest = bias / (INT32_MAX // 2) / qparams.scale
        absmax = np.maximum(absmax, (smallest * 127).astype(np.float32))
    key = (weight_name, absmax.tobytes())
    if key not in done:
        quantized, scale = quantize_weight(weight, absmax)
        weight_q = graph.add_param(f"{weight_name}_quantize", quantized)
        weight_scale = graph.add_param(f"{weight_name}_scale", scale)
        node = graph.add(
            "mxq_dequantize", f"{weight_name}_dequantize", [weight_q, weight_scale], {"ranges": "channel", "axis": 0}
        )
        done[key] = node.out(), scale
    head.inputs[1], scale = done[key]
    if bias_value is None or qparams is None:
        return
    bias_name = bias_value.node.name
    bias_q = graph.add_param(
        f"{bias_name}_quantize", quantize_bias(graph.params[bias_name], qparams.scale, scale)
    )
    bias_scale = graph.add_param(f"{bias_name}_scale", (np.float64(qparams.scale) * scale).astype(np.float32))
    node = graph.add(
        "mxq_dequantize", f"{bias_name}_dequantize", [bias_q, bias_scale], {"ranges": "channel", "axis": 0}
    )
    head.inputs[2] = node.out()
