"""The same calibration for a runtime that has other integers: no statistics are collected again."""

from typing import Dict

from ..calib import choose
from ..calib.choose import AUTO, MODES
from ..calib.second_moments import SecondMoments
from ..calibrate import sampled_layers
from ..errors import ConfigError
from ..flow import INPUT_RANGES
from ..network.graph import Graph, input_dtypes
from ..network.identity import tensor_key
from ..ops.spec import UNIT
from ..passes import run
from ..passes.annotate import quantized_values
from ..passes.insert_qdq import insert_qdq
from ..passes.quantize_params import in_qparams, quantize_params

_MODE = "mse"  # where the model's table has another tool's ranges


def fits(qdq: Graph, *, int8_only: bool) -> bool:
    """Whether every tensor has 8 bits, and with `int8_only` no unsigned integers."""
    for node in qdq.nodes:
        if node.op not in ("mxq_quantize_v2", "mxq_dequantize") or node.get("ranges") == "channel":
            continue
        given = in_qparams(node)
        if int(node.get("fine_steps", 1)) > 1 or given is None or (int8_only and given.dtype != "int8"):
            return False
    return True


def requantized(model, *, int8_only: bool, keep_finer: bool = False) -> Graph:
    """The network of a QuantizedModel, with explicit quantization in 8 bits; the same layers are int8.

    Args:
        model: has `qdq`, `floats`, `table` and `statistics`.
        int8_only: no unsigned integers and no zero points.
        keep_finer: what the precision budget gave 11 bits keeps them.

    Raises ConfigError where the model has no statistics.
    """
    if fits(model.qdq, int8_only=int8_only):
        return model.qdq
    if model.floats is None or model.statistics is None:
        raise ConfigError(
            "the network has integers that this runtime has not, and there are no statistics to choose others by: "
            "quantize with calib_data, or with quantized_dtype='int8' and precision_budget=0"
        )
    marks = {node.name: node.attrs[UNIT] for node in model.qdq.nodes if UNIT in node.attrs}
    annotated = model.floats.copy()
    for node in annotated.nodes:
        if node.name in marks:
            node.attrs[UNIT] = marks[node.name]
    kind = "int8" if int8_only else "auto"
    keys = [tensor_key(value) for value in quantized_values(annotated)]
    mode = model.table.mode if model.table is not None and model.table.mode in (*MODES, AUTO) else _MODE
    table = choose(model.statistics, mode, keys=keys, dtype=kind, zero_points=not int8_only)
    if keep_finer and model.table is not None:
        table = table.extended(finer=model.table.finer)
    moments = SecondMoments(sampled_layers(annotated), model.statistics.samples, model.statistics.scales)
    fixed: Dict = {n: INPUT_RANGES[dtype] for n, dtype in input_dtypes(annotated).items() if dtype in INPUT_RANGES}

    def inserted(graph: Graph) -> Graph:
        return insert_qdq(graph, table, quantized_dtype=kind, fixed=fixed)

    def rounded(graph: Graph) -> Graph:
        return quantize_params(graph, channel_means=table.channel_means, moments=moments)

    return run(annotated, [inserted, rounded], stage="qdq")
