"""mxq_lrn: every implementation against numpy, bit for bit, and both against MXNet's LRN."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.lrn import lrn, power
from .calling import channels_first, channels_last, check_all, error_of, integers, nd, shapes


@st.composite
def cases(draw):
    shape = draw(shapes())
    in_type = draw(st.sampled_from(["int8", "uint8", "float32"]))
    attrs = {"nsize": draw(st.sampled_from([1, 3, 5, 7, 9, 63])), "out_type": draw(st.sampled_from(OUT_TYPES))}
    attrs["alpha"] = draw(st.sampled_from([0.0, 1e-4, 0.01, 2.0]))
    attrs["beta"] = draw(st.sampled_from([0.75, 0.5, 1.0, 0.0, 2.5, -0.6]))
    attrs["knorm"] = draw(st.sampled_from([1.0, 2.0, 0.3, 1e-20]))
    if in_type != "float32":
        attrs["in_scale"] = draw(st.sampled_from([1.0, 0.05, 3.7]))
        attrs["in_zero_point"] = draw(st.integers(0, 255)) if in_type == "uint8" else draw(st.integers(-3, 3))
    if attrs["out_type"] != "float32":
        attrs["out_scale"] = draw(st.sampled_from([1.0, 0.25, 0.03, 4.0]))
        attrs["out_zero_point"] = draw(st.integers(0, 255)) if attrs["out_type"] == "uint8" else 0
    return attrs, shape, in_type, draw(st.integers(0, 2**31))


OUT_TYPES = ["int8", "uint8", "float32"]


def data_of(seed, dtype, shape):
    rng = np.random.RandomState(seed)
    return (rng.randn(*shape) * 30).astype(np.float32) if dtype == "float32" else integers(rng, dtype, shape)


def check(case):
    attrs, shape, in_type, seed = case
    data = data_of(seed, in_type, shape)
    check_all("mxq_lrn", [data], attrs, [lrn(data, attrs)])


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_generated(case):
    check(case)


@parameterized.expand(
    [
        ("googlenet", (2, 28, 28, 192), dict(nsize=5, alpha=1e-4, beta=0.75, knorm=1.0)),
        ("alexnet", (1, 27, 27, 96), dict(nsize=5, alpha=1e-4, beta=0.75, knorm=2.0)),
        ("all_channels", (1, 9, 9, 70), dict(nsize=1001, alpha=1.0, beta=0.5, knorm=1e-6)),
        ("two", (40, 5000), dict(nsize=3)),
    ]
)
def test_large(_, shape, attrs):
    for in_type, out_type in (("uint8", "uint8"), ("int8", "float32"), ("float32", "int8"), ("float32", "float32")):
        data = data_of(3, in_type, shape)
        case = dict(attrs, out_type=out_type)
        if in_type != "float32":
            case.update(in_scale=1.5)
        if out_type != "float32":
            case.update(out_scale=0.2)
        check_all("mxq_lrn", [data], case, [lrn(data, case)])


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 7).map(lambda i: 2 * i + 1),
    *[st.integers(lo, hi).map(lambda i: i / 100) for lo, hi in ((0, 300), (-150, 250), (1, 1000))],
    st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 4), st.integers(1, 4)),
    st.integers(0, 2**31),
)
def test_as_mxnet(nsize, alpha, beta, knorm, shape, seed):
    attrs = dict(nsize=nsize, alpha=alpha, beta=beta, knorm=knorm)
    x = np.random.RandomState(seed).randn(*shape).astype(np.float32) * 10
    expected = mx.nd.LRN(nd(x), **attrs).asnumpy()
    got = mx.nd.mxq_lrn(nd(channels_last(x)), out_type="float32", **attrs).asnumpy()
    np.testing.assert_allclose(channels_first(got), expected, rtol=5e-6, atol=1e-30, err_msg=str(attrs))


def test_power():
    u = np.exp(np.random.RandomState(0).uniform(-60, 60, 200000)).astype(np.float32)
    for exponent in (-0.75, -0.5, 0.3, -1.25):
        exact = u.astype(np.float64) ** exponent
        error = np.abs(power(u, np.float32(exponent)) / exact - 1)
        assert error[(exact > 1 / 16) & (exact < 16)].max() < 2e-6
        assert error[np.abs(np.log2(exact)) < 120].max() < 1e-5  # the logarithm itself has few bits behind the point
    assert power(np.float32([1.0]), np.float32(-0.5)) == 1
    assert power(np.float32([1e37]), np.float32(-4.0)) == np.float32(2.0) ** -125


def test_numbers_that_are_none():
    """A NaN stays where it is, an infinity too; what is rounded becomes an integer. All implementations agree."""
    data = np.zeros((1, 2, 2, 40), np.float32) + 3
    data[0, 0, 0, 5], data[0, 1, 1, 20], data[0, 1, 1, 33] = np.nan, np.inf, -np.inf
    for backend in ("avx", "ref"):
        out = mx.nd.mxq_lrn(nd(data), nsize=5, out_type="float32", backend=backend).asnumpy()
        np.testing.assert_array_equal(out, lrn(data, dict(nsize=5, out_type="float32")))
        assert np.isnan(out).sum() == 1 and np.isinf(out).sum() == 2
        out = mx.nd.mxq_lrn(nd(data), nsize=5, out_scale=0.1, backend=backend).asnumpy()
        assert [out[0, 0, 0, 5], out[0, 1, 1, 20], out[0, 1, 1, 33]] == [-128, 127, -128]


def test_empty():
    with mx.util.np_shape(True):
        check_all("mxq_lrn", [np.zeros((0, 3, 4), np.int8)], {"nsize": 3}, [np.zeros((0, 3, 4), np.int8)])


DATA = np.ones((1, 5, 6, 4), np.int8)


@parameterized.expand(
    [
        ("type", DATA.astype(np.int32), {}, ["data is int32", "int8, uint8 and float32"]),
        ("float_scale", DATA.astype(np.float32), dict(in_scale=0.5), ["data is float32", "no in_scale"]),
        ("even", DATA, dict(nsize=4), ["nsize=4", "odd"]),
        ("none", DATA, dict(nsize=0), ["nsize=0", "odd"]),
        ("alpha", DATA, dict(alpha=-1.0), ["alpha=-1", "0 or more"]),
        ("alpha_large", DATA, dict(alpha=1e38), ["alpha=1e+38", "too large"]),
        ("knorm", DATA, dict(knorm=0.0), ["knorm=0.0", "above 0"]),
        ("beta", DATA, dict(beta=17.0), ["beta=17.0", "-16 to 16"]),
        ("zero", DATA, dict(in_zero_point=200), ["in_zero_point=200", "int8"]),
        ("scale", DATA, dict(in_scale=1e38, alpha=0.0, out_scale=1e-30), ["in_scale=1e+38", "too large"]),
        ("float_out", DATA, dict(out_type="float32", out_scale=2.0), ["out_scale=2.0", "must be 1"]),
        ("rank", DATA[0, 0, 0], {}, ["(4,)", "(N, spatial..., C)"]),
        ("unknown", DATA, dict(n_size=3), ["n_size", "nsize"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_lrn(nd(data), node="n1", **{"nsize": 5, **attrs}))
    for part in ["mxq_lrn 'n1'"] + parts:
        assert part in text, text
