"""mxq_expand_dims: every implementation against numpy, value for value."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.movement import expand_dims
from .calling import check_all, error_of, integers, nd, shapes


@st.composite
def cases(draw):
    shape = draw(shapes(min_rank=1, max_rank=4))
    return {"axis": draw(st.integers(-len(shape) - 1, len(shape)))}, shape


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.sampled_from(["int8", "uint8"]), st.integers(0, 2**31))
def test_generated(case, dtype, seed):
    attrs, shape = case
    data = integers(np.random.RandomState(seed), dtype, shape)
    expected = expand_dims(data, attrs)
    assert mx.nd.expand_dims(mx.nd.zeros(shape), **attrs).shape == expected.shape
    check_all("mxq_expand_dims", [data], attrs, [expected])


DATA = np.ones((2, 3), np.int8)


@parameterized.expand(
    [
        ("type", DATA.astype(np.int32), dict(axis=0), ["data is int32"]),
        ("missing", DATA, {}, ["axis is missing"]),
        ("above", DATA, dict(axis=3), ["axis=3", "[-3, 2]"]),
        ("below", DATA, dict(axis=-4), ["axis=-4", "[-3, 2]"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_expand_dims(nd(data), node="n1", **attrs))
    for part in ["mxq_expand_dims"] + parts:
        assert part in text, text
