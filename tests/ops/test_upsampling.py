"""mxq_upsampling: every implementation against numpy, value for value, and against MXNet's UpSampling."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.movement import upsampling
from .calling import check_all, error_of, integers, nd


@st.composite
def cases(draw):
    shape = (draw(st.integers(1, 3)), *[draw(st.sampled_from([1, 2, 3, 7, 16, 33])) for _ in range(3)])
    return {"scale": draw(st.integers(1, 4)), "layout": draw(st.sampled_from(["", "channels_last"]))}, shape


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.sampled_from(["int8", "uint8"]), st.integers(0, 2**31))
def test_generated(case, dtype, seed):
    attrs, shape = case
    data = integers(np.random.RandomState(seed), dtype, shape)
    expected = upsampling(data, attrs)
    check_all("mxq_upsampling", [data], attrs, [expected])
    if not attrs["layout"]:
        floats = mx.nd.UpSampling(nd(data.astype(np.float32)), scale=attrs["scale"], sample_type="nearest")
        np.testing.assert_array_equal(floats.asnumpy().astype(dtype), expected)


def test_large():
    data = integers(np.random.RandomState(0), "uint8", (2, 26, 26, 256))
    for layout in ("", "channels_last"):
        attrs = dict(scale=2, layout=layout)
        check_all("mxq_upsampling", [data], attrs, [upsampling(data, attrs)])


DATA = np.ones((1, 2, 3, 4), np.int8)


@parameterized.expand(
    [
        ("type", DATA.astype(np.float32), dict(scale=2), ["data is float32"]),
        ("missing", DATA, {}, ["scale is missing"]),
        ("none", DATA, dict(scale=0), ["scale=0", "1 or more"]),
        ("rank", DATA[0], dict(scale=2), ["(2, 3, 4)", "(N, C, H, W)"]),
        ("layout", DATA, dict(scale=2, layout="NHWC"), ["layout=NHWC", "channels_last"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_upsampling(nd(data), node="n1", **attrs))
    for part in ["mxq_upsampling 'n1'"] + parts:
        assert part in text, text
