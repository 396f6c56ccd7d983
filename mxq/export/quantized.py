"""A quantized network to an ONNX file: pairs where the target wants them, with the ranges that this takes."""

from typing import Dict, Mapping, Optional, Sequence, Tuple

from ..calib import choose, collect
from ..calib.choose import AUTO, MODES
from ..calib.statistics import Statistics
from ..calib.table import CalibTable
from ..data.batches import batches
from ..errors import ConfigError
from ..network.graph import Graph
from ..network.params import default_data_names
from ..passes.insert_qdq import TensorRange
from .pairs import missing_ranges, place_pairs
from .parts import in_parts
from .targets import Target, find_target
from .write import write_onnx

#: How ranges are chosen where the model's table does not say.
_MODE = "mse"


def export_quantized(model, path: str, target: str, data_shapes, calib_data, opset: int) -> None:
    """Writes the ONNX file of a quantized network; see QuantizedModel.export_onnx.

    Args:
        model: has `qdq`, `floats`, `table` and `statistics`, as QuantizedModel.
    """
    graph = for_target(
        model.qdq,
        target,
        floats=model.floats,
        table=model.table,
        statistics=model.statistics,
        calib_data=calib_data,
    )
    write_onnx(graph, path, default_shapes(model.qdq, data_shapes), target=target, opset=opset)


def default_shapes(graph: Graph, data_shapes: Optional[Mapping]) -> Dict[str, Tuple[int, ...]]:
    """The given shapes, or those of calibration with one example. Raises ConfigError where neither is known."""
    if data_shapes is not None:
        return {name: tuple(shape) for name, shape in data_shapes.items()}
    found = {name: graph.shapes.get((name, 0)) for name in default_data_names(graph)}
    unknown = [name for name, shape in found.items() if shape is None]
    if unknown:
        raise ConfigError(f"the shape of input {unknown[0]!r} is not known: give data_shapes={{{unknown[0]!r}: (...)}}")
    return {name: (1, *shape[1:]) for name, shape in found.items() if shape is not None}


def for_target(
    qdq: Graph,
    target: str,
    *,
    floats: Optional[Graph] = None,
    table: Optional[CalibTable] = None,
    statistics: Optional[Statistics] = None,
    calib_data=None,
) -> Graph:
    """The network with explicit quantization as a target wants it.

    Args:
        qdq, floats, table, statistics: of a QuantizedModel.
        calib_data: for ranges that the statistics lack.

    Raises:
        ConfigError: an unknown target, or one that needs ranges of more tensors, and there is no calibration data.
    """
    row = find_target(target)
    if row.parts:
        qdq = in_parts(qdq)
    missing = missing_ranges(qdq, row)
    return place_pairs(qdq, row, _ranges(missing, row, floats, table, statistics, calib_data) if missing else {})


def _ranges(
    missing: Sequence[str],
    target: Target,
    floats: Optional[Graph],
    table: Optional[CalibTable],
    statistics: Optional[Statistics],
    calib_data,
) -> Dict[str, TensorRange]:
    if calib_data is not None:
        if floats is None:
            raise ConfigError("model.floats is None: the float network is needed to find ranges; quantize again")
        by_name = {node.name: node for node in floats.nodes}
        keys = {key: by_name[key].out() for key in missing}
        statistics = collect(floats, keys, batches(calib_data, default_data_names(floats)))
    elif statistics is None or any(key not in statistics for key in missing):
        raise ConfigError(
            f"target {target.name!r} rounds {len(missing)} values that mxq does not ({', '.join(list(missing)[:3])}"
            f"{', ...' if len(missing) > 3 else ''}) and needs their ranges: give calib_data, as for quantize_model"
        )
    mode = table.mode if table is not None and table.mode in (*MODES, AUTO) else _MODE
    kind = "uint8" if target.unsigned else "int8"
    found: Mapping = choose(statistics, mode, keys=missing, dtype=kind).ranges
    return {key: TensorRange(*found[key], kind) for key in missing}
