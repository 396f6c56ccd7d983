"""The benchmarks' own parts: ratios, kept results, the processes that engines run in, tables and pages."""

import functools
import json
import os
import sys
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

from tests import realdata

EXAMPLE = os.path.join(realdata.REPO, "example")
sys.path[:0] = [EXAMPLE, os.path.join(EXAMPLE, "benchmark")]

import accuracy  # noqa: E402
import accuracy_page  # noqa: E402
import boxes  # noqa: E402
import engines  # noqa: E402
import layer_page  # noqa: E402
import layer_times  # noqa: E402
import networks  # noqa: E402
import owned  # noqa: E402
import owned_page  # noqa: E402
import processes  # noqa: E402
import results  # noqa: E402
import speed  # noqa: E402
import speed_page  # noqa: E402
import tasks  # noqa: E402

import measure  # noqa: E402

_folder = tempfile.TemporaryDirectory()
WORK = _folder.name
PREPARED = processes.Prepared(WORK, 6, 1)  # shared: it starts a process for what it does not know yet


def path(*names: str) -> str:
    return os.path.join(WORK, *names)


def setup_module():
    """A network of one convolution and its images, as networks.make writes them."""
    os.makedirs(path("small"), exist_ok=True)
    data = mx.sym.var("data")
    body = mx.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=4, name="conv")
    symbol = mx.sym.FullyConnected(mx.sym.Activation(body, act_type="relu"), num_hidden=5, name="fc")
    shapes, _, _ = symbol.infer_shape(data=(1, 3, 8, 8))
    random = np.random.RandomState(0)
    names = dict(zip(symbol.list_arguments(), shapes))
    weights = {n: mx.nd.array(random.randn(*s) * 0.1) for n, s in names.items() if n != "data"}
    mx.model.save_checkpoint(path("small", "float"), 0, symbol, weights, {})
    np.save(path("labels.npy"), np.arange(6) % 5)
    np.save(path("images.npy"), random.randint(0, 256, (6, 3, 8, 8)).astype(np.uint8))


def small() -> dict:
    return {
        "name": "small",
        "folder": path("small"),
        "float": path("small", "float"),
        "source": ["a", "b"],
        "shape": [3, 8, 8],
        "mean": [127.5] * 3,
        "std": [60.0] * 3,
        "calib": path("images.npy"),
        "val": path("images.npy"),
        "labels": path("labels.npy"),
        "calib_images": 6,
        "val_images": 6,
    }


def expected(count: int) -> np.ndarray:
    """Outputs of the small network for its first images, by MXNet here."""
    block = mx.gluon.SymbolBlock.imports(
        path("small", "float-symbol.json"), ["data"], path("small", "float-0000.params")
    )
    images = (np.load(path("images.npy"))[:count].astype(np.float32) - 127.5) / 60
    return block(mx.nd.array(images)).asnumpy()


def test_ratio_is_taken_round_by_round():
    slow = [1.0, 8.0, 1.0, 1.0, 1.0]  # a machine that was busy in the second round
    ratio = measure.ratio([2 * t for t in slow], slow)
    assert ratio == (2.0, 2.0, 2.0)
    assert measure.ratio([1, 2, 3, 4, 5], [1] * 5) == (3.0, 2.0, 4.0)


def test_geometric_mean():
    assert abs(measure.geometric_mean([0.5, 2.0, 4.0]) - 4 ** (1 / 3)) < 1e-12


def test_turn_calls_as_often_as_it_must():
    calls = []
    assert len(measure.turn(lambda: calls.append(0), 0.0, least=4)) == 4


def test_results_are_kept_and_measured_again_under_other_conditions():
    file = path("results.json")
    calls = []

    def measured(kept: results.Results, conditions: dict) -> dict:
        return kept.measured("a", conditions, lambda: calls.append(0) or {"value": len(calls)})

    assert measured(results.Results(file, {}), {"version": (1, 2)}) == {"value": 1}
    assert measured(results.Results(file, {}), {"version": (1, 2)}) == {"value": 1}  # tuples are lists in the file
    assert measured(results.Results(file, {}), {"version": (1, 3)}) == {"value": 2}
    assert measured(results.Results(file, {}, fresh=True), {"version": (1, 3)}) == {"value": 3}
    assert json.load(open(file))["entries"]["a"]["value"] == {"value": 3}


@parameterized.expand(["float", "mxq"])
def test_an_engine_runs_in_a_process_of_its_own(engine):
    prepared = PREPARED
    found = prepared(engine, small())
    assert found["examples"] == (6 if engine == "mxq" else 0)
    assert engine == "float" or found["sqnr"] > 25, found
    made = os.stat(os.path.join(found["folder"], "model-symbol.json")).st_mtime_ns
    assert prepared(engine, small()) == found
    assert os.stat(os.path.join(found["folder"], "model-symbol.json")).st_mtime_ns == made
    with processes.Process(engine, 1, path("log")) as process:
        loaded = process.load(small(), found["folder"], 4)
        assert 0 < loaded["load"] < loaded["first"] and loaded["after"]["rss"] > 1e7
        assert process.ask("turn", seconds=0.01)["median"] > 0
        process.ask("predict", output=path("predicted.npy"), images=6)  # a whole batch and a half
        predicted = np.load(path("predicted.npy"))
        assert np.abs(predicted - expected(6)).max() < (1e-4 if engine == "float" else 0.1 * np.abs(expected(6)).max())


def test_layers_of_both_networks_are_measured_and_joined():
    prepared = PREPARED
    rows = {row["name"]: row for row in layer_times.measure_layers(small(), prepared, 1, False)["rows"]}
    assert rows["conv"]["macs"] == 8 * 8 * 4 * 3 * 9 and rows["fc"]["macs"] == 4 * 64 * 5
    assert all(rows[name]["us"] > 0 and rows[name]["float_us"] > 0 for name in ("conv", "fc"))
    assert rows["data_quantize"]["float_us"] is None
    assert sum(row["float_us"] is not None for row in rows.values()) == 2, rows  # the ReLU is part of both convolutions


def test_layers_are_joined_by_the_nodes_they_are_made_of():
    floats = [
        {"name": "fused0", "op": "_sg", "us": 10.0, "nodes": ["conv", "bn", "relu"]},
        {"name": "add", "op": "elemwise_add", "us": 5.0, "nodes": ["add"]},
        {"name": "drop", "op": "Dropout", "us": 1.0, "nodes": ["drop"]},
    ]
    integers = [
        {"name": "q", "op": "mxq_quantize_v2", "us": 1.0, "macs": 0},
        {"name": "conv", "op": "mxq_conv", "us": 3.0, "macs": 6000},
    ]
    rows = layer_times.join(floats, integers, {"conv": "conv", "add": "conv", "relu": "conv"})
    assert [(row["name"], row["us"], row["float_us"]) for row in rows] == [
        ("q", 1.0, None),
        ("conv", 3.0, 15.0),
        ("drop", 0.0, 1.0),
    ]
    summed = layer_page.by_operator(rows)
    assert [row["name"] for row in summed] == ["mxq_conv", "mxq_quantize_v2", "Dropout"]
    assert layer_page.cells(summed[0], 4.0, 4.0, lambda row: row["name"]) == [
        *("mxq_conv", "3", "75.0", "2", "50", "15", "5.0")
    ]
    assert layer_times.middle([[{"us": 3.0}], [{"us": 1.0}], [{"us": 2.0}]]) == [{"us": 2.0}]


def test_accuracy_is_scored_and_its_page_written():
    prepared = PREPARED
    about = {
        "machine": "a machine",
        "command": "python accuracy.py",
        "calib_images": 6,
        "engines": ["float", "mxq", "ort"],
        "labels": {name: engines.ENGINES[name].label for name in ("float", "mxq", "ort")},
        "versions": {"mxnet": "1.9.1"},
        "networks": [{"name": "small", "label": "small"}],
    }
    kept = results.Results(path("accuracy.json"), about, fresh=True)
    for engine in ("float", "mxq"):
        kept.measured(f"small/{engine}", {}, lambda engine=engine: accuracy.score(engine, small(), prepared, 6))
    right = (expected(6).argmax(1) == np.arange(6) % 5).mean() * 100
    floats, integers = kept.get("small/float"), kept.get("small/mxq")
    assert abs(floats["top1"] - right) < 1e-9 and floats["agreement"] == 100 and floats["sqnr"] is None
    assert integers["images"] == 6 and integers["sqnr"] > 25 and integers["seconds"] > 0
    kept.measured("small/ort", {}, lambda: {**integers, "sqnr": 20.0, "agreement": 50.0})
    assert accuracy_page.best_peers(kept, "small") == {"agreement": ("ort", 50.0), "sqnr": ("ort", 20.0)}
    accuracy_page.write(kept, path("docs", "accuracy.md"))
    text = open(path("docs", "accuracy.md")).read()
    assert "| small | MXNet float |" in text and "50.00 (ONNX Runtime, min-max)" in text and "same 6 others" in text
    assert os.path.getsize(path("docs", "accuracy.png")) > 1000
    assert "ONNX Runtime, min-max" in accuracy_page.summary(kept)


def test_what_an_engine_raises_comes_back_and_it_goes_on():
    with processes.Process("float", 1, path("log")) as process:
        try:
            process.load(small(), path("nowhere"), 1)
        except processes.EngineError as error:
            assert "float" in str(error) and path("log") in str(error)
        else:
            raise AssertionError("a folder that does not exist was loaded")
        assert process.ask("versions")["versions"]["mxnet"] == "1.9.1"


def test_a_process_that_died_is_reported():
    process = processes.Process("float", 1, path("log"))
    process._process.kill()
    try:
        process.ask("versions")
    except processes.EngineError as error:
        assert "status" in str(error)
    else:
        raise AssertionError("a dead process answered")
    process.close()


def test_an_engine_that_is_not_installed_is_skipped_with_the_reason():
    before = engines.PEERS
    engines.PEERS = path("no-environment")
    try:
        assert path("no-environment") in engines.missing("ort")
        assert engines.missing("mxq") is None
    finally:
        engines.PEERS = before


def test_an_engine_that_dies_or_cannot_load_does_not_end_the_run():
    class Options:
        rounds, seconds = 2, 0.01

    class Fragile(speed.Players):
        def turn(self, engine: str, seconds: float):
            if engine == "mxq":
                self._processes[engine][0]._process.kill()
            return super().turn(engine, seconds)

    broken = {**small(), "name": "broken", "folder": path("nowhere")}
    with Fragile(1, 1, PREPARED, neighbours=1) as players:
        (neighbour,) = players._neighbours
        found = speed.play(["float", "mxq"], small(), 2, players, Options)
        assert len(found["ms"]["float"]) == 2 and list(found["ms"]) == ["float"] == list(found["p99"])
        assert all(p99 > 0 for p99 in found["p99"]["float"]) and neighbour.poll() is None
        assert "the process ended" in found["failed"]["mxq"]
        os.makedirs(path("nowhere"), exist_ok=True)
        broken["float"] = path("nowhere", "float")
        found = speed.play(["mxq"], broken, 2, players, Options)
        assert found["ms"] == {} and "mxq" in found["failed"]
        assert speed_page.scenario_table(found, {}) == "nothing could be run"
    assert neighbour.poll() is not None


def test_scenarios_of_the_command_line():
    class Options:
        batches, threads, processes, neighbours, all = [1, 8], [2, 1], 2, [1], False

    found = [str(scenario) for scenario in speed.scenarios(Options)]
    assert found == [
        "batch 1, 2 threads",
        "batch 8, 2 threads",
        "batch 1, 1 thread",
        "batch 1, 2 processes of 1 thread",
        "batch 1, 2 threads, 1 busy neighbour",
    ]
    assert speed.scenarios(Options)[-1].tables == [found[-1], f"{found[-1]}, 99th percentile"]
    Options.all = True
    assert len(speed.scenarios(Options)) == 7


def test_page_of_results():
    about = {
        "machine": "a machine",
        "command": "python speed.py",
        "rounds": 3,
        "seconds": 0.1,
        "engines": ["mxq", "ort", "float"],
        "labels": {name: engines.ENGINES[name].label for name in ("mxq", "ort", "float")},
        "versions": {"mxnet": "1.9.1", "content": "digest"},
        "networks": [{"name": "a", "label": "a"}, {"name": "b", "label": "b (random weights)"}],
        "scenarios": ["batch 1, 2 threads"],
    }
    kept = results.Results(path("page.json"), about, fresh=True)
    times = {"mxq": [1.0, 1.0, 1.0], "ort": [2.0, 2.0, 2.2], "float": [9.0, 8.0, 8.0]}
    kept.measured("a/batch 1, 2 threads", {}, lambda: {"ms": times, "failed": {}})
    kept.measured(
        "b/batch 1, 2 threads", {}, lambda: {"ms": {"mxq": [1.0], "float": [8.0]}, "failed": {"ort": "no op"}}
    )
    text = speed_page.page(kept, None)
    assert "| a | 1.00 | 2.00 (2.00-2.10) | 8.00 (8.00-8.50) | 2.00 (ONNX Runtime, min-max) |" in text, text
    assert "| b (random weights) | 1.00 | - | 8.00 (8.00-8.00) | 8.00 (MXNet float) |" in text, text
    assert "4.00 in the geometric mean, above 1 on 2 of 2" in text
    assert "- b (random weights), ONNX Runtime, min-max: no op" in text
    assert "digest" not in text
    assert "2.00 (2.00-2.10)" in speed_page.summary(kept)
    speed_page.write(kept, path("docs", "page.md"))
    assert "](page.png)" in open(path("docs", "page.md")).read() and os.path.getsize(path("docs", "page.png")) > 1000


def test_random_weights_keep_activations_in_range():
    shape = (3, 64, 64)
    zoo = networks.Shape(shape, networks.SHAPES["mobilenetv2"].build)
    symbol, arguments, auxiliary = networks.random_weights(zoo)
    executor = symbol.simple_bind(mx.cpu(), data=(2, *shape), grad_req="null")
    executor.copy_params_from(arguments, auxiliary)
    output = executor.forward(is_train=False, data=mx.nd.random.normal(shape=(2, *shape)))[0].asnumpy()
    assert 0.01 < output.std() < 100, output.std()


# -- networks as their owners have them --------------------------------------------------------------------------------


def test_pairs_of_faces_flip_where_a_cosine_crosses_floats_threshold():
    # Three people, two pictures each; between people cosines are at most 0.6, of one person 0.8.
    exact = np.float32([[1, 0, 0], [4, 3, 0], [0, 1, 0], [0, 4, 3], [0, 0, 1], [3, 0, 4]]) / 5
    same = tasks.pairs([exact], [exact * 7])
    assert abs(same.pop("cosine") - 1) < 1e-6
    assert same == {"balanced_float": 100.0, "balanced": 100.0, "flips": 0, "pairs": 9}
    same["cosine"] = 1.0
    found = exact.copy()
    found[1] = [0, 1, 0]  # now like the second person, and no more like the first
    worse = tasks.pairs([exact], [found])
    assert worse["flips"] == 2 and abs(worse["balanced"] - 100 * (2 / 3 + 5 / 6) / 2) < 1e-9
    assert abs(worse["cosine"] - (5 + 0.6) / 6) < 1e-6
    assert tasks.TASKS["pairs"].rank(same) > tasks.TASKS["pairs"].rank(worse)
    assert tasks.TASKS["pairs"].told(worse).startswith("75.00 % (float 100.00), 2 of 9 flip")


def test_ages_are_counted_over_pairs_of_scores():
    exact = np.zeros((2, 202), np.float32)
    exact[:, 1] = 1  # gender 1
    exact[0, 2 : 2 + 2 * 30].reshape(30, 2)[:, 1] = 1  # 30 years
    found = exact.copy()
    found[1, 0] = 2
    found[0, 2 + 2 * 30 : 2 + 2 * 33].reshape(3, 2)[:, 1] = 1
    assert tasks.gender_age([exact], [found]) == {"gender": 50.0, "years": 1.5, "within": 50.0}


def test_boxes_match_once_and_within_their_class():
    wanted = boxes.Boxes(np.array([0, 1]), np.array([0.9, 0.8]), np.float64([[0, 0, 10, 10], [0, 0, 10, 10]]))
    found = boxes.Boxes(
        np.array([0, 0, 1]), np.array([0.7, 0.9, 0.9]), np.float64([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 4]])
    )
    match = boxes.Match().plus(wanted, found)  # the better one takes it; 40 % of the last one is not enough
    assert match == (2, 3, 1, 0.8) and match.f1 == 40.0 and abs(match.mean_iou - 80) < 1e-9
    assert boxes.Match().f1 == 100.0 and np.isnan(boxes.Match().mean_iou)
    kept = boxes.suppressed(found, 0.5)
    assert kept.scores.tolist() == [0.9, 0.9] and kept.corners[:, 3].tolist() == [8, 4]


def test_decoders_give_the_box_that_was_written():
    """One cell of each network's outputs is set to a box; the decoder must return it and nothing else."""

    def near(found, corners, ids=0):
        (box,) = found
        assert len(box.scores) == 1 and np.abs(box.corners[0] - corners).max() < 0.02 and box.ids[0] == ids, box

    stride8 = [np.zeros(shape, np.float32) for shape in ((1, 4, 3, 4), (1, 8, 3, 4))]
    stride8[0][0, 3, 1, 2], stride8[1][0, 4:8, 1, 2] = (
        0.9,
        [0.5, 0, np.log(2), 0],
    )  # the anchor of 16 pixels, twice as wide
    rest = [np.zeros((1, c, 1, 1), np.float32) for c in (4, 8, 20)]
    centre = np.array([2 * 8 + 7.5 + 8, 8 + 7.5])
    near(boxes.retinaface([*rest, *rest, *stride8, rest[2]]), [*(centre - [15.5, 7.5]), *(centre + [15.5, 7.5])])

    heads = [np.full((1, 255, n, n), -20, np.float32) for n in (10, 20)]
    cell = heads[1].reshape(1, 3, 85, 20, 20)[0, 1, :, 5, 6]
    cell[:5], cell[5 + 7] = [0, 0, np.log(2), 0, 20], 20  # the anchor of 37 x 49, twice as wide
    near(boxes.yolo(heads), [6.5 * 16 - 37, 5.5 * 16 - 24.5, 6.5 * 16 + 37, 5.5 * 16 + 24.5], ids=7)

    offsets, probability = np.zeros((1, 4, 5, 6), np.float32), np.zeros((1, 2, 5, 6), np.float32)
    probability[0, 1, 2, 3], offsets[0, :, 2, 3] = 0.8, [0.5, 0, 0, -0.25]
    near(boxes.pnet([offsets, probability]), [7 + 6, 5, 19, 17 - 3])
    near(boxes.rnet([np.float32([[0.25, 0, 0, 0]]), np.float32([[0.1, 0.9]])]), [6, 0, 24, 24])
    assert [len(b.scores) for b in boxes.rnet([np.zeros((1, 4)), np.float32([[0.5, 0.5]])])] == [0]

    scales = [np.zeros((1, c, 2, 2), np.float32) for _ in range(3) for c in (1, 4)]
    scales[2][0, 0, 1, 0], scales[3][0, :, 1, 0] = 0.9, [0.25, 0.5, -0.25, -0.5]
    near(boxes.lffd(scales), [31 - 32, 63 - 64, 31 + 32, 63 + 64])


def owned_folder() -> str:
    """A small detector of crops, with a head that trains, in the layout of a folder of owners' networks."""
    folder = path("owners")
    os.makedirs(os.path.join(folder, "models"), exist_ok=True)
    x = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), stride=(2, 2), num_filter=4, name="conv1")
    x = mx.sym.LeakyReLU(x, act_type="prelu", name="prelu1")
    prob = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=2, name="fc1"), name="prob1")
    symbol = mx.sym.Group([mx.sym.FullyConnected(x, num_hidden=4, name="fc2"), prob])
    shapes, _, _ = symbol.infer_shape(data=(1, 3, 24, 24))
    random = np.random.RandomState(0)
    known = dict(zip(symbol.list_arguments(), shapes))
    weights = {n: mx.nd.array(random.randn(*s) * 0.1) for n, s in known.items() if n not in ("data", "prob1_label")}
    weights["fc1_bias"][:] = [-2, 2]  # a box in every crop
    weights["fc2_weight"] *= 0.1  # whose corners stay in their order
    mx.model.save_checkpoint(os.path.join(folder, "models", "mtcnn-det2"), 1, symbol, weights, {})
    crops = random.randint(0, 256, (12, 3, 24, 24)).astype(np.uint8)
    np.savez(os.path.join(folder, "mtcnn-det2-crops.npz"), calib=crops[:8], eval=crops[8:])
    return folder


def test_owned_networks_are_scored_by_their_task_and_have_their_part_of_the_page():
    folder = owned_folder()
    assert owned.names(folder) == ["mtcnn-det2"]
    network = owned.make("mtcnn-det2", folder, path("work"))
    assert network == owned.make("mtcnn-det2", folder, path("work")) and network["calib_images"] == 8
    about = {
        "command": "python accuracy.py",
        "machine": "a machine",
        "versions": {"mxq": "0"},
        "calib_images": 6,
        "networks": [{"name": "mtcnn-det2", "label": "mtcnn-det2", "task": network["task"]}],
        "engines": ["float", "mxq"],
        "labels": {engine: engines.ENGINES[engine].label for engine in ("float", "mxq")},
    }
    kept = results.Results(path("owned.json"), about, fresh=True)
    for engine in about["engines"]:
        measuring = functools.partial(accuracy.score_task, engine, network, PREPARED, 4)
        kept.measured(f"mtcnn-det2/{engine}", {}, measuring)
    found = kept.get("mtcnn-det2/mxq")
    assert found["images"] == 4 and len(found["sqnr"]) == 2 and min(found["sqnr"]) > 20, found
    assert found["task"]["f1"] == 100.0 and found["task"]["iou"] > 90 and 0 < found["size"] < 0.9, found
    assert kept.get("mtcnn-det2/float")["sqnr"] == [None, None]
    text = accuracy_page.page(kept, None)
    assert "## Networks as their owners have them" in text and "boxes matched with float's at IoU 0.5" in text
    assert "## All" not in text and "4 of 4, 4 found (F1 100.0 %)" in accuracy_page.summary(kept)
    assert owned_page.cells({"task": "boxes"}, {"failed": "contrib: no"}) == ["-", "contrib: no", "-", "-"]


def test_the_best_peer_is_chosen_by_task_and_by_sqnr():
    about = {
        "networks": [{"name": "n", "label": "n", "task": "pairs"}],
        "engines": ["mxq", "contrib", "ort", "openvino"],
        "labels": {engine: engines.ENGINES[engine].label for engine in ("mxq", "contrib", "ort", "openvino")},
    }
    kept = results.Results(path("peers.json"), about, fresh=True)
    base = {"balanced_float": 90.0, "balanced": 90.0, "pairs": 9, "cosine": 0.9}
    for engine, flips, ratio in (("mxq", 0, 30.0), ("contrib", 2, 25.0), ("ort", 1, 20.0)):
        value = {"sqnr": [ratio, 40.0], "task": {**base, "flips": flips}, "size": 0.3, "seconds": 1.0}
        kept.measured(f"n/{engine}", {}, lambda value=value: value)
    kept.measured("n/openvino", {}, lambda: {"failed": "openvino: not exported"})
    header, ((name, ours, by_task, by_sqnr),) = owned_page.comparison(kept)
    assert name == "n" and ours.startswith("30.0 dB") and header[-2:] == ["best peer by task", "best peer by SQNR"]
    assert by_task.startswith("ONNX Runtime, min-max: 20.0 dB; 90.00 %")
    assert by_sqnr.startswith("MXNet contrib, naive: 25.0")
    assert len(owned_page.every(kept)[1]) == 4
