"""Accuracy control through the public functions: planted layers, killed runs, wrong arguments."""

import json
import logging
import os
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.accuracy import Metric

from ..blocks import images, sqnr, trained
from ..networks import NETWORKS, conv, fill, forward, head, relu
from ..refusals import refused


def deep():
    """Six convolutions in a row with a residual sum, then a classifier."""
    x = mx.sym.var("data")
    x = relu(conv(x, "conv0", 6), "relu0")
    x = first = relu(conv(x, "conv1", 7), "relu1")
    x = relu(conv(x, "conv2", 7), "relu2")
    x = relu(mx.sym.elemwise_add(conv(x, "conv3", 7), first, name="sum"), "relu3")
    x = relu(conv(x, "conv4", 9, stride=(2, 2)), "relu4")
    x = relu(conv(x, "conv5", 10), "relu5")
    return fill(head(x, 6), {"data": (4, 3, 9, 9)})


SYM, ARGS, AUX, _ = deep()
CALIBRATION, HELD_OUT = (np.random.RandomState(seed).normal(0, 1, (48, 3, 9, 9)).astype(np.float32) for seed in (0, 1))
LABELS = forward((SYM, ARGS, AUX), {"data": HELD_OUT})[0].argmax(axis=1).astype(np.float32)


def quantize(**options):
    given = {"calib_data": CALIBRATION, "eval_data": HELD_OUT, "batch_size": 20, **options}
    return mxq.quantize_model(SYM, (ARGS, AUX), given.pop("calib_data"), **given)


def planted(*keys, factor=400.0):
    """A table in which these tensors, and so the layers that read them, have far too wide a range."""
    table = mxq.quantize_model(SYM, (ARGS, AUX), CALIBRATION).table
    ranges = {key: (lo * factor, hi * factor) if key in keys else (lo, hi) for key, (lo, hi) in table.ranges.items()}
    return mxq.CalibTable(
        ranges, table.mode, table.graph_hash, table.num_examples,
        channel_factors=table.channel_factors, data_shapes=table.data_shapes,
    )  # fmt: skip


BAD_ONE, BAD_TWO = planted("relu3"), planted("relu2", "relu4")


# -- finding -----------------------------------------------------------------------------------------------------------


def test_an_int8_network_that_is_good_enough_costs_one_evaluation():
    model = quantize(metric="top1", max_drop=5)
    control = model.accuracy
    assert control.float_layers == () and control.ranking == () and len(control.evaluations) == 1
    assert control.float_metric == 100.0 and control.final_metric == control.int8_metric >= 95
    assert "1 evaluation" in control.summary()
    plain = mxq.quantize_model(SYM, (ARGS, AUX), CALIBRATION)
    assert plain.accuracy is None
    assert np.array_equal(forward(model, {"data": HELD_OUT})[0], forward(plain, {"data": HELD_OUT})[0])


@parameterized.expand([
    ("sqnr", {"metric": "sqnr", "min_metric": 25.0}, {}),
    ("cosine", {"metric": "cosine", "max_drop": 0.01}, {}),
    ("top1", {"metric": "top1", "max_drop": 3}, {}),
    ("accuracy", {"metric": "accuracy", "max_drop": 3, "eval_data": (HELD_OUT, LABELS)}, {"float_metric": 100.0}),
    ("mxnet", {"metric": mx.metric.Accuracy(), "max_drop": 0.03, "eval_data": (HELD_OUT, LABELS)}, {"float_metric": 1}),
    ("loss", {"metric": mx.metric.MSE(), "max_drop": 0.01, "eval_data": (HELD_OUT, None)}, {}),
])  # fmt: skip
def test_finds_the_planted_layer(_, options, expected):
    if "eval_data" in options and options["eval_data"][1] is None:
        options = {**options, "eval_data": (HELD_OUT, forward((SYM, ARGS, AUX), {"data": HELD_OUT})[0])}
    model = quantize(calib_data=None, calib_table=BAD_ONE, **options)
    control = model.accuracy
    assert control.float_layers == ("conv4",) and control.minimal, control
    assert control.ranking[0][0] == "conv4" and len(control.ranking) == 8
    assert control.ranking[0][1] + 15 < control.ranking[1][1]
    assert len(control.evaluations) <= 5
    assert all(getattr(control, name) == value for name, value in expected.items())
    floats = {row.node: row.reason for row in model.report.floats()}
    assert set(floats) == {"conv4", "relu4"}
    assert "accuracy control" in floats["conv4"] and "number 1 of 8" in floats["conv4"] and "conv4" in floats["relu4"]
    noise = forward(model, {"data": HELD_OUT})[0] - forward((SYM, ARGS, AUX), {"data": HELD_OUT})[0]
    assert np.square(noise).sum() < 10**-2.5 * np.square(forward((SYM, ARGS, AUX), {"data": HELD_OUT})[0]).sum()


def test_finds_two_planted_layers_and_saves_the_mixed_network():
    model = quantize(calib_data=None, calib_table=BAD_TWO, metric="sqnr", min_metric=25.0)
    assert set(model.accuracy.float_layers) == {"conv3", "conv5"}
    assert model.accuracy.final_metric >= 25.0 > model.accuracy.int8_metric
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "mixed")
        model.save(prefix)
        loaded = mx.model.load_checkpoint(prefix, 0)
        reference = forward((SYM, ARGS, AUX), {"data": HELD_OUT})[0].astype(np.float64)
        noise = forward(loaded, {"data": HELD_OUT})[0] - reference
    found = 10 * np.log10(np.square(reference).sum() / np.square(noise).sum())
    assert np.isclose(found, model.accuracy.final_metric, atol=0.05)  # what was measured is what is delivered


def test_a_metric_of_which_less_is_better():
    def error(outputs, reference, batch):
        return np.abs(outputs[0] - reference[0]).mean(axis=1).sum(), batch.n_valid

    error.higher_is_better = False
    control = quantize(calib_data=None, calib_table=BAD_ONE, metric=error, max_drop=0.1).accuracy
    assert control.float_layers == ("conv4",) and control.final_metric <= 0.1 < control.int8_metric
    assert control.float_metric == 0 and control.worst == 0.1 and control.metric == "error"


def test_a_metric_class_and_labels():
    class Share(Metric):
        name = "share of labels"

        def reset(self):
            self.right = self.all = 0

        def update(self, outputs, reference, batch):
            assert set(batch.arrays) == {"data"} and len(batch.labels) == 1
            assert len(batch.labels[0]) == batch.n_valid == len(outputs[0]) == len(reference[0])
            self.right += (outputs[0].argmax(1) == batch.labels[0]).sum()
            self.all += batch.n_valid

        def value(self):
            return self.right / self.all

    iterator = mx.io.NDArrayIter(HELD_OUT, LABELS, batch_size=20)  # 48 examples: the last batch is padded
    control = quantize(calib_table=BAD_ONE, metric=Share(), max_drop=0.03, eval_data=iterator).accuracy
    assert control.float_layers == ("conv4",) and control.float_metric == 1.0


def test_every_layer_float_is_the_float_network():
    control = quantize(metric="sqnr", min_metric=100.0).accuracy
    assert control.final_metric > 100 and len(control.float_layers) >= 7


def test_full_mode_and_run_time_ranges():
    for options in ({"quantize_mode": "full"}, {"calib_mode": "none"}):
        plain = quantize(metric="sqnr", min_metric=0.0, **options).accuracy
        better = quantize(metric="sqnr", min_metric=plain.int8_metric + 3, **options).accuracy
        assert plain.float_layers == () and 0 < len(better.float_layers) < len(better.ranking)


def test_a_gluon_network():
    net = trained()
    data = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(images((32, 3, 12, 10)), np.zeros(32)), batch_size=8)
    block = mxq.quantize_net(net, data, metric="sqnr", min_metric=50.0, eval_data=data)
    assert block.accuracy.final_metric >= 50.0 > block.accuracy.int8_metric
    found = sqnr(*(run(mx.nd.array(images((32, 3, 12, 10)))).asnumpy() for run in (net, block)))
    assert np.isclose(found, block.accuracy.final_metric, atol=0.05)
    assert mxq.quantize_net(net, data).accuracy is None
    refused(lambda: mxq.quantize_net(net, data, metrics="top1"), "nearest: metric", error=mxq.ConfigError)


def test_the_record_is_json():
    control = quantize(calib_data=None, calib_table=BAD_ONE, metric="sqnr", min_metric=25.0).accuracy
    content = json.loads(control.to_json())
    assert content["float_metric"] is None and content["float_layers"] == ["conv4"]
    assert content["evaluations"][0] == {"float_layers": [], "metric": control.int8_metric}
    assert content["ranking"][0][0] == "conv4"


# -- killed and resumed ------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


class Counting(Metric):
    """SQNR-like; counts networks and stops at a given one."""

    name = "counting"

    def __init__(self, stop_at=None):
        self.networks, self.stop_at = 0, stop_at
        self.reset()

    def reset(self):
        self.signal = self.noise = 0.0

    def update(self, outputs, reference, batch):
        if self.signal == 0.0:
            self.networks += 1
            if self.networks == self.stop_at:
                raise Killed
        self.signal += float(np.square(reference[0], dtype=np.float64).sum())
        self.noise += float(np.square(reference[0] - outputs[0], dtype=np.float64).sum())

    def value(self):
        return -self.noise / self.signal


BOUND = {"calib_data": None, "calib_table": BAD_TWO, "max_drop": 10**-2.5}


def test_a_killed_search_goes_on_without_repeating_anything():
    whole = Counting()
    expected = quantize(metric=whole, **BOUND).accuracy
    assert len(expected.evaluations) >= 4
    for stop_at in (1, 2, 4, whole.networks):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "search.json")
            first, second = Counting(stop_at), Counting()
            try:
                quantize(metric=first, search_state=path, **BOUND)
            except Killed:
                pass
            else:
                raise AssertionError("the search ended before it was stopped")
            found = quantize(metric=second, search_state=path, **BOUND).accuracy
            assert found._replace(repeated=0) == expected
            assert found.repeated == max(stop_at - 2, 0)  # network 1 is float
            assert first.networks - 1 + second.networks == whole.networks
            third = Counting()
            again = quantize(metric=third, search_state=path, **BOUND).accuracy
            assert third.networks == 0 and again.repeated == len(again.evaluations)
            assert sorted(os.listdir(folder)) == ["search.json", "search.json.outputs"]


def test_another_bound_uses_what_was_measured():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "search.json")
        quantize(search_state=path, calib_data=None, calib_table=BAD_TWO, metric="sqnr", min_metric=25.0)
        control = quantize(
            search_state=path, calib_data=None, calib_table=BAD_TWO, metric="sqnr", min_metric=20.0
        ).accuracy
        assert control.repeated >= 2
        os.remove(f"{path}.outputs")  # they are made again
        quantize(search_state=path, calib_data=None, calib_table=BAD_TWO, metric="sqnr", min_metric=40.0)


CHANGES = [
    ("data", {"eval_data": HELD_OUT[::-1]}, "other eval_data"),
    ("metric", {"metric": "cosine", "min_metric": 0.9}, "its metric is 'sqnr', here 'cosine'"),
    ("options", {"quantized_dtype": "int8"}, "its options"),
    ("table", {"calib_table": BAD_ONE}, "its ranges differ"),
    ("excluded", {"excluded_sym_names": ["conv0"]}, "its layers"),
]


@parameterized.expand(CHANGES)
def test_the_state_of_another_search_is_refused(_, changed, *parts):
    options = {"calib_data": None, "calib_table": BAD_TWO, "metric": "sqnr", "min_metric": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "search.json")
        quantize(search_state=path, **options)
        call = lambda: quantize(search_state=path, **{**options, **changed})  # noqa: E731
        refused(call, "search_state", "delete", *parts, error=mxq.ConfigError)
        os.remove(f"{path}.outputs")
        refused(call, "search_state", "delete", *parts, error=mxq.ConfigError)


def test_files_that_hold_no_state_are_refused():
    for text in ("", "[]", "{}", '{"format": "mxq-accuracy-search", "version": 99}'):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "search.json")
            with open(path, "w") as file:
                file.write(text)
            call = lambda: quantize(metric="top1", max_drop=1, search_state=path)  # noqa: B023, E731
            refused(call, "no state of a search", "delete", error=mxq.ConfigError)


# -- refused -----------------------------------------------------------------------------------------------------------


def never():
    raise AssertionError("the calibration data was read")
    yield


ARGUMENTS = [
    ("no_bound", {"metric": "top1"}, "'top1' needs either max_drop", "min_metric", "neither"),
    ("two_bounds", {"metric": "top1", "max_drop": 1, "min_metric": 99}, "max_drop and min_metric"),
    ("no_metric", {"max_drop": 1}, "max_drop", "metric='top1'"),
    ("only_data", {"eval_data": HELD_OUT}, "eval_data", "metric"),
    ("only_state", {"search_state": "x.json"}, "search_state", "metric"),
    ("unknown", {"metric": "topp1", "max_drop": 1}, "metric='topp1'", "nearest: top1"),
    ("negative", {"metric": "top1", "max_drop": -0.5}, "max_drop=-0.5", "from 0"),
    ("text", {"metric": "top1", "max_drop": "1%"}, "max_drop='1%'", "finite number"),
    ("nan", {"metric": "top1", "min_metric": float("nan")}, "min_metric=nan", "finite number"),
    ("sqnr", {"metric": "sqnr", "max_drop": 3}, "infinite", "min_metric"),
    ("loss", {"metric": mx.metric.MSE(), "min_metric": 3}, "max_drop", "'mse'"),
    ("generator", {"metric": "top1", "max_drop": 1, "eval_data": (x for x in [HELD_OUT])}, "generator", "once"),
    ("state", {"metric": "top1", "max_drop": 1, "search_state": 7}, "search_state=7", "path"),
    ("folder", {"metric": "top1", "max_drop": 1, "search_state": "/no/such/s.json"}, "/no/such", "does not exist"),
]


@parameterized.expand(ARGUMENTS)
def test_arguments_are_refused_before_the_data_is_read(_, options, *parts):
    options = {"eval_data": HELD_OUT if "metric" in options else None, **options}
    refused(lambda: quantize(calib_data=never(), **options), *parts, error=mxq.ConfigError)


def test_calibration_data_that_comes_once_cannot_evaluate():
    call = lambda: quantize(calib_data=iter([HELD_OUT]), eval_data=None, metric="top1", max_drop=1)  # noqa: E731
    refused(call, "eval_data", "once", error=mxq.ConfigError)
    call = lambda: quantize(calib_data=None, calib_table=BAD_ONE, eval_data=None, metric="top1", max_drop=1)  # noqa: E731
    refused(call, "'top1' needs eval_data", error=mxq.ConfigError)


class Shuffled:
    """Batches in another order each time; or fewer each time."""

    def __init__(self, fewer):
        self.times, self.fewer = 0, fewer

    def __iter__(self):
        self.times += 1
        order = list(range(4 - self.times)) if self.fewer else list(np.roll(range(4), self.times))
        return iter([HELD_OUT[i * 8 : i * 8 + 8] for i in order])


def test_evaluation_data_that_changes_is_noticed():
    options = {"metric": "top1", "max_drop": 0}
    refused(lambda: quantize(eval_data=Shuffled(False), **options), "batch 0", "shuffle=False", error=mxq.ConfigError)
    refused(lambda: quantize(eval_data=Shuffled(True), **options), "2 batches now", "saw 3", error=mxq.ConfigError)


def test_evaluation_data_that_does_not_fit_is_refused():
    options = {"metric": "top1", "max_drop": 1}
    refused(lambda: quantize(eval_data=[], **options), "eval_data", "empty", error=mxq.ConfigError)
    refused(lambda: quantize(eval_data=HELD_OUT[:, :2], **options), "eval_data", "(20, 2, 9, 9)", error=mxq.ConfigError)
    refused(lambda: quantize(eval_data=HELD_OUT * np.nan, **options), "evaluation data", "nan", error=mxq.ConfigError)
    refused(lambda: quantize(eval_data=HELD_OUT, metric="miou", max_drop=1), "miou", "(20, 6)", error=mxq.ConfigError)
    refused(lambda: quantize(eval_data=HELD_OUT, metric="accuracy", max_drop=1), "labels", error=mxq.ConfigError)


def test_what_even_float_layers_do_not_meet_is_an_error():
    numbers = iter(range(100))

    def falling(outputs, reference, batch):
        return float(-next(numbers))

    refused(lambda: quantize(metric=falling, max_drop=0.1), "falling", "all 8 layers float", error=mxq.ConfigError)


def test_evaluation_on_calibration_data_is_warned_about():
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("mxq.choice.controller")
    logger.addHandler(handler)
    try:
        control = quantize(eval_data=None, metric="top1", max_drop=10, num_calib_examples=30).accuracy
    finally:
        logger.removeHandler(handler)
    assert control.float_layers == () and any("calibration data" in message for message in messages)


@parameterized.expand([*((name, "smart") for name in sorted(NETWORKS)), ("inception", "full"), ("normalized", "full")])
def test_layers_of_every_network_can_stay_float(name, mode):
    """What stays int8 was calibrated: leaving any layer float never asks for a range that is not there."""
    sym, args, aux, shapes = NETWORKS[name]()
    rng = np.random.RandomState(0)
    data = {key: rng.normal(0, 1, (8, *shape[1:])).astype(np.float32) for key, shape in shapes.items()}
    data = next(iter(data.values())) if len(data) == 1 else data
    options = {"calib_data": data, "eval_data": data, "batch_size": next(iter(shapes.values()))[0], "sub_batch": None}
    options["quantize_mode"] = mode
    model = mxq.quantize_model(sym, (args, aux), metric="sqnr", min_metric=100.0, **options)
    assert model.accuracy.final_metric >= 100.0
