"""mxq_flatten: every implementation against numpy, value for value."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.movement import flatten
from .calling import check_all, error_of, integers, nd, shapes

LAYOUTS = st.sampled_from([{}, {"layout": "channels_last"}])


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(shapes(min_rank=1), LAYOUTS, st.sampled_from(["int8", "uint8", "float32"]), st.integers(0, 2**31))
def test_generated(shape, attrs, dtype, seed):
    rng = np.random.RandomState(seed)
    data = rng.randn(*shape).astype(np.float32) if dtype == "float32" else integers(rng, dtype, shape)
    check_all("mxq_flatten", [data], attrs, [flatten(data, attrs)])


@parameterized.expand(
    [("vgg", (1, 7, 7, 512)), ("odd", (2, 13, 11, 37)), ("big", (1, 60, 60, 100)), ("sound", (3, 999, 40))]
)
def test_large(_, shape):
    data = integers(np.random.RandomState(0), "int8", shape)
    for attrs in ({}, {"layout": "channels_last"}):
        check_all("mxq_flatten", [data], attrs, [flatten(data, attrs)])


def test_as_mxnet():
    data = integers(np.random.RandomState(0), "int8", (2, 3, 4, 5))
    expected = mx.nd.Flatten(mx.nd.array(np.moveaxis(data, -1, 1))).asnumpy().astype(np.int8)
    check_all("mxq_flatten", [data], {"layout": "channels_last"}, [expected])


@parameterized.expand(
    [
        ("type", np.ones((2, 3), np.int32), {}, ["data is int32", "int8 and uint8"]),
        ("layout", np.ones((2, 3), np.int8), dict(layout="NHWC"), ["layout=NHWC", "channels_last"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_flatten(nd(data), node="n1", **attrs))
    for part in ["mxq_flatten"] + parts:
        assert part in text, text
