"""Where MXNet 1.9.1's module fails, misleads or loses something, and this one must not. One test a defect."""

import json
import os
import subprocess
import sys

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.contrib import quantization
from mxq.contrib.quantization import quantize_model, quantize_net

from .. import blocks
from ..blocks import images, sqnr
from ..networks import fill, forward
from ..realdata import REPO
from ..refusals import refused


def _net(scale=1.0, shape=(4, 3, 9, 9)):
    x = mx.sym.Convolution(mx.sym.var("data"), num_filter=6, kernel=(3, 3), name="conv0")
    x = mx.sym.Activation(x, act_type="relu", name="relu0")
    x = mx.sym.Convolution(x, num_filter=5, kernel=(3, 3), no_bias=True, name="conv1")
    sym, args, aux, shapes = fill(x, {"data": shape})
    args = {name: array * (scale if name.endswith("weight") else 1.0) for name, array in args.items()}
    return sym, args, aux, shapes


def _calibrated(arrays, mode, bias=1.0, **options):
    sym, args, aux, _ = _net()
    args["conv0_bias"] *= bias
    data = mx.io.NDArrayIter(arrays, batch_size=4)
    model = quantize_model(sym, args, aux, calib_mode=mode, calib_data=data, **options)
    data = {"data": arrays[-4:]}
    return sqnr(forward((sym, args, aux), data)[0], forward(model, data)[0]), model


@parameterized.expand([("zeros", 0.0), ("tiny", 1e-7)])
def test_1_and_2_first_batch_of_zeros_or_of_tiny_values(name, factor):
    arrays = images((12, 3, 9, 9))
    arrays[:4] *= factor
    for mode in ("entropy", "naive"):
        quality, model = _calibrated(arrays, mode, bias=0.0)  # so that zeros give zeros
        assert quality > 20
        assert model.table.num_examples == 12


@parameterized.expand([("zeros", 0.0), ("tiny", 1e-7)])
def test_1_and_2_in_two_steps(name, factor):
    arrays = images((12, 3, 9, 9))
    arrays[:4] *= factor
    sym, args, aux, _ = _net()
    args["conv0_bias"] *= 0.0
    qsym, _, _, collector = quantization.quantize_graph(sym, args, aux, calib_mode="entropy")
    module = mx.mod.Module(sym, label_names=None)
    module.bind([("data", (4, 3, 9, 9))], for_training=False)
    module.set_params(args, aux)
    count = quantization._collect_layer_statistics(module, mx.io.NDArrayIter(arrays, batch_size=4), collector)
    model = quantization.calib_graph(qsym, args, aux, collector)
    assert count == 12 and max(len(hist[0]) for hist in collector.hist_dict.values()) <= 4 * 8001
    data = {"data": arrays[-4:]}
    assert sqnr(forward((sym, args, aux), data)[0], forward(model, data)[0]) > 20


def test_3_entropy_sees_one_sided_distributions():
    _, model = _calibrated(images((64, 3, 9, 9)), "entropy", quantized_dtype="auto")
    low, high = model.table.range("relu0")
    assert low == 0 and high > 0
    quantizing = [n["attrs"] for n in json.loads(model.qdq.symbol().tojson())["nodes"] if n["op"] == "mxq_quantize_v2"]
    assert sorted(attrs["out_type"] for attrs in quantizing) == ["int8", "uint8"]


def test_4_entropy_without_scipy():
    code = """
import sys
sys.modules["scipy"] = None
import mxnet as mx
from mxq.contrib import quantization
from tests.contrib.test_defects import _calibrated, images
assert _calibrated(images((8, 3, 9, 9)), "entropy")[0] > 20
assert quantization._get_optimal_thresholds({}, "int8") == {}
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, stderr=subprocess.PIPE, timeout=900)
    assert done.returncode == 0, done.stderr.decode()


def test_5_loader_without_labels_and_networks_that_fail_to_run():
    net = blocks.trained()
    loader = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(images((8, 3, 12, 10))), 4)
    block = quantize_net(net, calib_data=loader, calib_mode="naive")
    assert block.table.num_examples == 8
    waiting = blocks.initialized(blocks.classifier())
    refused(lambda: quantize_net(waiting, data_shapes=[mx.io.DataDesc("data", (1, 12))]), "(1, 12)")
    refused(lambda: quantize_net(blocks.Shaped(), data_shapes=[(1, 3, 12, 10)]), "traced")
    refused(lambda: quantize_net(net), "data_shapes")


@parameterized.expand([(True,), (False,)])
def test_6_batchnorm_that_is_not_folded_heeds_fix_gamma(fix_gamma):
    x = mx.sym.BatchNorm(mx.sym.var("data"), fix_gamma=fix_gamma, name="bn")
    x = mx.sym.Convolution(x, num_filter=5, kernel=(3, 3), pad=(1, 1), name="conv")
    sym, args, aux, _ = fill(x, {"data": (4, 3, 9, 9)})
    args["bn_gamma"][:] = 3.0
    arrays = images((16, 3, 9, 9))
    model = quantize_model(sym, args, aux, calib_mode="naive", calib_data=mx.io.NDArrayIter(arrays, batch_size=4),
                           quantize_mode="full")  # fmt: skip
    assert sqnr(forward((sym, args, aux), {"data": arrays})[0], forward(model, {"data": arrays})[0]) > 25


def test_7_residual_sum_with_relu6_behind_it_is_one_operator():
    data = mx.sym.var("data")
    x = mx.sym.Convolution(data, num_filter=4, kernel=(1, 1), name="conv0")
    y = mx.sym.Convolution(x, num_filter=4, kernel=(3, 3), pad=(1, 1), name="conv1")
    x = mx.sym.clip(y + x, 0, 6, name="relu6")
    sym, args, aux, _ = fill(mx.sym.Convolution(x, num_filter=3, kernel=(1, 1), name="conv2"), {"data": (4, 3, 9, 9)})
    arrays = images((16, 3, 9, 9))
    model = quantize_model(sym, args, aux, calib_mode="naive", calib_data=mx.io.NDArrayIter(arrays, batch_size=4))
    ops = [n["op"] for n in json.loads(model.symbol.tojson())["nodes"] if n["op"] != "null"]
    assert ops.count("mxq_conv") == 3 and not {"mxq_elemwise_add", "mxq_lut", "clip", "elemwise_add"} & set(ops)
    assert sqnr(forward((sym, args, aux), {"data": arrays})[0], forward(model, {"data": arrays})[0]) > 25


class Counting(mx.io.NDArrayIter):
    resets = 0

    def reset(self):
        Counting.resets += 1
        super().reset()


def test_8_iterators_are_reset_padding_is_no_data_and_labels_are_not_needed():
    arrays = images((6, 3, 9, 9))
    sym, args, aux, _ = _net()
    data = Counting(arrays, batch_size=4)  # the last batch wraps around: pad=2
    next(data)
    first = quantize_model(sym, args, aux, calib_mode="naive", calib_data=data)
    assert first.table.num_examples == 6
    assert first.table.range("data") == (float(arrays.min()), float(arrays.max()))
    second = quantize_model(sym, args, aux, calib_mode="naive", calib_data=data)
    assert first.table == second.table and len(list(data)) == 2
    third = quantize_model(sym, args, aux, calib_mode="naive", calib_data=data, num_calib_examples=5)
    assert third.table.num_examples == 5


def test_8_padding_is_not_counted_where_it_holds_other_values():
    class Padded(mx.io.DataIter):
        def __init__(self):
            super().__init__(4)
            self.provide_data, self.provide_label = [mx.io.DataDesc("data", (4, 3, 9, 9))], []
            self.left = 1

        def reset(self):
            self.left = 1

        def next(self):
            if not self.left:
                raise StopIteration
            self.left -= 1
            array = images((4, 3, 9, 9))
            array[2:] = 1e4
            return mx.io.DataBatch([mx.nd.array(array)], [], pad=2)

    sym, args, aux, _ = _net()
    table = quantize_model(sym, args, aux, calib_mode="naive", calib_data=Padded()).table
    assert table.num_examples == 2 and table.range("data")[1] < 10


def test_9_lists_stay_and_names_that_match_nothing_are_refused():
    net = blocks.trained()
    data = images((8, 3, 12, 10))
    layers, matches, operators = ["classifier_conv0_fwd"], ["dense"], ["Pooling"]
    block = quantize_net(net, exclude_layers=layers, exclude_layers_match=matches, exclude_operators=operators,
                         calib_data=data, calib_mode="naive")  # fmt: skip
    assert (layers, matches, operators) == (["classifier_conv0_fwd"], ["dense"], ["Pooling"])
    floats = {row.node for row in block.report.floats()}
    assert {"classifier_conv0_fwd", "classifier_dense0_fwd"} <= floats
    for argument, value in (("exclude_layers", "classifier_conv9_fwd"), ("exclude_layers_match", "classifier_dense9"),
                            ("exclude_operators", "Poolin")):  # fmt: skip
        refused(lambda a=argument, v=value: quantize_net(net, calib_data=data, **{a: [v]}), argument, value, "nearest")


def test_10_small_ranges_keep_their_digits():
    arrays = images((16, 3, 9, 9)) * 1e-8
    sym, args, aux, _ = _net(scale=1e-3)
    args = {name: array * (1e-9 if name.endswith("bias") else 1.0) for name, array in args.items()}
    model = quantize_model(sym, args, aux, calib_mode="naive", calib_data=mx.io.NDArrayIter(arrays, batch_size=4))
    for node in json.loads(model.symbol.tojson())["nodes"]:
        if node["op"] == "mxq_quantize_v2":
            stored = float(node["attrs"]["max_calib_range"])
            assert 0 < stored < 1e-6 and np.float32(stored) == np.float32(arrays.max())
    assert sqnr(forward((sym, args, aux), {"data": arrays})[0], forward(model, {"data": arrays})[0]) > 25


def test_verbose_variable_is_not_left_behind():
    import logging

    assert "MXNET_QUANTIZATION_VERBOSE" not in os.environ
    sym, args, aux, _ = _net()
    logger = logging.getLogger("test_defects")
    quantize_model(sym, args, aux, calib_mode="none", logger=logger)
    quantization.quantize_graph(sym, args, aux, calib_mode="none", logger=logger)
    quantize_net(blocks.trained(), data_shapes=[(1, 3, 12, 10)], logger=logger)
    assert "MXNET_QUANTIZATION_VERBOSE" not in os.environ


def test_nan_in_the_data_is_named():
    arrays = images((8, 3, 9, 9))
    arrays[5, 1, 2, 3] = np.nan
    for mode in ("naive", "entropy"):
        refused(lambda m=mode: _calibrated(arrays, m), "data", "example 5")
