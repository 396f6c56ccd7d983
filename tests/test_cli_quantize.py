"""quantize, evaluate, benchmark and profile, as somebody with files uses them."""

import json
import os
import tempfile

import mxnet as mx
import numpy as np

import mxq
from mxq.cli.quantize import ELSEWHERE, FLAGS
from mxq.network.files import load_params, load_symbol, save_model
from mxq.options import Options
from tests.networks import conv, fill, head, relu
from tests.test_cli import _run
from tests.test_images import save

CLASSES = ("red", "green", "blue")


def _network(folder, name="net", size=12):
    """A network that tells which of red, green and blue a picture has most of; its files' prefix."""
    x = relu(conv(relu(conv(mx.sym.var("data"), "conv0", 6), "relu0"), "conv1", 5), "relu1")
    symbol, args, aux, _ = fill(head(x, 3), {"data": (4, 3, size, size)})
    prefix = os.path.join(folder, name)
    save_model(prefix, symbol, args, aux)
    return prefix, (symbol, args, aux)


def _photos(folder, count=6):
    """A folder a class, each with pictures of one colour and noise."""
    for number, name in enumerate(CLASSES):
        for index in range(count):
            path = os.path.join(folder, "photos", name, f"{index}.png")
            save(path, 12, 12, 100 * number + index)
    return os.path.join(folder, "photos")


SHAPE = ("--shape", "3,12,12", "--mean", "127.5", "--std", "60", "--resize", "0")


def test_a_folder_of_images_becomes_an_int8_network_a_table_and_a_page():
    with tempfile.TemporaryDirectory() as folder:
        prefix, (symbol, args, aux) = _network(folder)
        photos, out, page = _photos(folder), os.path.join(folder, "int8"), os.path.join(folder, "page.html")
        command = ["quantize", prefix, photos, "--out", out, *SHAPE, "--examples", "12", "--compare", "6"]
        status, text, err = _run(*command, "--report", page)
        assert status == 0, err
        for said in (
            "parameters, MB",
            "class of the label",
            "class of float",
            "SQNR of fc",
            "one example, ms",
            "100.0 %",
        ):
            assert said in text, said
        assert "calibrated with 12 examples, compared on 6 others" in text
        with open(page, encoding="utf-8") as file:
            assert "int8 beside float" in file.read()
        images = mxq.data.images(photos, shape=(3, 12, 12), mean=127.5, std=60, resize=0)
        held = images.take(range(0, 18, 3))
        expected = mxq.quantize_model(symbol, (args, aux), images.take([i for i in range(18) if i % 3]))
        found = load_params(f"{out}-0000.params")
        assert set(found) == {f"arg:{name}" for name in expected.arg_params}
        for name, array in expected.arg_params.items():
            assert np.array_equal(found[f"arg:{name}"].asnumpy(), array.asnumpy()), name
        status, text, err = _run(*command, "--no-speed", "--json")  # without a page the numbers are the same
        document = json.loads(text)
        explanation = mxq.explain(expected, held, labels=held.labels, layer_examples=1, effect_examples=0)
        assert document["classes"] == explanation.classes._asdict()
        assert np.isclose(document["outputs"][0]["sqnr"], explanation.outputs[0].sqnr)
        assert document["compared"] == 6 and document["compared_are_others"] and "speed" not in document
        work = 12 * 12 * (6 * 3 * 9 + 5 * 6 * 9) + 5 * 3
        assert document["int8_multiplications"] == {"int8": work, "total": work, "unknown": 0}


def test_raw_pixels_are_normalized_by_the_network():
    with tempfile.TemporaryDirectory() as folder:
        prefix, _ = _network(folder)
        photos, out = _photos(folder, 3), os.path.join(folder, "int8")
        options = [*SHAPE, "--input-dtype", "uint8", "--no-speed", "--compare", "3", "--examples", "6", "--json"]
        status, text, err = _run("quantize", prefix, photos, "--out", out, *options)
        assert status == 0, err
        assert json.loads(text)["outputs"][0]["sqnr"] > 25
        status, text, err = _run("evaluate", prefix, out, photos, *SHAPE, "--json")
        assert status == 0, err
        found = json.loads(text)
        assert [row["int8"] for row in found["networks"]] == [False, True] and found["examples"] == 9
        assert found["networks"][0]["outputs"][0]["sqnr"] == "inf"
        assert found["networks"][1]["outputs"][0]["sqnr"] > 25


def test_statistics_tables_exclusions_and_a_metric():
    with tempfile.TemporaryDirectory() as folder:
        prefix, (symbol, args, _) = _network(folder)
        data = os.path.join(folder, "data.npy")
        np.save(data, np.random.RandomState(0).normal(0, 1, (12, 3, 12, 12)).astype(np.float32))
        names = ("a", "b", "c", "d")
        outs = [os.path.join(folder, name) for name in names]
        stats, table = os.path.join(folder, "s.npz"), os.path.join(folder, "t.json")
        fast = ["--no-speed", "--compare", "4", "--examples", "8"]
        status, text, err = _run(
            "quantize", prefix, data, "--out", outs[0], *fast, "--save-statistics", stats, "--save-table", table
        )
        assert status == 0 and f"wrote {stats}" in text, err
        status, text, err = _run("quantize", prefix, "--out", outs[1], *fast, "--statistics", stats)
        assert status == 0 and "SQNR" not in text, err
        a, b = (load_params(f"{out}-0000.params") for out in outs[:2])
        assert all(np.array_equal(a[name].asnumpy(), b[name].asnumpy()) for name in a) and set(a) == set(b)
        more = ["--table", table, "--exclude", "conv1", "--no-regions"]
        status, text, err = _run("quantize", prefix, data, "--out", outs[2], *fast, *more)
        assert status == 0 and "float: conv1" in text and "SQNR" in text, (text, err)
        assert "conv1" in load_symbol(f"{outs[2]}-symbol.json").get_internals().list_outputs()[-1] or (
            '"Convolution"' in load_symbol(f"{outs[2]}-symbol.json").tojson()
        )
        metric = ["--metric", "sqnr", "--min-metric", "1"]
        status, text, err = _run("quantize", prefix, data, "--out", outs[3], *fast, *metric)
        assert status == 0, err


def test_every_option_of_quantize_model_has_a_flag():
    named = [flag.option for flag in FLAGS]
    assert sorted([*named, *ELSEWHERE]) == sorted(Options._fields)
    for flag in FLAGS:
        switch = flag.more.get("action", "").startswith("store_")
        assert (flag.flag.startswith("--no-")) == (switch and Options._field_defaults[flag.option] is True), flag


def test_paths_are_looked_at_before_any_work():
    with tempfile.TemporaryDirectory() as folder:
        prefix, _ = _network(folder)
        photos, out = _photos(folder, 1), os.path.join(folder, "int8")
        nowhere = os.path.join(folder, "no", "x")
        good = ["quantize", prefix, photos, "--out", out, *SHAPE]
        for arguments, status, said in (
            (
                ["quantize", prefix + "x", photos, "--out", out],
                1,
                f"there is no file '{prefix}x' nor {prefix}x-symbol.json",
            ),
            (
                ["quantize", f"{prefix}-symbol.json", f"{prefix}-0001.params", photos, "--out", out],
                1,
                "net-0000.params",
            ),
            (["quantize", f"{prefix}-0000.params", photos, "--out", out], 1, "symbol file"),
            (["quantize", prefix, nowhere, "--out", out], 1, f"data '{nowhere}': there is no such file"),
            (["quantize", prefix, photos, "--out", out], 1, "--shape tells their size"),
            (["quantize", prefix, photos, "--out", nowhere], 1, f"--out {nowhere}: folder"),
            ([*good, "--report", nowhere], 1, f"--report {nowhere}: folder"),
            ([*good, "--report", folder], 1, "this is a folder"),
            ([*good, "--json", "data.npy"], 2, "ends in .json"),
            ([*good, "--json", f"{prefix}-symbol.json"], 2, "ends in .json"),
            (["quantize", prefix, "--out", out], 2, "give DATA"),
            (["quantize", "--out", out], 2, "expected NETWORK [PARAMS] [DATA], got nothing"),
            (["quantize", prefix, photos, "more", "--out", out], 2, "expected NETWORK"),
            ([*good, "--calib-mode", "best"], 1, "calibration mode 'best'"),
            ([*good, "--labels", nowhere], 1, "cannot read the labels"),
        ):
            found, text, err = _run(*arguments)
            assert found == status and said in err and not text, (arguments, err)
            assert err.startswith("mxq: ") and "Traceback" not in err
        assert not [name for name in os.listdir(folder) if name.startswith("int8")]


def test_options_may_stand_anywhere_and_unknown_ones_are_refused():
    with tempfile.TemporaryDirectory() as folder:
        prefix, _ = _network(folder)
        photos, out = _photos(folder, 2), os.path.join(folder, "int8")
        files = [f"{prefix}-symbol.json", f"{prefix}-0000.params"]
        status, _, err = _run("quantize", files[0], "--out", out, files[1], "--no-speed", *SHAPE, photos)
        assert status == 0, err
        try:
            _run("quantize", prefix, photos, "--out", out, "--calibmode", "mse")
        except SystemExit as stop:
            assert stop.code == 2
        else:
            raise AssertionError("an unknown option was accepted")


def test_labels_that_cannot_be_the_networks_classes_are_left_out():
    with tempfile.TemporaryDirectory() as folder:
        prefix, _ = _network(folder)
        photos = _photos(folder, 2)
        os.rename(os.path.join(photos, "red"), os.path.join(photos, "..", "red"))
        status, text, err = _run("evaluate", prefix, photos, *SHAPE)
        assert status == 0 and "labels are not used: there are 2 folders" in text, (text, err)
        assert "class of the label" not in text
        classes = os.path.join(folder, "classes.txt")
        with open(classes, "w") as file:
            file.write("\n".join(CLASSES))
        status, text, err = _run("evaluate", prefix, photos, *SHAPE, "--classes", classes)
        assert status == 0 and "class of the label" in text and "note" not in text, (text, err)


def test_benchmark_and_profile():
    with tempfile.TemporaryDirectory() as folder:
        prefix, (symbol, args, aux) = _network(folder)
        out = os.path.join(folder, "int8")
        data = np.random.RandomState(0).normal(0, 1, (8, 3, 12, 12)).astype(np.float32)
        mxq.quantize_model(symbol, (args, aux), data).save(out)
        quick = ["--shape", "3,12,12", "--rounds", "2", "--seconds", "0.01"]
        status, text, err = _run("benchmark", prefix, out, *quick, "--batch-sizes", "1,2", "--layers", "--json")
        assert status == 0, err
        found = json.loads(text)
        assert [(row["network"], row["batch_size"]) for row in found["rows"]] == [
            ("net", 1), ("int8", 1), ("net", 2), ("int8", 2),
        ]  # fmt: skip
        assert all(row["ms"] > 0 for row in found["rows"]) and found["rows"][0]["ratio"] == 1.0
        assert "mxq_conv" in [row["op"] for row in found["layers"]["int8"]["operators"]]
        beside = {row["name"]: row for row in found["layers"]["int8"]["beside_float"]}
        layers = [row for row in beside.values() if row["op"] in ("mxq_conv", "mxq_fully_connected")]
        assert len(layers) == 3 and all(row["float_us"] > 0 and row["int8_us"] > 0 for row in layers), beside
        assert all(row["float_us"] is None for row in beside.values() if row["op"] == "mxq_quantize_v2"), beside
        status, text, err = _run("benchmark", prefix, *quick, "--threads", "1")
        assert status == 0 and "net      float      1        1" in text, (text, err)
        status, text, err = _run("profile", out, "--shape", "3,12,12", "--runs", "2")
        assert status == 0 and "mxq_conv" in text, err
        assert _run("profile", prefix, "--shape", "3,12,12")[0] == 1
        status, _, err = _run("profile", out)
        assert status == 2 and "--shape 3,224,224" in err


def test_a_prefix_is_enough_for_every_command_and_json_for_programs():
    with tempfile.TemporaryDirectory() as folder:
        prefix, _ = _network(folder)
        data, onnx = os.path.join(folder, "data.npy"), os.path.join(folder, "net.onnx")
        np.save(data, np.random.RandomState(0).normal(0, 1, (12, 3, 12, 12)).astype(np.float32))
        for arguments in (
            ["preflight", prefix, data],
            ["explain", prefix, data, "--effect-examples", "0", "--layer-examples", "1"],
            ["export", prefix, onnx, data, "--no-check"],
            ["deliver", prefix, os.path.join(folder, "delivery"), data, "--targets", "mxnet"],
            ["import", onnx, "--out", os.path.join(folder, "back")],
            ["info"],
            ["support"],
        ):
            status, text, err = _run(*arguments, "--json")
            assert status == 0, (arguments, err)
            assert isinstance(json.loads(text), (dict, list)), arguments
            path = os.path.join(folder, "result.json")
            status, said, err = _run(*arguments, "--json", path)
            with open(path) as file:
                json.load(file)
            assert status == 0 and (not said.startswith("{")), (arguments, err)
