"""quantize_model and quantize_model_mkldnn: what MXNet's own tests check, and the arguments."""

import json
import logging
import os
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.arithmetic.qmath import QMAX
from mxq.contrib import quantization
from mxq.contrib.quantization import quantize_model, quantize_model_mkldnn, quantize_model_onednn

from ..blocks import images, sqnr
from ..networks import NETWORKS, batch, fill, forward
from ..refusals import refused

BATCH = 4


def small():
    """Convolution with BN, residual sum, pooling, convolution, dense, as MXNet's tests have it."""
    data = mx.sym.var("data")
    x = mx.sym.Convolution(data, num_filter=4, kernel=(1, 1), no_bias=True, name="conv0")
    x = mx.sym.BatchNorm(x, fix_gamma=False, eps=2e-5, name="bn")
    x = mx.sym.Activation(x + data, act_type="relu", name="relu0")
    x = mx.sym.Pooling(x, kernel=(4, 4), pool_type="avg", name="pool0")
    x = mx.sym.Convolution(x, num_filter=4, kernel=(1, 1), name="conv1")
    x = mx.sym.Activation(x, act_type="relu", name="relu1")
    x = mx.sym.Pooling(x, kernel=(4, 4), pool_type="avg", name="pool1")
    x = mx.sym.FullyConnected(x, num_hidden=10, name="fc")
    return fill(mx.sym.SoftmaxOutput(x, name="softmax"), {"data": (BATCH, 4, 10, 10)})


def many_outputs():
    """A batch split into its examples: made for one batch size."""
    data = mx.sym.var("data")
    parts = mx.sym.split(data, axis=0, num_outputs=BATCH, squeeze_axis=1, name="split")
    convs = [mx.sym.Convolution(parts[i], kernel=(1, 1), num_filter=16, name=f"conv_{i}") for i in range(BATCH)]
    x = mx.sym.Concat(*[mx.sym.expand_dims(c, axis=0) for c in convs], dim=0, name="concat")
    x = mx.sym.reshape(x, shape=(BATCH, -1), name="reshape")
    x = mx.sym.FullyConnected(x, num_hidden=10, name="fc")
    return fill(mx.sym.SoftmaxOutput(x, name="softmax"), {"data": (BATCH, 4, 4, 10, 10)})


def endless(array):
    """A DataIter that gives one batch for ever."""

    class Endless(mx.io.DataIter):
        def __init__(self):
            super().__init__(BATCH)
            self.provide_data, self.provide_label = [mx.io.DataDesc("data", array.shape)], []

        def next(self):
            return mx.io.DataBatch([mx.nd.array(array)], [], pad=0)

    return Endless()


def nodes(sym, op):
    return [n for n in json.loads(sym.tojson())["nodes"] if n["op"] == op]


def check_params(sym, qsym, args, qargs, aux, qaux):
    """Every argument has a value; int8 weights stand for the float ones; what stays float is the same bit for bit."""
    assert set(qsym.list_arguments()) - set(qargs) <= {"data", "softmax_label"}
    assert set(qargs) <= set(qsym.list_arguments()) and set(qaux) == set(qsym.list_auxiliary_states())
    for name, array in qargs.items():
        if name.endswith("weight_quantize"):
            assert array.dtype == np.int8
            scale = qargs[name[: -len("quantize")] + "scale"].asnumpy()
            original = args[name[: -len("_quantize")]].asnumpy()
            if f"{name[: -len('_weight_quantize')]}" in ("conv_0", "conv_1", "conv_2", "conv_3", "conv1", "fc"):
                error = np.abs(array.asnumpy() * scale.reshape((-1,) + (1,) * (original.ndim - 1)) - original)
                # Half a step, and what the float32 scale is off by.
                assert (error.reshape(len(scale), -1).max(axis=1) <= scale * (0.5 + QMAX["int8"] * 1e-6)).all()
        elif name.endswith("bias_quantize"):
            assert array.dtype == np.int32
        elif name in args:
            folded = name.startswith("conv0")  # BatchNorm changed it
            assert folded or np.array_equal(array.asnumpy(), args[name].asnumpy())
    for name, array in qaux.items():
        assert np.array_equal(array.asnumpy(), aux[name].asnumpy())


def check_types(qsym, dtype, calibrated):
    quantizing = nodes(qsym, "mxq_quantize_v2")
    assert quantizing
    for node in quantizing:
        assert node["attrs"]["out_type"] == dtype
        assert ("min_calib_range" in node["attrs"] and "max_calib_range" in node["attrs"]) == calibrated


def check_module(qsym, qargs, qaux, shape):
    module = mx.mod.Module(qsym, context=mx.cpu())
    module.bind([("data", shape)], [("softmax_label", (BATCH,))], for_training=False)
    module.set_params(qargs, qaux)
    module.forward(mx.io.DataBatch([mx.nd.array(images(shape))], []), is_train=False)
    out = module.get_outputs()[0].asnumpy()
    assert out.shape == (BATCH, 10) and np.allclose(out.sum(axis=1), 1, atol=1e-5)
    return out


@parameterized.expand([(net, dtype, full) for net in (small, many_outputs) for dtype in ("int8", "uint8")
                       for full in ("smart", "full")])  # fmt: skip
def test_params_types_and_forward(make, dtype, mode):
    sym, args, aux, shapes = make()
    shape = shapes["data"]
    before = {n: a.asnumpy() for n, a in args.items()}
    reference = forward((sym, args, aux), {"data": images(shape)})[0]
    for calibration in (
        {"calib_mode": "none"},
        {"calib_mode": "naive", "calib_data": endless(images(shape)), "num_calib_examples": 20},
    ):
        options = {"ctx": mx.cpu(), "quantized_dtype": dtype, "quantize_mode": mode, **calibration}
        qsym, qargs, qaux = quantize_model(sym=sym, arg_params=args, aux_params=aux, **options)
        check_params(sym, qsym, args, qargs, aux, qaux)
        if calibration["calib_mode"] == "naive":
            check_types(qsym, dtype, True)
        out = check_module(qsym, qargs, qaux, shape)
        assert sqnr(reference, out) > 20
    assert all(np.array_equal(a.asnumpy(), before[n]) for n, a in args.items())


@parameterized.expand([(["fc", "concat"],), (["fc", "concat", "reshape"],)])
def test_excluded_nodes_of_a_network_with_many_outputs(excluded):
    sym, args, aux, shapes = many_outputs()
    given = list(excluded)
    model = quantize_model(sym, args, aux, excluded_sym_names=excluded, calib_mode="naive",
                           calib_data=endless(images(shapes["data"])), num_calib_examples=20)  # fmt: skip
    assert excluded == given
    rows = {row.node: row for row in model.report}
    assert all(rows[name].precision == "float" for name in excluded)
    assert rows["conv_0"].precision == "int8"
    assert np.array_equal(model.arg_params["fc_weight"].asnumpy(), args["fc_weight"].asnumpy())
    check_module(*model, shapes["data"])


@parameterized.expand([(["fc"],), (["fc", "pool0"],)])
def test_excluded_nodes(excluded):
    sym, args, aux, shapes = small()
    data = endless(images(shapes["data"]))
    model = quantize_model(sym, args, aux, excluded_sym_names=excluded, calib_mode="naive", calib_data=data,
                           num_calib_examples=8, quantize_mode="full")  # fmt: skip
    rows = {row.node: row for row in model.report}
    assert all(rows[name].precision == "float" and "excluded" in rows[name].reason for name in excluded)
    assert nodes(model.symbol, "FullyConnected") and bool(nodes(model.symbol, "Pooling")) == ("pool0" in excluded)
    assert np.array_equal(model.arg_params["fc_weight"].asnumpy(), args["fc_weight"].asnumpy())
    check_module(*model, shapes["data"])


@parameterized.expand(
    [
        ("Convolution", "Convolution"),
        ("_sg_mkldnn_conv", "Convolution"),
        ("_sg_onednn_conv", "Convolution"),
        ("quantized_conv", "Convolution"),
        ("_contrib_quantized_conv", "Convolution"),
        ("_sg_mkldnn_fully_connected", "FullyConnected"),
        ("quantized_fully_connected", "FullyConnected"),
        ("_contrib_quantized_pooling", "Pooling"),
        ("quantized_elemwise_add", "elemwise_add"),
    ]
)
def test_operators_by_any_of_their_names(given, op):
    sym, args, aux, shapes = small()
    model = quantize_model(sym, args, aux, excluded_op_names=[given], calib_mode="none", quantize_mode="full")
    assert all(row.precision == "float" for row in model.report if row.op == op)
    assert any(row.precision == "int8" for row in model.report)


def test_names_after_mxnets_fusion_mean_what_is_inside():
    sym, args, aux, shapes = small()
    fused = sym.get_backend_symbol("MKLDNN_QUANTIZE")
    name = next(n["name"] for n in json.loads(fused.tojson())["nodes"] if n["op"] == "_sg_mkldnn_fully_connected")
    for given in (sym, fused):
        model = quantize_model(given, args, aux, excluded_sym_names=[name], calib_mode="none")
        rows = {row.node: row.precision for row in model.report}
        assert rows["fc"] == "float" and rows["conv1"] == "int8"


@parameterized.expand(
    [
        ("excluded_sym_names", ["conv_0"], "conv0"),
        ("excluded_op_names", ["Convolve"], "Convolution"),
        ("excluded_op_names", ["_sg_mkldnn_selfatt"], "_sg_mkldnn_selfatt"),
        ("excluded_op_names", ["quantized_embedding"], "quantized_embedding"),
        ("excluded_sym_names", "conv0", "list"),
        ("excluded_op_names", "Convolution", "list"),
        ("excluded_sym_names", ["conv0", 3], "3"),
    ]
)
def test_exclusions_that_match_nothing(argument, value, hint):
    sym, args, aux, _ = small()
    refused(lambda: quantize_model(sym, args, aux, calib_mode="none", **{argument: value}), argument, hint)


@parameterized.expand([(name,) for name in NETWORKS])
def test_every_network_naive_equals_mxqs_own_minmax(name):
    sym, args, aux, shapes = NETWORKS[name]()
    data = batch(shapes)
    options = {"quantized_dtype": "auto", "quantize_mode": "full", "data_names": list(shapes)}
    data_iter = mx.io.NDArrayIter(dict(data), batch_size=next(iter(shapes.values()))[0])
    model = quantize_model_mkldnn(sym, args, aux, calib_mode="naive", calib_data=data_iter,
                                  quantize_granularity="channel-wise", **options)  # fmt: skip
    own = mxq.quantize_model(
        sym,
        (args, aux),
        data,
        calib_mode="minmax",
        weight_rounding="nearest",
        equalize=False,
        precision_budget=0,
        zero_points=False,
        sub_batch=None,
        keep_labels=True,
        **options,
    )
    assert model.table == own.table
    assert all(np.array_equal(p, q) for p, q in zip(forward(model, data), forward(own, data)))


def test_granularity_is_what_it_is_in_mxnet():
    sym, args, aux, shapes = small()
    scales = {}
    for granularity in ("tensor-wise", "channel-wise"):
        model = quantize_model(sym, args, aux, calib_mode="none", quantize_granularity=granularity)
        scales[granularity] = {n: len(np.unique(a.asnumpy())) for n, a in model.arg_params.items() if "scale" in n}
    assert scales["tensor-wise"]["fc_weight_scale"] == 1 and scales["channel-wise"]["fc_weight_scale"] == 10
    assert scales["tensor-wise"]["conv1_weight_scale"] == scales["channel-wise"]["conv1_weight_scale"] == 4


@parameterized.expand([("entropy",), ("mse",), ("percentile",), ("minmax",)])
def test_calibration_modes(mode):
    sym, args, aux, shapes = small()
    model = quantize_model(sym, args, aux, calib_mode=mode, calib_data=mx.io.NDArrayIter(images((32, 4, 10, 10)),
                           batch_size=8))  # fmt: skip
    assert model.table.mode == mode and model.table.num_examples == 32
    check_module(*model, shapes["data"])


def test_files_instead_of_a_symbol():
    sym, args, aux, shapes = small()
    with tempfile.TemporaryDirectory() as folder:
        sym.save(os.path.join(folder, "small-symbol.json"))
        model = quantize_model(os.path.join(folder, "small-symbol.json"), args, aux, calib_mode="none")
    check_module(*model, shapes["data"])
    refused(lambda: quantize_model("nothing-symbol.json", args, aux, calib_mode="none"), "nothing-symbol.json")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "odd-symbol.json")
        with open(path, "w") as file:
            file.write(sym.tojson().replace('"Pooling"', '"Poolung"'))
        refused(lambda: quantize_model(path, args, aux, calib_mode="none"), "Poolung", "pool0", "Pooling")


def test_spellings_of_mxnet_2_0():
    sym, args, aux, _ = small()
    data = mx.io.NDArrayIter(images((32, 4, 10, 10)), batch_size=8)
    model = quantize_model_onednn(sym, args, aux, calib_mode="naive", calib_data=data, device=mx.cpu(),
                                  num_calib_batches=3)  # fmt: skip
    assert model.table.num_examples == 24
    loader = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(images((32, 4, 10, 10))), 8)
    again = quantize_model(sym, args, aux, calib_mode="naive", calib_data=loader, num_calib_batches=3)
    assert again.table.ranges == model.table.ranges and again.table.num_examples == 24
    assert len(list(data)) == 4  # it was reset
    for count in (0, -1, 1.5, True):
        options = {"calib_data": data, "num_calib_batches": count}
        refused(lambda o=options: quantize_model(sym, args, aux, **o), "num_calib_batches")
    options = {"calib_data": images((8, 4, 10, 10)), "num_calib_batches": 2}
    refused(lambda: quantize_model(sym, args, aux, **options), "ndarray")


def test_arguments_that_are_not_accepted():
    sym, args, aux, _ = small()
    data = endless(images((BATCH, 4, 10, 10)))
    for options, parts in (
        ({"quantized_dtype": "int4"}, ["int4", "uint8"]),
        ({"quantize_granularity": "row-wise"}, ["row-wise", "channel-wise"]),
        ({"quantize_mode": "most"}, ["most", "smart"]),
        ({"calib_mode": "kl", "calib_data": data}, ["kl", "entropy"]),
        ({"calib_mode": "customize", "calib_data": data}, ["customize"]),
        ({"calib_mode": "naive"}, ["calib_data"]),
        ({"ctx": [mx.cpu(0), mx.cpu(1)]}, ["single ctx"]),
        ({"ctx": "cpu"}, ["single ctx"]),
        ({"data_names": ["image"]}, ["image", "data"]),
        ({"calib_mode": "naive", "calib_data": "calib.rec"}, ["the path 'calib.rec'", "mxq.data.images"]),
    ):
        refused(lambda o=options: quantize_model(sym, args, aux, **{"calib_mode": "none", **o}), *parts)
    refused(lambda: quantize_model_mkldnn(sym, args, aux, ctx=mx.gpu(0), calib_mode="none"), "gpu")
    missing = {name: array for name, array in args.items() if name != "conv1_weight"}
    refused(lambda: quantize_model(sym, missing, aux, calib_mode="none"), "conv1_weight")


def test_logger_gets_a_summary_and_no_environment_variable_is_set():
    sym, args, aux, _ = small()
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append((record.levelname, record.getMessage()))

    logger = logging.getLogger("test_contrib")
    logger.setLevel(logging.DEBUG)
    handler = Keep()
    logger.addHandler(handler)
    before = dict(os.environ)
    try:
        quantize_model(sym, args, aux, calib_mode="none", excluded_sym_names=["fc"], logger=logger)
        quantization.quantize_graph(sym, args, aux, calib_mode="naive", logger=logger)
    finally:
        logger.removeHandler(handler)
    assert dict(os.environ) == before
    assert [text for level, text in lines if level == "INFO" and "nodes int8" in text]
    assert [text for level, text in lines if level == "DEBUG" and "fc" in text and "excluded" in text]
