"""Rounding so that errors cancel, and the moments it needs."""

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import mxq
from mxq.calib.second_moments import POSITIONS, Layer, SecondMoments, sample_patches
from mxq.qmath import quantize_weight
from mxq.rounding import round_weight

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

    assert error(rounded) < error(nearest)
    assert np.abs(rounded.astype(int) - nearest).max() <= 40  # moved to make up for others, not torn away


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
    rows = sample_patches(x, layer, random)
    assert rows.shape == (2 * POSITIONS, 6 * 6)
    products = np.einsum("ngk,gok->ngo", rows.reshape(-1, 2, 18), weight.reshape(2, 2, 18)).reshape(-1, 4)
    possible = y.transpose(0, 2, 3, 1).reshape(-1, 4)
    distance = np.abs(products[:, None] - possible[None]).max(axis=2).min(axis=1)
    assert distance.max() < 1e-4


def test_moments_add_up_over_batches():
    x = np.random.RandomState(0).randn(6, 5).astype(np.float32)
    moments = SecondMoments([Layer("fc", "x", 1)])
    moments("x", x[:4])
    moments("x", x[4:])
    moments("other", x)
    assert list(moments) == ["fc"]
    np.testing.assert_allclose(moments["fc"][0], x.T @ x, rtol=1e-5, atol=1e-5)


def test_the_same_data_gives_the_same_network_however_it_comes_in_batches():
    net = NETWORKS["inception"]()
    data = np.random.RandomState(3).randn(75, *net[3]["data"][1:]).astype(np.float32)
    first, second = (mxq.quantize_model(net[0], net[1:3], data, batch_size=size) for size in (75, 20))
    for name, array in first.arg_params.items():
        other = second.arg_params[name].asnumpy()
        if array.dtype == np.int8:
            # Sums in another order: a weight that lies between two levels may go either way.
            assert (array.asnumpy() != other).mean() < 0.01, name
        else:
            np.testing.assert_allclose(array.asnumpy(), other, rtol=1e-3, atol=5)
    again = mxq.quantize_model(net[0], net[1:3], data, batch_size=20)
    assert again.symbol.tojson() == second.symbol.tojson()
