"""Rounding so that errors cancel, and the moments it needs."""

import tempfile
from unittest import mock

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import mxq
from mxq.arithmetic import rounding
from mxq.arithmetic.qmath import quantize_weight
from mxq.arithmetic.rounding import round_weight
from mxq.calib import samples
from mxq.calib.samples import POSITIONS, Layer, Rows, Samples, example_hashes, from_bfloat16, to_bfloat16
from mxq.calib.second_moments import MAX_WEIGHTS, SecondMoments, blocks_of, moments_of
from mxq.calib.statistics import Statistics

from .networks import NETWORKS


def _problem(seed, outputs=8, columns=24, groups=1):
    random = np.random.RandomState(seed)
    weight = random.randn(outputs, columns).astype(np.float32)
    mix = random.randn(groups, columns, columns) * (random.rand(groups, 1, columns) + 0.05)
    x = np.maximum(np.matmul(random.randn(groups, 400, columns), mix), 0)  # correlated and never negative
    return weight, x, np.matmul(x.transpose(0, 2, 1), x).astype(np.float32)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), groups=st.sampled_from([1, 2, 4]))
def test_error_on_the_inputs_is_smaller_than_that_of_nearest(seed, groups):
    weight, x, moments = _problem(seed, groups=groups)
    nearest, scale = quantize_weight(weight)
    rounded = round_weight(weight, scale, moments)
    assert rounded.dtype == np.int8 and rounded.shape == weight.shape and np.abs(rounded.astype(int)).max() <= 127

    def error(q):
        wrong = (q * scale[:, None].astype(np.float64) - weight).reshape(groups, -1, weight.shape[1])
        return float(np.square(np.matmul(wrong, x.transpose(0, 2, 1))).sum())

    assert error(rounded) < 0.75 * error(nearest)
    assert np.abs(rounded.astype(int) - nearest).max() <= 40  # moved to make up for others, not torn away


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    groups=st.sampled_from([1, 2, 5]),
    blocks=st.sampled_from([1, 3]),
    outputs=st.sampled_from([1, 31, 32, 33, 70]),
    columns=st.integers(1, 40),
    bits=st.sampled_from([8, 7, 6]),
)
def test_the_native_loop_is_that_of_numpy(seed, groups, blocks, outputs, columns, bits):
    random = np.random.RandomState(seed)
    weight = random.randn(groups * outputs, blocks * columns).astype(np.float32)
    rows = random.randn(groups * blocks, 80, columns).astype(np.float32)
    nearest, scale = quantize_weight(weight, bits=bits)
    assert np.abs(nearest.astype(int)).max() == 2 ** (bits - 1) - 1
    moments = np.matmul(rows.transpose(0, 2, 1), rows)
    native = round_weight(weight, scale, moments, bits)
    assert np.abs(native.astype(int)).max() <= 2 ** (bits - 1) - 1
    with mock.patch.object(rounding, "native_library", lambda: None):
        plain = round_weight(weight, scale, moments, bits)
    # They add in another order: a sum in the middle between two levels may fall to either side.
    assert np.mean(native != plain) <= 0.01


def test_uncorrelated_inputs_give_rounding_to_nearest():
    weight, _, _ = _problem(0)
    nearest, scale = quantize_weight(weight)
    np.testing.assert_array_equal(round_weight(weight, scale, np.eye(24, dtype=np.float32)[None]), nearest)


def test_inputs_that_were_always_zero():
    weight, _, moments = _problem(1)
    nearest, scale = quantize_weight(weight)
    np.testing.assert_array_equal(round_weight(weight, scale, np.zeros_like(moments)), nearest)
    for factor in (1e-42, np.inf):  # squares beyond what float32 holds
        np.testing.assert_array_equal(round_weight(weight, scale, (moments + 1) * np.float32(factor)), nearest)
    moments[:, 3] = moments[:, :, 3] = 0  # one dead input among others
    assert np.isfinite(round_weight(weight, scale, moments)).all()


def test_blocks_of_channels_are_rounded_each_by_its_own_moments():
    weight, x, _ = _problem(2, outputs=6, columns=24, groups=4)
    rows = np.concatenate(list(x), axis=1).astype(np.float32)  # four blocks of 24 columns, independent
    wide = np.concatenate([weight, -weight, weight[::-1], weight / 2], axis=1)
    nearest, scale = quantize_weight(wide)
    blocks = np.stack([part.T @ part for part in np.split(rows, 4, axis=1)])
    rounded = round_weight(wide, scale, blocks)
    for part, moment, ours in zip(np.split(wide, 4, axis=1), blocks, np.split(rounded, 4, axis=1)):
        np.testing.assert_array_equal(ours, round_weight(part, scale, moment[None]))


def test_wide_layers_are_cut_into_blocks_of_channels():
    assert blocks_of(64, 9) == 1 and blocks_of(256, 9) == 4 and blocks_of(25088, 1) == 49
    assert 25088 // 49 <= MAX_WEIGHTS
    rows = np.random.RandomState(0).randn(5, 128, 9).astype(np.float32)
    moments = moments_of(rows, 1)
    assert moments.shape == (2, 576, 576)
    second = rows[:, 64:].reshape(5, -1)
    np.testing.assert_allclose(moments[1], second.T @ second, rtol=1e-4, atol=1e-4)


# -- samples of rows ---------------------------------------------------------------------------------------------------


def test_patches_are_what_the_convolution_multiplies():
    random = np.random.RandomState(0)
    x = random.randn(2, 6, 7, 8).astype(np.float32)
    layer = Layer("c", "x", 2, (3, 2), (2, 1), (1, 2), (1, 0), (2, 1))
    weight = random.randn(4, 3, 3, 2).astype(np.float32)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 2), (0, 1)])
    y = mx.nd.Convolution(
        mx.nd.array(padded), mx.nd.array(weight), no_bias=True, num_filter=4, kernel=(3, 2), stride=(2, 1),
        dilate=(1, 2), num_group=2,
    ).asnumpy()  # fmt: skip
    sample = Rows(layer)
    sample.update(x, example_hashes({"x": x}))
    rows = sample.rows()
    assert rows.shape == (2 * POSITIONS, 6, 6)
    products = np.einsum("ngk,gok->ngo", rows.reshape(-1, 2, 18), weight.reshape(2, 2, 18)).reshape(-1, 4)
    possible = y.transpose(0, 2, 3, 1).reshape(-1, 4)
    distance = np.abs(products[:, None] - possible[None]).max(axis=2).min(axis=1)
    assert distance.max() < 0.05  # rows are kept with 8 bits of mantissa


def test_examples_that_come_one_by_one_with_ascending_hashes_all_stay():
    """The worst hash so far is no bound before the sample is full."""
    layer, x = Layer("fc", "x", 1), np.arange(60, dtype=np.float32).reshape(20, 3)
    hashes = example_hashes({"x": x})
    whole = Rows(layer, limit=20)
    whole.update(x, hashes)
    order = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in whole.rows().reshape(-1, 3)]
    for places in (order, order[::-1]):
        for limit in (20, 7):
            one_by_one = Rows(layer, limit=limit)
            for i in places:
                one_by_one.update(x[i : i + 1], hashes[i : i + 1])
            np.testing.assert_array_equal(one_by_one.rows(), whole.rows()[:limit])


def test_native_and_numpy_draw_alike():
    random = np.random.RandomState(1)
    for layer, shape in (
        (Layer("c", "x", 1, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)), (3, 5, 9, 7)),
        (Layer("c", "x", 1, (5,), (2,), (3,), (4,), (6,)), (2, 3, 31)),
    ):
        x = random.randn(*shape).astype(np.float32)
        hashes, found = example_hashes({"x": x}), []
        for library in (samples.native_library, lambda: None):
            native, samples.native_library = samples.native_library, library
            try:
                rows = Rows(layer)
                rows.update(x, hashes)
                found.append(rows.rows())
            finally:
                samples.native_library = native
        assert np.array_equal(*found) and found[0].any()


def test_bfloat16_rounds_to_nearest_even():
    x = np.float32([0.0, -0.0, 1.0, 1.00390625, 1.01171875, -3.3e38, 1e-40, 257.0])
    back = from_bfloat16(to_bfloat16(x))
    assert back[:5].tolist() == [0.0, 0.0, 1.0, 1.0, 1.015625]
    assert (np.abs(back - x) <= np.maximum(np.abs(x) * 2.0**-8, 1e-40)).all()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    order=st.permutations(range(12)),
    cuts=st.lists(st.integers(1, 11), max_size=4),
    limit=st.sampled_from([4, 30, 10**6]),
)
def test_a_sample_does_not_depend_on_order_or_parts(order, cuts, limit):
    x = np.random.RandomState(0).randn(12, 3, 6, 5).astype(np.float32)
    layer = Layer("c", "x", 1, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    whole = Rows(layer, limit)
    whole.update(x, example_hashes({"x": x}))
    merged = Rows(layer, limit)
    for part in np.split(x[list(order)], sorted(set(cuts))):
        other = Rows(layer, limit)
        other.update(part, example_hashes({"x": part}))
        merged.merge(other)
    assert np.array_equal(whole.rows(), merged.rows())
    assert len(whole.rows()) == min(limit, 12 * POSITIONS)


def test_moments_of_a_fully_connected_layer():
    x = np.random.RandomState(0).randn(6, 5).astype(np.float32)
    layer = Layer("fc", "x", 1)
    drawn = Samples([layer])
    drawn.update("x", x[:4], example_hashes({"x": x[:4]}))
    drawn.update("x", x[4:], example_hashes({"x": x[4:]}))
    drawn.update("other", x, example_hashes({"x": x}))
    factor = np.float64([1, 2, 3, 4, 5])
    for scales, expected in (({}, x), ({"x": factor}, x * factor)):
        moments = SecondMoments([layer], drawn, scales)
        assert list(moments) == ["fc"]
        np.testing.assert_allclose(moments["fc"][0], expected.T @ expected, rtol=0.02, atol=0.1)


def test_moments_of_a_layer_that_multiplies_rows():
    """flatten=False: every row of the last axis counts, whatever the batches, and files keep them."""
    x = np.random.RandomState(0).randn(6, 5, 7).astype(np.float32)
    layer = Layer("fc", "x", 1, rows=True)
    parts = Rows(layer)
    for cut in ([3, 4], [0], [5, 1, 2]):
        parts.update(x[cut], example_hashes({"x": x[cut]}))
    found = moments_of(parts.rows(), 1)[0]
    flat = x.reshape(-1, 7).astype(np.float64)
    np.testing.assert_allclose(found, flat.T @ flat, rtol=0.02, atol=0.1)  # bfloat16
    bounded, whole = Rows(layer, limit=8), Rows(layer, limit=8)
    bounded.update(x[3:], example_hashes({"x": x[3:]}))
    bounded.update(x[:3], example_hashes({"x": x[:3]}))
    whole.update(x, example_hashes({"x": x}))
    assert len(whole.rows()) == 8 and np.array_equal(bounded.rows(), whole.rows())
    statistics = Statistics(["x"], layers=[layer, Layer("other", "x", 1)])
    statistics.samples["x rows"].update(x, example_hashes({"x": x}))
    with tempfile.TemporaryDirectory() as folder:
        statistics.save(f"{folder}/s.npz")
        again = Statistics.load(f"{folder}/s.npz")
    assert [rows.layer for rows in again.samples.values()] == [layer, Layer("other", "x", 1)]
    assert np.array_equal(again.samples["x rows"].rows(), statistics.samples["x rows"].rows())


def test_the_same_data_gives_the_same_network_however_it_comes_in_batches():
    net = NETWORKS["inception"]()
    data = np.random.RandomState(3).randn(75, *net[3]["data"][1:]).astype(np.float32)
    first, second = (mxq.quantize_model(net[0], net[1:3], data, batch_size=size) for size in (75, 20))
    for name, array in first.arg_params.items():
        np.testing.assert_array_equal(array.asnumpy(), second.arg_params[name].asnumpy(), name)
    again = mxq.quantize_model(net[0], net[1:3], data, batch_size=20)
    assert again.symbol.tojson() == second.symbol.tojson()
