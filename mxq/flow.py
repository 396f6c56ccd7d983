"""The data flow, one line an arrow: `quantize_graph`."""

import functools
import itertools
import logging
import os
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple

from .arguments import check_network, check_normalization, check_options
from .calib import batches
from .calib.choose import check_mode
from .calib.ncnn_table import load_table
from .calib.statistics import Statistics
from .calib.table import CalibTable
from .calibrate import calibrate
from .choice.arguments import check as check_control
from .choice.controller import control
from .choice.exclude import excluded_nodes, follow_folding
from .choice.float_where_faster import Stopwatch, float_where_faster, shaped
from .data.batches import of_integers, total_of
from .errors import ConfigError
from .model import QuantizedModel
from .network.batch_sizes import BatchSizes, arranged, from_data
from .network.graph import Graph, Value
from .network.identity import tensor_key
from .network.params import default_data_names, require_params, without_data
from .network.shapes import infer_shapes
from .options import Options
from .passes import run
from .passes.annotate import annotate, read_values
from .passes.drop_noops import drop_noops
from .passes.fold_batchnorm import fold_batchnorm
from .passes.fold_pad import fold_pad
from .passes.form_regions import form_regions
from .passes.fuse_scalars import fuse_scalars
from .passes.indices import zeros
from .passes.inference_heads import HEADS, inference_heads
from .passes.insert_qdq import TensorRange, insert_qdq
from .passes.join_clips import join_clips
from .passes.join_floats import join_floats
from .passes.lower import lower
from .passes.prepend_normalization import prepend_normalization
from .passes.quantize_params import quantize_params
from .passes.shape_states import shape_states
from .passes.stop_fusion import stop_fusion
from .refine import refine
from .report import Findings, Report
from .report.activations import activations
from .report.network import before_calibration
from .report.parameters import parameters
from .verification import FEW_EXAMPLES, FewExamples, verify

_log = logging.getLogger(__name__)

#: What integers at the network's input stand for: themselves.
INPUT_RANGES = {"uint8": TensorRange(0.0, 255.0, "uint8"), "int8": TensorRange(-127.0, 127.0, "int8")}


class Plan(NamedTuple):
    """What will become int8, before any range is known.

    Attributes:
        network: the network with the normalization of its data, if asked for; else as it came.
        floats: the simplified float graph, which calibration runs.
        annotated: the same with units marked.
        tensors: tensor key -> value of `floats` that becomes integers, so needs a range.
        examples: calibration batches, if data was given.
        integers: inputs that are integers, whose range is fixed.
        calibrated: whether ranges are known before run time.
        total: how many calibration examples there are, where that is known before they are read.
    """

    network: Graph
    floats: Graph
    annotated: Graph
    tensors: Dict[str, Value]
    examples: Optional[Iterable]
    integers: Dict[str, TensorRange]
    calibrated: bool
    total: Optional[int] = None

    @property
    def constants(self) -> Set[str]:
        """Keys of the tensors that depend on no data."""
        varying = from_data(self.floats) - zeros(self.floats)
        values = [*self.floats.outputs, *(value for node in self.floats.nodes for value in node.inputs)]
        return {tensor_key(value) for value in values if value.node.name not in varying}


def quantize_graph(graph: Graph, calib_data, options: Options) -> QuantizedModel:
    """The data flow on a Graph; see quantize_model."""
    if isinstance(options.calib_table, (str, os.PathLike)):
        options = options._replace(calib_table=load_table(os.fspath(options.calib_table)))
    if isinstance(options.statistics, (str, os.PathLike)):
        options = options._replace(statistics=Statistics.load(options.statistics))
    if options.statistics is not None and calib_data is not None and options.metric is None:
        raise ConfigError("both calib_data and statistics are given: statistics stand for data that were seen already")
    if options.calib_mode not in (None, "none"):
        check_mode(options.calib_mode)
    check_control(options, calib_data)
    graph = without_data(graph, options.data_names, options.label_names or ())
    plan = make_plan(graph, calib_data, options)
    findings = Findings()
    if options.preflight:
        noticed, examples = before_calibration(graph, plan, options)
        plan = plan._replace(examples=examples)
        findings = findings.extended(parameters(graph) + noticed, _log)
    few = FewExamples(plan.network, FEW_EXAMPLES, options.sub_batch)
    if options.verify and plan.examples is not None:
        plan = plan._replace(examples=few.through(plan.examples))
    shapes = {n: plan.floats.shapes[n, 0] for n in _data_names(graph, options) if (n, 0) in plan.floats.shapes}
    rounded: Dict = {}  # one calibration and one rounding of the weights for every selection of layers
    precision = None
    if not plan.calibrated:
        model = _deliver(graph, plan, None, options, calib_data, None, rounded)
    else:
        found = calibrate(plan, options)
        plan = plan._replace(floats=found.floats, annotated=found.annotated)
        if options.preflight and found.statistics is not None:
            findings = findings.extended(activations(found.statistics, plan.constants), _log)
        table = found.table
        if options.calib_table is None:
            precision, table = refine(
                plan, found, options, lambda table: _quantized(plan, table, options, found.moments, rounded)
            )
        model = _deliver(graph, plan, table, options, calib_data, found.moments, rounded)
        model.statistics = found.statistics
    model.findings = findings
    model.precision = model.report.precision = precision
    if options.verify:
        if plan.examples is not None and not few:
            next(iter(plan.examples), None)  # nobody else has read them
        seen = verify(model, plan.network, few, shapes, options)
        model.verification = model.report.verification = seen
    return model


def _deliver(
    graph: Graph, plan: Plan, table: Optional[CalibTable], options: Options, calib_data, moments, rounded: Dict
) -> QuantizedModel:
    """The int8 network, without the layers that are faster in float or that accuracy control wants float."""

    def convert_part(part: Graph) -> QuantizedModel:
        return convert(part, plan._replace(network=part, floats=part, annotated=part), table, options, moments, rounded)

    if options.float_where_faster:
        annotated = float_where_faster(
            shaped(plan.annotated, options.data_shapes),
            Stopwatch(lambda part: convert_part(part)[:3]),
            mode=options.quantize_mode,
            integer_inputs=plan.integers,
            show=options.progress,
        )
        annotated.shapes = plan.annotated.shapes
        plan = plan._replace(annotated=annotated)
    if options.metric is None:
        return convert(graph, plan, table, options, moments, rounded)
    return control(
        plan,
        options,
        calib_data,
        data_names=_data_names(graph, options),
        ranges=table.ranges if table is not None else {},
        convert=lambda chosen: convert(graph, plan._replace(annotated=chosen), table, options, moments, rounded),
        quantized=lambda chosen: _quantized(plan._replace(annotated=chosen), table, options, moments, rounded),
    )


def make_plan(graph: Graph, calib_data, options: Options) -> Plan:
    """Simplifies the network and decides what becomes int8."""
    check_options(options)
    check_network(graph, options)
    data_names = _data_names(graph, options)
    excluded = excluded_nodes(graph, options.excluded_sym_names, options.excluded_op_names, options.excluded_patterns)
    examples, shapes = _examples(graph, calib_data, data_names, options)
    network = run(graph, normalization(data_names[0] if data_names else None, options, shapes))
    known = all(name in shapes and all(n and n > 0 for n in shapes[name]) for name in data_names)
    given = {name: shapes[name] for name in data_names} if known else {}
    heads: List = []
    if not options.keep_labels and any(node.op in HEADS for node in network.nodes):
        network_shapes = infer_shapes(network, given) if known else {}
        heads = [functools.partial(inference_heads, keep=data_names, shapes=network_shapes)]
    floats = run(network, [*heads, *SIMPLIFICATIONS, functools.partial(shape_states, data_shapes=given)])
    floats.shapes = infer_shapes(floats, given) if known else {}
    integers = {n: INPUT_RANGES[options.input_dtype] for n in data_names[:1] if options.input_dtype != "float32"}
    calibrated = options.calib_mode not in (None, "none") or options.calib_table is not None
    annotated = annotate(
        floats,
        excluded=follow_folding(excluded, floats),
        mode=options.quantize_mode,
        calibrated=calibrated,
        integer_inputs=integers,
    )
    by_name = {n.name: n for n in floats.nodes}
    tensors = {tensor_key(v): by_name[v.node.name].out(v.index) for v in read_values(annotated)}
    total = total_of(calib_data)
    if options.num_calib_examples is not None:
        total = min(total or options.num_calib_examples, options.num_calib_examples)
    return Plan(network, floats, annotated, tensors, examples, integers, calibrated, total)


def convert(
    graph: Graph,
    plan: Plan,
    table: Optional[CalibTable],
    options: Options,
    moments: Optional[Mapping] = None,
    rounded: Optional[Dict] = None,
) -> QuantizedModel:
    """Carries a plan out; `graph` is the network it was made for, `rounded` remembers weights between calls."""
    qdq = _quantized(plan, table, options, moments, rounded)
    lowered = run(qdq, [lower, join_floats, fuse_scalars, stop_fusion], stage="int8")
    report = Report.of(graph, plan.annotated)
    if report.count("int8") == 0:
        _log.warning("nothing in this network became int8; its report says why for every node")
        return QuantizedModel.of(plan.network, table, report.unfolded(), plan.network, plan.network, plan.network)
    network = run(lowered, [form_regions] if options.regions else [], stage="int8")
    return QuantizedModel.of(network, table, report, qdq, plan.floats, lowered)


def _quantized(plan: Plan, table: Optional[CalibTable], options: Options, moments, rounded) -> Graph:
    return run(
        plan.annotated,
        [
            functools.partial(
                insert_qdq,
                table=table,
                quantized_dtype=options.quantized_dtype,
                fixed=plan.integers,
                activation_bits=options.activation_bits,
            ),
            functools.partial(
                quantize_params,
                granularity=options.quantize_granularity,
                channel_means=table.channel_means if table is not None and options.bias_correction else None,
                moments=moments,
                rounded=rounded,
                weight_bits=options.weight_bits,
            ),
        ],
        stage="qdq",
    )


#: The float passes, in order.
SIMPLIFICATIONS = (drop_noops, fold_pad, fold_batchnorm, join_clips)


def normalization(data_name: Optional[str], options: Options, shapes: Mapping) -> List:
    """The pass that puts the normalization into the network, if asked for; `shapes` of inputs as far as known."""
    if options.mean is None and options.std is None and options.input_dtype == "float32":
        return []
    shape = None if data_name is None else shapes.get(data_name)
    check_normalization(data_name, shape, mean=options.mean, std=options.std)
    assert data_name is not None  # refused before
    return [
        functools.partial(
            prepend_normalization,
            data_name=data_name,
            mean=0.0 if options.mean is None else options.mean,
            std=1.0 if options.std is None else options.std,
            dtype=options.input_dtype,
            ndim=4 if shape is None else len(shape),
        )
    ]


def _data_names(graph: Graph, options: Options) -> List[str]:
    labels = tuple(options.label_names or ())
    names = list(options.data_names) if options.data_names is not None else default_data_names(graph, labels)
    require_params(graph, names, labels)
    return names


def _examples(graph: Graph, calib_data, data_names: List[str], options: Options) -> Tuple[Optional[Iterable], Dict]:
    """Calibration batches as the network takes them, and the shapes of the inputs as far as they are known."""
    examples, shapes = None, {}
    for known in (options.statistics, options.calib_table):
        shapes.update({} if known is None else known.data_shapes)
    shapes.update(options.data_shapes or {})
    if calib_data is not None:
        found = batches(
            calib_data,
            data_names,
            batch_size=options.batch_size,
            num_examples=options.num_calib_examples,
            data_shapes=options.data_shapes,
            sizes_differ=True,
        )
        if options.input_dtype != "float32":
            found = of_integers(found, data_names[0], options.input_dtype)
        found = arranged(found, BatchSizes(graph))
        first = next(found)
        shapes.update((name, tuple(array.shape)) for name, array in first.arrays.items())
        examples = itertools.chain([first], found)
    return examples, shapes
