"""mxq_concat: every implementation against numpy, value for value."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.concat import concat
from .calling import check_all, error_of, integers, nd, shapes


def zero_point(draw, dtype):
    return draw(st.sampled_from([0, 0, 3, 128, 255])) if dtype == "uint8" else draw(st.sampled_from([0, 0, -128, 5]))


@st.composite
def cases(draw):
    shape = list(draw(shapes(min_rank=1, max_rank=4)))
    count, dim = draw(st.integers(1, 8)), draw(st.integers(-len(shape), len(shape) - 1))
    attrs = {"num_args": count, "dim": dim, "out_type": draw(st.sampled_from(["int8", "uint8"]))}
    attrs["out_scale"] = draw(st.sampled_from([0.1, 1.0, 0.0471]))
    attrs["out_zero_point"] = zero_point(draw, attrs["out_type"])
    own = (attrs["out_type"], attrs["out_scale"], attrs["out_zero_point"])
    equal = draw(st.booleans())
    sizes, kinds = [], []
    for _ in range(count):
        sizes.append(draw(st.integers(1, 5)) if max(shape) < 200 else draw(st.sampled_from([1, 63, 64, 65])))
        if equal or draw(st.integers(0, 2)) == 0:
            kinds.append(own)
        else:
            dtype = draw(st.sampled_from(["int8", "uint8"]))
            kinds.append((dtype, draw(st.sampled_from([0.1, 0.013, 2.5])), zero_point(draw, dtype)))
    if not (equal and draw(st.booleans())):
        attrs["in_scales"] = tuple(k[1] for k in kinds)
        attrs["in_zero_points"] = tuple(k[2] for k in kinds)
    return attrs, shape, sizes, [k[0] for k in kinds], draw(st.integers(0, 2**31))


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_generated(case):
    attrs, shape, sizes, dtypes, seed = case
    rng, inputs = np.random.RandomState(seed), []
    for size, dtype in zip(sizes, dtypes):
        shape[attrs["dim"]] = size
        inputs.append(integers(rng, dtype, shape))
    check_all("mxq_concat", inputs, attrs, [concat(inputs, attrs)])


@parameterized.expand([(0,), (1,), (-1,)])
def test_float_is_copied(dim):
    rng = np.random.RandomState(0)
    parts = [rng.randn(*(n if i == dim % 3 else 4 for i in range(3))).astype(np.float32) for n in (1, 33, 5)]
    check_all("mxq_concat", parts, dict(num_args=3, dim=dim, out_type="float32"), [np.concatenate(parts, dim)])


def test_float_and_integers_do_not_mix():
    a, b = nd(np.zeros((1, 2), np.float32)), nd(np.zeros((1, 2), np.int8))
    assert "float32" in error_of(lambda: mx.nd.mxq_concat(a, b, num_args=2, out_type="float32"))
    assert "float32" in error_of(lambda: mx.nd.mxq_concat(a, a, num_args=2, out_type="float32", in_scales=(0.5, 1.0)))


@parameterized.expand([("int8", "uint8"), ("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8")])
def test_every_value_is_rescaled(in_type, out_type):
    values = np.arange(256).astype(np.uint8).view(in_type).reshape(2, 128)
    attrs = dict(num_args=2, dim=0, in_scales=(0.5, 0.37), in_zero_points=(0, 7), out_type=out_type, out_scale=0.37)
    expected = concat([values, values], attrs)
    assert len(set(expected.ravel().tolist())) > 100
    check_all("mxq_concat", [values, values], attrs, [expected])


def test_large():
    rng = np.random.RandomState(0)
    inputs = [integers(rng, "uint8", (2, 28, 28, c)) for c in (64, 128, 32, 33)]
    for dim, parts in ((3, inputs), (0, [inputs[0]] * 3), (-3, [inputs[1]] * 2)):
        scales = tuple(0.1 * (i + 1) for i in range(len(parts)))
        attrs = dict(num_args=len(parts), dim=dim, in_scales=scales, out_type="uint8", out_scale=0.2)
        check_all("mxq_concat", parts, attrs, [concat(parts, dict(attrs, in_zero_points=(0,) * len(parts)))])


def test_shapes_with_unknown_dimensions():
    a, b = (mx.sym.Variable(n, shape=s, dtype="int8") for n, s in (("a", (0, 3, 2)), ("b", (4, 5, 0))))
    out = mx.sym.mxq_concat(a, b, num_args=2, dim=1)
    inputs, outputs, _ = out.infer_shape()
    assert inputs == [(4, 3, 2), (4, 5, 2)] and outputs == [(4, 8, 2)]


A = np.ones((2, 3), np.int8)


@parameterized.expand(
    [
        ("type", [A, A.astype(np.float32)], dict(num_args=2), ["input 1 is float32"]),
        ("count", [A], dict(num_args=0), ["num_args=0", "[1, 4096]"]),
        ("missing", [A], {}, ["num_args is missing"]),
        ("dim", [A, A], dict(num_args=2, dim=2), ["dim=2", "[-2, 1]", "(2, 3)"]),
        ("shape", [A, A[:1]], dict(num_args=2), ["input 1 has shape (1, 3)", "(2, 3)"]),
        ("rank", [A, A[0]], dict(num_args=2), ["input 1 has shape (3,)"]),
        ("scales", [A, A], dict(num_args=2, in_scales=(1,)), ["in_scales=(1,)", "2 items"]),
        ("scale", [A, A], dict(num_args=2, in_scales=(1, 0)), ["in_scales=(1, 0)", "greater than 0"]),
        ("zeros", [A, A], dict(num_args=2, in_zero_points=(0, 128)), ["in_zero_points (item 1)=128", "int8"]),
        ("float", [A], dict(num_args=1, out_type="float32"), ["input 0 is int8", "float32"]),
    ]
)
def test_bad(_, inputs, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_concat(*[nd(x) for x in inputs], node="n1", **attrs))
    for part in ["mxq_concat"] + parts:
        assert part in text, text
