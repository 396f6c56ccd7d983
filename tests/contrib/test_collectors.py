"""Collectors, histograms and thresholds behave as MXNet's, without breaking where those do."""

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet.contrib import quantization as theirs
from parameterized import parameterized

from mxq.contrib import quantization as ours
from mxq.contrib.entropy import entropy_range
from mxq.errors import CalibrationError

SETTINGS = settings(max_examples=100, derandomize=True, deadline=None)


def _of(arr, bins=8001):
    arr = np.asarray(arr, np.float32)
    th = max(abs(arr.min()), abs(arr.max()))
    return (*np.histogram(arr, bins=bins, range=(-th, th)), arr.min(), arr.max(), th)


def _add(module, state, arr):
    return module.combine_histogram(state, arr, arr.min(), arr.max(), max(abs(arr.min()), abs(arr.max())))


@SETTINGS
@given(seed=st.integers(0, 1000), bins=st.sampled_from([11, 101, 8001]), growth=st.floats(0.1, 3.5))
def test_histograms_combine_as_mxnets_do(seed, bins, growth):
    rng = np.random.RandomState(seed)
    first, second = rng.normal(0, 1, 500).astype(np.float32), rng.normal(0, growth, 300).astype(np.float32)
    if abs(second).max() > 3.9 * abs(first).max():  # MXNet's has no bound
        second *= abs(first).max() / abs(second).max()
    ours_, theirs_ = (_add(module, _of(first, bins), second) for module in (ours, theirs))
    assert np.array_equal(ours_[0], theirs_[0])
    assert np.allclose(ours_[1], theirs_[1], rtol=1e-6)  # edges: the same numbers from another order of operations
    assert ours_[2:4] == theirs_[2:4] and np.isclose(ours_[4], theirs_[4], rtol=1e-6)


@SETTINGS
@given(
    scales=st.lists(st.sampled_from([0.0, 1e-30, 1e-6, 1e-3, 1.0, 50.0, 1e6]), min_size=2, max_size=5),
    seed=st.integers(0, 1000),
    bins=st.sampled_from([11, 801]),
)
def test_any_order_of_magnitudes_keeps_every_value_and_bounds_the_bins(scales, seed, bins):
    rng = np.random.RandomState(seed)
    batches = [(rng.normal(0, 1, 64) * scale).astype(np.float32) for scale in scales]
    state = _of(batches[0], bins)
    for arr in batches[1:]:
        state = _add(ours, state, arr)
    hist, edges, low, high, th = state
    everything = np.concatenate(batches)
    assert hist.sum() == everything.size
    assert len(hist) % 2 == 1 and len(edges) == len(hist) + 1
    assert len(hist) <= 4 * 8001
    assert low == everything.min() and high == everything.max()
    assert th >= abs(everything).max() * (1 - 1e-6)
    # A value counts within one bin of where it belongs.
    counted = np.repeat((edges[:-1] + edges[1:]) / 2, hist)
    assert np.abs(np.sort(counted) - np.sort(everything)).max() <= 2 * th / len(hist) * len(batches)


def test_zeros_then_values_as_the_first_defect():
    zeros, values = np.zeros(1000, np.float32), np.float32([-1, 0.5, 2])
    hist, edges, low, high, th = _add(ours, _of(zeros), values)
    assert hist.sum() == 1003 and (low, high, th) == (-1, 2, 2)
    assert hist[len(hist) // 2] == 1000


def test_a_tiny_first_batch_does_not_grow_the_histogram_without_bound():
    tiny = np.float32([1e-6, -1e-6])
    hist, edges, *_ = _add(ours, _of(tiny), np.float32([1000.0, -3.0]))
    assert len(hist) < 4 * 8001 and hist.sum() == 4
    assert len(edges) == len(hist) + 1 and edges[-1] >= 1000


def test_many_growing_batches_do_not_grow_the_histogram_without_bound():
    state = _of(np.float32([1, -1]))
    for i in range(1, 40):
        state = _add(ours, state, np.float32([2.0**i, 0]))
    assert len(state[0]) <= 4 * 8001 and state[0].sum() == 80


def _names_and_arrays():
    x = mx.sym.Activation(mx.sym.var("data"), act_type="relu", name="relu")
    executor = x.simple_bind(mx.cpu(), data=(2, 3), grad_req="null")
    executor.arg_dict["data"][:] = mx.nd.array([[-1, 2, 3], [4, -5, 6]])
    return executor


@parameterized.expand([("minmax",), ("histogram",)])
def test_collectors_take_what_mxnet_1_9_and_2_0_call_them_with(kind):
    def make():
        if kind == "minmax":
            return ours._LayerOutputMinMaxCollector("auto", include_layer=["relu_output"])
        return ours._LayerHistogramCollector(include_layer=["relu_output"])

    def result(collector):
        return collector.min_max_dict if kind == "minmax" else {n: h[2:4] for n, h in collector.hist_dict.items()}

    monitored = make()
    executor = _names_and_arrays()
    executor.set_monitor_callback(monitored.collect, monitor_all=True)  # bytes and handles
    executor.forward(is_train=False)
    called = make()
    called.collect("relu_output", "Activation", executor.outputs[0])
    called.collect("data", "", executor.arg_dict["data"])
    assert result(monitored) == result(called) == {"relu_output": (0.0, 6.0)}


def test_collectors_agree_with_mxnets():
    rng = np.random.RandomState(0)
    mine = ours._LayerOutputMinMaxCollector("int8", ["a", "b"])
    for name in ("a", "b", "c", "a"):
        mine.collect(name, "", mx.nd.array(rng.normal(0, 1, (3, 4))))
    assert sorted(mine.min_max_dict) == ["a", "b"]
    assert mine.include_layer == mine.include_layers == ["a", "b"]
    assert mine.post_collect() is mine.min_max_dict


def test_values_that_are_not_finite_name_the_tensor():
    collector = ours._LayerHistogramCollector(include_layer=None)
    try:
        collector.collect("fc_output", "", mx.nd.array([1.0, np.inf]))
    except CalibrationError as error:
        assert "fc_output" in str(error)
    else:
        raise AssertionError("infinity was counted")


def test_base_class_must_be_filled_in():
    try:
        ours.CalibrationCollector().collect("x", "", None)
    except NotImplementedError:
        pass
    else:
        raise AssertionError("an abstract collect did nothing in silence")


@parameterized.expand([("int8",), ("uint8",), ("auto",)])
def test_threshold_of_a_uniform_tensor_is_its_largest_magnitude(dtype):
    arr = np.random.RandomState(0).uniform(-10.532, 11.3432, (8, 3, 23, 23))
    hist_dict = {"layer1": _of(arr)}
    found = ours._get_optimal_thresholds(hist_dict, dtype)
    assert np.isclose(found["layer1"][1], abs(arr).max(), rtol=1e-2)
    assert found == {k: tuple(map(float, v)) for k, v in theirs._get_optimal_thresholds(dict(hist_dict), dtype).items()}
    assert "layer1" in hist_dict  # MXNet empties the caller's dict
    assert np.isclose(entropy_range(hist_dict["layer1"], dtype)[1], abs(arr).max(), rtol=2e-2)


@parameterized.expand([("int8",), ("uint8",), ("auto",)])
def test_all_values_at_one_edge_keep_that_edge(dtype):
    hist = [0] * 998 + [1000]
    edges = [(2 - -2) / 999 * i - 2 for i in range(999)] + [2]
    result = ours._get_optimal_threshold((hist, edges, -2, 2, 2), dtype, num_quantized_bins=5)
    assert abs(result[2] - 2) < 1e-5 and result[:2] == (-2, 2)


def test_thresholds_need_an_odd_number_of_bins():
    try:
        ours._get_optimal_threshold(_of(np.arange(9), bins=10), "int8")
    except ValueError as error:
        assert "odd" in str(error)
    else:
        raise AssertionError("ten bins were accepted")


def test_one_sided_tensors_get_a_one_sided_range():
    arr = np.abs(np.random.RandomState(0).normal(0, 1, 50000)).astype(np.float32)
    low, high = entropy_range(_of(arr), "auto")
    assert 0 <= low < 1e-3 and 2.0 < high <= arr.max()
    assert ours._get_optimal_thresholds({"x": _of(arr)}, "uint8")["x"][0] == 0
    assert ours._get_optimal_thresholds({"x": _of(arr)}, "int8")["x"][0] < 0
    assert entropy_range(_of(np.zeros(5)), "auto") == (0.0, 0.0)


def test_smoothing():
    for zeros in (np.zeros(2), np.zeros(5)):
        try:
            ours._smooth_distribution(zeros, eps=1e-3)
        except ValueError:
            continue
        raise AssertionError("zeros only were smoothed")
    peak = np.zeros(5)
    peak[2] = 1
    expected = np.full(5, 1e-3)
    expected[2] = 1 - 4e-3
    assert np.allclose(ours._smooth_distribution(peak, eps=1e-3), expected, atol=1e-7)
    p = np.random.RandomState(0).randint(0, 3, 200).astype(np.float32)
    assert np.array_equal(ours._smooth_distribution(p), theirs._smooth_distribution(p))
