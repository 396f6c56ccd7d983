"""quantize_graph and calib_graph as two calls: the plan travels between them inside the symbol.

MXNet writes thresholds into the quantized symbol afterwards. mxq cannot: which scale an int8 operator has decides its
weights' and bias' integers. So the symbol that quantize_graph returns finds ranges at run time and carries, as an
attribute of its first variable, the float symbol and the options; calib_graph starts from those. The attribute survives
saving and loading.
"""

import itertools
import json
import logging
from typing import Dict, List, Mapping, NamedTuple, Tuple

from ..calib.table import CalibTable
from ..errors import CalibrationError, ConfigError, GraphError
from ..flow import Plan, convert, make_plan
from ..model import QuantizedModel
from ..network.fused import fuse, inner_names, unfuse
from ..network.graph import Graph, Value
from ..network.identity import graph_hash, tensor_key
from ..network.params import split_params, without_data
from ..network.symbol_json import symbol_of
from ..ops import COMPUTE
from ..options import Options
from ..passes.annotate import leave_float, read_values, units
from ..passes.drop_noops import NOOPS
from ..passes.folded import folded_names
from .collectors import CalibrationCollector
from .entropy import entropy_range
from .monitor import need

_log = logging.getLogger(__name__)

#: Attribute of a variable that holds the plan.
PLAN = "__mxq_plan__"
_STORED = (
    "calib_mode", "quantized_dtype", "quantize_mode", "quantize_granularity", "excluded_sym_names",
    "excluded_op_names", "data_names", "label_names", "data_shapes",
)  # fmt: skip


class Prepared(NamedTuple):
    """A network that waits for ranges.

    Attributes:
        names: key of a tensor -> the names under which a monitor may report it.
        hidden: name of a value that MXNet's fusion takes inside a node -> that node.
    """

    graph: Graph
    plan: Plan
    options: Options
    names: Dict[str, List[str]]
    hidden: Dict[str, str]


def prepare(sym, params: Tuple[dict, dict], options: Options) -> Prepared:
    """Decides what becomes int8; `sym` may be a symbol that MXNet has fused."""
    floats = unfuse(sym)
    graph = Graph.from_symbol(floats, *split_params(params, floats))
    graph = without_data(graph, options.data_names, options.label_names or ())
    plan = make_plan(graph, None, options)
    return Prepared(graph, plan, options, tensor_names(sym, floats, graph, plan), _hidden(sym, floats))


def uncalibrated(prepared: Prepared) -> QuantizedModel:
    """The int8 network with ranges found at run time."""
    options = prepared.options._replace(calib_mode="none")
    return convert(prepared.graph, make_plan(prepared.graph, None, options), None, options)


def calibrated(prepared: Prepared, collector, mode: str, quantized_dtype: str, examples: int = 0) -> QuantizedModel:
    """The int8 network with the ranges that a filled collector has, under the names a monitor reported.

    The table's number of examples is 0 where nobody counted them.
    """
    ranges = _ranges(collector, mode, quantized_dtype)
    plan = _without_hidden(prepared, ranges)
    names_of = {key: prepared.names[key] for key in map(tensor_key, read_values(plan.annotated))}
    need(names_of, ranges)
    means = getattr(collector, "channel_means", {})
    by_key, mean_by_key = {}, {}
    for key, names in names_of.items():
        found = [[_number(name, end) for end in ranges[name]] for name in names if name in ranges]
        by_key[key] = min(lo for lo, _ in found), max(hi for _, hi in found)
        mean_by_key.update((key, means[name]) for name in names[::-1] if name in means)
    table = CalibTable(by_key, mode, graph_hash(plan.floats), examples, channel_means=mean_by_key)
    return convert(prepared.graph, plan, table, prepared.options)


def _without_hidden(prepared: Prepared, ranges: Mapping) -> Plan:
    """The plan without the units whose input MXNet's executor computed inside a fused node, where no monitor sees it.

    What looks up or combines such a value stays float, which costs time and no accuracy.
    """
    plan = prepared.plan
    left: Dict[str, str] = {}
    for unit in units(plan.annotated):
        for key in map(tensor_key, unit.inputs if unit.kind != COMPUTE else ()):
            names = prepared.names[key]
            fused = next((prepared.hidden[name] for name in names if name in prepared.hidden), None)
            if fused and not any(name in ranges for name in names):
                left[unit.name] = (
                    f"MXNet's executor computes its input {key!r} inside {fused!r}, so that no range is known"
                )
    if not left:
        return plan
    _log.warning(
        "operators stay float (%d: %s): MXNet's fusion hid what they read from the collector; bind the float "
        "symbol with os.environ['MXNET_SUBGRAPH_BACKEND'] = 'NONE', or call quantize_model, and they become int8",
        len(left),
        ", ".join(list(left)[:3]) + (", ..." if len(left) > 3 else ""),
    )
    annotated = leave_float(plan.annotated, left, mode=prepared.options.quantize_mode, integer_inputs=plan.integers)
    return plan._replace(annotated=annotated)


def _number(name: str, end) -> float:
    try:
        return float(end.asscalar() if hasattr(end, "asscalar") else end)
    except (TypeError, ValueError):
        raise CalibrationError(f"the collector's range of {name!r} has {end!r}: give numbers (min, max)") from None


def _ranges(collector, mode: str, quantized_dtype: str) -> Dict[str, Tuple[float, float]]:
    """What a filled collector says; ConfigError if it is not of the kind that `mode` needs."""
    wanted = {"entropy": "hist_dict", "naive": "min_max_dict"}.get(mode)
    if wanted and not hasattr(collector, wanted):
        raise ConfigError(
            f"calib_mode={mode!r} needs a collector with {wanted}; got a {type(collector).__name__}: use the one that "
            "quantize_graph returned for this calib_mode, or calib_mode='customize'"
        )
    if mode == "entropy":
        return {name: entropy_range(hist, quantized_dtype) for name, hist in collector.hist_dict.items()}
    if mode == "naive":
        return dict(collector.min_max_dict)
    post_collect = getattr(collector, "post_collect", None)
    return dict(post_collect() if post_collect else collector.min_max_dict)


def wanted(prepared: Prepared) -> List[str]:
    """Names of the tensors that need a range, all spellings."""
    return list(dict.fromkeys(itertools.chain.from_iterable(prepared.names.values())))


def include(collector, prepared: Prepared) -> None:
    """Tells a caller's own collector which tensors are needed, unless it knows."""
    if isinstance(collector, CalibrationCollector) and collector.include_layers is None:
        collector.include_layers = wanted(prepared)


# -- the plan inside a symbol ------------------------------------------------------------------------------------------


def attach(model: QuantizedModel, sym, options: Options) -> QuantizedModel:
    """The model with the plan in its symbol."""
    raw = json.loads(model.symbol.tojson())
    chosen = {name: getattr(options, name) for name in _STORED}
    first = next(node for node in raw["nodes"] if node["op"] == "null")
    first.setdefault("attrs", {})[PLAN] = json.dumps({"version": 1, "symbol": sym.tojson(), "options": chosen})
    marked = QuantizedModel(symbol_of(raw), model.arg_params, model.aux_params)
    vars(marked).update(vars(model))
    return marked


def attached(qsym) -> Tuple[object, Options]:
    """The float symbol and the options that quantize_graph was given."""
    import mxnet as mx

    found = [attrs[PLAN] for attrs in qsym.attr_dict().values() if PLAN in attrs]
    if not found:
        raise ConfigError("qsym does not come from mxq's quantize_graph: call that first, or quantize_model at once")
    plan = json.loads(found[0])
    return mx.sym.load_json(plan["symbol"]), Options(**plan["options"], keep_labels=True, regions=False)


def prepare_again(qsym, params: Tuple[dict, dict]) -> Prepared:
    """What `prepare` returned for the network that `qsym` was made from."""
    sym, options = attached(qsym)
    try:
        return prepare(sym, params, options)
    except GraphError as error:
        raise GraphError(
            f"calib_graph needs the float arg_params and aux_params that quantize_graph was given: {error}"
        ) from error


# -- names -----------------------------------------------------------------------------------------------------------


def tensor_names(sym, floats, graph: Graph, plan: Plan) -> Dict[str, List[str]]:
    """Tensor key -> names that a monitor may have for it.

    Those are the name in the float symbol, the names of equal nodes (MXNet runs one of them for all), and the names of
    nodes that MXNet's fusion makes.

    Args:
        sym: the symbol as the caller has it.
        floats: the same, taken apart.
        graph: read from `floats`.
        plan: what becomes int8 of `graph`.
    """
    outputs = _output_names(floats)
    twins = _twins(graph)
    fused_as: Dict[str, List[str]] = {}
    for fused in (sym, fuse(floats, "MKLDNN"), fuse(floats, "MKLDNN_QUANTIZE")):
        for name, inner in inner_names(fused).items():
            fused_as.setdefault(f"{inner[-1]}_output", []).append(f"{name}_output")
    found = {}
    for key, value in plan.tensors.items():
        node, index = _original(graph, value)
        names = [outputs[twin, index] for twin in twins[node]]
        found[key] = list(dict.fromkeys(names + [other for name in names for other in fused_as.get(name, ())]))
    return found


def _hidden(sym, floats) -> Dict[str, str]:
    """Name of a value inside a node that MXNet fuses -> name of that node."""
    found = {}
    for fused in (fuse(floats, "MKLDNN_QUANTIZE"), fuse(floats, "MKLDNN"), sym):
        for name, inner in inner_names(fused).items():
            found.update((f"{node}_output", name) for node in inner[:-1])
    return found


def _twins(graph: Graph) -> Dict[str, List[str]]:
    """Node name -> names of all nodes that compute the same, itself included."""
    classes: Dict[tuple, List[str]] = {}
    number: Dict[str, int] = {}
    found = {}
    for node in graph.nodes:
        attrs = tuple(sorted((k, v) for k, v in node.attrs.items() if not k.startswith("__")))
        inputs = tuple((number[v.node.name], v.index) for v in node.inputs)
        equal = classes.setdefault((node.name,) if node.is_variable else (node.op, attrs, inputs), [])
        equal.append(node.name)
        number[node.name] = id(equal)
        found[node.name] = equal
    return found


def _output_names(floats) -> Dict[Tuple[str, int], str]:
    """(node name in a Graph, output) -> name in the symbol; a Graph numbers nodes that share a name."""
    internals = floats.get_internals()
    values = Graph.from_symbol(internals, {}).outputs
    return {(v.node.name, v.index): name for v, name in zip(values, internals.list_outputs())}


def _original(graph: Graph, value: Value) -> Tuple[str, int]:
    """The value of the caller's network that equals `value` of the simplified one."""
    node = value.node
    after = set(folded_names(node))
    if not after or value.index:
        return node.name, value.index
    # BatchNorms behind the layer: the last of a chain that leads back to it.
    last = node.name
    for candidate in graph.nodes:
        if candidate.name in after and _leads_to(candidate, last, after):
            last = candidate.name
    return last, 0


def _leads_to(node, name: str, through: set) -> bool:
    source = node.inputs[0].node
    while source.name != name:
        if source.is_variable or not (source.name in through or source.op in NOOPS):
            return False
        source = source.inputs[0].node
    return True
