"""The two calls that everything else serves. `quantize_graph` is the data flow, one line an arrow."""

import functools
import itertools
import logging
import os
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from . import accuracy
from .arguments import check_names, check_network, check_normalization, check_options, check_symbol
from .calib import batches
from .calib.choose import check_mode
from .calib.collect import SUB_BATCH
from .calib.statistics import Statistics
from .calib.table import CalibTable, tensor_key
from .calibrate import calibrate
from .choice.exclude import excluded_nodes, follow_folding
from .choice.float_where_faster import Stopwatch, float_where_faster, shaped
from .data.batches import of_integers
from .errors import ConfigError
from .model import QuantizedModel
from .network.files import load_params, load_symbol
from .network.graph import Graph, Value
from .network.params import default_data_names, require_params, split_params
from .network.shapes import infer_shapes
from .passes import run
from .passes.annotate import annotate, read_values
from .passes.drop_noops import drop_noops
from .passes.fold_batchnorm import fold_batchnorm
from .passes.fold_pad import fold_pad
from .passes.form_regions import form_regions
from .passes.insert_qdq import FINE_STEPS, TensorRange, insert_qdq
from .passes.join_clips import join_clips
from .passes.join_floats import join_floats
from .passes.lower import lower
from .passes.prepend_normalization import prepend_normalization
from .passes.quantize_params import quantize_params
from .presets import with_preset
from .report import Findings, Report
from .report.activations import activations
from .report.network import before_calibration
from .report.parameters import parameters
from .verification import FEW_EXAMPLES, FewExamples, verify

_log = logging.getLogger(__name__)

#: Accepted values by argument.
CHOICES = {
    "quantized_dtype": ("auto", "int8", "uint8"),
    "quantize_mode": ("smart", "full"),
    "quantize_granularity": ("channel-wise", "tensor-wise"),
    "weight_rounding": ("adaptive", "nearest"),
    "activation_bits": tuple(FINE_STEPS),
    "input_dtype": ("float32", "int8", "uint8"),
    "verify": (True, False, "warn"),
}
#: What integers at the network's input stand for: themselves.
INPUT_RANGES = {"uint8": TensorRange(0.0, 255.0, "uint8"), "int8": TensorRange(-127.0, 127.0, "int8")}


class Options(NamedTuple):
    """Everything that decides how a graph becomes int8; the keyword arguments of quantize_model, checked."""

    preset: str = "default"
    calib_mode: str = "mse"
    num_calib_examples: Optional[int] = None
    calib_table: Optional[CalibTable] = None
    statistics: Optional[Statistics] = None
    quantized_dtype: str = "auto"
    quantize_mode: str = "smart"
    quantize_granularity: Union[str, Mapping[str, str]] = "channel-wise"
    weight_rounding: str = "adaptive"
    equalize: bool = True
    bias_correction: bool = True
    activation_bits: int = 8
    regions: bool = True
    excluded_sym_names: Sequence[str] = ()
    excluded_op_names: Sequence[str] = ()
    excluded_patterns: Sequence[str] = ()
    data_names: Optional[Sequence[str]] = None
    label_names: Sequence[str] = ("softmax_label",)
    data_shapes: Optional[Mapping[str, Tuple[int, ...]]] = None
    mean: Optional[Sequence[float]] = None
    std: Optional[Sequence[float]] = None
    input_dtype: str = "float32"
    batch_size: int = 32
    sub_batch: Optional[int] = SUB_BATCH
    ctx: object = None
    preflight: bool = True
    verify: Union[bool, str] = True
    progress: Optional[bool] = None
    metric: object = None
    max_drop: Optional[float] = None
    min_metric: Optional[float] = None
    eval_data: object = None
    search_state: Optional[str] = None
    float_where_faster: bool = False


def quantize_model(sym, params, calib_data=None, **options) -> QuantizedModel:
    """Turns a float MXNet network into an int8 one that runs on mxq's operators.

    >>> import mxnet as mx, mxq
    >>> model = mxq.quantize_model("resnet-symbol.json", "resnet-0000.params", batches)  # doctest: +SKIP
    >>> model.save("resnet-int8")  # doctest: +SKIP

    Args:
        sym: mx.sym.Symbol, or the path of its JSON file.
        params: one dict of NDArrays (names with or without ``arg:`` / ``aux:``), an ``(arg, aux)`` pair, or the path
            of a .params file.
        calib_data: inputs like those the network will see, as float32 (or as `input_dtype` says): a DataIter, a Gluon
            DataLoader with or without labels, numpy arrays or NDArrays (first axis = examples; a dict by input name, or
            a tuple, for several inputs), or any iterable of batches. Not needed with `calib_table` or
            ``calib_mode='none'``.
        preset: 'default', or 'best': the closest to float, with activation_bits=11. Options given beside it count.
        calib_mode: how a tensor's range is chosen: 'mse' (least squared error), 'entropy' (least KL divergence),
            'percentile', 'minmax' (also 'naive'), 'aciq' (in closed form), 'auto' (of all these,
            for each tensor, the one with the least squared error, where clipping counts as much as it costs the layers
            that read the tensor), or 'none': ranges are found at run time, which is slower.
        num_calib_examples: use exactly so many examples; all by default.
        calib_table: a CalibTable or the path of a saved one, instead of calibration.
        statistics: what mxq.collect_statistics returned, or the path of its file, instead of `calib_data`: any
            `calib_mode` without running the network.
        quantized_dtype: 'auto' (uint8 for tensors without negative values, else int8), 'int8' or 'uint8'.
        quantize_mode: 'smart' (int8 where it pays) or 'full' (wherever an operator has an int8 form).
        quantize_granularity: scales of weights: 'channel-wise' or 'tensor-wise'; by operator with a dict such as
            ``{'FullyConnected': 'tensor-wise'}``.
        weight_rounding: 'adaptive' rounds weights so that their errors cancel on the calibration data; 'nearest'
            rounds each to the nearest level, and so does 'adaptive' where there is a table but no data.
        equalize: channels between two layers are brought to similar ranges first.
        bias_correction: biases take back the mean error that rounding the weights makes on the calibration data.
        activation_bits: 8, or 11: what convolutions and fully connected layers read comes in two 8-bit parts, and
            residual sums, poolings and concats between them are float. The rounding of activations all but vanishes,
            for about twice the multiplications and four times the memory traffic of activations; grouped convolutions
            and operators other than those named still read 8 bits.
        regions: neighbouring int8 operators run as one node of the symbol (`operators` has them one by one), which is
            faster; False: every operator is a node, whose output MXNet's tools can look at.
        excluded_sym_names, excluded_op_names, excluded_patterns: lists of node names, operator names and regular
            expressions on node names that stay float. One that matches nothing is an error.
        data_names: inputs that are data, in the order of `calib_data`; all that are no label by default.
        label_names: inputs that are labels.
        data_shapes: input name -> shape, where there is no calibration data to tell.
        mean, std: per channel (or one number): the network gets raw pixels and does ``(x - mean) / std`` itself,
            exactly.
        input_dtype: type of the network's data: 'float32', or 'uint8' / 'int8' to be fed integers, which stand for
            themselves. With 'float32' and neither mean nor std, integers are accepted too.
        batch_size: for calibration data that comes in one piece.
        sub_batch: calibration runs so many examples of a batch at once, to save memory; None: the batch as it comes,
            for networks made for one batch size.
        ctx: context that calibration runs on; the CPU by default.
        preflight: looks first for what would spoil the result (see mxq.preflight), and logs it.
        verify: looks at the int8 network before it is returned: shapes follow from those of the data, and on a few
            calibration examples it runs and varies where float does; `verification` has the SQNR of each output, and
            where one is poor, a warning names the operator that costs most and what to try. 'warn': what would be an
            error is a warning, too. False: nobody looks.
        progress: True or False to show a progress bar or not; by default where a person is watching.
        metric: keeps the fewest layers float for which this metric is good enough, see mxq.accuracy. Without labels,
            compared with float: 'top1', 'top5', 'cosine', 'sqnr', 'detection', 'miou'; with labels: 'accuracy', an
            mx.metric.EvalMetric; or an mxq.accuracy.Metric or a function ``metric(outputs, reference, batch)``.
        max_drop: how much worse than float the metric may be, absolute and in its own unit: 0.5 is half a percent of
            the examples for 'top1'.
        min_metric: in place of `max_drop`, the least value of the metric.
        eval_data: data for the metric, of any kind that `calib_data` can be, with labels behind the inputs where the
            metric needs them; read again for each evaluation. The calibration data by default.
        float_where_faster: times every int8 operator among its neighbours, on this machine, at batch 1 or that of
            `data_shapes`, and leaves those float that are slower in int8, conversions included; the report has times.
        search_state: path of a file in which the search keeps what it measured: killed and called again, it goes on.

    Returns:
        QuantizedModel: ``(symbol, arg_params, aux_params)`` with ``save()``, ``table``, ``report``, ``accuracy`` and
            ``verification``.

    Raises:
        ConfigError: an argument that is not accepted. GraphError: a network that cannot be read, or an int8 one that
        cannot be used (see `verify`). CalibrationError: data or a table that do not fit. All are subclasses of MXQError
        and ValueError.
    """
    check_names("quantize_model", options, Options._fields)
    return quantize_graph(read_network(sym, params), calib_data, Options(**with_preset(options)))


def read_network(sym, params) -> Graph:
    """The network of a symbol and parameters, or of the paths of their files; see quantize_model."""
    symbol = load_symbol(sym) if isinstance(sym, (str, os.PathLike)) else sym
    check_symbol(symbol)
    arrays = load_params(params) if isinstance(params, (str, os.PathLike)) else params
    return Graph.from_symbol(symbol, *split_params(arrays, symbol))


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
    """

    network: Graph
    floats: Graph
    annotated: Graph
    tensors: Dict[str, Value]
    examples: Optional[Iterable]
    integers: Dict[str, TensorRange]
    calibrated: bool


def quantize_graph(graph: Graph, calib_data, options: Options) -> QuantizedModel:
    """The data flow on a Graph; see quantize_model."""
    if isinstance(options.calib_table, (str, os.PathLike)):
        options = options._replace(calib_table=CalibTable.load(options.calib_table))
    if isinstance(options.statistics, (str, os.PathLike)):
        options = options._replace(statistics=Statistics.load(options.statistics))
    if options.statistics is not None and calib_data is not None and options.metric is None:
        raise ConfigError("both calib_data and statistics are given: statistics stand for data that were seen already")
    if options.calib_mode not in (None, "none"):
        check_mode(options.calib_mode)
    accuracy.check(options, calib_data)
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
    if not plan.calibrated:
        model = _deliver(graph, plan, None, options, calib_data)
    else:
        found = calibrate(plan, options)
        plan = plan._replace(floats=found.floats, annotated=found.annotated)
        if options.preflight and found.statistics is not None:
            findings = findings.extended(activations(found.statistics), _log)
        model = _deliver(graph, plan, found.table, options, calib_data, found.moments)
        model.statistics = found.statistics
    model.findings = findings
    if options.verify:
        if plan.examples is not None and not few:
            next(plan.examples, None)  # nobody else has read them
        seen = verify(model, plan.network, few, shapes, options)
        model.verification = model.report.verification = seen
    return model


def _deliver(
    graph: Graph, plan: Plan, table: Optional[CalibTable], options: Options, calib_data, moments=None
) -> QuantizedModel:
    """The int8 network, without the layers that are faster in float or that accuracy control wants float."""
    rounded: Dict = {}  # one calibration and one rounding of the weights for every selection of layers

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
    return accuracy.control(
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
    _check(options)
    check_network(graph, options)
    data_names = _data_names(graph, options)
    excluded = excluded_nodes(graph, options.excluded_sym_names, options.excluded_op_names, options.excluded_patterns)
    examples, shapes = _examples(calib_data, data_names, options)
    network = run(graph, normalization(data_names[0] if data_names else None, options, shapes))
    floats = run(network, SIMPLIFICATIONS)
    known = all(name in shapes and all(n and n > 0 for n in shapes[name]) for name in data_names)
    floats.shapes = infer_shapes(floats, {name: shapes[name] for name in data_names}) if known else {}
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
    return Plan(network, floats, annotated, tensors, examples, integers, calibrated)


def convert(
    graph: Graph,
    plan: Plan,
    table: Optional[CalibTable],
    options: Options,
    moments: Mapping = None,
    rounded: Dict = None,
) -> QuantizedModel:
    """Carries a plan out; `graph` is the network it was made for, `rounded` remembers weights between calls."""
    qdq = _quantized(plan, table, options, moments, rounded)
    lowered = run(qdq, [lower, join_floats], stage="int8")
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
    shape = shapes.get(data_name)
    check_normalization(data_name, shape, mean=options.mean, std=options.std)
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


def _check(options: Options) -> None:
    check_options(options)
    for name, accepted in CHOICES.items():
        given = getattr(options, name)
        by_operator = name == "quantize_granularity" and isinstance(given, Mapping)
        for value in given.values() if by_operator else [given]:
            if value not in accepted:
                raise ConfigError(f"{name}={given!r}: accepted are {', '.join(map(str, accepted))}")


def _data_names(graph: Graph, options: Options) -> List[str]:
    labels = tuple(options.label_names or ())
    names = list(options.data_names) if options.data_names is not None else default_data_names(graph, labels)
    require_params(graph, names, labels)
    return names


def _examples(calib_data, data_names: List[str], options: Options) -> Tuple[Optional[Iterable], Dict]:
    """Calibration batches, and the shapes of the inputs as far as they are known."""
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
        )
        if options.input_dtype != "float32":
            found = of_integers(found, data_names[0], options.input_dtype)
        first = next(found)
        shapes.update((name, tuple(array.shape)) for name, array in first.arrays.items())
        examples = itertools.chain([first], found)
    return examples, shapes
