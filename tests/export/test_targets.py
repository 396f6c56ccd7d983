"""What each target is written like, and what it refuses."""

import os
import sys
import tempfile
from unittest import mock

import mxnet as mx
import numpy as np
import onnx
from onnx import numpy_helper
from parameterized import parameterized

import mxq
from mxq.errors import ConfigError, GraphError
from mxq.export.targets import TARGETS
from tests.export.test_networks import quantized
from tests.networks import NETWORKS, batch, conv, fill, head, relu
from tests.refusals import refused


def _export(model, folder, **options):
    path = os.path.join(folder, "net.onnx")
    model.export_onnx(path, **options)
    return onnx.load(path)


def _arrays(file):
    return {item.name: numpy_helper.to_array(item) for item in file.graph.initializer}


def _makers(file):
    return {name: node for node in file.graph.node for name in node.output}


@parameterized.expand([(target, name) for target in TARGETS for name in ("residual", "inception", "fully_connected")])
def test_scales_zero_points_and_biases(target, name):
    with tempfile.TemporaryDirectory() as folder:
        model, data = quantized(name, quantized_dtype="int8" if target == "tensorrt" else "auto")
        file = _export(model, folder, target=target, calib_data=data)
        arrays, makers = _arrays(file), _makers(file)
        row = TARGETS[target]
        for node in file.graph.node:
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
                continue
            constant = node.input[0] in arrays
            scale, zero = arrays[node.input[1]], [arrays[name] for name in node.input[2:]]
            assert scale.dtype == np.float32 and np.all(scale > 0)
            if not constant:
                assert scale.shape == () and zero[0].shape == () and not node.attribute
                assert row.zero_points or zero[0] == 0
                assert zero[0].dtype == np.uint8 if row.signed == "uint8" else zero[0].dtype in (np.uint8, np.int8)
                assert row.unsigned or zero[0].dtype == np.int8
            elif arrays[node.input[0]].dtype == np.int8:
                axis = {item.name: item.i for item in node.attribute}["axis"]
                assert scale.shape == zero[0].shape == (arrays[node.input[0]].shape[axis],) and not zero[0].any()
            else:
                assert row.int32_bias and arrays[node.input[0]].dtype == np.int32 and not zero
        for node in file.graph.node:
            if node.op_type in ("Conv", "Gemm") and makers[node.input[1]].op_type == "DequantizeLinear":
                in_scale = arrays[makers[node.input[0]].input[1]]
                weight_scale = arrays[makers[node.input[1]].input[1]]
                if row.int32_bias:
                    bias_scale = arrays[makers[node.input[2]].input[1]]
                    assert np.array_equal(bias_scale, (in_scale.astype(np.float64) * weight_scale).astype(np.float32))
                else:
                    assert arrays[node.input[2]].dtype == np.float32


def test_a_dequantized_weight_has_one_reader():
    """ONNX Runtime 1.16 copies what two layers read, and the copy loses its axis."""
    with tempfile.TemporaryDirectory() as folder:
        model, data = quantized("shared")
        file = _export(model, folder, calib_data=data)
        readers = [name for node in file.graph.node for name in node.input]
        for node in file.graph.node:
            if node.op_type == "DequantizeLinear" and node.attribute:
                assert readers.count(node.output[0]) == 1


def test_tensorrt_wants_signed_integers():
    with tempfile.TemporaryDirectory() as folder:
        model, data = quantized("residual")
        path = os.path.join(folder, "net.onnx")
        refused(
            lambda: model.export_onnx(path, target="tensorrt"),
            "'relu0_quantize'",
            "quantized_dtype='int8'",
            error=GraphError,
        )
        assert os.listdir(folder) == []


def test_eleven_bits_and_ranges_at_run_time_are_refused():
    model, data = quantized("residual", activation_bits=11)
    given = {"calib_data": data, "target": "onnxruntime"}
    refused(lambda: model.export_onnx("net.onnx", **given), "11 bits", error=GraphError)
    model, data = quantized("residual", calib_mode="none")
    given = {"target": "generic", "data_shapes": {"data": (1, 3, 9, 9)}}
    refused(lambda: model.export_onnx("net.onnx", **given), "run time", "calibrate", error=GraphError)
    assert not os.path.exists("net.onnx")


def test_ranges_that_are_missing():
    model, data = quantized("residual")
    refused(lambda: model.export_onnx("net.onnx"), "a_conv2", "calib_data", error=ConfigError)
    refused(lambda: model.export_onnx("net.onnx", target="ort"), "onnxruntime", error=ConfigError)
    refused(lambda: model.export_onnx("net.onnx", target="generic", opset=12), "13 to 21", error=ConfigError)
    assert not os.path.exists("net.onnx")


def test_what_has_no_form_is_named_all_at_once():
    x = conv(mx.sym.var("data"), "conv0", 4)
    x = mx.sym.gammaln(mx.sym.abs(x), name="first")
    x = mx.sym.LRN(x, nsize=4, name="second")
    net = fill(head(relu(x, "relu0")), {"data": (1, 3, 6, 6)})
    call = lambda: mxq.export_onnx(net[0], net[1:3], "net.onnx", net[3])  # noqa: E731
    refused(call, "gammaln 'first': the operator has no emitter", error=GraphError)
    x = mx.sym.LRN(mx.sym.var("data"), nsize=2, name="a")
    both = mx.sym.Group([mx.sym.LRN(x, nsize=4, name="b"), mx.sym.gamma(x.get_internals()["data"], name="c")])
    call = lambda: mxq.export_onnx(both, {}, "net.onnx", {"data": (1, 3, 6, 6)})  # noqa: E731
    refused(call, "LRN 'a': its nsize is 2", "gamma 'c'", error=GraphError)
    assert not os.path.exists("net.onnx")


def test_what_is_no_float_network():
    model, data = quantized("plain")
    refused(
        lambda: mxq.export_onnx(model.symbol, model[1:], "net.onnx", {"data": (1, 3, 13, 11)}),
        "quantized already",
        error=GraphError,
    )
    net = NETWORKS["plain"]()
    refused(
        lambda: mxq.export_onnx(net[0], net[1:3], "net.onnx", {"image": (1, 3, 13, 11)}), "'image'", error=GraphError
    )


def test_without_the_packages():
    net = NETWORKS["plain"]()
    with mock.patch.dict(sys.modules, {"onnx": None}):
        refused(
            lambda: mxq.export_onnx(net[0], net[1:3], "net.onnx", net[3]), "pip install 'mxq[onnx]'", error=ConfigError
        )
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        mxq.export_onnx(net[0], net[1:3], path, net[3])
        with mock.patch.dict(sys.modules, {"onnxruntime": None}):
            refused(lambda: mxq.check_onnx(net[0], net[1:3], path, batch(net[3])), "onnxruntime", error=ConfigError)


def test_the_check_names_the_first_value_that_differs():
    net = NETWORKS["plain"]()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        mxq.export_onnx(net[0], net[1:3], path, net[3])
        data = batch({"data": (4, 3, 13, 11)})
        found = mxq.check_onnx(net[0], net[1:3], path, data)
        assert found.ok and found.first is None and found.examples == 4
        assert [value.name for value in found.compared][:3] == ["conv0", "bn0", "relu0"]
        file = onnx.load(path)
        for item in file.graph.initializer:
            if item.name == "bn1_moving_var":
                item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) * np.float32(1.1), item.name))
        onnx.save(file, path)
        found = mxq.check_onnx(net[0], net[1:3], path, data)
        assert not found.ok and found.first.name == "bn1" == found.compared[-1].name and not found.first.levels
        assert 0.01 < found.first.difference < 0.1
        assert "'bn1'" in str(found)


def test_the_check_tells_levels():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized("plain")
        model.export_onnx(path, target="generic")
        file = onnx.load(path)
        for item in file.graph.initializer:
            if item.name == "conv1_bias_quantize":  # three levels of what relu1 writes
                step = float(_arrays(file)["relu1_quantize_scale"]) / _arrays(file)["conv1_bias_scale"]
                moved = numpy_helper.to_array(item) + np.rint(3 * step).astype(np.int32)
                item.CopyFrom(numpy_helper.from_array(moved, item.name))
        onnx.save(file, path)
        found = model.check_onnx(path, data, optimize=False)
        assert found.first.name == "relu1_quantize" and found.first.levels
        assert found.first.difference in (3, 4)


def test_a_failed_export_leaves_the_old_file():
    net = NETWORKS["plain"]()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        mxq.export_onnx(net[0], net[1:3], path, net[3])
        with open(path, "rb") as file:
            before = file.read()
        refused(lambda: mxq.export_onnx(net[0], net[1:3], path, {"data": (1, 4, 13, 11)}), "fit", error=GraphError)
        with open(path, "rb") as file:
            assert file.read() == before
        assert os.listdir(folder) == ["net.onnx"]


@parameterized.expand([(13,), (18,), (21,)])
def test_versions_give_the_same(opset):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        net = NETWORKS["shuffled"]()
        mxq.export_onnx(net[0], net[1:3], path, net[3], opset=opset)
        file = onnx.load(path)
        assert file.opset_import[0].version == opset
        if opset < 20:  # what ONNX Runtime 1.16 reads
            assert mxq.check_onnx(net[0], net[1:3], path, batch(net[3])).ok
