"""Between mxq and ncnn's calibration tables: the table of a quantized network, the ranges that a table means."""

from typing import Dict, Iterable, List, Mapping, Tuple

import numpy as np

from ...arithmetic.qmath import LEVELS
from ...calib.ncnn_table import NcnnTable
from ...errors import CalibrationError, nearest
from ...network.graph import Graph, Node, Value
from ...network.identity import tensor_key
from ...ops import COMPUTE, SELECT, UNIT, Unit
from ...passes.annotate import leave_float, quantized_values, units
from ...passes.quantize_params import in_qparams


def table_of(qdq: Graph, *, group: bool = True) -> NcnnTable:
    """The table of a network with explicit quantization (``QuantizedModel.qdq``).

    Args:
        group: a scale for each output, or group where the layer is grouped; else one for all weights of a layer.

    Raises CalibrationError for a layer whose input has a range that is found at run time.
    """
    weights, inputs = {}, {}
    for unit in units(qdq):
        if unit.kind != COMPUTE:
            continue
        name, pair = unit.head.name, unit.inputs[0].node
        given = in_qparams(pair)
        if given is None:
            raise CalibrationError(f"layer {name!r} finds its range at run time: calibrate the network")
        largest = max(abs(float(pair.attrs[end])) for end in ("min_calib_range", "max_calib_range"))
        inputs[name] = LEVELS["int8"] / largest if largest else 1.0
        weights[name] = _weight_scales(qdq, unit.head, group)
    return NcnnTable(weights, inputs)


def ranges_of(table: NcnnTable, annotated: Graph) -> Dict[str, Tuple[float, float]]:
    """Tensor key -> range, for what the layers of a network read.

    Layers are found by their names, or by these with ``_`` in place of ``/``. A tensor without negative values
    begins at 0. Of two scales for one tensor the wider range counts.

    Args:
        annotated: what `mxq.passes.annotate` returns.

    Raises CalibrationError for a layer of the table that the network has not.
    """
    heads: Dict[str, Unit] = {unit.head.name: unit for unit in units(annotated) if unit.kind == COMPUTE}
    nodes = {node.name for node in annotated.nodes}
    found: Dict[str, Tuple[float, float]] = {}
    for name, scale in table.inputs.items():
        known = name if name in nodes else name.replace("/", "_")
        if known not in nodes:
            raise CalibrationError(
                f"the table has a layer {name!r} that the network has not{nearest(name, heads)}; was the table made "
                "for this network?"
            )
        if known not in heads:
            continue  # it stays float
        value = heads[known].inputs[0]
        hi = max(LEVELS["int8"] / scale, found.get(tensor_key(value), (0.0, 0.0))[1])
        found[tensor_key(value)] = (0.0 if _is_positive(value, {}) else -hi, hi)
    return {**_spread(annotated, found), **found}


def with_ranges_only(annotated: Graph, ranges: Mapping, integers: Iterable[str], mode: str) -> Graph:
    """A copy of an annotated network in which every tensor that becomes an integer has a range; others stay float.

    A layer whose residual sum reads what has no range is int8 up to that sum.
    """
    known = {*ranges, *integers}
    annotated = annotated.copy()
    while True:
        missing = {tensor_key(value) for value in quantized_values(annotated)} - known
        left: Dict[str, str] = {}
        for unit in units(annotated):
            for i, node in enumerate(unit.nodes):
                lacking = [tensor_key(value) for value in node.inputs if tensor_key(value) in missing]
                if not lacking:
                    continue
                reason = f"the ncnn table has no scale of {lacking[0]!r}, and there is no calibration data"
                if unit.head in unit.nodes[:i]:
                    for follower in unit.nodes[i:]:
                        del follower.attrs[UNIT]
                        annotated.notes[follower.name] = reason
                else:
                    left[unit.name] = reason
                break
        if not missing:
            return annotated
        annotated = leave_float(annotated, left, mode=mode, integer_inputs=integers)


def _weight_scales(qdq: Graph, head: Node, group: bool) -> List[float]:
    q, scale = (qdq.param_of(value) for value in head.inputs[1].node.inputs)
    alive = np.abs(q.astype(np.int32)).reshape(len(q), -1).max(axis=1) > 0
    scales = np.where(alive, 1.0 / scale.astype(np.float64), 0.0)
    groups = 1 if not group else int(head.get("num_group", 1))
    if group and groups == 1:
        return scales.tolist()
    lasting = np.where(alive, scales, np.inf).reshape(groups, -1).min(axis=1)
    return np.where(np.isfinite(lasting), lasting, 0.0).tolist()


_KEEP_SIGNS = frozenset(
    "Pooling Concat concat Flatten flatten Reshape reshape Dropout transpose elemwise_add _plus broadcast_add Crop "
    "slice_axis UpSampling".split()
)
_POSITIVE = frozenset("sigmoid softmax exp square abs SoftmaxOutput SoftmaxActivation".split())


def _is_positive(value: Value, seen: Dict[str, bool]) -> bool:
    """Whether a value surely has no negative elements."""
    node = value.node
    if node.name not in seen:
        seen[node.name] = False  # for a value of unknown sign that is asked for again
        seen[node.name] = (
            node.op in _POSITIVE
            or node.op == "relu"
            or (node.op == "Activation" and node.get("act_type") in ("relu", "sigmoid"))
            or (node.op == "clip" and float(node.get("a_min")) >= 0)
            or (node.op in _KEEP_SIGNS and all(_is_positive(v, seen) for v in node.inputs))
        )
    return seen[node.name]


def _spread(annotated: Graph, found: Mapping[str, Tuple[float, float]]) -> Dict[str, Tuple[float, float]]:
    """Ranges of what a concat or a selection reads: it has no more levels behind it than these."""
    spread: Dict[str, Tuple[float, float]] = {}
    for unit in reversed(units(annotated)):
        key = tensor_key(unit.output)
        given = found.get(key) or spread.get(key)
        if given is not None and (unit.kind == SELECT or unit.spec.name == "concat"):
            for value in unit.inputs:
                spread.setdefault(tensor_key(value), given)
    return spread
