"""3x3 convolutions by Winograd's algorithm in integers against the reference."""

import os
import subprocess
import sys

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from .calling import LIMITS, call, error_of, integers, slopes
from .linear_cases import stages
from .test_region import Builder


@st.composite
def cases(draw):
    case = draw(stages())
    dilate = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 2), (1, 3)]))
    begin, end = (draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) for _ in range(2))
    least = [max(1, 2 * d + 1 - begin[i] - end[i]) for i, d in enumerate(dilate)]
    sizes = [draw(st.integers(n, max(n, 15))) for n in least]
    case["attrs"].update(kernel=(3, 3), dilate=dilate, pad_begin=begin, pad_end=end)
    case["attrs"].update(num_filter=draw(st.sampled_from([1, 7, 16, 17, 33, 48, 64, 65, 96, 130])))
    channels = draw(st.sampled_from([1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 64, 70, 129]))
    case["data_shape"] = (draw(st.integers(1, 3)), *sizes, channels)
    case["pixels"] = draw(st.sampled_from(["random", "random", "lowest", "highest", "alternating"]))
    case["weights"] = draw(st.sampled_from(["random", "random", "largest", "alternating"]))
    return case


def _extremes(kind, lowest, highest, shape):
    """All the same, or both in turns along the last axes."""
    if kind == "alternating":
        return np.where(np.indices(shape).sum(axis=0) % 2 == 0, lowest, highest)
    return np.full(shape, lowest if kind == "lowest" else highest)


def _inputs(case, channels_out):
    rng = np.random.RandomState(case["seed"])
    attrs, shape = case["attrs"], case["data_shape"]
    data = integers(rng, case["in_type"], shape)
    if case["pixels"] != "random":
        data = _extremes(case["pixels"], *LIMITS[case["in_type"]], shape).astype(data.dtype)
    weight = integers(rng, "int8", (channels_out, shape[-1], 3, 3))
    if case["weights"] != "random":
        weight = _extremes(case["weights"], -127, 127, weight.shape).astype(np.int8)
    spread = 50 * attrs.get("out_scale", 1.0) / attrs["in_scale"] / 73 / 90 / np.sqrt(weight[0].size)
    inputs = [data, weight, (spread * rng.uniform(0.3, 3, channels_out)).astype(np.float32)]
    if not attrs["no_bias"]:
        inputs.append(rng.randint(-9000, 9000, channels_out).astype(np.int32))
    return rng, inputs + slopes(rng, attrs, channels_out)


def check(case):
    attrs, shape = case["attrs"], case["data_shape"]
    rng, inputs = _inputs(case, attrs["num_filter"])
    if case["residual_type"]:
        out = [
            n + b + e - 2 * d for n, b, e, d in zip(shape[1:-1], attrs["pad_begin"], attrs["pad_end"], attrs["dilate"])
        ]
        out_shape = (shape[0], *out, attrs["num_filter"])
        if case["residual_type"] == "float32":
            inputs.append((rng.randn(*out_shape) * 30).astype(np.float32))
        else:
            inputs.append(integers(rng, case["residual_type"], out_shape))
    (expected,) = call("mxq_conv", inputs, {**attrs, "backend": "ref"})
    try:
        (got,) = call("mxq_conv", inputs, {**attrs, "backend": "winograd"})
    except mx.MXNetError as error:
        assert "winograd: the processor (or MXQ_MAX_CPU_ISA) has no AVX2" in str(error), error
        return
    assert np.array_equal(got, expected), (case, np.sum(got != expected), got.size)


@given(cases())
@settings(max_examples=300, derandomize=True, deadline=None)
def test_equals_the_reference(case):
    check(case)


#: in_zero_point, and weights of one output channel of which every pixel at its extreme gives a sum of just 2^25 - 1
#: or so: (dtype, zero point, value of positive weights' pixels, of negative ones')
RANGES = [("uint8", 0, 255, 0), ("uint8", 128, 255, 0), ("uint8", 255, 0, 255), ("int8", 0, 127, -128)]


@parameterized.expand([(*case, excess) for case in RANGES for excess in (-1, 0, 1)])
def test_sums_about_the_bound(dtype, zero_point, high, low, excess):
    """Sums of 2^25 are exact whichever way they are reached; what goes beyond is left to another kernel."""
    bound, channels = 1 << 25, 300
    reach = max(abs(high - zero_point), abs(low - zero_point))
    weights = np.zeros((2, channels * 9), np.int8)
    left = bound // reach + excess
    weights[0, : left // 127] = 127
    weights[0, left // 127] = left % 127
    weights[1] = -weights[0]
    weights = weights.reshape(2, channels, 3, 3)
    far = high if abs(high - zero_point) == reach else low
    data = np.full((1, 6, 6, channels), far, dtype)
    inputs = [data, weights, np.ones(2, np.float32), np.int32([3, -3])]
    attrs = dict(kernel=(3, 3), num_filter=2, in_zero_point=zero_point, out_type="int32")
    (expected,) = call("mxq_conv", inputs, {**attrs, "backend": "ref"})
    assert abs(abs(int(expected[0, 0, 0, 0]) - 3) - bound) < 2 * reach
    (got,) = call("mxq_conv", inputs, {**attrs, "backend": "winograd"})
    assert np.array_equal(got, expected), (got[0, 0, 0], expected[0, 0, 0])


def check_sizes():
    """Sizes at which threads share tiles, and blocks of channels: with many weights and few tiles."""
    for batch, size, channels, filters in ((3, 14, 64, 130), (1, 8, 160, 256), (2, 30, 24, 70)):
        rng = np.random.RandomState(size)
        data = integers(rng, "uint8", (batch, size, size, channels))
        weight = integers(rng, "int8", (filters, channels, 3, 3))
        scale = rng.uniform(0.0005, 0.002, filters).astype(np.float32)
        attrs = dict(kernel=(3, 3), num_filter=filters, pad_begin=(1, 1), pad_end=(1, 1), no_bias=True, in_scale=0.5)
        (expected,) = call("mxq_conv", [data, weight, scale], {**attrs, "backend": "ref"})
        (got,) = call("mxq_conv", [data, weight, scale], {**attrs, "backend": "winograd"})
        assert np.array_equal(got, expected), (size, got.size, np.sum(got != expected))


@parameterized.expand([("1",), ("3",)])
def test_threads(count):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "from tests.ops.test_conv_winograd import check_sizes; check_sizes()"],
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
        env=dict(os.environ, OMP_NUM_THREADS=count),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@parameterized.expand([("small", 40), ("beyond_the_bound", 270)])
def test_in_a_region(_, channels):
    """Outputs that are parts of a wider tensor, and sums in the place of their residual."""
    rng = np.random.RandomState(channels)
    b = Builder([integers(rng, "uint8", (2, 9, 7, channels))])

    def conv(x, filters, residual=(), **attrs):
        depth = b.results[id(x.node), 0].shape[-1]
        weights = np.full((filters, depth, 3, 3), 127, np.int8) if attrs.pop("large") else None
        params = [
            integers(rng, "int8", (filters, depth, 3, 3)) if weights is None else weights,
            rng.uniform(0.0005, 0.002, filters).astype(np.float32),
            rng.randint(-900, 900, filters).astype(np.int32),
        ]
        attrs.update(kernel="(3, 3)", pad_begin="(1, 1)", pad_end="(1, 1)", num_filter=str(filters))
        inputs = [x, *[b.param(a) for a in params], *residual]
        return b.add("mxq_conv", inputs, backend="winograd", out_type="uint8", **attrs)

    large = channels > 250
    one = conv(b.inputs[0], 33, large=large)
    two = conv(b.inputs[0], 33, [one], large=large, sum="before_act", sum_scale="0.7")
    three = conv(b.inputs[0], 70, large=large, act="relu")
    scales = {"in_scales": "(1.0, 1.0)", "out_scale": "1.0", "out_type": "uint8", "in_zero_points": "(0, 0)"}
    wide = b.add("mxq_concat", [two, three], num_args="2", dim="3", **scales)
    for _ in range(2):
        b.check([wide])


def test_refusals_name_the_reason():
    x, scale = np.zeros((1, 6, 6, 4), np.uint8), np.ones(4, np.float32)
    for shape, change in (((4, 4, 5, 5), {"kernel": (5, 5)}), ((4, 2, 3, 3), {"num_group": 2})):
        attrs = {"kernel": (3, 3), "num_filter": 4, "no_bias": True, "backend": "winograd", **change}
        text = error_of(lambda: call("mxq_conv", [x, np.zeros(shape, np.int8), scale], attrs))  # noqa: B023
        assert "winograd: it is for 3x3 with stride 1 without groups" in text, text
