"""From a plan and data to everything that conversion needs to know: ranges, means, moments, an equalized network."""

import logging
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from .calib import choose, collect
from .calib.choose import AUTO
from .calib.clip_cost import ClipCost
from .calib.ncnn_table import NcnnTable
from .calib.samples import Layer
from .calib.second_moments import SecondMoments
from .calib.statistics import Statistics
from .calib.table import CalibTable
from .equalization import channel_factors
from .errors import CalibrationError, ConfigError
from .export.ncnn.scales import ranges_of, with_ranges_only
from .network.graph import Graph
from .network.identity import graph_hash, tensor_key
from .ops import COMPUTE
from .ops.weighted import geometry_of
from .passes.annotate import quantized_values, units
from .passes.equalize import channel_scales, equalize
from .passes.insert_qdq import FINE_STEPS, finer_readers
from .passes.mixtures import without_mixtures

_log = logging.getLogger(__name__)


class Calibration(NamedTuple):
    """What calibration found.

    Attributes:
        floats, annotated: the plan's graphs, equalized.
        table: ranges, means and factors; the part that can be saved.
        moments: layer -> second moments of its inputs.
        statistics: of the tensors of `floats`; None where a table was given and nothing else.
    """

    floats: Graph
    annotated: Graph
    table: CalibTable
    moments: Mapping[str, np.ndarray]
    statistics: Optional[Statistics]


def calibrate(plan, options) -> Calibration:
    """Runs the float network over the plan's examples, or takes the statistics or the table that there are.

    The network runs once, as it is: what equalizing its channels does to the statistics follows from those per channel.

    Args:
        plan: mxq.flow.Plan.
        options: mxq.options.Options.
    """
    floats, annotated = plan.floats, plan.annotated
    table, statistics = options.calib_table, options.statistics
    adaptive = options.weight_rounding == "adaptive"
    layers = sampled_layers(annotated) if adaptive else []
    sampled = sampled_layers(annotated) if adaptive or options.calib_mode == AUTO else []
    foreign = None  # ranges that another tool chose
    if isinstance(table, NcnnTable):
        foreign, table = ranges_of(table, annotated), None
        if plan.examples is None and statistics is None:
            annotated = with_ranges_only(annotated, foreign, plan.integers, options.quantize_mode)
            table = CalibTable(foreign, "ncnn", graph_hash(floats), 0, data_shapes=input_shapes(floats))
            layers = sampled_layers(annotated) if adaptive else []
    if table is not None:
        table.check(floats)
    elif plan.examples is None and statistics is None:
        raise ConfigError(
            f"calib_mode={options.calib_mode!r} needs calib_data; give some, statistics, a calib_table, or "
            "calib_mode='none'"
        )
    if statistics is not None:
        check_statistics(statistics, floats, plan.tensors)
    elif plan.examples is not None and (table is None or adaptive):
        statistics = collect_for(floats, plan.tensors, plan.examples, options, layers=sampled, total=plan.total)
        if statistics.num_examples == 1 and table is None:
            _log.warning(
                "calibrated with one example: other data reach further than it does; give a few dozen, of every kind "
                "that the network will see"
            )
    factors = table.channel_factors if table is not None else {}
    if table is None and options.equalize and foreign is None:
        factors = channel_factors(annotated, statistics, _steps(annotated, plan, options))
    scales = channel_scales(floats, factors) if factors else {}
    if factors:
        floats, annotated = equalize(floats, factors), equalize(annotated, factors)
        annotated.params.update((name, floats.params[name]) for name in annotated.params)  # the same arrays
    moments = SecondMoments(layers, {} if statistics is None else statistics.samples, scales)
    _say_what_is_rounded_to_nearest(layers, moments)
    if statistics is not None:
        statistics = statistics.scaled(scales)
    if table is None:
        table = choose(
            statistics,
            options.calib_mode,
            keys=plan.tensors,
            graph_hash=statistics.graph_hash,
            dtype=options.quantized_dtype,
            zero_points=options.zero_points,
            fine_steps=_fine_steps(annotated, plan, options),
            clip_cost=_clip_cost(annotated, statistics, scales) if options.calib_mode == AUTO else None,
        )
        table = table.extended(channel_factors=factors, data_shapes=input_shapes(floats))
        table = table if foreign is None else _with_foreign(table, foreign)
    annotated = without_mixtures(annotated, table.ranges, plan.integers, options.quantize_mode)
    return Calibration(floats, annotated, table, moments, statistics)


def _with_foreign(table: CalibTable, foreign: Mapping) -> CalibTable:
    """The table with the ranges of another tool where it has some; types follow from these."""
    chosen = {key: given for key, given in foreign.items() if key in table.ranges}
    return table.extended(
        ranges={**table.ranges, **chosen},
        modes={key: mode for key, mode in table.modes.items() if key not in chosen},
        dtypes={key: dtype for key, dtype in table.dtypes.items() if key not in chosen},
    )


def _steps(annotated: Graph, plan, options) -> Dict[str, float]:
    """Rounding steps beside those of 8 bits, of the tensors that differ; 0 for those that are read as float."""
    finer = finer_readers(annotated, options.activation_bits, plan.integers)
    step = 1 / FINE_STEPS[options.activation_bits]
    values = {tensor_key(v): finer.get((id(v.node), v.index)) for v in quantized_values(annotated)}
    return {key: step if readers else 0.0 for key, readers in values.items() if readers is not None}


def with_finer(found: Calibration, keys: Sequence[str], options) -> CalibTable:
    """The table in which these tensors have 11 bits, with ranges for that."""
    assert found.statistics is not None  # nobody asks for it without
    chosen = choose(
        found.statistics,
        options.calib_mode,
        keys=keys,
        dtype=options.quantized_dtype,
        zero_points=options.zero_points,
        fine_steps=dict.fromkeys(keys, FINE_STEPS[11]),
    )
    table = found.table
    return table.extended(
        ranges={**table.ranges, **chosen.ranges},
        dtypes={**table.dtypes, **chosen.dtypes},
        modes={**table.modes, **dict.fromkeys([key for key in keys if key in table.modes], "mse")},
        finer=tuple(keys),
    )


def _fine_steps(annotated: Graph, plan, options) -> Dict[str, int]:
    finer = finer_readers(annotated, options.activation_bits, plan.integers)
    steps = FINE_STEPS[options.activation_bits]
    return {tensor_key(v): steps for v in quantized_values(annotated) if (id(v.node), v.index) in finer}


def _clip_cost(annotated: Graph, statistics: Statistics, scales: Mapping) -> ClipCost:
    by_name = {node.name: node for node in annotated.nodes}
    layers = sampled_layers(annotated)
    weights = {layer.name: annotated.param_of(by_name[layer.name].inputs[1]) for layer in layers}
    return ClipCost(layers, weights, statistics.samples, scales)


def collect_for(
    floats: Graph, tensors: Mapping, examples, options, *, layers: List[Layer], total: Optional[int] = None, **resuming
) -> Statistics:
    """Statistics of a float graph that say what they are of.

    Args:
        tensors: tensor key -> value.
        total: how many examples there are, for a progress bar.
        resuming: see mxq.calib.collect.
    """
    by_name = {n.name: n for n in floats.nodes}
    statistics = collect(
        floats,
        {key: by_name[value.node.name].out(value.index) for key, value in tensors.items()},
        examples,
        layers=layers,
        ctx=options.ctx,
        progress=options.progress,
        num_examples=total,
        sub_batch=options.sub_batch,
        **resuming,
    )
    statistics.graph_hash, statistics.data_shapes = graph_hash(floats), input_shapes(floats)
    return statistics


def check_statistics(statistics: Statistics, floats: Graph, tensors: Mapping) -> None:
    """Raises CalibrationError unless the statistics are of this network and of all these tensors."""
    again = "collect them with mxq.collect_statistics from the same network, preprocessing options and quantize_mode"
    found = graph_hash(floats)
    if found != statistics.graph_hash:
        raise CalibrationError(
            f"the statistics are of another network: its hash is {statistics.graph_hash or 'unknown'}, "
            f"this network's is {found}; {again}"
        )
    missing = [key for key in tensors if key not in statistics]
    if missing:
        raise CalibrationError(
            f"the statistics lack {len(missing)} of the tensors that become integers with these options: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}; {again}"
        )
    if not statistics.num_examples:
        raise CalibrationError(f"the statistics are of no example; {again}")


def input_shapes(floats: Graph) -> Dict[str, tuple]:
    return {n.name: floats.shapes[n.name, 0] for n in floats.inputs if (n.name, 0) in floats.shapes}


def _say_what_is_rounded_to_nearest(layers: List[Layer], moments: Mapping) -> None:
    missing = [layer.name for layer in layers if layer.name not in moments]
    if missing:
        _log.warning(
            "no samples of the inputs of %d layers (%s): their weights are rounded to nearest; give calib_data or "
            "statistics beside a calibration table for weight_rounding='adaptive', or say weight_rounding='nearest'",
            len(missing),
            ", ".join(missing[:3]),
        )


def sampled_layers(annotated: Graph) -> List[Layer]:
    """The layers whose weights can be rounded together."""
    found = []
    for unit in units(annotated):
        if unit.kind != COMPUTE:
            continue
        head, key = unit.head, tensor_key(unit.inputs[0])
        if head.op == "FullyConnected":
            shape = annotated.shapes.get((unit.inputs[0].node.name, unit.inputs[0].index), ())
            found.append(Layer(head.name, key, 1, rows=not head.get("flatten", True) and len(shape) != 2))
        else:
            geometry, kernel = geometry_of(unit), annotated.param_of(head.inputs[1]).shape[2:]
            found.append(Layer(head.name, key, int(head.get("num_group", 1)), tuple(kernel), *geometry))
    return found
