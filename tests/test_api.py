"""quantize_model: what it refuses, in which words, and before any work is done."""

import json

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.arguments import check_options
from mxq.options import Options

from .networks import NETWORKS, fill, forward
from .refusals import refused

SYM, ARGS, AUX, SHAPES = NETWORKS["residual"]()
PARAMS = (ARGS, AUX)
DATA = np.random.RandomState(0).normal(0, 1, (8, 3, 9, 9)).astype(np.float32)


def quantize(data=DATA, params=PARAMS, sym=SYM, **options):
    return mxq.quantize_model(sym, params, data, **options)


def never():
    raise AssertionError("the calibration data was read")
    yield


OPTIONS = [
    ("calib_mode", "entrpoy", "'entrpoy'", "nearest: entropy"),
    ("calib_mode", ["mse"], "['mse']", "minmax"),
    ("preset", "bst", "preset='bst'", "default, best", "nearest: best"),
    ("activation_bits", 16, "activation_bits=16", "8, 11"),
    ("calibmode", "mse", "no option 'calibmode'", "nearest: calib_mode"),
    ("num_calib_examples", 0, "num_calib_examples=0", "from 1"),
    ("num_calib_examples", "5", "num_calib_examples='5'", "from 1"),
    ("batch_size", None, "batch_size=None", "from 1"),
    ("sub_batch", 0, "sub_batch=0", "from 1"),
    ("sub_batch", -1, "sub_batch=-1", "from 1"),
    ("sub_batch", "a", "sub_batch='a'", "from 1"),
    ("quantized_dtype", np.int8, "quantized_dtype=", "auto, int8, uint8"),
    ("quantize_mode", "smrt", "quantize_mode='smrt'", "smart, full"),
    ("quantize_granularity", "channel", "quantize_granularity='channel'", "tensor-wise"),
    ("quantize_granularity", {"FulyConnected": "tensor-wise"}, "'FulyConnected'", "FullyConnected"),
    ("input_dtype", "int16", "input_dtype='int16'", "float32, int8, uint8"),
    ("data_names", "data", "data_names='data'", "list of strings"),
    ("label_names", "label", "label_names='label'", "list of strings"),
    ("data_shapes", [(8, 3, 9, 9)], "data_shapes=[(8, 3, 9, 9)]", "dict by input name"),
    ("data_shapes", {"data": (8, 3.5)}, "data_shapes['data']=(8, 3.5)", "integers"),
    ("data_shapes", {"dat": (8, 3, 9, 9)}, "data_shapes has 'dat'", "nearest: data", "inputs: data"),
    ("calib_table", {"conv0": (0, 1)}, "calib_table is a dict", "CalibTable"),
    ("ctx", "cpu", "ctx='cpu'", "mx.cpu()"),
    ("excluded_sym_names", ["conv00"], "no node is named 'conv00'", "nearest: conv0"),
    ("excluded_op_names", ["convolution"], "no node is a 'convolution'", "nearest: Convolution"),
    ("excluded_patterns", ["("], "'(' is no regular expression"),
]


@parameterized.expand([(f"{i}_{name}", name, value, parts) for i, (name, value, *parts) in enumerate(OPTIONS)])
def test_an_option_is_refused_before_the_data_is_read(_, name, value, parts):
    refused(lambda: quantize(never(), **{name: value}), *parts, error=mxq.ConfigError)


def test_a_context_that_this_mxnet_lacks_is_refused():
    if not mx.context.num_gpus():
        refused(lambda: check_options(Options(ctx=mx.gpu(3))), "ctx=gpu(3)", "mx.cpu()", error=mxq.ConfigError)


NORMALIZATIONS = [
    ({"mean": (1, 2)}, "mean has 2 values", "(8, 3, 9, 9) has 3 channels"),
    ({"mean": "imagenet"}, "mean='imagenet'", "finite number"),
    ({"mean": ()}, "mean=()", "finite number"),
    ({"std": 0}, "std=0", "above 0"),
    ({"std": (1, -1, 1)}, "std=(1, -1, 1)", "above 0"),
    ({"std": float("nan")}, "std=nan", "finite"),
]


@parameterized.expand([(str(i), *case) for i, case in enumerate(NORMALIZATIONS)])
def test_normalization_that_does_not_fit_is_refused(_, options, *parts):
    refused(lambda: quantize(**options), *parts, error=mxq.ConfigError)


@parameterized.expand([("float", DATA, "1.76"), ("range", np.full(DATA.shape, 256.0, np.float32), "256.0")])
def test_data_that_is_no_uint8_is_refused_for_a_uint8_input(_, data, value):
    parts = ("'data' of calibration batch 0", value, "'uint8'", "0 to 255")
    refused(lambda: quantize(data, input_dtype="uint8"), *parts, error=mxq.CalibrationError)


def test_uint8_does_not_wrap_around_in_an_int8_input():
    data = np.full(DATA.shape, 200, np.uint8)
    refused(lambda: quantize(data, input_dtype="int8"), "200", "-128 to 127", error=mxq.CalibrationError)


def test_pixels_as_floats_calibrate_an_integer_input():
    pixels = np.random.RandomState(0).randint(0, 256, DATA.shape)
    options = dict(mean=(120, 110, 100), std=(60.0, 55, 50), input_dtype="uint8")
    ours, theirs = quantize(pixels.astype(np.float32), **options), quantize(pixels.astype(np.uint8), **options)
    assert ours.table == theirs.table


@parameterized.expand([("float16",), ("float64",)])
def test_parameters_of_another_precision_are_refused(dtype):
    params = tuple({name: array.astype(dtype) for name, array in group.items()} for group in PARAMS)
    for mode in ("mse", "none"):
        refused(lambda: quantize(params=params, calib_mode=mode), "conv0_weight", dtype, "astype('float32')")  # noqa: B023


def test_integer_weights_are_refused():
    params = ({**ARGS, "fc_weight": ARGS["fc_weight"].astype("int32")}, AUX)
    refused(lambda: quantize(params=params), "'fc_weight' of FullyConnected 'fc' is int32", error=mxq.GraphError)


@parameterized.expand([("nothing", None), ("number", 3), ("block", mx.gluon.nn.Dense(2))])
def test_what_is_no_symbol_is_refused(kind, sym):
    parts = ("give an mx.sym.Symbol", *(("mxq.quantize_net",) if kind == "block" else ()))
    refused(lambda: quantize(sym=sym), *parts, error=mxq.GraphError)


def test_a_quantized_network_is_refused():
    model = quantize()
    refused(lambda: mxq.quantize_model(model.symbol, model[1:], DATA), "quantized already", error=mxq.GraphError)


@parameterized.expand([(-1,), ("a",), (True,)])
def test_an_epoch_that_is_none_is_refused(epoch):
    refused(lambda: quantize().save("unused", epoch=epoch), f"epoch={epoch!r}", error=mxq.ConfigError)


# -- normalization of data that is no image ----------------------------------------------------------------------------


@parameterized.expand([(n, kind) for n in ("fully_connected", "conv1d") for kind in ("scalar", "channels")])
def test_normalization_of_other_ranks_than_four(name, kind):
    """Rank 3 and 2 here; an array for images broadcast these to rank 4, and a batch of one went wrong in silence."""
    sym, args, aux, shapes = NETWORKS[name]()
    if name == "fully_connected":
        sym = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=5, name="fc")
        args, aux, shapes = (
            {"fc_weight": mx.nd.random.normal(shape=(5, 7)), "fc_bias": mx.nd.ones(5)},
            {},
            {"data": (1, 7)},
        )
    shape = (1, *shapes["data"][1:])
    pixels = np.random.RandomState(0).randint(0, 256, (16, *shape[1:])).astype(np.uint8)
    axes = (1, -1) + (1,) * (len(shape) - 2)
    mean = 110.0 if kind == "scalar" else np.linspace(90, 130, shape[1])
    std = 60.0 if kind == "scalar" else np.linspace(40, 80, shape[1])
    model = mxq.quantize_model(sym, (args, aux), pixels, mean=mean, std=std, input_dtype="uint8")
    normalized = (pixels - np.reshape(mean, axes[: len(shape)] if kind == "channels" else ())) / np.reshape(
        std, axes[: len(shape)] if kind == "channels" else ()
    )
    for i in range(4):
        wanted = forward((sym, args, aux), {"data": normalized[i : i + 1].astype(np.float32)})[0]
        got = forward(model, {"data": pixels[i : i + 1]})[0]
        assert got.shape == wanted.shape
        assert np.abs(got - wanted).max() <= 0.05 * np.abs(wanted).max(), (got, wanted)


# -- networks in which nothing becomes int8 ----------------------------------------------------------------------------


def _nodes(sym):
    return [(node["op"], node["name"]) for node in json.loads(sym.tojson())["nodes"]]


def _layerless():
    x = mx.sym.Dropout(mx.sym.BatchNorm(mx.sym.var("data"), fix_gamma=False, name="bn"), name="drop")
    return fill(mx.sym.softmax(mx.sym.identity(x, name="copy"), name="prob"), {"data": (2, 7)})


@parameterized.expand([("layerless", _layerless, {}), ("excluded", NETWORKS["plain"], {"excluded_patterns": ["."]})])
def test_a_network_without_int8_comes_back_unchanged(_, network, options):
    sym, args, aux, shapes = network()
    data = np.random.RandomState(0).normal(0, 1, (4, *shapes["data"][1:])).astype(np.float32)
    for mode in ("mse", "none"):
        model = mxq.quantize_model(sym, (args, aux), data, calib_mode=mode, **options)
        assert _nodes(model.symbol) == _nodes(sym)
        assert set(model.arg_params) == set(args) and set(model.aux_params) == set(aux)
        assert np.array_equal(forward(model, {"data": data})[0], forward((sym, args, aux), {"data": data})[0])
        assert model.report.count("float") == len(model.report)


def test_a_network_without_int8_still_gets_its_normalization():
    sym, args, aux, _ = _layerless()
    pixels = np.random.RandomState(0).randint(0, 256, (4, 7)).astype(np.uint8)
    model = mxq.quantize_model(sym, (args, aux), pixels, mean=100.0, std=50.0, input_dtype="uint8")
    wanted = forward((sym, args, aux), {"data": (pixels.astype(np.float32) - 100) / 50})[0]
    assert np.array_equal(forward(model, {"data": pixels})[0], wanted)


# -- tables ------------------------------------------------------------------------------------------------------------


@parameterized.expand([("ranges",), ("channel_means",)])
def test_an_edited_table_that_does_not_fit_is_refused(what):
    table = quantize().table
    ranges, means = dict(table.ranges), dict(table.channel_means)
    if what == "ranges":
        del ranges["data"]
    else:
        means["data"] = (1.0, 2.0)
    edited = mxq.CalibTable(ranges, table.mode, table.graph_hash, table.num_examples, channel_means=means)
    parts = ("'data'", "calibrate again") if what == "ranges" else ("2 channel means", "'conv0'", "3 inputs")
    refused(lambda: quantize(None, calib_table=edited), *parts, error=mxq.CalibrationError)


def test_a_table_gives_the_network_again():
    for options in ({}, {"calib_mode": "entropy"}, {"equalize": False}):
        options["weight_rounding"] = "nearest"  # adaptive rounding needs the data itself
        first = quantize(**options)
        again = quantize(None, calib_table=first.table, **options)
        assert np.array_equal(forward(first, {"data": DATA})[0], forward(again, {"data": DATA})[0])


# -- axes whose size depends on the batch ------------------------------------------------------------------------------


@parameterized.expand([(4,), (5,), (7,)])
def test_axis_1_may_be_the_batch(batch_size):
    """Rows first, as recurrent networks have it; the last batch is smaller where 10 is no multiple."""
    x = mx.sym.transpose(mx.sym.var("data"), axes=(1, 0, 2), name="rows_first")
    x = mx.sym.FullyConnected(x, num_hidden=8, flatten=False, name="fc1")
    x = mx.sym.Activation(x, act_type="relu", name="relu1")
    sym, args, aux, _ = fill(
        mx.sym.FullyConnected(x, num_hidden=3, flatten=False, name="fc2"), {"data": (batch_size, 5, 6)}
    )
    data = np.random.RandomState(0).normal(1, 1, (10, 5, 6)).astype(np.float32)
    model = mxq.quantize_model(sym, (args, aux), data, batch_size=batch_size, sub_batch=None)
    got, wanted = forward(model, {"data": data})[0], forward((sym, args, aux), {"data": data})[0]
    assert np.square(wanted).sum() > 10**3 * np.square(got - wanted).sum()


@parameterized.expand([(6, 6), (6, 8), (5, 10), (1, 7)])
def test_rows_before_a_layer_that_flattens(rows, hidden):
    """Channels of very different ranges, on the last axis: equalization must not take rows for channels."""
    x = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=hidden, flatten=False, name="fc1")
    x = mx.sym.FullyConnected(mx.sym.Activation(x, act_type="relu", name="relu1"), num_hidden=4, name="fc2")
    sym, args, aux, _ = fill(x, {"data": (4, rows, 6)})
    scales = mx.nd.array(np.logspace(-1.5, 0, hidden))
    args["fc1_weight"], args["fc1_bias"] = args["fc1_weight"] * scales.reshape((-1, 1)), args["fc1_bias"] * scales
    data = np.random.RandomState(0).normal(1, 1, (64, rows, 6)).astype(np.float32)
    model = mxq.quantize_model(sym, (args, aux), data)
    got, wanted = forward(model, {"data": data})[0], forward((sym, args, aux), {"data": data})[0]
    assert np.square(wanted).sum() > 10**3 * np.square(got - wanted).sum()


def test_repr_is_one_line():
    text = repr(quantize())
    assert "int8" in text and "CalibTable mse" in text and "\n" not in text and len(text) < 200
