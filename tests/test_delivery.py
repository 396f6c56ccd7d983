"""One calibration, files for several runtimes, and what each of them computes."""

import builtins
import contextlib
import io
import os
import tempfile
from unittest import mock

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.cli import main
from mxq.delivery.requantize import fits, requantized
from mxq.passes.quantize_params import in_qparams
from tests.networks import NETWORKS, batch, forward
from tests.refusals import refused


def quantized(name, **options):
    net = NETWORKS[name]()
    data = {key: batch({key: (16, *shape[1:])}, i)[key] for i, (key, shape) in enumerate(net[3].items())}
    return mxq.quantize_model(net[0], net[1:3], data, verify=False, preflight=False, **options), data


def without(*packages):
    """Imports of these packages fail."""
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] in packages:
            raise ImportError(f"no module {name}")
        return real(name, *args, **kwargs)

    return mock.patch.object(builtins, "__import__", missing)


@parameterized.expand([("residual",), ("multi_output",), ("multi_input",)])
def test_every_runtime_computes_nearly_the_same(name):
    model, data = quantized(name)
    with tempfile.TemporaryDirectory() as folder:
        found = mxq.deliver(
            model, folder, data, targets=("mxnet", "onnxruntime", "ncnn"), calib_data=data, num_examples=5
        )
        golden = dict(np.load(os.path.join(folder, "golden.npz")))
        there = set(os.listdir(folder))
        again = mx.model.load_checkpoint(os.path.join(folder, "int8"), 0)
        with open(os.path.join(folder, "report.txt"), encoding="utf-8") as file:
            assert file.read() == f"{found}\n"
        with open(os.path.join(folder, "report.html"), encoding="utf-8") as file:
            page = file.read()
    assert found.examples == 5 and [row.target for row in found.rows] == ["float", "mxnet", "onnxruntime", "ncnn"]
    one = {key: array[:1] for key, array in data.items()}
    for key, array in one.items():
        np.testing.assert_array_equal(golden[f"input:{key}"], array)
    outputs = [output.name for output in found.rows[0].outputs]
    for output, expected in zip(outputs, forward(again, one)):
        np.testing.assert_allclose(golden[f"mxnet:{output}"], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    for row in found.rows[1:]:
        assert not row.refused and not row.skipped and row.version, row
        for output in row.outputs:
            assert output.sqnr > 18, (row.target, output)
            assert golden[f"{row.target}:{output.name}"].shape == golden[f"float:{output.name}"].shape
        for path, size in {**row.files, **row.beside}.items():
            assert os.path.basename(path) in there and size > 0 and os.path.basename(path) in page
    assert found.rows[2].levels.ok and "Layer by layer: onnxruntime" in page
    assert {"int8-symbol.json", "onnxruntime.onnx", "ncnn.param", "ncnn.table", "ncnn-float.bin"} <= there


def test_runtimes_that_are_not_installed_are_named():
    model, data = quantized("plain")
    with tempfile.TemporaryDirectory() as folder, without("ncnn", "openvino"):
        found = mxq.deliver(model, folder, data, targets=("openvino", "ncnn", "tensorrt"), num_examples=2)
        assert os.path.exists(os.path.join(folder, "ncnn.param"))
    notes = {row.target: row.skipped for row in found.rows}
    assert "needs the package openvino" in notes["openvino"] and "needs the package ncnn" in notes["ncnn"]
    assert "no runtime" in notes["tensorrt"] and "openvino: not run: running files in OpenVINO" in str(found)


def test_what_a_target_cannot_hold_is_told():
    symbol = mx.sym.topk(mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=4, name="conv"), name="best")
    rng = np.random.RandomState(0)
    params = {"conv_weight": mx.nd.array(rng.normal(0, 1, (4, 3, 3, 3))), "conv_bias": mx.nd.zeros(4)}
    data = rng.normal(0, 1, (8, 3, 7, 7)).astype(np.float32)
    model = mxq.quantize_model(symbol, params, data, verify=False, preflight=False)
    with tempfile.TemporaryDirectory() as folder:
        found = mxq.deliver(model, folder, data, targets=("mxnet", "ncnn"), num_examples=2)
        assert not os.path.exists(os.path.join(folder, "ncnn.param"))
    assert "topk 'best'" in found.rows[2].refused and "ncnn: not written" in str(found)


def test_refusals():
    model, data = quantized("plain")
    refused(
        lambda: mxq.deliver(model, "x", data, targets=("onnxruntme",)), "nearest: onnxruntime", error=mxq.ConfigError
    )
    refused(lambda: mxq.deliver(model, "x", data["data"][:0]), "data is empty", error=mxq.MXQError)


def test_another_choice_of_integers_from_the_same_statistics():
    """Equal to quantizing again with other options, where channels are equalized alike."""
    model, data = quantized("depthwise", precision_budget=0)
    assert not fits(model.qdq, int8_only=True) and fits(model.qdq, int8_only=False)
    assert requantized(model, int8_only=False) is model.qdq
    found = requantized(model, int8_only=True)
    assert fits(found, int8_only=True)
    layers = [node.name for node in model.qdq.nodes if node.op == "Convolution"]
    assert layers == [node.name for node in found.nodes if node.op == "Convolution"]
    pairs = [node for node in found.nodes if node.op == "mxq_quantize_v2"]
    assert {in_qparams(node).dtype for node in pairs} == {"int8"}
    model.statistics = None
    refused(lambda: requantized(model, int8_only=True), "no statistics", error=mxq.ConfigError)


def test_integers_of_eleven_bits_become_eight():
    model, _ = quantized("residual", activation_bits=11)
    assert not fits(model.qdq, int8_only=False)
    assert fits(requantized(model, int8_only=False), int8_only=False)


def test_the_command():
    net = NETWORKS["plain"]()
    with tempfile.TemporaryDirectory() as folder:
        prefix, out = os.path.join(folder, "net"), os.path.join(folder, "out")
        mx.model.save_checkpoint(prefix, 0, *net[:3])
        np.save(os.path.join(folder, "data.npy"), batch({"data": (8, *net[3]["data"][1:])})["data"])
        said = io.StringIO()
        arguments = ["deliver", f"{prefix}-symbol.json", f"{prefix}-0000.params", out, os.path.join(folder, "data.npy")]
        with contextlib.redirect_stdout(said), without("openvino"):
            assert main([*arguments, "--compare", "3"]) == 0
        assert "3 examples" in said.getvalue() and os.path.exists(os.path.join(out, "report.html"))
