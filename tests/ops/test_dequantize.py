"""mxq_dequantize: every implementation against numpy, bit for bit."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.dequantize import dequantize
from .calling import call, check_all, error_of, integers, nd, shapes

FLOATS = st.floats(-300, 300, width=32)


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(["none", "none", "tensor", "channel"]))
    dtype = draw(st.sampled_from(["int8", "uint8", "int32"]))
    shape = draw(shapes())
    attrs, ends = {}, sorted([draw(FLOATS), draw(FLOATS)])
    if kind != "none" or draw(st.booleans()):
        attrs["ranges"] = kind
    if draw(st.booleans()):
        attrs["layout"] = draw(st.sampled_from(["keep", "channels_first"]))
    if kind == "channel":
        attrs["axis"] = draw(st.integers(-len(shape), len(shape) - 1))
    elif kind == "tensor" and dtype == "int32":
        dtype = "int8"
    elif kind == "none" and (dtype == "int32" or draw(st.booleans())):
        attrs["scale"] = draw(st.floats(2**-10, 30, width=32))
        if dtype != "int32" and draw(st.booleans()):
            attrs["zero_point"] = draw(st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max))
    elif kind == "none":
        attrs.update(min_calib_range=ends[0], max_calib_range=ends[1])
    return attrs, dtype, shape, ends, draw(st.integers(0, 2**31))


@settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(shapes(), st.sampled_from(["int8", "uint8"]), st.tuples(FLOATS, FLOATS), st.sampled_from([2, 8, 64]))
def test_two_parts(shape, dtype, ends, fine_steps):
    shape = (shape[0], 2 * shape[1], *shape[2:])
    data = integers(np.random.RandomState(0), dtype, shape)
    attrs = dict(min_calib_range=min(ends), max_calib_range=max(ends), fine_steps=fine_steps)
    check_all("mxq_dequantize", [data], attrs, [dequantize([data], attrs)])


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_generated(case):
    attrs, dtype, shape, ends, seed = case
    rng = np.random.RandomState(seed)
    inputs = [integers(rng, dtype, shape)]
    if attrs.get("ranges") == "tensor":
        inputs += [np.float32([end]) for end in ends]
    elif attrs.get("ranges") == "channel":
        inputs.append(rng.uniform(1e-4, 2, shape[attrs["axis"]]).astype(np.float32))
    check_all("mxq_dequantize", inputs, attrs, [dequantize(inputs, attrs)])


@parameterized.expand(
    [
        ("image", (1, 224, 224, 3)),
        ("two", (1, 50, 50, 2)),
        ("four", (2, 33, 33, 4)),
        ("one", (3, 9, 9, 1)),
        ("many", (1, 17, 17, 130)),
        ("one_position", (4, 1, 1, 70)),
        ("rank_2", (5, 66)),
        ("rank_3", (2, 300, 65)),
        ("rank_5", (1, 2, 3, 50, 17)),
    ]
)
def test_channels_first(_, shape):
    rng = np.random.RandomState(3)
    for dtype in ("int8", "uint8", "int32"):
        inputs = [integers(rng, dtype, shape), rng.uniform(0.1, 1, shape[-1]).astype(np.float32)]
        for attrs, n in ((dict(scale=0.3), 1), (dict(ranges="channel", axis=-1), 2)):
            attrs["layout"] = "channels_first"
            check_all("mxq_dequantize", inputs[:n], attrs, [dequantize(inputs[:n], attrs)])


def test_every_value():
    for dtype in ("int8", "uint8"):
        data = np.arange(256).astype(np.uint8).view(dtype)
        attrs = dict(min_calib_range=-1.3, max_calib_range=2.7)
        check_all("mxq_dequantize", [data], attrs, [dequantize([data], attrs)])


def test_int32_beyond_24_bits_rounds_once():
    data = np.int32([2**24 + 1, 2**31 - 1, -(2**31), 2**25 + 3, 0])
    attrs = dict(scale=0.1)
    check_all("mxq_dequantize", [data], attrs, [dequantize([data], attrs)])


def test_undoes_a_quantization_with_run_time_range():
    data = np.random.RandomState(0).randn(2, 5, 6, 7).astype(np.float32)
    for dtype in ("int8", "uint8"):
        q = call("mxq_quantize_v2", [data], dict(out_type=dtype, layout="channels_last"))
        (back,) = call("mxq_dequantize", q, dict(ranges="tensor", layout="channels_first"))
        step = (np.abs(data).max() / 127) if dtype == "int8" else (data.max() - data.min()) / 255
        assert np.abs(back - data).max() <= step * 0.5001  # rounding is at most half a step, plus float32 noise


def test_empty():
    with mx.util.np_shape(True):
        for shape in ((0,), (0, 3, 4, 5), (2, 0, 5, 3)):
            data = np.zeros(shape, np.int8)
            check_all("mxq_dequantize", [data], dict(scale=1.0), [data.astype(np.float32)])


ONE = np.ones(1, np.float32)


@parameterized.expand(
    [
        ("nothing", ["int8"], {}, ["min_calib_range", "or scale"]),
        ("half", ["int8"], dict(min_calib_range=0), ["max_calib_range", "missing"]),
        ("order", ["int8"], dict(min_calib_range=1, max_calib_range=-1), ["max_calib_range=-1"]),
        ("ranges", ["int8"], dict(ranges="row"), ["ranges=row", "none, tensor, channel"]),
        ("scale", ["int8"], dict(scale=-1), ["scale=-1", "greater than 0"]),
        ("no_axis", ["int8", ONE], dict(ranges="channel"), ["axis", "missing"]),
        ("axis", ["int8", ONE], dict(ranges="channel", axis=2), ["axis=2", "-2 to 1"]),
        ("scales", ["int8", ONE], dict(ranges="channel", axis=1), ["scale has 1 values", "expected 3"]),
        ("zero_point", ["int8"], dict(scale=1, zero_point=128), ["zero_point=128", "int8"]),
        ("zero_point_int32", ["int32"], dict(scale=1, zero_point=1), ["zero_point=1", "int32"]),
        ("parts_odd", ["int8"], dict(min_calib_range=0, max_calib_range=1, fine_steps=8), ["even"]),
        ("parts_scale", ["int8"], dict(scale=1, fine_steps=8), ["fine_steps=8", "min_calib_range"]),
        ("float", ["float32"], dict(scale=1), ["data is float32", "int8 and uint8"]),
        ("int32_range", ["int32"], dict(min_calib_range=0, max_calib_range=1), ["data is int32"]),
        ("min_type", ["int8", np.ones(1, np.int8), ONE], dict(ranges="tensor"), ["min is int8", "float32"]),
        ("min_shape", ["int8", np.ones(2, np.float32), ONE], dict(ranges="tensor"), ["min has 2 values", "(1,)"]),
        ("both", ["int8"], dict(min_calib_range=0, max_calib_range=1, scale=1), ["scale=1", "without effect"]),
    ]
)
def test_bad(_, inputs, attrs, parts):
    arrays = [nd(np.ones((2, 3), inputs[0]))] + [nd(a) for a in inputs[1:]]
    text = error_of(lambda: mx.nd.mxq_dequantize(*arrays, node="n1", **attrs))
    for part in ["mxq_dequantize 'n1'"] + parts:
        assert part in text, text


@parameterized.expand([("nan", np.nan, 1), ("inf", 0, np.inf), ("order", 2, 1)])
def test_a_bad_run_time_range(_, lo, hi):
    for backend in ("ref", "avx"):
        arrays = [nd(np.ones((2, 3), np.int8)), nd(np.float32([lo])), nd(np.float32([hi]))]
        text = error_of(lambda arrays=arrays, b=backend: mx.nd.mxq_dequantize(*arrays, ranges="tensor", backend=b))
        assert "mxq_dequantize" in text and "finite and in order" in text, text
