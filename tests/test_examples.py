"""The example scripts run as their texts say, and the scripts for RecordIO files score what they should."""

import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.cli.support import insert_into
from tests import realdata

EXAMPLE = os.path.join(realdata.REPO, "example")
sys.path[:0] = [EXAMPLE, os.path.join(EXAMPLE, "imagenet_inference")]

import imagenet_gen_qsym  # noqa: E402
import imagenet_inference  # noqa: E402

import measure  # noqa: E402

SIDE, PER_CLASS = 24, 12
COLOURS = np.array([(200, 60, 60), (60, 200, 60), (60, 60, 200), (110, 110, 110)])  # RGB of the four classes
MEAN, STD = "123.68,116.779,103.939", "58.393,57.12,57.375"
_folder = tempfile.TemporaryDirectory()


def path(name: str) -> str:
    return os.path.join(_folder.name, name)


def setup_module():
    """A network that tells colours apart, and images of four colours in a RecordIO file."""
    random = np.random.RandomState(0)
    writer = mx.recordio.MXRecordIO(path("colours.rec"), "w")
    for index in range(4 * PER_CLASS):
        colour = COLOURS[index % 4][::-1]  # BGR, as OpenCV has it
        image = np.clip(colour + random.randint(-40, 41, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        writer.write(mx.recordio.pack_img((0, float(index % 4), index, 0), image, img_fmt=".png"))
    writer.close()

    data = mx.sym.var("data")
    body = mx.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=4, name="conv0")
    body = mx.sym.BatchNorm(body, fix_gamma=False, name="bn0")
    body = mx.sym.Activation(body, act_type="relu", name="relu0")
    body = mx.sym.Pooling(body, kernel=(1, 1), global_pool=True, pool_type="avg", name="pool0")
    body = mx.sym.FullyConnected(body, num_hidden=4, name="fc0")
    symbol = mx.sym.SoftmaxOutput(body, name="softmax")
    weight = np.full((4, 3, 3, 3), 0.0)
    weight[:, :, 1, 1] = [[1, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1], [0, 0, 0]]
    arguments = {
        "conv0_weight": weight,
        "conv0_bias": np.array([0, 0, 0, 0.5]),
        "bn0_gamma": np.ones(4),
        "bn0_beta": np.zeros(4),
        "fc0_weight": np.eye(4),
        "fc0_bias": np.zeros(4),
    }
    states = {"bn0_moving_mean": np.zeros(4), "bn0_moving_var": np.ones(4)}
    as_arrays = [{name: mx.nd.array(value) for name, value in group.items()} for group in (arguments, states)]
    mx.model.save_checkpoint(path("colours"), 0, symbol, *as_arrays)


def said(function, *arguments: str) -> str:
    """What a script prints when it is called with these arguments."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            function(list(arguments))
    except SystemExit as stop:
        raise AssertionError(f"{arguments} ended with {stop.code}: {output.getvalue()}") from stop
    return output.getvalue()


def refusal(function, *arguments: str) -> str:
    """What a script says when it exits with a failure."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            function(list(arguments))
    except SystemExit as stop:
        assert stop.code, f"{arguments} were accepted"
        return f"{output.getvalue()}{stop.code}"
    raise AssertionError(f"{arguments} were accepted")


COMMON = ("--batch-size", "16", "--image-shape", f"3,{SIDE},{SIDE}", "--data-nthreads", "2")


def generate(output: str, *arguments: str) -> str:
    return said(
        imagenet_gen_qsym.main,
        *("--model", path("colours"), "--calib-dataset", path("colours.rec"), "--num-calib-batches", "2"),
        *("--rgb-mean", MEAN, "--rgb-std", STD, "--output", path(output), "--quiet"),
        *COMMON,
        *arguments,
    )


def score(symbol: str, params: str, *arguments: str) -> str:
    return said(
        imagenet_inference.main,
        *("--symbol-file", path(symbol), "--param-file", path(params), "--dataset", path("colours.rec")),
        *("--num-inference-batches", "3"),
        *COMMON,
        *arguments,
    )


def images_and_accuracy(text: str):
    return int(re.search(r"with (\d+) images", text).group(1)), float(re.search(r"accuracy: ([\d.]+)", text).group(1))


def test_float_network_is_scored():
    text = score("colours-symbol.json", "colours-0000.params", "--rgb-mean", MEAN, "--rgb-std", STD)
    assert images_and_accuracy(text) == (4 * PER_CLASS, 1.0), text


@parameterized.expand(
    [
        ("entropy", "float32", ("--rgb-mean", MEAN, "--rgb-std", STD)),
        ("mse", "float32", ("--rgb-mean", MEAN, "--rgb-std", STD)),
        ("naive", "uint8", ()),
        ("percentile", "int8", ("--rgb-mean", MEAN)),
    ]
)
def test_generated_network_is_scored(mode, dtype, normalization):
    output = f"{mode}-{dtype}"
    generate(output, "--calib-mode", mode, "--input-dtype", dtype)
    symbol, params = f"{output}-quantized-2batches-{mode}-symbol.json", f"{output}-quantized-0000.params"
    assert any(array.dtype == np.int8 for array in mx.nd.load(path(params)).values())
    text = score(symbol, params, "--data-layer-type", dtype, *normalization)
    assert images_and_accuracy(text) == (4 * PER_CLASS, 1.0), text


def test_network_without_calibration():
    generate("none", "--calib-mode", "none")
    text = score("none-quantized-symbol.json", "none-quantized-0000.params", "--rgb-mean", MEAN, "--rgb-std", STD)
    assert images_and_accuracy(text) == (4 * PER_CLASS, 1.0), text


def test_skipped_batches_and_a_last_batch_that_is_filled_up():
    arguments = ("--rgb-mean", MEAN, "--rgb-std", STD, "--num-skipped-batches", "1", "--batch-size", "32")
    text = score("colours-symbol.json", "colours-0000.params", *arguments)
    assert images_and_accuracy(text) == (4 * PER_CLASS - 32, 1.0), text


def test_report_and_exclusions():
    text = generate("excluded", "--exclude-first-conv", "--exclude-ops", "Pooling", "--report", "--calib-mode", "mse")
    rows = {line.split()[0]: line.split()[1:3] for line in text.splitlines() if line[:1].isalpha()}
    assert rows["conv0"] == ["Convolution", "float"]
    assert rows["pool0"] == ["Pooling", "float"]
    assert rows["fc0"] == ["FullyConnected", "int8"]
    message = refusal(
        imagenet_gen_qsym.main,
        *("--model", path("colours"), "--calib-dataset", path("colours.rec"), "--exclude", "conv1", "--quiet"),
        *COMMON,
    )
    assert "conv1" in message and "conv0" in message


def test_calibration_table_is_saved_and_used():
    generate("first", "--calib-mode", "mse", "--save-calib-table", path("table.json"))
    generate("second", "--calib-table", path("table.json"))
    symbols = [open(path(name)).read() for name in ("first-quantized-2batches-mse-symbol.json",)]
    symbols.append(open(path("second-quantized-symbol.json")).read())
    # Weights may be rounded otherwise where there is no data, and a node carries a hash of its weights.
    assert len({re.sub(r"[0-9a-f]{16}", "", text) for text in symbols}) == 1


def test_model_zoo_with_random_weights():
    shape = ("--image-shape", "3,64,64", "--batch-size", "2")
    source = ("--model", "mobilenet0.25", "--no-pretrained", "--calib-mode", "none")
    said(imagenet_gen_qsym.main, *source, "--output", path("zoo"), "--quiet", *shape)
    run = ("--symbol-file", path("zoo-quantized-symbol.json"), "--benchmark", "--num-inference-batches", "2", *shape)
    for parameters in ((), ("--param-file", path("zoo-quantized-0000.params"))):
        text = said(imagenet_inference.main, *run, *parameters)
        assert float(re.search(r"image/sec: ([\d.]+)", text).group(1)) > 0, text


@parameterized.expand([("True", True), ("False", False)])
def test_benchmark_switch_means_what_it_says(text, benchmark):
    arguments = ["--symbol-file", "s", "--param-file", "p", "--num-inference-batches", "1", f"--benchmark={text}"]
    assert imagenet_inference.parse(arguments)[0].benchmark is benchmark


def test_bfloat16_runs_and_is_refused_for_int8():
    run = ("--benchmark", "--num-inference-batches", "1", "--low-precision", "bfloat16", *COMMON)
    files = ("--symbol-file", path("colours-symbol.json"), "--param-file", path("colours-0000.params"))
    assert "image/sec" in said(imagenet_inference.main, *files, *run)
    generate("bf", "--calib-mode", "none")
    files = ("--symbol-file", path("bf-quantized-symbol.json"), "--param-file", path("bf-quantized-0000.params"))
    assert "int8" in refusal(imagenet_inference.main, *files, *run)


@parameterized.expand(
    [
        ("gpu", ("--ctx", "gpu"), "CPU"),
        ("no dataset", ("--dataset", "nowhere.rec"), "nowhere.rec"),
        ("std of int8", ("--data-layer-type", "int8", "--rgb-std", STD), "std_r"),
        ("float16", ("--low-precision", "float16"), "bfloat16"),
        ("shape", ("--image-shape", "224"), "channels,height,width"),
        ("symbol file", ("--symbol-file", "nowhere-symbol.json"), "nowhere-symbol.json"),
    ]
)
def test_inference_refuses(_, arguments, part):
    files = ("--symbol-file", path("colours-symbol.json"), "--param-file", path("colours-0000.params"))
    run = ("--dataset", path("colours.rec"), "--num-inference-batches", "1", *COMMON)
    assert part in refusal(imagenet_inference.main, *files, *run, *arguments)


def test_options_of_the_scripts_of_mxnet_are_known():
    imagenet_gen_qsym.parse(
        "--ctx cpu --model m --epoch 1 --no-pretrained --batch-size 2 --label-name l --calib-dataset d --image-shape "
        "3,8,8 --data-nthreads 1 --num-calib-batches 3 --exclude-first-conv --shuffle-dataset --shuffle-chunk-seed 1 "
        "--shuffle-seed 2 --calib-mode naive --quantized-dtype uint8 --enable-calib-quantize True --quiet".split()
    )
    imagenet_inference.parse(
        "--ctx cpu --benchmark True --symbol-file s --param-file p --batch-size 2 --label-name l --dataset d "
        "--rgb-mean 1,2,3 --rgb-std 1,1,1 --image-shape 3,8,8 --data-nthreads 1 --num-skipped-batches 1 "
        "--num-inference-batches 2 --shuffle-dataset --shuffle-chunk-seed 1 --shuffle-seed 2 "
        "--data-layer-type uint8".split()
    )


def test_quickstart():
    command = [sys.executable, os.path.join(EXAMPLE, "quickstart", "quickstart.py"), "--epochs", "2", "--rounds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    accuracy = re.search(r"^accuracy % +([\d.]+) +([\d.]+)", done.stdout, re.MULTILINE)
    assert accuracy, done.stdout
    floats, integers = map(float, accuracy.groups())
    assert floats > 85 and abs(floats - integers) < 2, done.stdout
    assert float(re.search(r"([\d.]+) of float", done.stdout).group(1)) < 0.3, done.stdout
    again = float(re.search(r"new process: accuracy ([\d.]+)", done.stdout).group(1))
    assert again == integers, done.stdout


def test_comparison_of_real_networks():
    realdata.need()
    command = [sys.executable, os.path.join(EXAMPLE, "compare_networks.py"), "--networks", "squeezenet1.1"]
    command += ["--images", "60", "--calib-images", "32", "--rounds", "1", "--seconds", "0.1"]
    command += ["--json", path("c.json"), "--png", path("c.png"), "--data", realdata.data_dir()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    with open(path("c.json")) as file:
        (row,) = json.load(file)["rows"]
    assert row["network"] == "squeezenet1.1" and row["images"] == 60
    assert row["agreement"] > 90 and row["sqnr"] > 20, row
    assert row["mb_int8"] < 0.27 * row["mb_float"], row
    assert os.path.getsize(path("c.png")) > 1000


def test_accuracy_counts():
    counted = measure.Accuracy()
    floats = np.array([[3.0, 1, 0, 0, 0, 0], [0, 5, 4, 3, 2, 1]])
    counted.update(np.array([0, 0]), floats, floats + [[0, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0]])
    assert [counted.percent(0, 1), counted.percent(1, 1)] == [50, 100]
    assert [counted.percent(0, 5), counted.percent(1, 5)] == [50, 100]
    assert counted.agreement == 50
    assert (counted.changed, counted.lost, counted.won) == (1, 0, 1)
    np.testing.assert_allclose(counted.sqnr, 10 * np.log10((9 + 1 + 25 + 16 + 9 + 4 + 1) / 81))


def test_interleaved_turns_alternate():
    calls = []
    speed = measure.interleaved(lambda: calls.append("a"), lambda: calls.append("b"), rounds=2, seconds=0.01)
    turns = [name for name, before in zip(calls, [None, *calls]) if name != before]
    assert turns == ["a", "b", "a"]  # a b, b a
    assert speed.lowest <= speed.highest and speed.first_ms > 0


def test_readme_has_its_parts():
    with open(os.path.join(realdata.REPO, "README.md")) as file:
        text = file.read()
    for command in re.findall(r"^bash (\S+)", text, re.MULTILINE):
        assert os.path.exists(os.path.join(realdata.REPO, command)), command
    for mark in ("results", "support table"):
        assert text.count(f"<!-- {mark}: begin -->") == text.count(f"<!-- {mark}: end -->") == 1
    assert insert_into(text) == text, "the support table is old: put mxq.cli.support.insert_into(text) into the README"
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(programs) >= 3
    for program in programs:
        ast.parse(program)
    for name in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert os.path.exists(os.path.join(realdata.REPO, name)), name
