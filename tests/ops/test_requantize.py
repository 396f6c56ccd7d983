"""mxq_requantize: every implementation against numpy, integer for integer."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.requantize import requantize
from .calling import check_all, error_of, integers, nd, shapes

FLOATS = st.floats(-300, 300, width=32)
generated = settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def static_cases(draw):
    dtype = draw(st.sampled_from(["int8", "uint8", "int32"]))
    lo, hi = sorted([draw(FLOATS), draw(FLOATS)])
    attrs = dict(out_type=draw(st.sampled_from(["int8", "uint8"])), min_calib_range=lo, max_calib_range=hi)
    attrs["in_scale"] = draw(st.floats(2**-10, 30, width=32)) * (1e-4 if dtype == "int32" else 1.0)
    if dtype != "int32" and draw(st.booleans()):
        attrs["in_zero_point"] = draw(st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max))
    return attrs, dtype, draw(shapes(1, 5)), draw(st.integers(0, 2**31)), draw(st.sampled_from([100, 10**5, 2**31 - 1]))


@generated
@given(static_cases())
def test_generated_static(case):
    attrs, dtype, shape, seed, limit = case
    rng = np.random.RandomState(seed)
    data = integers(rng, dtype, shape) if dtype != "int32" else rng.randint(-limit, limit, shape).astype(np.int32)
    check_all("mxq_requantize", [data], attrs, requantize([data], attrs))


@st.composite
def run_time_cases(draw):
    attrs = dict(ranges="tensor", out_type=draw(st.sampled_from(["int8", "uint8", "float32"])))
    attrs["in_type"] = draw(st.sampled_from(["int8", "uint8"]))
    attrs["act"] = draw(st.sampled_from(["none", "relu"]))
    attrs["no_bias"] = draw(st.booleans())
    lo = 0.0 if attrs["in_type"] == "uint8" else -draw(st.floats(0, 300, width=32))
    ends = (lo, draw(st.floats(0, 300, width=32)))
    return attrs, draw(shapes()), ends, draw(st.integers(0, 2**31)), draw(st.sampled_from([3, 1000, 2**31 - 1]))


@generated
@given(run_time_cases())
def test_generated_run_time(case):
    attrs, shape, ends, seed, limit = case
    rng = np.random.RandomState(seed)
    acc = rng.randint(-limit, limit, shape).astype(np.int32)
    inputs = [acc, np.float32([ends[0]]), np.float32([ends[1]])]
    inputs.append(rng.uniform(1e-4, 1, shape[-1]).astype(np.float32))
    if not attrs["no_bias"]:
        inputs.append(rng.randn(shape[-1]).astype(np.float32) * 10)
    check_all("mxq_requantize", inputs, attrs, requantize(inputs, attrs))


def test_large_enough_for_threads_and_more_channels_than_a_run():
    rng = np.random.RandomState(2)
    for shape in ((2, 64, 64, 48), (30, 3000)):
        acc = rng.randint(-(10**6), 10**6, shape).astype(np.int32)
        inputs = [acc, np.float32([-1]), np.float32([2]), rng.uniform(0.01, 1, shape[-1]).astype(np.float32)]
        for out_type in ("int8", "uint8", "float32"):
            attrs = dict(ranges="tensor", no_bias=True, out_type=out_type)
            check_all("mxq_requantize", inputs, attrs, requantize(inputs, attrs))
        attrs = dict(in_scale=1e-6, min_calib_range=-1.0, max_calib_range=1.0)
        check_all("mxq_requantize", inputs[:1], attrs, requantize(inputs[:1], attrs))


def test_int32_ends():
    data = np.int32([-(2**31), 2**31 - 1, 0, 2**24 + 1])
    for scale in (1e-9, 1.0, 1e30):
        attrs = dict(in_scale=scale, min_calib_range=-1.0, max_calib_range=1.0)
        check_all("mxq_requantize", [data], attrs, requantize([data], attrs))


def test_empty():
    with mx.util.np_shape(True):
        data = np.zeros((0, 3), np.int32)
        attrs = dict(in_scale=1.0, min_calib_range=-1.0, max_calib_range=1.0)
        check_all("mxq_requantize", [data], attrs, [data.astype(np.int8)])
        inputs = [data, np.float32([-1]), np.float32([1]), np.ones(3, np.float32)]
        expected = [data.astype(np.int8), np.zeros(1, np.float32), np.zeros(1, np.float32)]
        check_all("mxq_requantize", inputs, dict(ranges="tensor", no_bias=True), expected)


RANGE = dict(min_calib_range=-1.0, max_calib_range=1.0)


@parameterized.expand(
    [
        ("no_scale", "int32", RANGE, ["in_scale", "missing"]),
        ("no_range", "int32", dict(in_scale=1), ["min_calib_range", "missing"]),
        ("float", "float32", dict(RANGE, in_scale=1), ["data is float32", "int8, uint8 and int32"]),
        ("zero_point", "int8", dict(RANGE, in_scale=1, in_zero_point=200), ["in_zero_point=200", "int8"]),
        ("zero_point_int32", "int32", dict(RANGE, in_scale=1, in_zero_point=1), ["in_zero_point=1", "0 for int32"]),
        ("out_type", "int32", dict(RANGE, in_scale=1, out_type="float32"), ["out_type=float32", "int8, uint8"]),
        ("ranges", "int32", dict(RANGE, in_scale=1, ranges="channel"), ["ranges=channel", "none, tensor"]),
        ("act", "int32", dict(RANGE, in_scale=1, act="relu"), ["act=relu", "without effect"]),
    ]
)
def test_bad_static(_, dtype, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_requantize(nd(np.ones((2, 3), dtype)), node="n1", **attrs))
    for part in ["mxq_requantize 'n1'"] + parts:
        assert part in text, text


ACC, SCALES = np.ones((2, 3), np.int32), np.ones(3, np.float32)
LO, HI = np.float32([0]), np.float32([1])


@parameterized.expand(
    [
        ("acc", [ACC.astype(np.int8), LO, HI, SCALES], {}, ["acc is int8", "int32"]),
        ("scales", [ACC, LO, HI, SCALES[:2]], {}, ["weight_scale has 2 values", "expected 3"]),
        ("scale_type", [ACC, LO, HI, SCALES.astype(np.float16)], {}, ["weight_scale is float16"]),
        ("bias", [ACC, LO, HI, SCALES, SCALES[:1]], dict(no_bias=False), ["bias has 1 values"]),
        ("inputs", [ACC, LO, HI, SCALES], dict(no_bias=False), ["5"]),
        ("act", [ACC, LO, HI, SCALES], dict(act="tanh"), ["act=tanh", "none, relu"]),
        ("zero_point", [ACC, np.float32([-1]), HI, SCALES], dict(in_type="uint8"), ["zero point", "in_type=int8"]),
        ("range", [ACC, np.float32([np.nan]), HI, SCALES], {}, ["finite and in order"]),
        ("overflow", [ACC, LO, np.float32([3e38]), SCALES * np.float32(3e38)], {}, ["finite"]),
    ]
)
def test_bad_run_time(_, inputs, attrs, parts):
    attrs = {"ranges": "tensor", "no_bias": True, **attrs}
    for backend in ("ref", "avx"):
        text = error_of(lambda b=backend: mx.nd.mxq_requantize(*[nd(a) for a in inputs], backend=b, **attrs))
        for part in ["mxq_requantize"] + parts:
            assert part in text, text
