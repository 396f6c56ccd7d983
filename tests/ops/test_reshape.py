"""mxq_reshape: every implementation against numpy, and the special codes against MXNet's own reshape."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.movement import reshape, reshaped
from .calling import channels_last, check_all, error_of, integers, nd


@st.composite
def targets(draw):
    """A shape and codes that fit it: a walk over its dimensions, each kept, merged, split, or inferred."""
    shape = [draw(st.sampled_from([1, 2, 3, 4, 6, 12])) for _ in range(draw(st.integers(1, 4)))]
    codes, at, inferred = [], 0, False
    while at < len(shape):
        kind = draw(st.sampled_from(["keep", "size", "infer", "rest", "merge", "split", "drop"]))
        if kind == "merge" and at + 1 < len(shape):
            codes.append(-3)
            at += 1
        elif kind == "split":
            left = draw(st.sampled_from([d for d in range(1, shape[at] + 1) if shape[at] % d == 0]))
            pair = (left, shape[at] // left)
            codes += [-4, *draw(st.sampled_from([pair, (-1, pair[1]), (pair[0], -1)]))]
        elif kind == "rest":
            codes.append(-2)
            at = len(shape)
        elif kind == "infer" and not inferred:
            codes.append(-1)
            inferred = True
        elif kind == "drop" and not inferred and at == len(shape) - 1:
            codes.append(-1)
            inferred = True
        else:
            codes.append(draw(st.sampled_from([0, shape[at]])))
        at += 1
    if draw(st.integers(0, 3)) == 0:
        codes.append(1)
    return tuple(shape), tuple(codes)


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(targets(), st.booleans(), st.sampled_from(["int8", "uint8"]), st.integers(0, 2**31))
def test_generated(target, is_last, dtype, seed):
    shape, codes = target
    data = integers(np.random.RandomState(seed), dtype, shape)
    attrs = {"shape": codes}
    if is_last and len(shape) > 1:
        attrs["layout"], data = "channels_last", channels_last(data)
    check_all("mxq_reshape", [data], attrs, [reshape(data, attrs)])


COMPARED = []


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(targets())
def check_as_mxnet(target):
    shape, codes = target
    try:
        expected = mx.nd.zeros(shape).reshape(codes).shape
    except (mx.MXNetError, ValueError):
        return  # MXNet loses its way where -1 stands behind -2 or -4
    assert tuple(reshaped(shape, codes)) == expected
    assert mx.nd.mxq_reshape(nd(np.zeros(shape, np.int8)), shape=codes).shape == expected
    COMPARED.append(codes)


def test_as_mxnet():
    check_as_mxnet()
    assert len(COMPARED) > 350 and len(set(COMPARED)) > 100


@parameterized.expand(
    [
        ((2, 3, 4), (4, 0, 2), (4, 3, 2)),
        ((2, 3, 4), (2, 0, 0), (2, 3, 4)),
        ((2, 3, 4), (6, 1, -1), (6, 1, 4)),
        ((2, 3, 4), (3, -1, 8), (3, 1, 8)),
        ((2, 3, 4), (-1,), (24,)),
        ((2, 3, 4), (-2, 1, 1), (2, 3, 4, 1, 1)),
        ((2, 3, 4, 5), (-3, -3), (6, 20)),
        ((2, 3, 4), (0, -3), (2, 12)),
        ((2, 3, 4), (-4, 1, 2, -2), (1, 2, 3, 4)),
        ((2, 3, 4), (2, -4, -1, 3, -2), (2, 1, 3, 4)),
    ]
)
def test_examples_of_the_documentation(shape, codes, expected):
    assert mx.nd.mxq_reshape(nd(np.zeros(shape, np.int8)), shape=codes).shape == expected


DATA = np.ones((2, 3, 4), np.int8)


@parameterized.expand(
    [
        ("type", DATA.astype(np.int32), dict(shape=(-1,)), ["data is int32", "int8 and uint8"]),
        ("missing", DATA, {}, ["shape is missing"]),
        ("size", DATA, dict(shape=(5, 5)), ["(2, 3, 4)", "(5, 5)", "does not fit"]),
        ("indivisible", DATA, dict(shape=(5, -1)), ["(2, 3, 4)", "(5, -1)", "does not fit"]),
        ("two_inferred", DATA, dict(shape=(-1, -1)), ["(-1, -1)", "only one -1"]),
        ("code", DATA, dict(shape=(-5, 2)), ["shape=(-5, 2)", "codes 0, -1, -2, -3, -4"]),
        ("too_long", DATA, dict(shape=(0, 0, 0, 0)), ["code 0", "(2, 3, 4)"]),
        ("merge", DATA, dict(shape=(-3, -3)), ["code -3", "(2, 3, 4)"]),
        ("split", DATA, dict(shape=(-4, 3, -1, -2)), ["2 does not split"]),
        ("split_end", DATA, dict(shape=(-4, 2)), ["two sizes must follow -4"]),
        ("split_both", DATA, dict(shape=(-4, -1, -1, -2)), ["after -4"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_reshape(nd(data), node="n1", **attrs))
    for part in ["mxq_reshape"] + parts:
        assert part in text, text
