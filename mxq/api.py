"""quantize_model: a float symbol in, an int8 one out."""

import json
import os
from typing import Mapping, Optional, Sequence, Tuple, Union

import mxnet as mx

from .arguments import check_is_data, check_symbol
from .calib.collect import SUB_BATCH
from .calib.statistics import Statistics
from .calib.table import CalibTable
from .flow import quantize_graph
from .model import QuantizedModel
from .network.files import load_params, load_symbol, prefix_of
from .network.fused import quantized_nodes, unfuse
from .network.graph import Graph
from .network.params import check_names_match, split_params
from .network.seal import check_pair
from .options import Options, refuse_unknown


@refuse_unknown
def quantize_model(
    sym,
    params=None,
    calib_data=None,
    *,
    preset: str = "default",
    num_calib_examples: Optional[int] = None,
    data_names: Optional[Sequence[str]] = None,
    label_names: Sequence[str] = ("softmax_label",),
    keep_labels: bool = False,
    data_shapes: Optional[Mapping[str, Tuple[int, ...]]] = None,
    mean: Optional[Sequence[float]] = None,
    std: Optional[Sequence[float]] = None,
    input_dtype: str = "float32",
    batch_size: int = 32,
    sub_batch: Optional[int] = SUB_BATCH,
    ctx: Optional[mx.Context] = None,
    calib_mode: str = "mse",
    calib_table: Optional[CalibTable] = None,
    statistics: Optional[Statistics] = None,
    quantized_dtype: str = "auto",
    zero_points: bool = True,
    activation_bits: Optional[int] = None,
    precision_budget: float = 0.15,
    range_headroom: float = 0.05,
    equalize: bool = True,
    quantize_granularity: Union[str, Mapping[str, str]] = "channel-wise",
    weight_rounding: str = "adaptive",
    weight_bits: Union[int, Mapping[str, int]] = 8,
    bias_correction: bool = True,
    quantize_mode: str = "smart",
    excluded_sym_names: Sequence[str] = (),
    excluded_op_names: Sequence[str] = (),
    excluded_patterns: Sequence[str] = (),
    float_where_faster: bool = False,
    metric: object = None,
    max_drop: Optional[float] = None,
    min_metric: Optional[float] = None,
    eval_data: object = None,
    search_state: Optional[str] = None,
    regions: bool = True,
    preflight: bool = True,
    verify: Union[bool, str] = True,
    progress: Optional[bool] = None,
) -> QuantizedModel:
    """Turns a float MXNet network into an int8 one that runs on mxq's operators.

    >>> import mxnet as mx, mxq
    >>> model = mxq.quantize_model("resnet-symbol.json", "resnet-0000.params", batches)  # doctest: +SKIP
    >>> model.save("resnet-int8")  # doctest: +SKIP

    Args:
        sym: mx.sym.Symbol, or the path of its JSON file, or what its files begin with: ``prefix`` stands for
            ``prefix-symbol.json`` and ``prefix-0000.params``.
        params: one dict of NDArrays (names with or without ``arg:`` / ``aux:``), an ``(arg, aux)`` pair, or the path
            of a .params file; by default the file beside that of `sym`.
        calib_data: inputs like those the network will see, as float32 (or as `input_dtype` says): a DataIter, a Gluon
            DataLoader with or without labels, numpy arrays or NDArrays (first axis = examples; a dict by input name, or
            a tuple, for several inputs), or any iterable of batches. Not needed with `calib_table` or
            ``calib_mode='none'``.
        preset: 'default', or 'best': the closest to float, with activation_bits=11. Options given beside it count.

    Data:
        num_calib_examples: use exactly so many examples; all by default.
        data_names: inputs that are data, in the order of `calib_data`; all that are no label by default.
        label_names: inputs that are labels.
        keep_labels: heads such as SoftmaxOutput keep their labels, for a Module that is bound with shapes of labels;
            else they become what they compute at inference, and their labels are no inputs any more.
        data_shapes: input name -> shape, where there is no calibration data to tell.
        mean, std: per channel (or one number): the network gets raw pixels and does ``(x - mean) / std`` itself,
            exactly.
        input_dtype: type of the network's data: 'float32', or 'uint8' / 'int8' to be fed integers, which stand for
            themselves. With 'float32' and neither mean nor std, integers are accepted too.
        batch_size: for calibration data that comes in one piece.
        sub_batch: calibration runs so many examples at once, to save memory; None: batches as they come. Networks whose
            examples do not stand for themselves (a batch size in a Reshape, regions that name their image) get them so
            in any case.
        ctx: context that calibration runs on; the CPU by default.

    Ranges and activations:
        calib_mode: how a tensor's range is chosen: 'mse' (least squared error), 'entropy' (least KL divergence),
            'percentile', 'minmax' (also 'naive'), 'aciq' (in closed form), 'auto' (of all these,
            for each tensor, the one with the least squared error, where clipping counts as much as it costs the layers
            that read the tensor), or 'none': ranges are found at run time, which is slower.
        calib_table: a CalibTable or the path of a saved one, instead of calibration; or the path of an ncnn table (of
            ncnn2table or caffe-int8-convert-tools): what it has no scale of is calibrated, or float without data.
        statistics: what mxq.collect_statistics returned, or the path of its file, instead of `calib_data`: any
            `calib_mode` without running the network.
        quantized_dtype: 'auto' (uint8 for tensors without negative values, and with a zero point where that makes
            the error clearly smaller; else int8), 'int8' or 'uint8'.
        zero_points: False: with 'auto', tensors with negative values are int8 without a zero point.
        activation_bits: 8, or 11: what convolutions and fully connected layers read comes in two 8-bit parts, and
            residual sums, poolings and concats between them are float. The rounding of activations all but vanishes,
            for about twice the multiplications and four times the memory traffic of activations; operators other than
            those named, and grouped convolutions that add behind their activation, still read 8 bits.
        precision_budget: share of the network's time, as estimated, and of its weights that may be added where one
            tensor makes much of the noise: layers read it with 11 bits, poolings, concats and sums as float. Noise is
            measured on a few calibration examples; what is spread evenly, or near float, stays as it is. A network of
            which an output stays below 27 dB may spend three times as much.
            `model.precision` and the report say what was spent. 0: nothing. Not with activation_bits=11, nor with a
            calib_table, which says what is finer.
        range_headroom: share of the noise that may be added for ranges up to twice as wide as what calibration saw,
            where rounding hardly matters: other data reach further, and what is cut off costs more. Up to eight times
            this share of few examples, and where maps are small. With 'mse' and 'auto'. 0: ranges as they are.
        equalize: channels between layers get scales of their own first, so that rounding makes the least noise; the
            float network computes the same.

    Weights:
        quantize_granularity: scales of weights: 'channel-wise' or 'tensor-wise'; by operator with a dict such as
            ``{'FullyConnected': 'tensor-wise'}``.
        weight_rounding: 'adaptive' rounds weights so that their errors cancel on the calibration data; 'nearest'
            rounds each to the nearest level, and so does 'adaptive' where there is a table but no data.
        weight_bits: 8, or fewer for runtimes whose sums of two products must fit 16 bits: 7 for OpenVINO on processors
            without 8-bit dot products; by layer with a dict, such as that of `mxq.ncnn_weight_bits`. mxq's own
            operators need no fewer.
        bias_correction: biases take back the mean error that rounding the weights makes on the calibration data.

    What stays float:
        quantize_mode: 'smart' (int8 where it pays) or 'full' (wherever an operator has an int8 form).
        excluded_sym_names, excluded_op_names, excluded_patterns: lists of node names, operator names and regular
            expressions on node names that stay float. One that matches nothing is an error.
        float_where_faster: times every int8 operator among its neighbours, on this machine, at batch 1 or that of
            `data_shapes`, and leaves those float that are slower in int8, conversions included; the report has times.
        metric: keeps the fewest layers float for which this metric is good enough, see mxq.accuracy. Without labels,
            compared with float: 'top1', 'top5', 'cosine', 'sqnr', 'detection', 'miou'; with labels: 'accuracy', an
            mx.metric.EvalMetric; or an mxq.accuracy.Metric or a function ``metric(outputs, reference, batch)``.
        max_drop: how much worse than float the metric may be, absolute and in its own unit: 0.5 is half a percent of
            the examples for 'top1'.
        min_metric: in place of `max_drop`, the least value of the metric.
        eval_data: data for the metric, of any kind that `calib_data` can be, with labels behind the inputs where the
            metric needs them; read again for each evaluation. The calibration data by default.
        search_state: path of a file in which the search keeps what it measured: killed and called again, it goes on.

    Result:
        regions: neighbouring int8 operators run as one node of the symbol (`operators` has them one by one), which is
            faster; False: every operator is a node, whose output MXNet's tools can look at.
        preflight: looks first for what would spoil the result (see mxq.preflight), and logs it.
        verify: looks at the int8 network before it is returned: shapes follow from those of the data, and on a few
            calibration examples it runs and varies where float does; `verification` has the SQNR of each output, and
            where one is poor, a warning names the operator that costs most and what to try. 'warn': what would be an
            error is a warning, too. False: nobody looks.
        progress: True or False to show a progress bar or not; by default where a person is watching.

    Returns:
        QuantizedModel: ``(symbol, arg_params, aux_params)`` with ``save()``, ``table``, ``report``, ``accuracy`` and
            ``verification``.

    Raises:
        ConfigError: an argument that is not accepted. GraphError: a network that cannot be read, or an int8 one that
        cannot be used (see `verify`). CalibrationError: data or a table that do not fit. All are subclasses of MXQError
        and ValueError.
    """
    graph = read_network(sym, params)
    check_is_data(calib_data, graph)
    return quantize_graph(graph, calib_data, Options.of(locals()))


def is_int8(symbol: mx.sym.Symbol) -> bool:
    """Whether a network has int8 operators, mxq's or MXNet's own."""
    return any(quantized_nodes(json.loads(symbol.tojson())))


def read_network(sym, params, *, int8: bool = False) -> Graph:
    """The network of a symbol and parameters, or of their files; what MXNet has fused is taken apart.

    Networks with int8 operators are refused unless `int8` says that they are what is wanted.
    """
    if params is None and isinstance(sym, (str, os.PathLike)):
        params = prefix_of(sym)
    symbol = load_symbol(os.fspath(sym)) if isinstance(sym, (str, os.PathLike)) else sym
    check_symbol(symbol)
    arrays = load_params(os.fspath(params)) if isinstance(params, (str, os.PathLike)) else params
    check_names_match(symbol, arrays)
    if symbol is not sym and arrays is not params:
        args, aux = split_params(arrays, symbol)
        check_pair(symbol.tojson(), {**args, **aux}, os.fspath(sym), os.fspath(params))
    if not int8 or not is_int8(symbol):
        symbol = unfuse(symbol)
    return Graph.from_symbol(symbol, *split_params(arrays, symbol))
