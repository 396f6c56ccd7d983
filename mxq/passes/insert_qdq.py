"""Makes quantization explicit: ``value -> mxq_quantize_v2 -> mxq_dequantize -> int8 users``.

The calibrated range stands on both nodes as ``min_calib_range`` / ``max_calib_range`` with full precision. The graph
runs as it is: it is what exporters read and what the lowered graph is compared with.

Whose range a tensor has:

* its own calibrated one, int8 or uint8 as `quantized_dtype` says ('auto': as the table says; where that says nothing,
  uint8 where no value is negative, and for the network's input where that makes the steps smaller);
* that of the concat that is its only user, so that the concat only copies;
* that of its source where a unit merely moves or selects values.

What a float operator computes, or the network gets as float, is read as it is by what stays float.

With 11 bits, what a multiplying unit reads is written in two 8-bit parts (`fine_steps` on both nodes), and pooling,
concat and residual sums read the float value itself: no rounding there.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..arithmetic.qmath import range_to_qparams
from ..calib.table import CalibTable
from ..network.graph import Graph, Use, Value
from ..network.identity import tensor_key
from ..ops import COMPUTE, SELECT, UNARY, UNIT, Unit
from ..ops.affine import affine_of
from ..ops.fuse import ADD, LIMIT, read_chain
from ..ops.unary import BINARY, ELEMENTWISE
from .annotate import quantized_values, units

Key = Tuple[int, int]

#: How much smaller the steps must be. Of pixels scaled to [-1, 1], a zero point would put every one between two levels.
WORTH_A_ZERO_POINT = 0.95


#: Parts of a step that the second half of an 11-bit tensor counts.
FINE_STEPS = {8: 1, 11: 8}


class TensorRange(NamedTuple):
    lo: float
    hi: float
    dtype: str


def insert_qdq(
    graph: Graph,
    table: Optional[CalibTable],
    *,
    quantized_dtype: str = "auto",
    fixed: Dict[str, TensorRange] = None,
    activation_bits: int = 8,
) -> Graph:
    """Returns a copy of the annotated `graph` with a quantize/dequantize pair on every value that a unit reads.

    Args:
        graph: output of `annotate`.
        table: calibrated ranges; None leaves ranges to run time.
        quantized_dtype: 'auto', 'int8' or 'uint8'.
        fixed: tensor key -> range that replaces the calibrated one (raw integer inputs).
        activation_bits: 8 or 11.
    """
    graph = graph.copy()
    bits = 11 if table is not None and table.finer else activation_bits
    finer = {} if table is None else finer_readers(graph, activation_bits, fixed or {}, table.finer)
    ranges = {} if table is None else assign_ranges(graph, table, quantized_dtype, fixed or {})
    for value in quantized_values(graph):
        key = (id(value.node), value.index)
        if key not in finer:
            there = UNIT not in value.node.attrs and tensor_key(value) not in (fixed or {})
            readers = (
                [u for u in graph.uses_of(value) if u.node is not None and UNIT in u.node.attrs] if there else None
            )
            _insert_pair(graph, value, ranges.get(key), quantized_dtype, readers=readers)
        elif finer[key]:
            _insert_pair(graph, value, ranges[key], quantized_dtype, FINE_STEPS[bits], finer[key])
    graph.sort()
    return graph


def assign_ranges(
    graph: Graph, table: CalibTable, quantized_dtype: str, fixed: Dict[str, TensorRange]
) -> Dict[Key, TensorRange]:
    """The range of each quantized value, by ``(id(node), index)``."""
    quantized = quantized_values(graph)
    found = {}
    for value in quantized:
        key = tensor_key(value)
        tensor_range = fixed.get(key) or _limited(_own_range(table, key, quantized_dtype), value, graph)
        if key not in fixed and key not in table.dtypes and quantized_dtype == "auto" and is_input(value):
            tensor_range = _finer(tensor_range)
        found[(id(value.node), value.index)] = tensor_range
    uses = graph.uses()
    all_units = units(graph)
    # The parts of a split keep their source's range: what suits a concat that reads one may not suit the others.
    source_of = {
        (id(u.output.node), u.output.index): u.inputs[0] for u in all_units if u.kind == SELECT and len(u.outputs) == 1
    }
    # From the outputs backwards, so that concats in a row share the last one's range.
    for unit in reversed(all_units):
        target = found.get((id(unit.output.node), unit.output.index))
        if unit.spec.name == "concat" and target is not None:
            for value in unit.inputs:
                _align(value, target, found, uses, source_of)
    for unit in all_units:
        for value in unit.outputs if unit.kind == SELECT else ():
            if (id(value.node), value.index) in found:
                source = unit.inputs[0]
                found[id(value.node), value.index] = found[id(source.node), source.index]
    return found


def _own_range(table: CalibTable, key: str, quantized_dtype: str) -> TensorRange:
    lo, hi = table.range(key)
    dtype = quantized_dtype
    if dtype == "auto":
        dtype = table.dtypes.get(key, "uint8" if lo >= 0 else "int8")
    return TensorRange(lo, hi, dtype)


def _limited(given: TensorRange, value: Value, graph: Graph) -> TensorRange:
    """The range without what a clip in front never gives: limits per channel are chosen for integers that end at the
    least of them."""
    node = value.node
    if node.op == "clip":
        return given._replace(lo=max(given.lo, float(node.get("a_min"))), hi=min(given.hi, float(node.get("a_max"))))
    if node.op == LIMIT and graph.param_of(node.inputs[1]) is not None:
        return given._replace(hi=min(given.hi, float(graph.param_of(node.inputs[1]).min())))
    return given


def is_input(value: Value) -> bool:
    """Whether a value is an input of the network, or one normalized by a function of one number."""
    node = value.node
    return node.is_variable or (
        (node.op in ELEMENTWISE or node.op in BINARY or node.op in ("Cast", "cast"))
        and all(is_input(v) for v in node.inputs)
    )


def _finer(given: TensorRange) -> TensorRange:
    """Pixels minus a mean are lopsided: uint8 with a zero point has smaller steps for them than symmetric int8."""
    affine = given._replace(dtype="uint8")
    return affine if _step(affine) < WORTH_A_ZERO_POINT * _step(given) else given


def _step(given: TensorRange) -> float:
    return range_to_qparams(*given).scale


def _align(value: Value, target: TensorRange, found: Dict, uses: Dict, source_of: Dict) -> None:
    """Gives `value` the range of the concat that reads it, and its sources too where values are only moved."""
    chain: List[Key] = []
    while True:
        key = (id(value.node), value.index)
        if len(uses.get(key, [])) != 1 or key not in found:
            return  # somebody else reads it: it keeps its own range and the concat rescales
        chain.append(key)
        if key not in source_of:
            break
        value = source_of[key]
    if value.node.is_variable:
        return
    for key in chain:
        found[key] = target


def finer_readers(
    graph: Graph, activation_bits: int, fixed: Dict[str, TensorRange], finer: Sequence[str] = ()
) -> Dict[Key, List[Use]]:
    """Values of which every reader can do better than 8 bits -> the multiplying ones among the readers. With 8 bits
    only those in `finer`."""
    if activation_bits == 8 and not finer:
        return {}
    uses, unit_of = graph.uses(), {n.name: unit for unit in units(graph) for n in unit.nodes}
    found = {}
    for value in quantized_values(graph):
        readers = [u for u in uses[id(value.node), value.index] if u.node is not None and u.node.name in unit_of]
        kinds = [_reads_finer(unit_of[u.node.name], value, u, graph) for u in readers]
        key = tensor_key(value)
        if key not in fixed and all(kinds) and (activation_bits > 8 or key in finer):
            found[id(value.node), value.index] = [u for u, kind in zip(readers, kinds) if kind == "parts"]
    return found


def _reads_finer(unit: Unit, value: Value, use: Use, graph: Graph) -> str:
    """How a unit reads a value with more than 8 bits: 'parts', 'float', or '' where it cannot."""
    if unit.kind != COMPUTE:
        reads_float = unit.spec.reads_float or unit.spec.native[0] in ("mxq_pooling", "mxq_concat")
        return "float" if reads_float or (unit.kind == UNARY and affine_of(list(unit.nodes), graph)) else ""
    if value != unit.inputs[0] or use.node.op in ADD:
        return "float"
    head = unit.head
    if int(head.get("num_group", 1)) > 1 and read_chain(unit.nodes, head, graph).attrs.get("sum") == "after_act":
        return ""  # the parts are two convolutions, of which the second adds the first's result before the activation
    return "parts"


def _insert_pair(
    graph: Graph,
    value: Value,
    tensor_range: Optional[TensorRange],
    quantized_dtype: str,
    fine_steps: int = 1,
    readers: List[Use] = None,
) -> None:
    """Puts the pair between a value and `readers`; by default all that there are."""
    users = graph.uses_of(value) if readers is None else readers
    name = tensor_key(value).replace(":", "_")
    if tensor_range is None:
        dtype = "uint8" if quantized_dtype != "int8" and _ends_in_relu(value) else "int8"
        quantize = graph.add("mxq_quantize_v2", f"{name}_quantize", [value], {"out_type": dtype})
        inputs = [quantize.out(0), quantize.out(1), quantize.out(2)]
        dequantize = graph.add("mxq_dequantize", f"{name}_dequantize", inputs, {"ranges": "tensor"})
    else:
        attrs = {"min_calib_range": tensor_range.lo, "max_calib_range": tensor_range.hi}
        if fine_steps > 1:
            attrs["fine_steps"] = fine_steps
        quantize = graph.add("mxq_quantize_v2", f"{name}_quantize", [value], {"out_type": tensor_range.dtype, **attrs})
        dequantize = graph.add("mxq_dequantize", f"{name}_dequantize", [quantize.out()], attrs)
    shape = graph.shapes.get((value.node.name, value.index))
    if shape is not None:
        graph.shapes[(quantize.name, 0)] = graph.shapes[(dequantize.name, 0)] = shape
    graph.replace(value, dequantize.out(), only=[u for u in users if u.node is not quantize])


def _ends_in_relu(value: Value) -> bool:
    """Whether a run-time range surely starts at zero, so that uint8 needs no zero point."""
    node = value.node
    return node.op == "relu" or (node.op == "Activation" and node.get("act_type") in ("relu", "sigmoid"))
