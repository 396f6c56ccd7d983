"""mxq_quantize_v2: every implementation against numpy, integer for integer."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from mxq.arithmetic.qmath import range_to_qparams

from ..reference.quantize_v2 import quantize_v2
from .calling import call, channels_last, check_all, error_of, integers, nd, shapes

FLOATS = st.floats(-300, 300, width=32)
#: What is done to data first.
SCALARS = [{}, {}, {"scalars": "-127.5 *0.0078125"}, {"scalars": "/3.7 +0.1"}, {"scalars": "*1e-3 -2 /0.3 +1e2"}]
generated = settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def cases(draw):
    attrs = {"out_type": draw(st.sampled_from(["int8", "uint8"]))}
    if draw(st.booleans()):
        attrs["layout"] = draw(st.sampled_from(["keep", "channels_last"]))
    dtype = draw(st.sampled_from(["float32", "float32", "int8", "uint8"]))
    calibrated = draw(st.booleans())
    if calibrated:
        lo, hi = sorted([draw(FLOATS), draw(FLOATS)])
        attrs.update(min_calib_range=lo, max_calib_range=hi)
    if dtype == "float32" and calibrated:
        attrs.update(draw(st.sampled_from(SCALARS)))
    if dtype != "float32":
        if not calibrated:
            attrs["out_type"] = dtype
        if draw(st.booleans()):
            attrs["in_scale"] = draw(st.floats(2**-10, 30, width=32))
        if dtype == "uint8" and draw(st.booleans()):
            attrs["in_zero_point"] = draw(st.integers(0, 255))
    return attrs, dtype, draw(shapes()), draw(st.integers(0, 2**31)), draw(st.sampled_from([1e-3, 1.0, 100.0, 1e6]))


@generated
@given(cases())
def test_generated(case):
    attrs, dtype, shape, seed, spread = case
    rng = np.random.RandomState(seed)
    data = integers(rng, dtype, shape) if dtype != "float32" else (rng.randn(*shape) * spread).astype(np.float32)
    check_all("mxq_quantize_v2", [data], attrs, quantize_v2(data, attrs))


@st.composite
def fine_cases(draw):
    lo, hi = sorted([draw(FLOATS), draw(FLOATS)])
    attrs = {"out_type": draw(st.sampled_from(["int8", "uint8"])), "min_calib_range": lo, "max_calib_range": hi}
    attrs["fine_steps"] = draw(st.sampled_from([2, 8, 8, 64]))
    attrs.update(draw(st.sampled_from([{}, {"layout": "channels_last"}, {"axis": -1}, {"axis": 1, "layout": "keep"}])))
    attrs.update(draw(st.sampled_from(SCALARS)))
    return attrs, draw(shapes()), draw(st.integers(0, 2**31)), draw(st.sampled_from([1e-3, 1.0, 100.0, 1e6]))


@generated
@given(fine_cases())
def test_generated_in_two_parts(case):
    attrs, shape, seed, spread = case
    data = (np.random.RandomState(seed).randn(*shape) * spread).astype(np.float32)
    check_all("mxq_quantize_v2", [data], attrs, quantize_v2(data, attrs))


@parameterized.expand(
    [
        ("word", dict(scalars="-1 2"), np.float32, "each behind one of - + * /"),
        ("many", dict(scalars="-1 -1 -1 -1 -1"), np.float32, "up to 4"),
        ("infinite", dict(scalars="*1e40"), np.float32, "finite"),
        ("integers", dict(scalars="-1"), np.uint8, "data must be float32, and is uint8"),
    ]
)
def test_scalars_need(_, attrs, dtype, words):
    ranges = dict(min_calib_range=-1.0, max_calib_range=1.0)
    assert words in error_of(lambda: mx.nd.mxq_quantize_v2(nd(np.zeros((2, 2), dtype)), **attrs, **ranges))
    without = error_of(lambda: mx.nd.mxq_quantize_v2(nd(np.zeros((2, 2), np.float32)), scalars="-1"))
    assert "needs min_calib_range" in without


def test_two_parts_are_finer_than_one():
    data = np.float32(np.linspace(-1, 1, 4000)).reshape(10, 400)
    attrs = dict(out_type="int8", min_calib_range=-1.0, max_calib_range=1.0)
    whole = call("mxq_quantize_v2", [data], attrs)[0]
    parts = call("mxq_quantize_v2", [data], {**attrs, "fine_steps": 8})[0]
    ranges = dict(min_calib_range=-1.0, max_calib_range=1.0)
    one = call("mxq_dequantize", [whole], ranges)[0] - data
    two = call("mxq_dequantize", [parts], {**ranges, "fine_steps": 8})[0] - data
    assert np.abs(two).max() < 1.01 * np.abs(one).max() / 8


@parameterized.expand([(c,) for c in (1, 7, 8, 9, 16, 31, 33, 63, 64, 65)])
def test_two_parts_of_many_short_rows(channels):
    """Copied in pieces that overlap: all of them right, the last ones too, and nothing behind them."""
    attrs = dict(out_type="int8", min_calib_range=-2.0, max_calib_range=2.0, fine_steps=8)
    data = np.random.RandomState(channels).randn(1, channels, 40, 57).astype(np.float32)
    for array, change in ((data, {"layout": "channels_last"}), (channels_last(data), {"axis": -1})):
        check_all("mxq_quantize_v2", [array], {**attrs, **change}, quantize_v2(array, {**attrs, **change}))


def test_two_parts_of_values_that_are_no_numbers():
    data = np.float32([[np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0, 1e-45]] * 9)
    for dtype in ("int8", "uint8"):
        attrs = dict(out_type=dtype, min_calib_range=-1.0, max_calib_range=1.0, fine_steps=8)
        check_all("mxq_quantize_v2", [data], attrs, quantize_v2(data, attrs))


@parameterized.expand(
    [
        ("no_range", dict(fine_steps=8), np.zeros((2, 2), np.float32), "fine_steps"),
        ("integers", dict(fine_steps=8, min_calib_range=0, max_calib_range=1), np.zeros((2, 2), np.int8), "float32"),
        ("many", dict(fine_steps=65, min_calib_range=0, max_calib_range=1), np.zeros((2, 2), np.float32), "[1, 64]"),
        ("axis", dict(axis=2), np.zeros((2, 2), np.float32), "axis"),
        ("axis_moves", dict(axis=-1, layout="channels_last"), np.zeros((2, 2), np.float32), "axis"),
    ]
)
def test_two_parts_need(_, attrs, data, words):
    assert words in error_of(lambda: mx.nd.mxq_quantize_v2(nd(data), **attrs))


@parameterized.expand(["int8", "uint8"])
def test_every_tie_rounds_to_even_and_both_ends_saturate(dtype):
    lo, hi = (-127, 127) if dtype == "int8" else (-100, 155)
    data = np.arange(-300, 300, 0.5, np.float32)
    attrs = dict(out_type=dtype, min_calib_range=lo, max_calib_range=hi)
    q = quantize_v2(data, attrs)[0]
    assert q.min() == np.iinfo(dtype).min and q.max() == np.iinfo(dtype).max
    check_all("mxq_quantize_v2", [data], attrs, [q])


@parameterized.expand(["int8", "uint8"])
def test_values_that_are_no_numbers_saturate_where_calibrated(dtype):
    data = np.float32([[np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0, 1e-45]] * 9)
    attrs = dict(out_type=dtype, min_calib_range=-1.0, max_calib_range=1.0)
    expected = quantize_v2(data, attrs)
    lo, hi = np.iinfo(dtype).min, np.iinfo(dtype).max
    assert expected[0][0].tolist()[:5] == [lo, hi, lo, hi, lo]
    check_all("mxq_quantize_v2", [data], attrs, expected)


@parameterized.expand([("nan", np.nan), ("inf", np.inf), ("minus_inf", -np.inf)])
def test_a_run_time_range_needs_finite_values(_, bad):
    for position in (0, 5, 37, 99):
        data = np.zeros(100, np.float32)
        data[position] = bad
        for backend in ("ref", "avx"):
            text = error_of(lambda d=data, b=backend: mx.nd.mxq_quantize_v2(nd(d), backend=b, node="q7"))
            assert "mxq_quantize_v2 'q7'" in text and f"at position {position}" in text and "finite" in text, text


@parameterized.expand(
    [
        ("image", (1, 3, 224, 224)),
        ("images_odd", (2, 3, 37, 41)),
        ("two_channels", (1, 2, 50, 50)),
        ("four_channels", (1, 4, 33, 33)),
        ("one_channel", (3, 1, 9, 9)),
        ("many_channels", (1, 130, 17, 17)),
        ("one_position", (4, 70, 1, 1)),
        ("rank_2", (5, 66)),
        ("rank_3", (2, 65, 300)),
        ("rank_5", (1, 17, 2, 3, 50)),
    ]
)
def test_channels_last(_, shape):
    rng = np.random.RandomState(7)
    for data in (rng.randn(*shape).astype(np.float32), integers(rng, "int8", shape), integers(rng, "uint8", shape)):
        attrs = dict(layout="channels_last", out_type="uint8", min_calib_range=-2.0, max_calib_range=3.0)
        expected = quantize_v2(data, attrs)
        assert expected[0].shape == shape[:1] + shape[2:] + shape[1:2]
        check_all("mxq_quantize_v2", [data], attrs, expected)


def test_large_enough_for_threads():
    data = np.random.RandomState(1).randn(4, 16, 200, 200).astype(np.float32)
    for attrs in (dict(layout="channels_last"), dict(min_calib_range=-3.0, max_calib_range=3.0)):
        check_all("mxq_quantize_v2", [data], attrs, quantize_v2(data, attrs))


def test_integers_with_the_output_qparams_are_copied():
    data = np.arange(-128, 128).astype(np.int8)
    attrs = dict(min_calib_range=-127 * 0.5, max_calib_range=127 * 0.5, in_scale=0.5)
    check_all("mxq_quantize_v2", [data], attrs, [data])  # -128 included, which rescaling would keep only by chance


def test_uncalibrated_integers_pass_through_with_the_range_of_their_type():
    data = np.arange(-128, 128).astype(np.int8)
    q, lo, hi = call("mxq_quantize_v2", [data], {"in_scale": 0.25})
    assert (q == data).all() and lo == -127 * 0.25 and hi == 127 * 0.25
    q, lo, hi = call("mxq_quantize_v2", [data.astype(np.uint8)], {"out_type": "uint8", "in_zero_point": 100})
    assert lo == -100 and hi == 155
    assert range_to_qparams(lo[0], hi[0], "uint8") == (1.0, 100, "uint8")


def test_all_zero_and_constant_tensors():
    for value in (0.0, 2.5, -2.5):
        data = np.full((2, 3, 4), value, np.float32)
        for dtype in ("int8", "uint8"):
            check_all("mxq_quantize_v2", [data], {"out_type": dtype}, quantize_v2(data, {"out_type": dtype}))


def test_empty():
    with mx.util.np_shape(True):
        for shape in ((0,), (0, 3, 4, 5), (2, 3, 0, 5)):
            data = np.zeros(shape, np.float32)
            check_all("mxq_quantize_v2", [data], {}, quantize_v2(data, {}))
            if len(shape) > 1:
                attrs = dict(min_calib_range=-1.0, max_calib_range=1.0, layout="channels_last")
                check_all("mxq_quantize_v2", [data], attrs, [channels_last(data).astype(np.int8)])


RANGE = dict(min_calib_range=-1.0, max_calib_range=1.0)


@parameterized.expand(
    [
        ("out_type", "float32", dict(RANGE, out_type="int4"), ["out_type=int4", "int8, uint8"]),
        ("layout", "float32", dict(RANGE, layout="NHWC"), ["layout=NHWC", "keep, channels_last"]),
        ("half_a_range", "float32", dict(min_calib_range=0), ["max_calib_range", "missing"]),
        ("order", "float32", dict(min_calib_range=1, max_calib_range=0), ["max_calib_range=0", "not below"]),
        ("no_number", "float32", dict(RANGE, max_calib_range="wide"), ["max_calib_range=wide", "finite number"]),
        ("nan", "float32", dict(RANGE, max_calib_range=float("nan")), ["max_calib_range=nan", "finite"]),
        ("trailing", "float32", dict(RANGE, max_calib_range="1.0x"), ["max_calib_range=1.0x"]),
        ("scale_zero", "int8", dict(RANGE, in_scale=0), ["in_scale=0", "greater than 0"]),
        ("scale_huge", "int8", dict(RANGE, in_scale=1e39), ["in_scale=1e+39", "float32"]),
        ("zero_point", "int8", dict(RANGE, in_zero_point=200), ["in_zero_point=200", "int8"]),
        ("zero_point_wide", "uint8", dict(RANGE, in_zero_point=300), ["in_zero_point=300"]),
        ("zero_point_uncalibrated", "int8", dict(in_zero_point=3), ["in_zero_point=3", "must be 0"]),
        ("other_type_uncalibrated", "uint8", {}, ["data is uint8", "out_type=uint8"]),
        ("int32", "int32", RANGE, ["data is int32", "float32, int8 and uint8"]),
        ("float64", "float64", RANGE, ["data is float64"]),
        ("float16", "float16", RANGE, ["data is float16"]),
        ("unknown", "float32", dict(RANGE, out_tipe="int8"), ["out_tipe=int8", "nearest is out_type"]),
        ("backend", "float32", dict(RANGE, backend="cudnn"), ["backend=cudnn", "accepted are auto"]),
    ]
)
def test_bad(_, dtype, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_quantize_v2(nd(np.ones((2, 3), dtype)), node="n1", **attrs))
    for part in ["mxq_quantize_v2 'n1'"] + parts:
        assert part in text, text


def test_bad_rank():
    text = error_of(lambda: mx.nd.mxq_quantize_v2(nd(np.ones(3, np.float32)), layout="channels_last", **RANGE))
    assert "1 dimensions" in text and "2 or more" in text
