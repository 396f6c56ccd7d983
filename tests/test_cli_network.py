"""The commands that read a float network: preflight and explain."""

import json
import os
import tempfile

import mxnet as mx
import numpy as np

import mxq
from mxq.network.files import save_model
from tests.networks import conv, fill, head, relu
from tests.test_cli import _run
from tests.test_datafiles import write_records


def _saved(folder):
    x = relu(conv(relu(conv(mx.sym.var("data"), "conv0", 6), "relu0"), "conv1", 5), "relu1")
    symbol, args, aux, _ = fill(head(x, 3), {"data": (4, 3, 8, 8)})
    return save_model(os.path.join(folder, "net"), symbol, args, aux), (symbol, args, aux)


def test_explain_an_array():
    with tempfile.TemporaryDirectory() as folder:
        files, (symbol, args, _) = _saved(folder)
        data = np.random.RandomState(0).normal(0, 1, (12, 3, 8, 8)).astype(np.float32)
        path, page, table = (os.path.join(folder, name) for name in ("data.npy", "page.html", "out.json"))
        np.save(path, data)
        status, out, err = _run("explain", *files, path, "--html", page, "--json", table, "--title", "small")
        assert status == 0, err
        found = mxq.Explanation.load(table)
        assert str(found) == out.rstrip("\n") and found.title == "small"
        expected = mxq.explain(mxq.quantize_model(symbol, args, data), data)
        assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]
        assert np.allclose([layer.effect for layer in found.layers], [layer.effect for layer in expected.layers])
        with open(page, encoding="utf-8") as file:
            assert "<h1>small</h1>" in file.read()


def test_explain_images_with_classes_a_table_and_exclusions():
    with tempfile.TemporaryDirectory() as folder:
        files, (symbol, args, _) = _saved(folder)
        records, images = write_records(folder)
        prepared = (images[:, :, 2:10, 2:10].astype(np.float32) - 100) / 50
        table = os.path.join(folder, "table.json")
        mxq.quantize_model(symbol, args, prepared).table.save(table)
        classes, result = os.path.join(folder, "classes.txt"), os.path.join(folder, "out.json")
        with open(classes, "w", encoding="utf-8") as file:
            file.write("cat\ndog\nbird\n")
        options = ["--shape", "3,8,8", "--mean", "100", "--std", "50", "--classes", classes, "--json", result]
        status, _, err = _run(
            "explain", *files, records, *options, "--table", table, "--exclude", "conv1", "--effect-examples", "0"
        )
        assert status == 0, err
        found = mxq.Explanation.load(result)
        assert "conv1" not in [layer.name for layer in found.layers]
        assert found.layers[0].effect is None and found.classes.correct_float is not None
        assert {p.float_class for p in found.predictions} <= {"cat", "dog", "bird"}
        assert all(p.picture for p in found.predictions)


def test_preflight_says_what_it_finds_by_its_status_too():
    with tempfile.TemporaryDirectory() as folder:
        files, (symbol, args, aux) = _saved(folder)
        status, said, _ = _run("preflight", *files)
        assert status == 0 and said.startswith("nothing found\nnot checked: ") and "no data was given" in said
        bad = {**args, "conv1_weight": mx.nd.ones(args["conv1_weight"].shape)}
        files = save_model(os.path.join(folder, "bad"), symbol, bad, aux)
        data = os.path.join(folder, "data.npy")
        np.save(data, np.random.RandomState(0).normal(0, 1, (4, 3, 8, 8)).astype(np.float32))
        status, out, _ = _run("preflight", *files, data, "--json")
        assert status == 1
        assert [(f["check"], f["node"]) for f in json.loads(out)] == [("constant", "conv1_weight")]


def test_errors_are_one_line():
    with tempfile.TemporaryDirectory() as folder:
        files, _ = _saved(folder)
        for arguments in (
            [*files, "nothing.npy"],
            [*files, "nothing.txt"],
            ["nothing.json", files[1], "nothing.npy"],
        ):
            status, out, err = _run("explain", *arguments)
            assert status == 1 and not out and err.startswith("mxq: ") and "nothing" in err


def test_export_in_float_and_in_int8():
    with tempfile.TemporaryDirectory() as folder:
        files, (symbol, args, _) = _saved(folder)
        data = np.random.RandomState(0).normal(0, 1, (12, 3, 8, 8)).astype(np.float32)
        path, out = os.path.join(folder, "data.npy"), os.path.join(folder, "net.onnx")
        np.save(path, data)
        status, text, err = _run("export", *files, out, path, "--float", "--data-shape", "data=1,3,8,8")
        assert status == 0, err
        assert "float" in text and "agrees with MXNet" in text
        assert mxq.check_onnx(symbol, args, out, data).ok
        status, text, err = _run("export", *files, out, path)
        assert status == 0, err
        assert "int8 for onnxruntime" in text and "agrees with MXNet" in text
        assert mxq.quantize_model(symbol, args, data).check_onnx(out, data).ok
        status, _, err = _run("export", *files, out)
        assert status == 1 and "--data-shape" in err
        status, _, err = _run("export", *files, out, path, "--target", "caffe")
        assert status == 1 and "openvino" in err
