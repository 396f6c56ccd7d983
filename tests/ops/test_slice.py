"""mxq_slice: every implementation against numpy, and its meaning against MXNet's own slice."""

import itertools

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.movement import slice_
from .calling import check_all, error_of, integers, nd, shapes


@st.composite
def cases(draw):
    shape = draw(shapes(min_rank=1))
    count = draw(st.integers(1, len(shape)))
    position = [st.one_of(st.none(), st.integers(-n - 2, n + 2)) for n in shape]
    attrs = {key: tuple(draw(position[i]) for i in range(count)) for key in ("begin", "end")}
    if draw(st.booleans()):
        attrs["step"] = tuple(draw(st.sampled_from([None, 1, 1, 2, 3, -1, -1, -2])) for _ in range(count))
    return attrs, shape


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.sampled_from(["int8", "uint8"]), st.integers(0, 2**31))
def test_generated(case, dtype, seed):
    attrs, shape = case
    data = integers(np.random.RandomState(seed), dtype, shape)
    expected = slice_(data, attrs)
    assume(expected.size)
    check_all("mxq_slice", [data], attrs, [expected])


def test_as_mxnet():
    data = np.arange(5, dtype=np.int8)
    floats = mx.nd.array(data)
    positions, compared = [None, *range(-5, 7)], 0
    for begin, end, step in itertools.product(positions, positions, (None, 1, 2, -1, -2, 7, -7)):
        attrs = dict(begin=(begin,), end=(end,), step=(step,))
        if not slice_(data, attrs).size:
            assert "select nothing" in error_of(lambda a=attrs: mx.nd.mxq_slice(nd(data), **a)), attrs
        else:
            expected = mx.nd.slice(floats, **attrs).asnumpy().astype(np.int8)
            check_all("mxq_slice", [data], attrs, [expected])
            compared += 1
    assert compared > 400


@parameterized.expand(
    [
        ("channels", (2, 30, 31, 70), dict(begin=(None, None, None, 3), end=(None, None, None, 67))),
        ("crop", (1, 60, 61, 33), dict(begin=(0, 2, 3), end=(1, -2, -3))),
        ("flip", (2, 40, 50, 3), dict(begin=(None, None, None), end=(None, None, None), step=(1, 1, -1))),
        ("focus", (1, 80, 80, 3), dict(begin=(0, 1, 0), end=(1, None, None), step=(1, 2, 2))),
        ("first_channel", (2, 100, 100, 5), dict(begin=(None, None, None, 0), end=(None, None, None, 1))),
    ]
)
def test_large(_, shape, attrs):
    data = integers(np.random.RandomState(0), "uint8", shape)
    check_all("mxq_slice", [data], attrs, [slice_(data, attrs)])


DATA = np.ones((2, 3), np.int8)


@parameterized.expand(
    [
        ("type", DATA.astype(np.float32), dict(begin=(0,), end=(1,)), ["data is float32"]),
        ("missing", DATA, dict(end=(1,)), ["begin is missing"]),
        ("lengths", DATA, dict(begin=(0,), end=(1, 2)), ["end=(1, 2)", "as many items as begin"]),
        ("steps", DATA, dict(begin=(0,), end=(1,), step=(1, 1)), ["step=(1, 1)", "as many items as begin"]),
        ("zero", DATA, dict(begin=(0,), end=(1,), step=(0,)), ["step=(0,)", "0 is not accepted"]),
        ("axes", DATA, dict(begin=(0, 0, 0), end=(1, 1, 1)), ["3 items", "up to 2"]),
        ("text", DATA, dict(begin="(a,)", end=(1,)), ["begin=(a,)", "None"]),
        ("empty", DATA, dict(begin=(1,), end=(1,)), ["select nothing on axis 0", "(2, 3)"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_slice(nd(data), node="n1", **attrs))
    for part in ["mxq_slice"] + parts:
        assert part in text, text
