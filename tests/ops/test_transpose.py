"""mxq_transpose: every implementation against numpy, value for value."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.movement import transpose
from .calling import check_all, error_of, integers, nd, shapes


@st.composite
def cases(draw):
    shape = draw(shapes(min_rank=1, max_rank=6))
    if draw(st.integers(0, 5)) == 0:
        return {}, shape
    axes = draw(st.permutations(range(len(shape))))
    return {"axes": tuple(a - len(shape) if draw(st.integers(0, 3)) == 0 else a for a in axes)}, shape


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.sampled_from(["int8", "uint8"]), st.integers(0, 2**31))
def test_generated(case, dtype, seed):
    attrs, shape = case
    data = integers(np.random.RandomState(seed), dtype, shape)
    check_all("mxq_transpose", [data], attrs, [transpose(data, attrs)])


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.integers(0, 2**31))
def test_generated_floats(case, seed):
    attrs, shape = case
    data = np.random.RandomState(seed).normal(0, 1, shape).astype(np.float32)
    check_all("mxq_transpose", [data], attrs, [transpose(data, attrs)])


@parameterized.expand(
    [
        ("to_last", (2, 65, 40, 41), (0, 2, 3, 1)),
        ("to_first", (1, 40, 41, 65), (0, 3, 1, 2)),
        ("matrix", (700, 300), (1, 0)),
        ("shuffle", (1, 2, 58, 28, 28), (0, 2, 1, 3, 4)),
        ("shuffle_last", (1, 28, 28, 2, 58), (0, 1, 2, 4, 3)),
        ("heads", (2, 100, 8, 24), (0, 2, 1, 3)),
        ("all", (11, 12, 13, 14, 15), (4, 3, 2, 1, 0)),
    ]
)
def test_large(_, shape, axes):
    data = integers(np.random.RandomState(0), "int8", shape)
    check_all("mxq_transpose", [data], {"axes": axes}, [transpose(data, {"axes": axes})])
    floats = data.astype(np.float32)
    check_all("mxq_transpose", [floats], {"axes": axes}, [transpose(floats, {"axes": axes})])


def test_as_mxnet():
    data = integers(np.random.RandomState(0), "int8", (2, 3, 4, 5))
    for attrs in ({}, {"axes": (1, 0, 3, 2)}):
        check_all(
            "mxq_transpose", [data], attrs, [mx.nd.transpose(mx.nd.array(data), **attrs).asnumpy().astype(np.int8)]
        )


DATA = np.ones((2, 3), np.int8)


@parameterized.expand(
    [
        ("type", DATA.astype(np.int32), {}, ["data is int32"]),
        ("count", DATA, dict(axes=(0,)), ["axes=(0,)", "each of the 2 axes"]),
        ("twice", DATA, dict(axes=(0, 0)), ["axes=(0, 0)", "once"]),
        ("range", DATA, dict(axes=(0, 2)), ["axes=(0, 2)", "once"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_transpose(nd(data), node="n1", **attrs))
    for part in ["mxq_transpose"] + parts:
        assert part in text, text
