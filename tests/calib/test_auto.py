"""Ranges in closed form, and the choice between all modes tensor by tensor."""

import os
import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq
from mxq.calib import MODES, CalibTable, Statistics, TensorStatistics, choose
from mxq.calib.aciq import aciq
from mxq.calib.clip_cost import ClipCost
from mxq.calib.samples import Layer, Samples, example_hashes
from mxq.calib.thresholds import CLIP_WEIGHT, expected_error

from ..networks import NETWORKS


def _histogram(x):
    stats = TensorStatistics()
    stats.update(np.float32(x))
    return stats.histogram()


def _normal(rng):
    return rng.normal(0, 2.0, 400000)


def _laplace(rng):
    return rng.laplace(0, 2.0, 400000)


@parameterized.expand(
    [
        ("normal", _normal, "int8"),
        ("laplace", _laplace, "int8"),
        ("half_normal", lambda rng: np.maximum(_normal(rng), 0), "uint8"),
        ("half_laplace", lambda rng: np.maximum(_laplace(rng), 0), "uint8"),
        ("shifted", lambda rng: _laplace(rng) + 5, "uint8"),
    ]
)
def test_aciq_finds_nearly_the_least_error_of_its_distributions(_, draw, dtype):
    histogram = _histogram(draw(np.random.RandomState(0)))
    error = expected_error(histogram, dtype)
    lo, hi = aciq(histogram, dtype)
    best = MODES["mse"](histogram, dtype, clip_weight=1.0)
    assert error(lo, hi) < 1.1 * error(*best)
    assert error(lo, hi) < 0.95 * error(histogram.min, histogram.max)  # the extremes are far out


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=30),
    st.sampled_from(["int8", "uint8"]),
)
def test_aciq_stays_within_the_values(values, dtype):
    histogram = _histogram(values)
    lo, hi = aciq(histogram, dtype)
    assert histogram.min <= lo <= hi <= histogram.max


def test_auto_takes_the_least_error_and_says_which():
    rng = np.random.RandomState(0)
    statistics = Statistics(["normal", "few", "spread"])
    statistics["normal"].update(_normal(rng).astype(np.float32))
    statistics["few"].update(np.float32([-1, 0, 1]))
    statistics["spread"].update(rng.uniform(0, 1, 50000).astype(np.float32))
    table = choose(statistics, "auto")
    assert table.mode == "auto" and list(table.modes) == list(statistics)
    for key, tensor in statistics.items():
        kind = table.dtypes.get(key, "uint8")
        error = expected_error(tensor.histogram(), kind, CLIP_WEIGHT)
        errors = {mode: error(*function(tensor.histogram(), kind)) for mode, function in MODES.items()}
        assert np.isclose(error(*table.range(key)), min(errors.values()))
        assert errors[table.modes[key]] == min(errors.values())
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table.json")
        table.save(path)
        assert CalibTable.load(path) == table
    assert choose(statistics, "mse").modes == {}


def test_clipping_costs_what_it_does_to_the_sums():
    """Where all weights point one way, errors of one sign add up; where they alternate, they cancel."""
    rng = np.random.RandomState(0)
    x = np.abs(rng.normal(0, 1, (400, 16)) + 3 * (rng.rand(400, 1) > 0.97)).astype(np.float32)
    layers = [Layer("same", "x", 1), Layer("other", "y", 1)]
    samples = Samples(layers)
    for key in "xy":
        samples.update(key, x, example_hashes({"x": x}))
    weights = {"same": np.ones((4, 16), np.float32), "other": np.tile(np.float32([1, -1]), (4, 8))}
    cost = ClipCost(layers, weights, samples, {})
    assert cost("x") > 2 * cost("y") > 0
    assert np.isclose(ClipCost(layers, weights, samples, {"x": np.full(16, 7.0)})("x"), cost("x"), rtol=1e-3)
    assert cost("z") is None


def _lopsided(low, high):
    statistics = Statistics(["x"])
    statistics["x"].update(np.random.RandomState(0).uniform(low, high, 50000).astype(np.float32))
    return statistics


@parameterized.expand([("minmax",), ("mse",), ("entropy",), ("percentile",), ("aciq",), ("auto",)])
def test_a_zero_point_where_it_makes_the_error_smaller(mode):
    """As LeakyReLU leaves values: with int8 nearly half of the levels would never be used."""
    for low, high, kind in ((-0.2, 12.7, "uint8"), (-12.7, 0.2, "uint8"), (-5, 5.1, "int8"), (-4.9, 5, "int8")):
        statistics = _lopsided(low, high)
        table = choose(statistics, mode)
        assert table.dtypes == {"x": kind}, (low, high)
        assert table.range("x") == choose(statistics, mode, dtype=kind).range("x")
        for asked in ("int8", "uint8"):
            assert choose(statistics, mode, dtype=asked).dtypes == {}
    assert choose(_lopsided(0.1, 5), mode).dtypes == {}


def test_a_zero_point_leaves_room_for_the_rests_of_finer_steps():
    assert choose(_lopsided(-12.7, 0.1), "mse").dtypes == {"x": "uint8"}
    assert choose(_lopsided(-12.7, 0.1), "mse", fine_steps={"x": 8}).dtypes == {"x": "int8"}
    assert choose(_lopsided(-12.7, 2.0), "mse", fine_steps={"x": 8}).dtypes == {"x": "uint8"}


@parameterized.expand([("inception",), ("depthwise",), ("fully_connected",)])
def test_networks_calibrated_automatically(name):
    sym, args, aux, shapes = NETWORKS[name]()
    data = np.random.RandomState(3).randn(9, *shapes["data"][1:]).astype(np.float32)
    model = mxq.quantize_model(sym, (args, aux), data, calib_mode="auto")
    assert set(model.table.modes) == set(model.table.ranges) and set(model.table.modes.values()) <= set(MODES)
    statistics = mxq.collect_statistics(sym, (args, aux), data)
    assert mxq.quantize_model(sym, (args, aux), statistics=statistics, calib_mode="auto").table == model.table
