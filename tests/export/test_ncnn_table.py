"""ncnn's calibration tables: read, used in the place of calibration, made, written."""

import contextlib
import io
import os
import struct
import tempfile
import unittest
import zlib

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.calib.ncnn_table import NcnnTable
from mxq.cli import main
from mxq.errors import CalibrationError
from mxq.export.ncnn.scales import table_of
from mxq.passes.quantize_params import in_qparams
from tests import realdata
from tests.networks import NETWORKS, batch
from tests.refusals import refused

OPTIONS = {"quantized_dtype": "int8", "equalize": False, "precision_budget": 0, "verify": False, "preflight": False}
INTEROP = os.path.join(os.path.dirname(realdata.REPO), "shared", "interop", "ncnn")


def written(text):
    """What is read from a file with this text."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.table")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return NcnnTable.load(path)


def test_the_text_is_that_of_the_tools():
    table = NcnnTable({"conv1": (187.254501714, 0.0), "fire2/dw": (2.0,)}, {"conv1": 0.84167606461, "fire2/dw": 12.0})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.table")
        table.save(path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
    assert text == "conv1_param_0 187.254502 0.0\nfire2/dw_param_0 2.0\nconv1 0.841676065\nfire2/dw 12.0\n"
    again = written(text)
    assert again.weights["conv1"] == (187.254502, 0.0) and again.inputs["fire2/dw"] == 12.0


@parameterized.expand(
    [
        ("", "no scale of an input"),
        ("conv1_param_0 1.0\n", "no scale of an input"),
        ("conv1 x\n", "line 1: scales behind 'conv1' are no numbers"),
        ("conv1 1.0\n\nconv1 2.0\n", "line 3: 'conv1' stands twice"),
        ("conv1 1.0 2.0\n", "line 1: 'conv1' has 2 scales"),
        ("conv1_param_0\nconv1 1\n", "line 1: 'conv1_param_0' has 0 scales"),
        ("conv1 0\n", "must be finite and above 0"),
        ("conv1 nan\n", "must be finite and above 0"),
        ("conv1_param_0 -1\nconv1 1\n", "must be finite, and 0 at least"),
    ]
)
def test_what_is_no_table(text, reason):
    refused(lambda: written(text), reason, error=CalibrationError)


def test_names_that_a_table_cannot_have():
    refused(lambda: NcnnTable({}, {"conv 1": 1.0}), "has no spaces", error=CalibrationError)


def quantized(name, **options):
    net = NETWORKS[name]()
    data = batch({key: (16, *shape[1:]) for key, shape in net[3].items()})
    return mxq.quantize_model(net[0], net[1:3], options.pop("data", data), **{**OPTIONS, **options}), net


@parameterized.expand([("residual",), ("depthwise",), ("fully_connected",)])
def test_scales_are_those_of_weights_and_ranges(name):
    model, _ = quantized(name)
    table, by_name = table_of(model.qdq), {node.name: node for node in model.floats.nodes}
    assert set(table.inputs) == set(table.weights) and len(table)
    for layer, scales in table.weights.items():
        weight = model.floats.param_of(by_name[layer].inputs[1])
        groups = int(by_name[layer].get("num_group", 1))
        largest = np.abs(weight).reshape(groups if groups > 1 else len(weight), -1).max(axis=1)
        np.testing.assert_allclose(scales, 127 / largest, rtol=1e-6)
        lo, hi = model.table.range(mxq_input(model, layer))
        assert abs(table.inputs[layer] * max(-lo, hi) / 127 - 1) < 1e-6
    whole = table_of(model.qdq, group=False)
    assert all(scales == (min(table.weights[layer]),) for layer, scales in whole.weights.items())


def test_weights_of_fewer_bits():
    """By layer, in the network and in the table; integers are rounded to the smaller grid."""
    model, net = quantized("depthwise", weight_bits={"project": 6, "fc": 7})
    scales = table_of(model.qdq).weights
    for node in model.floats.nodes:
        if node.name in scales and int(node.get("num_group", 1)) == 1:
            largest = {"project": 31, "fc": 63}.get(node.name, 127)
            q = model.qdq.params[f"{node.inputs[1].node.name}_quantize"].astype(int)
            weight = np.abs(model.floats.param_of(node.inputs[1])).reshape(len(q), -1).max(axis=1)
            assert np.abs(q).max() == largest, node.name
            np.testing.assert_allclose(scales[node.name], largest / weight, rtol=1e-6)
    refused(lambda: quantized("depthwise", weight_bits={"projekt": 6}), "no layer with weights", "project")
    refused(lambda: quantized("depthwise", weight_bits=9), "weight_bits=9", "from 2 to 8")


def test_layers_of_winograd():
    data = mx.sym.var("data")
    kinds = {
        "plain": {},
        "strided": {"stride": (2, 2)},
        "dilated": {"dilate": (2, 2)},
        "grouped": {"num_group": 2},
        "small": {"kernel": (1, 1)},
        "biased": {"no_bias": False},
    }
    symbol = mx.sym.Group(
        [
            mx.sym.Convolution(data, name=name, **{"kernel": (3, 3), "num_filter": 4, "no_bias": True, **kind})
            for name, kind in kinds.items()
        ]
    )
    for channels, expected in ((64, {"plain": 6, "biased": 6}), (62, {})):
        shapes = zip(symbol.list_arguments(), symbol.infer_shape(data=(1, channels, 9, 9))[0])
        params = {name: mx.nd.zeros(shape) for name, shape in shapes if name != "data"}
        assert mxq.ncnn_weight_bits(symbol, params) == expected


def mxq_input(model, layer):
    """Key of what a layer reads, in the table."""
    node = next(node for node in model.qdq.nodes if node.name == layer)
    while node.op != "mxq_quantize_v2":
        node = node.inputs[0].node
    return node.inputs[0].node.name


def test_a_table_takes_the_place_of_calibration():
    """Layers read what the table says; what it says nothing of is calibrated."""
    model, net = quantized("residual", range_headroom=0)
    table = table_of(model.qdq)
    halved = NcnnTable(table.weights, {layer: 2 * scale for layer, scale in table.inputs.items()})
    again, _ = quantized("residual", calib_table=halved)
    assert len(again.table) == len(model.table)
    pairs = {node.name: in_qparams(node) for node in model.qdq.nodes if node.op == "mxq_quantize_v2"}
    read = {mxq_input(model, layer) for layer in table.inputs}
    assert len(read) < len(pairs)  # sums have ranges of their own
    for node in again.qdq.nodes:
        if node.op == "mxq_quantize_v2":
            ratio = pairs[node.name].scale / in_qparams(node).scale
            expected = 2 if node.inputs[0].node.name in read else 1
            assert abs(ratio - expected) < 1e-6, (node.name, ratio)


def test_a_table_alone():
    """Without data, what has no scale stays float, in words."""
    model, net = quantized("residual")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.table")
        table_of(model.qdq).save(path)
        again = mxq.quantize_model(
            net[0], net[1:3], calib_table=path, weight_rounding="nearest", data_shapes=net[3], **OPTIONS
        )
    layers = [node for node in again.report if node.op == "Convolution"]
    assert layers and all(node.precision == "int8" for node in layers)
    reasons = [node.reason for node in again.report if node.precision == "float"]
    assert any("the ncnn table has no scale of" in reason for reason in reasons), reasons


def test_a_table_without_negative_values_where_there_are_none():
    model, net = quantized("plain")
    again, _ = quantized("plain", calib_table=table_of(model.qdq), quantized_dtype="auto")
    types = {node.inputs[0].node.op: in_qparams(node).dtype for node in again.qdq.nodes if node.op == "mxq_quantize_v2"}
    assert types["Activation"] == "uint8" and types["null"] == "int8", types


def test_a_table_of_another_network():
    refused(
        lambda: quantized("plain", calib_table=NcnnTable({}, {"conv9": 1.0})),
        "the table has a layer 'conv9' that the network has not",
        error=CalibrationError,
    )


def _png(pixels):
    """A PNG file of uint8 (H, W, 3)."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(list(arguments))
    return status, out.getvalue(), err.getvalue()


def test_the_command():
    """A folder of images, Caffe's mean and norm, blue first: the largest input is what these make of a red pixel."""
    net = NETWORKS["plain"]()
    rng = np.random.RandomState(0)
    with tempfile.TemporaryDirectory() as folder:
        prefix, images, out = (os.path.join(folder, name) for name in ("net", "images", "net.table"))
        mx.model.save_checkpoint(prefix, 0, net[0], net[1], net[2])
        os.makedirs(os.path.join(images, "more"))
        for where in ("a.png", "b.png", "more/c.png"):
            pixels = rng.randint(0, 200, (13, 11, 3)).astype(np.uint8)
            pixels[0, 0] = (255, 0, 0)  # red
            with open(os.path.join(images, where), "wb") as file:
                file.write(_png(pixels))
        arguments = ["table", "--proto", f"{prefix}-symbol.json", "--model", f"{prefix}-0000.params"]
        arguments += ["--images", images, "--mean", "10", "20", "30", "--norm", "0.5", "--output", out]
        arguments += ["--method", "minmax", "--shape", "3,13,11"]
        status, said, err = _run(*arguments)
        assert status == 0 and "3 images" in said, (said, err)
        table = NcnnTable.load(out)
        first = next(iter(table.inputs))
        np.testing.assert_allclose(table.inputs[first], 127 / ((255 - 30) * 0.5), rtol=1e-6)
        single = _run(*arguments, "--group", "0")
        assert single[0] == 0 and all(len(s) == 1 for s in NcnnTable.load(out).weights.values())
        for name in ("d.txt", "d.png"):  # one that nobody takes for an image, and one that is none
            with open(os.path.join(images, name), "w") as file:
                file.write("no image")
        status, _, err = _run(*arguments)
        assert status == 1 and "d.png' is no image" in err, err


def test_the_command_that_exports():
    net = NETWORKS["plain"]()
    with tempfile.TemporaryDirectory() as folder:
        prefix, out = os.path.join(folder, "net"), os.path.join(folder, "out")
        mx.model.save_checkpoint(prefix, 0, *net[:3])
        data = os.path.join(folder, "data.npy")
        np.save(data, batch({"data": (8, *net[3]["data"][1:])})["data"])
        arguments = ["export", f"{prefix}-symbol.json", f"{prefix}-0000.params", out]
        status, said, err = _run(*arguments, data, "--target", "ncnn")
        assert status == 0 and "4 layers are int8" in said, (said, err)
        with open(f"{out}.param") as file:
            assert sum(" 8=" in line for line in file) == 4
        status, _, err = _run(*arguments, "--target", "ncnn")
        assert status == 1 and "--data-shape" in err
        status, _, err = _run(*arguments, "--target", "ncnn", "--data-shape", "data=1,3,13,11")
        assert status == 0, err
        with open(f"{out}.param") as file:
            assert not any(" 8=" in line for line in file)


@parameterized.expand([("squeezenet_weight.table", 26), ("mobilenet_v1_weight.table", 28)])
def test_tables_of_caffe_int8_convert_tools(name, layers):
    if not os.path.isdir(INTEROP):
        raise unittest.SkipTest("no files of other tools here")
    table = NcnnTable.load(os.path.join(INTEROP, name))
    assert len(table) == len(table.weights) == layers
    with tempfile.TemporaryDirectory() as folder:
        table.save(os.path.join(folder, "again.table"))
        again = NcnnTable.load(os.path.join(folder, "again.table"))
    for layer, scales in table.weights.items():
        np.testing.assert_allclose(again.weights[layer], scales, rtol=1e-8)
        np.testing.assert_allclose(again.inputs[layer], table.inputs[layer], rtol=1e-8)


def test_weight_scales_are_those_of_caffe_int8_convert_tools():
    realdata.need()
    if not os.path.isdir(INTEROP):
        raise unittest.SkipTest("no files of other tools here")
    theirs = NcnnTable.load(os.path.join(INTEROP, "squeezenet_weight.table"))
    model = mxq.quantize_model(
        *realdata.files("squeezenet1.1"),
        calib_table=theirs,
        weight_rounding="nearest",
        data_shapes={"data": (1, 3, 227, 227)},
        **OPTIONS,
    )
    mine = table_of(model.qdq)
    for layer, scales in theirs.weights.items():
        np.testing.assert_allclose(mine.weights[layer.replace("/", "_")], scales, rtol=1e-6)
        np.testing.assert_allclose(mine.inputs[layer.replace("/", "_")], theirs.inputs[layer], rtol=1e-6)
