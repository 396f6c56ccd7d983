"""mxq_resize: every implementation against numpy, bit for bit, and both against MXNet's BilinearResize2D."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.resize import resize
from .calling import call, channels_first, channels_last, check_all, error_of, integers, nd

SIZES = [1, 2, 3, 5, 8, 17, 31]


@st.composite
def cases(draw):
    layout = draw(st.sampled_from(["", "channels_last"]))
    pixels = [draw(st.sampled_from(SIZES)) for _ in range(2)]
    channels = draw(st.sampled_from([1, 2, 3, 15, 16, 33]))
    attrs = {"layout": layout, "align_corners": draw(st.booleans())}
    if draw(st.booleans()):
        attrs.update(height=draw(st.sampled_from(SIZES)), width=draw(st.sampled_from(SIZES)))
    else:
        for key, n in zip(("scale_height", "scale_width"), pixels):
            attrs[key] = draw(st.sampled_from([s for s in (0.1, 0.29, 0.5, 1.0, 1.7, 2.0, 3.3) if s * n >= 1]))
    batch = draw(st.integers(1, 3))
    shape = (batch, *pixels, channels) if layout else (batch, channels, *pixels)
    return attrs, shape, draw(st.sampled_from(["int8", "uint8", "float32"])), draw(st.integers(0, 2**31))


def data_of(seed, dtype, shape):
    rng = np.random.RandomState(seed)
    return (rng.randn(*shape) * 30).astype(np.float32) if dtype == "float32" else integers(rng, dtype, shape)


def as_mxnet(data, attrs):
    attrs = dict(attrs)
    last = attrs.pop("layout", "") == "channels_last"
    out = mx.nd.contrib.BilinearResize2D(nd(channels_first(data) if last else data), **attrs).asnumpy()
    return channels_last(out) if last else out


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_generated(case):
    attrs, shape, dtype, seed = case
    data = data_of(seed, dtype, shape)
    check_all("mxq_resize", [data], attrs, [resize(data, attrs)])


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_as_mxnet(case):
    """Bit for bit in float32; of integers the float result, rounded."""
    attrs, shape, dtype, seed = case
    data = data_of(seed, dtype, shape)
    floats = as_mxnet(data.astype(np.float32), attrs)
    got = call("mxq_resize", [data], attrs)[0]
    np.testing.assert_array_equal(got, floats if dtype == "float32" else np.rint(floats), err_msg=str(attrs))


@parameterized.expand(
    [
        ("segmentation", (1, 21, 40, 40), dict(height=320, width=320)),
        ("decoder", (1, 40, 40, 256), dict(height=80, width=80, layout="channels_last")),
        ("smaller", (2, 3, 240, 320), dict(height=97, width=131, align_corners=False)),
        ("strips", (2, 3, 4, 5000), dict(scale_height=1.5, scale_width=1.5, layout="channels_last")),
        ("long", (1, 2, 3, 9000), dict(height=5, width=10001)),
        ("whole_image", (2, 1, 1, 256), dict(height=33, width=35, layout="channels_last")),
    ]
)
def test_large(_, shape, attrs):
    for dtype in ("uint8", "int8", "float32"):
        data = data_of(3, dtype, shape)
        check_all("mxq_resize", [data], attrs, [resize(data, attrs)])


def test_one_pixel_is_repeated():
    for layout in ("", "channels_last"):
        for shape in ((2, 1, 1, 1), (3, 1, 1, 40) if layout else (3, 40, 1, 1)):
            for aligned in (True, False):
                attrs = dict(height=7, width=5, layout=layout, align_corners=aligned)
                data = data_of(1, "int8", shape)
                expected = data.repeat(7, axis=1 if layout else 2).repeat(5, axis=2 if layout else 3)
                check_all("mxq_resize", [data], attrs, [expected])


def test_numbers_that_are_none():
    """Where MXNet has a NaN or an infinity: a weight of 0 makes a NaN of an infinity, but a copy has no weights."""
    data = data_of(4, "float32", (1, 2, 6, 7))
    data[0, 0, 2, 3], data[0, 1, 4, 4] = np.nan, np.inf
    for attrs in (dict(height=11, width=13), dict(height=6, width=14), dict(height=6, width=7)):
        expected = as_mxnet(data, attrs)
        for backend in ("avx", "ref"):
            np.testing.assert_array_equal(call("mxq_resize", [data], {**attrs, "backend": backend})[0], expected)


def test_empty():
    with mx.util.np_shape(True):
        for dtype in ("int8", "float32"):
            for shape, attrs in (((0, 3, 4, 5), {}), ((0, 4, 5, 3), dict(layout="channels_last")), ((2, 0, 4, 5), {})):
                size = (7, 6, 3) if attrs else (shape[1], 7, 6)
                expected = np.zeros((shape[0], *size), dtype)
                check_all("mxq_resize", [np.zeros(shape, dtype)], dict(attrs, height=7, width=6), [expected])


DATA = np.ones((1, 2, 3, 4), np.int8)


@parameterized.expand(
    [
        ("type", DATA.astype(np.int32), dict(height=2, width=2), ["data is int32", "int8, uint8 and float32"]),
        ("missing", DATA, {}, ["height is missing"]),
        ("half", DATA, dict(height=2), ["width is missing"]),
        ("half_scaled", DATA, dict(scale_width=2.0), ["scale_height is missing"]),
        ("both", DATA, dict(height=2, scale_height=2.0, scale_width=2.0), ["height=2", "beside scale_height"]),
        ("none", DATA, dict(height=0, width=2), ["height=0", "1 to 32767"]),
        ("huge", DATA, dict(height=2, width=40000), ["width=40000", "1 to 32767"]),
        ("negative", DATA, dict(scale_height=-1.0, scale_width=1.0), ["scale_height=-1"]),
        ("vanishes", DATA, dict(scale_height=1.0, scale_width=0.2), ["scale_width=0.2", "width 4 would become 0.8"]),
        ("scaled_huge", DATA, dict(scale_height=1e5, scale_width=1.0), ["scale_height=100000", "1 to 32767"]),
        ("rank", DATA[0], dict(height=2, width=2), ["(2, 3, 4)", "(N, C, H, W)"]),
        ("layout", DATA, dict(height=2, width=2, layout="NHWC"), ["layout=NHWC", "channels_last"]),
        ("unknown", DATA, dict(height=2, width=2, mode="size"), ["mode"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_resize(nd(data), node="n1", **attrs))
    for part in ["mxq_resize 'n1'"] + parts:
        assert part in text, text


def test_no_pixels():
    with mx.util.np_shape(True):
        text = error_of(lambda: mx.nd.mxq_resize(nd(np.zeros((1, 2, 0, 4), np.int8)), height=2, width=2))
    assert "no pixel" in text, text
