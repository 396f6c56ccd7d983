"""From a plan and data to everything that conversion needs to know: ranges, means, moments, an equalized network."""

import itertools
import logging
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from .calib import choose, collect
from .calib.data import Batch
from .calib.second_moments import MAX_WEIGHTS, Layer, SecondMoments
from .calib.statistics import Statistics
from .calib.table import CalibTable, graph_hash, tensor_key
from .errors import ConfigError
from .graph import Graph
from .ops import COMPUTE
from .ops.weighted import geometry_of
from .passes.annotate import quantized_values, units
from .passes.equalize import channel_factors, equalize
from .passes.insert_qdq import FINE_STEPS, finer_readers

_log = logging.getLogger(__name__)

#: Examples that decide how channels are equalized. They are kept until calibration proper sees them again.
EQUALIZE_EXAMPLES = 32


class Calibration(NamedTuple):
    """What calibration found.

    Attributes:
        floats, annotated: the plan's graphs, equalized.
        table: ranges, means and factors; the part that can be saved.
        moments: layer -> second moments of its inputs.
        statistics: of every tensor of the table; None where a table was given and no data.
    """

    floats: Graph
    annotated: Graph
    table: CalibTable
    moments: Mapping[str, np.ndarray]
    statistics: Optional[Statistics]


def calibrate(plan, options) -> Calibration:
    """Runs the float network over the plan's examples, or takes the table that there is.

    Args:
        plan: mxq.api.Plan.
        options: mxq.api.Options.
    """
    floats, annotated, examples = plan.floats, plan.annotated, plan.examples
    table = options.calib_table
    if table is not None:
        table.check(floats)
        if examples is None and options.weight_rounding == "adaptive":
            _log.warning(
                "a calibration table alone: weights are rounded to nearest; give calib_data too for "
                "weight_rounding='adaptive', or say weight_rounding='nearest'"
            )
    elif examples is None:
        raise ConfigError(
            f"calib_mode={options.calib_mode!r} needs calib_data; give some, a calib_table, or calib_mode='none'"
        )
    factors = table.channel_factors if table is not None else {}
    if table is None and options.equalize:
        first, examples = _first(examples, EQUALIZE_EXAMPLES, whole=options.sub_batch is None)
        factors = channel_factors(floats, _channel_max(floats, plan.tensors, first, options))
    if factors:
        floats, annotated = equalize(floats, factors), equalize(annotated, factors)
    moments = SecondMoments(_layers(annotated) if options.weight_rounding == "adaptive" else [])
    statistics = None
    if examples is not None and (table is None or options.weight_rounding == "adaptive"):
        statistics = _collect(floats, plan.tensors, examples, options, observers=[moments])
    if table is None:
        table = choose(
            statistics,
            options.calib_mode,
            graph_hash=graph_hash(plan.floats),
            dtype=options.quantized_dtype,
            fine_steps=_fine_steps(annotated, plan, options),
        )
        table = table.extended(
            channel_factors=factors,
            data_shapes={n.name: floats.shapes[n.name, 0] for n in floats.inputs if (n.name, 0) in floats.shapes},
        )
    return Calibration(floats, annotated, table, moments, statistics)


def _fine_steps(annotated: Graph, plan, options) -> Dict[str, int]:
    finer = finer_readers(annotated, options.activation_bits, plan.integers)
    steps = FINE_STEPS[options.activation_bits]
    return {tensor_key(v): steps for v in quantized_values(annotated) if (id(v.node), v.index) in finer}


def _collect(floats: Graph, tensors: Mapping, examples: Iterable, options, observers: List):
    by_name = {n.name: n for n in floats.nodes}
    return collect(
        floats,
        {key: by_name[value.node.name].out(value.index) for key, value in tensors.items()},
        examples,
        ctx=options.ctx,
        progress=options.progress,
        num_examples=options.num_calib_examples,
        sub_batch=options.sub_batch,
        observers=observers,
    )


def _first(examples: Iterable, enough: int, *, whole: bool) -> Tuple[List[Batch], Iterable[Batch]]:
    """The first `enough` examples (`whole`: the batches that hold them), and an iterable of all batches."""
    kept: List[Batch] = []
    missing = enough
    examples = iter(examples)
    for batch in examples:
        kept.append(batch)
        missing -= batch.n_valid
        if missing <= 0:
            break
    first = list(kept)
    if missing < 0 and not whole:  # the same examples, however they come in batches
        n = kept[-1].n_valid + missing
        first[-1] = Batch({name: array[:n] for name, array in kept[-1].arrays.items()}, n)
    return first, itertools.chain(kept, examples)


def _channel_max(floats: Graph, tensors: Mapping, examples: List, options) -> Dict[str, np.ndarray]:
    found: Dict[str, np.ndarray] = {}
    changing = set()  # tensors whose axis 1 is no channel: its size depends on the batch

    def observe(key: str, array: np.ndarray) -> None:
        if array.ndim > 1 and array.size:
            largest = np.abs(array).reshape(*array.shape[:2], -1).max(axis=(0, 2))
            if key in found and found[key].shape != largest.shape:
                changing.add(key)
            else:
                found[key] = np.maximum(found[key], largest) if key in found else largest

    _collect(floats, tensors, examples, options._replace(progress=False), observers=[observe])
    return {key: largest for key, largest in found.items() if key not in changing}


def _layers(annotated: Graph) -> List[Layer]:
    """The layers whose weights can be rounded together."""
    found = []
    for unit in units(annotated):
        if unit.kind != COMPUTE:
            continue
        head, weight = unit.head, annotated.param_of(unit.head.inputs[1])
        if int(np.prod(weight.shape[1:])) > MAX_WEIGHTS or not head.get("flatten", True):
            continue
        key = tensor_key(unit.inputs[0])
        if head.op == "FullyConnected":
            found.append(Layer(head.name, key, 1))
        else:
            geometry = geometry_of(unit)
            found.append(Layer(head.name, key, int(head.get("num_group", 1)), tuple(weight.shape[2:]), *geometry))
    return found
