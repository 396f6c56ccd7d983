"""quantize_graph, calibration by the caller, calib_graph."""

import os
import tempfile

import mxnet as mx
import numpy as np
from mxnet.base import py_str
from parameterized import parameterized

import mxq
from mxq.contrib import quantization
from mxq.contrib.quantization import calib_graph, quantize_graph, quantize_model
from mxq.errors import CalibrationError

from ..blocks import images, sqnr
from ..networks import NETWORKS, batch, fill, forward, unfused
from ..refusals import refused
from .test_models import small


def _module(sym, args, aux, shapes):
    labels = [name for name in sym.list_arguments() if name.endswith("label")]
    module = mx.mod.Module(sym, data_names=list(shapes), label_names=labels)
    with unfused():
        module.bind(list(shapes.items()), for_training=False)
    module.set_params(args, aux, allow_missing=True)
    return module


def _iter(data):
    return mx.io.NDArrayIter(dict(data), batch_size=len(next(iter(data.values()))))  # it writes into its dict


@parameterized.expand([(name,) for name in NETWORKS])
def test_two_steps_equal_one(name):
    sym, args, aux, shapes = NETWORKS[name]()
    data = batch(shapes)
    options = {"calib_mode": "naive", "quantized_dtype": "auto"}
    qsym, _, _, collector = quantize_graph(sym, args, aux, data_shapes=shapes, **options)
    count = quantization._collect_layer_statistics(_module(sym, args, aux, shapes), _iter(data), collector)
    two = calib_graph(qsym, args, aux, collector, **options)
    one = quantize_model(sym, args, aux, list(shapes), calib_data=_iter(data), quantize_mode="full", **options)
    assert count == next(iter(shapes.values()))[0]
    assert set(two.table.ranges) == set(one.table.ranges)
    for key, (low, high) in one.table.ranges.items():
        # BatchNorm is folded in one of the two networks, so the same tensor is computed in another order.
        assert np.allclose(two.table.ranges[key], (low, high), rtol=1e-5, atol=1e-5 * (high - low)), key
    for p, q in zip(forward(one, data), forward(two, data)):
        assert sqnr(p, q) > 40


def test_uncalibrated_symbol_runs():
    sym, args, aux, shapes = small()
    for mode in ("none", "naive", "entropy"):
        qsym, qargs, qaux, collector = quantize_graph(sym, args, aux, calib_mode=mode)
        data = batch(shapes)
        assert all(qaux[name] is array for name, array in aux.items())  # as in MXNet: the float network needs them next
        used = {name: array for name, array in qaux.items() if name in qsym.list_auxiliary_states()}
        found = forward((qsym, qargs, used), data)[0]
        assert sqnr(forward((sym, args, aux), data)[0], found) > 20
        assert (collector is None) == (mode == "none")
    module = mx.mod.Module(qsym)
    module.bind([("data", shapes["data"])], [("softmax_label", shapes["data"][:1])], for_training=False)
    module.set_params(qargs, qaux)
    module.forward(mx.io.DataBatch([mx.nd.array(data["data"])], []), is_train=False)
    assert np.array_equal(module.get_outputs()[0].asnumpy(), found)


@parameterized.expand([("naive",), ("entropy",)])
def test_collector_on_a_module_that_mxnet_fuses(mode):
    """The way MXNet's documentation has it; a Module fuses operators, and tensors go by other names."""
    sym, args, aux, shapes = small()
    data = {"data": images((16, *shapes["data"][1:]))}
    qsym, _, _, collector = quantize_graph(sym, args, aux, calib_mode=mode)
    module = mx.mod.Module(sym)
    module.bind([("data", (16, *shapes["data"][1:]))], for_training=False)
    module.set_params(args, aux)
    module._exec_group.execs[0].set_monitor_callback(collector.collect, monitor_all=True)
    module.forward(mx.io.DataBatch([mx.nd.array(data["data"])], []), is_train=False)
    module.get_outputs()[0].wait_to_read()
    model = calib_graph(qsym, args, aux, collector, calib_mode=mode)
    assert model.table.mode == mode and model.report.count("int8") > 5
    reference = forward((sym, args, aux), data)[0]
    assert sqnr(reference, forward(model, data)[0]) > 20
    one = quantize_model(sym, args, aux, calib_mode=mode, calib_data=_iter(data), quantize_mode="full")
    if mode == "naive":
        for key, expected in one.table.ranges.items():
            assert np.allclose(model.table.ranges[key], expected, rtol=1e-5, atol=1e-5), key


@parameterized.expand([("sigmoid",), ("tanh",), ("softrelu",), ("gelu",)])
def test_what_reads_a_tensor_that_mxnets_fusion_hides_stays_float(act_type):
    """An executor computes a layer and its activation as one: the collector sees only what comes out."""
    x = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=6, name="conv0")
    kind = mx.sym.LeakyReLU if act_type == "gelu" else mx.sym.Activation
    x = mx.sym.Convolution(kind(x, act_type=act_type, name="act"), kernel=(3, 3), num_filter=6, name="conv1")
    sym, args, aux, shapes = fill(x, {"data": (4, 3, 9, 9)})
    data = batch(shapes)
    qsym, _, _, collector = quantize_graph(sym, args, aux, calib_mode="naive")
    executor = sym.simple_bind(mx.cpu(), grad_req="null", **shapes)  # as scripts do, with MXNet's default fusion
    executor.copy_params_from(args, aux)
    executor.set_monitor_callback(collector.collect, monitor_all=True)
    executor.forward(is_train=False, data=mx.nd.array(data["data"]))[0].wait_to_read()
    assert "conv0_output" not in collector.min_max_dict
    model = calib_graph(qsym, args, aux, collector, calib_mode="naive")
    rows = {row.node: row for row in model.report}
    assert (rows["conv0"].precision, rows["act"].precision, rows["conv1"].precision) == ("int8", "float", "int8")
    assert "MXNet's executor computes its input 'conv0' inside 'sg_mkldnn_conv_act_0'" in rows["act"].reason
    assert sqnr(forward((sym, args, aux), data)[0], forward(model, data)[0]) > 25


def test_initializers_of_a_module_leave_int8_parameters_to_set_params():
    sym, args, aux, shapes = small()
    data = batch(shapes)
    model = quantize_model(sym, args, aux, calib_mode="naive", calib_data=_iter(data))
    module = mx.mod.Module(model.symbol)
    module.bind([("data", shapes["data"])], [("softmax_label", shapes["data"][:1])], for_training=False)
    module.init_params(mx.init.Xavier())
    module.set_params(model.arg_params, model.aux_params)
    module.forward(mx.io.DataBatch([mx.nd.array(data["data"])], []), is_train=False)
    assert np.array_equal(module.get_outputs()[0].asnumpy(), forward(model, data)[0])


def test_data_and_labels_among_the_parameters():
    """``executor.arg_dict`` holds them too, and MXNet takes it."""
    sym, args, aux, shapes = small()
    executor = sym.simple_bind(mx.cpu(), grad_req="null", **shapes)
    executor.copy_params_from(args, aux)
    data = batch(shapes)
    qsym, _, _, collector = quantize_graph(sym, executor.arg_dict, executor.aux_dict, calib_mode="naive")
    quantization._collect_layer_statistics(_module(sym, args, aux, shapes), _iter(data), collector)
    two = calib_graph(qsym, executor.arg_dict, executor.aux_dict, collector, calib_mode="naive")
    options = {"calib_mode": "naive", "calib_data": _iter(data), "quantize_mode": "full"}
    one = quantize_model(sym, executor.arg_dict, executor.aux_dict, **options)
    wanted = quantize_model(sym, args, aux, **options)
    assert one.symbol.tojson() == wanted.symbol.tojson() and set(two.table.ranges) == set(one.table.ranges)
    own = mxq.quantize_model(sym, (executor.arg_dict, executor.aux_dict), data["data"])
    assert np.array_equal(forward(own, data)[0], forward(mxq.quantize_model(sym, (args, aux), data["data"]), data)[0])
    assert own.symbol.list_arguments()[0] == "data"
    refused(
        lambda: mxq.quantize_model(sym, (args, aux), data["data"], data_names=["data", "conv0_weight"]),
        "'conv0_weight' is a parameter",
    )


def test_symbol_that_mxnet_has_fused_before():
    sym, args, aux, shapes = small()
    data = batch(shapes)
    fused = sym.get_backend_symbol("MKLDNN_QUANTIZE")
    qsym, _, _, collector = quantize_graph(fused, args, aux, calib_mode="naive")
    assert any(name.startswith("sg_mkldnn_conv") for name in collector.include_layer)
    count = quantization._collect_layer_statistics(_fused_module(fused, args, aux, shapes), _iter(data), collector)
    model = calib_graph(qsym, args, aux, collector, calib_mode="naive")
    assert count == shapes["data"][0] and model.report.count("int8") > 5
    after = model.symbol.get_backend_symbol("MKLDNN_QUANTIZE")  # what scripts do next
    assert sqnr(forward((sym, args, aux), data)[0], forward((after, *model[1:]), data)[0]) > 20


def _fused_module(fused, args, aux, shapes):
    module = mx.mod.Module(fused)
    module.bind(list(shapes.items()), for_training=False)
    module.set_params(args, aux)
    return module


def test_plan_survives_saving_and_loading():
    sym, args, aux, shapes = small()
    data = batch(shapes)
    qsym, _, _, collector = quantize_graph(sym, args, aux, calib_mode="naive", excluded_sym_names=["fc"])
    quantization._collect_layer_statistics(_module(sym, args, aux, shapes), _iter(data), collector)
    direct = calib_graph(qsym, args, aux, collector, calib_mode="naive")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "plan-symbol.json")
        qsym.save(path)
        loaded = calib_graph(path, args, aux, collector, calib_mode="naive")
    assert loaded.symbol.tojson() == direct.symbol.tojson()
    assert {row.node: row.precision for row in loaded.report}["fc"] == "float"
    assert "__mxq_plan__" not in loaded.symbol.tojson()


class Old:
    """A collector as scripts for MXNet 1.9 have it: bytes and raw handles, its own idea of what to include."""

    def __init__(self, margin=1.0):
        self.min_max_dict, self.margin = {}, margin

    def collect(self, name, arr):
        import ctypes

        name = py_str(name)
        arr = mx.nd.NDArray(ctypes.cast(arr, mx.base.NDArrayHandle), writable=False)
        low, high = self.min_max_dict.get(name, (0.0, 0.0))
        self.min_max_dict[name] = (
            min(low, arr.min().asscalar() * self.margin),
            max(high, arr.max().asscalar() * self.margin),
        )


class New(quantization.CalibrationCollector):
    """A collector as MXNet 2.0 has it."""

    def collect(self, name, op_name, arr):
        if name in self.include_layers:
            assert isinstance(arr, mx.nd.NDArray)
            low, high = self.min_max_dict.get(name, (0.0, 0.0))
            self.min_max_dict[name] = (min(low, arr.min().asscalar()), max(high, arr.max().asscalar()))

    def post_collect(self):
        return {name: (low * 2, high * 2) for name, (low, high) in self.min_max_dict.items()}


@parameterized.expand([("customize",), ("custom",)])
def test_own_collector_of_mxnet_1_9(mode):
    sym, args, aux, shapes = small()
    data = batch(shapes)
    own = Old(margin=2.0)
    qsym, _, _, collector = quantize_graph(sym, args, aux, calib_mode=mode, LayerOutputCollector=own)
    assert collector is own
    module = _module(sym, args, aux, shapes)
    with unfused():
        executor = sym.simple_bind(mx.cpu(), grad_req="null", **shapes)
    executor.copy_params_from(args, aux)
    executor.set_monitor_callback(own.collect, monitor_all=True)
    executor.forward(is_train=False, data=mx.nd.array(data["data"]))[0].wait_to_read()
    direct = dict(own.min_max_dict)
    quantization._collect_layer_statistics(module, _iter(data), own)  # the same tensors by the same names
    assert {n: direct[n] for n in direct} == {n: own.min_max_dict[n] for n in direct}
    model = calib_graph(qsym, args, aux, own, calib_mode=mode)
    low, high = float(data["data"].min()), float(data["data"].max())
    assert np.allclose(model.table.range("data"), (2 * low, 2 * high))
    assert sqnr(forward((sym, args, aux), data)[0], forward(model, data)[0]) > 20


def test_own_collector_of_mxnet_2_0():
    sym, args, aux, shapes = small()
    data = batch(shapes)
    own = New()
    qsym, _, _, collector = quantize_graph(sym, args, aux, calib_mode="custom", LayerOutputCollector=own)
    assert collector is own and "data" in own.include_layers and "relu0_output" in own.include_layers
    quantization._collect_layer_statistics(_module(sym, args, aux, shapes), _iter(data), own)
    model = calib_graph(qsym, args, aux, own, calib_mode="custom")
    assert np.allclose(model.table.range("data"), (2 * data["data"].min(), 2 * data["data"].max()))


def test_thresholds_reach_the_symbol_with_all_digits():
    sym, args, aux, _ = small()
    own = Old()
    qsym, *_ = quantize_graph(sym, args, aux, calib_mode="customize", LayerOutputCollector=own)
    rng = np.random.RandomState(0)
    outputs = sym.get_internals().list_outputs()
    own.min_max_dict = {name: (-float(rng.uniform(100, 200)), float(rng.uniform(100, 200))) for name in outputs}
    model = calib_graph(qsym, args, aux, own, calib_mode="customize")
    for name in ("data", "relu0"):
        attrs = model.qdq.node(f"{name}_quantize").attrs
        expected = own.min_max_dict[name if name == "data" else f"{name}_output"]
        assert (float(attrs["min_calib_range"]), float(attrs["max_calib_range"])) == expected


def test_errors_of_a_callers_collector_are_not_lost():
    class Broken:
        min_max_dict = {}

        def collect(self, name, arr):
            raise KeyError("a bug of the caller")

    sym, args, aux, shapes = small()
    module = _module(sym, args, aux, shapes)
    call = lambda: quantization._collect_layer_statistics(module, _iter(batch(shapes)), Broken())  # noqa: E731
    refused(call, "a bug of the caller", error=KeyError)


def test_what_calib_graph_refuses():
    sym, args, aux, shapes = small()
    qsym, qargs, qaux, collector = quantize_graph(sym, args, aux, calib_mode="naive")
    refused(lambda: calib_graph(qsym, args, aux, collector, calib_mode="naive"), "relu0", error=CalibrationError)
    quantization._collect_layer_statistics(_module(sym, args, aux, shapes), _iter(batch(shapes)), collector)
    refused(lambda: calib_graph(qsym, qargs, qaux, collector, calib_mode="naive"), "float arg_params", "weight")
    refused(lambda: calib_graph(sym, args, aux, collector, calib_mode="naive"), "quantize_graph")
    refused(lambda: calib_graph(qsym, args, aux, collector), "hist_dict")
    refused(lambda: calib_graph(qsym, args, aux, collector, calib_mode="none"), "naive")
    refused(lambda: calib_graph(qsym, args, aux, collector, calib_mode=None), "naive")
    refused(lambda: calib_graph(qsym, args, aux, collector, calib_mode="naive", quantized_dtype="int4"), "int4")
    collector.min_max_dict["data"] = ("low", None)
    refused(lambda: calib_graph(qsym, args, aux, collector, calib_mode="naive"), "data", "low")


def test_what_quantize_graph_refuses():
    sym, args, aux, _ = small()
    for options, parts in (
        ({"calib_mode": "customize"}, ["LayerOutputCollector"]),
        ({"calib_mode": "customize", "LayerOutputCollector": object()}, ["collect"]),
        ({"calib_mode": "kl"}, ["kl"]),
        ({"calib_mode": "mse"}, ["mse", "quantize_model"]),
        ({"ctx": [mx.cpu()]}, ["single ctx"]),
        ({"excluded_sym_names": ("fc",)}, ["list"]),
        ({"excluded_sym_names": ["fcc"]}, ["fcc", "fc"]),
        ({"quantized_dtype": "float16"}, ["float16"]),
        ({"quantize_granularity": 3}, ["3"]),
    ):
        refused(lambda o=options: quantize_graph(sym, args, aux, **o), *parts)


def test_operators_that_share_a_name_are_told_apart_by_their_union():
    x = mx.sym.var("data")
    for i in range(2):
        x = mx.sym.Convolution(x, num_filter=3, kernel=(1, 1), name=f"conv{i}")
        x = mx.sym.Activation(x, act_type="relu", name="relu")
    sym, args, aux, shapes = fill(mx.sym.FullyConnected(x, num_hidden=3, name="fc"), {"data": (4, 3, 5, 5)})
    data = batch(shapes)
    qsym, _, _, collector = quantize_graph(sym, args, aux, calib_mode="naive", data_shapes=shapes)
    quantization._collect_layer_statistics(_module(sym, args, aux, shapes), _iter(data), collector)
    model = calib_graph(qsym, args, aux, collector, calib_mode="naive")
    assert sqnr(forward((sym, args, aux), data)[0], forward(model, data)[0]) > 20
