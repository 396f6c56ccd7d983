"""collect_statistics: what calibration needs to know of a network, gathered once, kept in a file, merged."""

import logging
import os
from typing import Dict, Optional

from .api import read_network
from .arguments import check_names
from .calib.statistics import Statistics
from .calibrate import collect_for, input_shapes, sampled_layers
from .errors import CalibrationError, ConfigError
from .flow import make_plan
from .network.graph import Graph, Value
from .network.identity import graph_hash, tensor_key
from .network.params import without_data
from .ops import COMPUTE, lookup
from .ops.unary import ELEMENTWISE
from .options import Options
from .passes.annotate import annotate, read_values

_log = logging.getLogger(__name__)

#: Options of quantize_model that decide what the float network computes, and how it is run.
OPTIONS = (
    "num_calib_examples", "data_names", "label_names", "data_shapes", "mean", "std", "input_dtype", "batch_size",
    "sub_batch", "ctx", "progress", "quantize_mode",
)  # fmt: skip


def collect_statistics(
    sym,
    params,
    data,
    path: Optional[str] = None,
    *,
    resume: bool = True,
    checkpoint_seconds: float = 60.0,
    **options,
) -> Statistics:
    """Runs the float network once and keeps what every way to choose ranges, round weights and exclude layers needs.

    >>> stats = mxq.collect_statistics("net-symbol.json", "net-0000.params", images, "net.npz")  # doctest: +SKIP
    >>> model = mxq.quantize_model(sym, params, statistics="net.npz", calib_mode="entropy")  # doctest: +SKIP

    The size of the statistics depends on the network, not on the data. Parts of the data, seen by several processes or
    machines, merge: ``stats.merge(Statistics.load(other))`` is what one pass over all of it gives.

    Args:
        sym, params, data: as `sym`, `params` and `calib_data` of mxq.quantize_model.
        path: a file to write, every `checkpoint_seconds` and at the end.
        resume: if the file exists, examples that it holds already are skipped: an interrupted run goes on, a longer
            list of the same data adds what is new. The data must come in the same order. False: start again.
        options: num_calib_examples, data_names, label_names, data_shapes, mean, std, input_dtype, batch_size,
            sub_batch, ctx and progress as for mxq.quantize_model; use the same there. quantize_mode='full': what that
            mode needs where layers are excluded, too: about twice as many tensors.

    Returns:
        Statistics: of every tensor that could become integers.

    Raises:
        ConfigError, GraphError, CalibrationError: as mxq.quantize_model; CalibrationError too for a file that is of
        another network, was merged, or is of other data.
    """
    check_names("collect_statistics", options, OPTIONS)
    if data is None:
        raise ConfigError("collect_statistics needs data")
    chosen = Options(**options)
    graph = without_data(read_network(sym, params), chosen.data_names, chosen.label_names or ())
    plan = make_plan(graph, data, chosen)
    layers = sampled_layers(annotate(plan.floats, mode="full", integer_inputs=plan.integers))
    tensors = watched(plan.floats, plan.integers, chosen.quantize_mode)
    resuming: Dict[str, object] = {"checkpoint_seconds": checkpoint_seconds}
    if path is not None:
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise ConfigError(f"cannot save {path!r}: folder {folder!r} does not exist; create it first")
        hashed = graph_hash(plan.floats)

        def checkpoint(statistics: Statistics) -> None:
            statistics.graph_hash, statistics.data_shapes = hashed, input_shapes(plan.floats)
            statistics.save(path)

        resuming["checkpoint"] = checkpoint
        if resume and os.path.exists(path):
            resuming["statistics"] = _interrupted(path, hashed, tensors)
    statistics = collect_for(plan.floats, tensors, plan.examples, chosen, layers=layers, total=plan.total, **resuming)
    if path is not None:
        statistics.save(path)
    return statistics


def watched(floats: Graph, integers=(), quantize_mode: str = "smart") -> Dict[str, Value]:
    """Tensor key -> every value that becomes integers in some selection of int8 operators."""
    found: Dict[str, Value] = {}
    for mode in ("smart", "full"):
        annotated = annotate(floats, mode=mode, integer_inputs=integers)
        found.update((tensor_key(value), value) for value in read_values(annotated))
    for node in floats.nodes:
        spec = None if node.is_variable else lookup(node)
        if spec is not None and (quantize_mode == "full" or node.op not in ELEMENTWISE):
            inputs = node.inputs[:1] if spec.kind_of(node) == COMPUTE else node.inputs
            found.update((tensor_key(v), v) for v in inputs if floats.param_of(v) is None)
    by_name = {node.name: node for node in floats.nodes}
    return {key: by_name[value.node.name].out(value.index) for key, value in found.items()}


def _interrupted(path: str, hashed: str, tensors) -> Statistics:
    statistics = Statistics.load(path)
    if statistics.graph_hash != hashed or set(statistics) != set(tensors):
        raise CalibrationError(
            f"{path}: statistics of another network or other preprocessing; give another path, or resume=False to "
            "replace them"
        )
    if statistics.stream is None:
        raise CalibrationError(f"{path}: merged statistics cannot be resumed; give another path and merge the two")
    _log.info("%s holds %d examples already", path, statistics.num_examples)
    return statistics
