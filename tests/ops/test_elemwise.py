"""mxq_elemwise_add, _sub and _mul: every implementation against numpy, value for value."""

import os
import subprocess
import sys

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.elemwise import elemwise
from .calling import check_all, error_of, integers, nd

OPS = ("mxq_elemwise_add", "mxq_elemwise_sub", "mxq_elemwise_mul")


@st.composite
def broadcast_shapes(draw):
    """Two shapes of any ranks that broadcast, often with a whole axis, a gate or a scalar among them."""
    rank = draw(st.integers(1, 5))
    full = [draw(st.sampled_from([1, 2, 3, 5])) for _ in range(rank - 1)] + [draw(st.sampled_from([1, 3, 16, 37, 70]))]

    def side():
        shape = [1 if draw(st.integers(0, 3)) == 0 else n for n in full]
        return tuple(shape[draw(st.integers(0, rank - 1)) if draw(st.booleans()) else 0 :])

    return side(), side()


def zero_point(draw, dtype):
    if dtype == "float32":
        return 0
    return draw(st.integers(0, 255)) if dtype == "uint8" else draw(st.sampled_from([0, 0, -128, 127, 9]))


@st.composite
def cases(draw, op):
    a_shape, b_shape = draw(broadcast_shapes())
    a_type, b_type = (draw(st.sampled_from(["int8", "uint8"])) for _ in range(2))
    attrs = {"out_type": draw(st.sampled_from(["int8", "uint8", "float32"]))}
    for name in ("a", "b"):
        attrs[f"{name}_scale"] = draw(st.sampled_from([1.0, 0.1, 0.0123, 0.5]))
    attrs["a_zero_point"], attrs["b_zero_point"] = zero_point(draw, a_type), zero_point(draw, b_type)
    if attrs["out_type"] != "float32":
        unit = attrs["a_scale"] * (attrs["b_scale"] if op == OPS[2] else 1.0)
        attrs["out_scale"] = unit * draw(st.sampled_from([0.5, 1.0, 1.5, 7.0, 90.0]))
        attrs["out_zero_point"] = zero_point(draw, attrs["out_type"])
    attrs["act"] = draw(st.sampled_from(["none", "none", "relu", "clip", "leaky"]))
    if attrs["act"] == "clip":
        low = draw(st.sampled_from([0.0, -1.0, -0.3]))
        attrs.update(act_alpha=low, act_beta=low + draw(st.sampled_from([0.0, 1.0, 6.0])))
    if attrs["act"] == "leaky":
        attrs["act_alpha"] = draw(st.sampled_from([0.1, 0.25, 0.0, -1.0, 2.0]))
    return attrs, a_shape, b_shape, a_type, b_type, draw(st.integers(0, 2**31))


def check_generated(op):
    @settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cases(op))
    def check(case):
        attrs, a_shape, b_shape, a_type, b_type, seed = case
        rng = np.random.RandomState(seed)
        a, b = integers(rng, a_type, a_shape), integers(rng, b_type, b_shape)
        check_all(op, [a, b], attrs, [elemwise(op, a, b, attrs)])

    check()


@parameterized.expand([(op,) for op in OPS])
def test_generated(op):
    check_generated(op)


@parameterized.expand([(op, types) for op in OPS for types in ("int8 int8", "int8 uint8", "uint8 uint8")])
def test_every_pair_of_values(op, types):
    a_type, b_type = types.split()
    values = np.arange(256).astype(np.uint8)
    a, b = values.view(a_type).reshape(256, 1), values.view(b_type)
    for act in (dict(act="none"), dict(act="relu"), dict(act="leaky", act_alpha=0.3)):
        scale = 0.03 * (40 if op == OPS[2] else 1)
        attrs = dict(a_scale=0.02, b_scale=0.03, a_zero_point=3, b_zero_point=-1 if b_type == "int8" else 77)
        attrs.update(out_type="uint8", out_scale=scale, out_zero_point=90, **act)
        check_all(op, [a, b], attrs, [elemwise(op, a, b, attrs)])
        check_all(op, [np.repeat(a, 256, 1), np.tile(b, (256, 1))], attrs, [elemwise(op, a, b, attrs)])


@parameterized.expand(
    [
        ("same", (2, 28, 28, 64), (2, 28, 28, 64)),
        ("gate", (2, 28, 28, 72), (2, 1, 1, 72)),
        ("gate_first", (2, 1, 1, 72), (2, 28, 28, 72)),
        ("spatial_gate", (2, 28, 28, 72), (2, 28, 28, 1)),
        ("scalar", (2, 28, 28, 72), (1,)),
        ("outer", (300, 1), (1, 500)),
        ("channels", (100, 200), (200,)),
    ]
)
def test_large(_, a_shape, b_shape):
    rng = np.random.RandomState(1)
    for op in OPS:
        a, b = integers(rng, "uint8", a_shape), integers(rng, "int8", b_shape)
        attrs = dict(a_scale=0.1, b_scale=0.2, a_zero_point=7, out_type="int8", out_scale=0.15 if op != OPS[2] else 3.0)
        check_all(op, [a, b], attrs, [elemwise(op, a, b, attrs)])


def test_without_avx512():
    code = f"""
import numpy as np
from {__name__} import OPS, check_all, elemwise, integers
rng = np.random.RandomState(4)
for op in OPS:
    for a_type, b_type, b_shape in (("int8", "uint8", (9, 77)), ("uint8", "int8", (77,)), ("uint8", "uint8", (9, 1))):
        for act in ("none", "relu", "leaky"):
            a, b = integers(rng, a_type, (9, 77)), integers(rng, b_type, b_shape)
            attrs = dict(a_scale=0.1, b_scale=0.03, b_zero_point=2, out_type="int8", act=act)
            if act == "leaky":
                attrs["act_alpha"] = 0.2
            attrs["out_scale"] = 0.08 if op != OPS[2] else 0.5
            check_all(op, [a, b], attrs, [elemwise(op, a, b, attrs)])
print("compared")
"""
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    env = dict(os.environ, MXQ_MAX_CPU_ISA="default", PYTHONPATH=os.path.abspath(root))
    out = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert out.returncode == 0 and b"compared" in out.stdout, out.stdout.decode()


def test_a_plus_itself():
    x = integers(np.random.RandomState(2), "int8", (4, 9))
    symbol = mx.sym.Variable("x", shape=x.shape, dtype="int8")
    out = mx.sym.mxq_elemwise_add(symbol, symbol, out_scale=2.0).eval(ctx=mx.cpu(), x=nd(x))[0].asnumpy()
    assert np.array_equal(out, x)


A = np.ones((2, 3), np.int8)


@parameterized.expand(
    [
        ("type", A, A.astype(np.int32), {}, ["b is int32", "int8 and uint8"]),
        ("shape", A, A.T.copy(), {}, ["(2, 3)", "(3, 2)", "do not broadcast"]),
        ("zero", A, A, dict(a_zero_point=130), ["a_zero_point=130", "int8"]),
        ("out_zero", A, A, dict(out_type="uint8", out_zero_point=-1), ["out_zero_point=-1", "[0, 255]"]),
        ("scale", A, A, dict(b_scale=-1), ["b_scale=-1", "greater than 0"]),
        ("ratio", A, A, dict(b_scale=1e38, out_scale=1e-30), ["b_scale", "too large"]),
        ("float_scale", A, A, dict(out_type="float32", out_scale=0.5), ["out_scale=0.5", "must be 1"]),
        ("clip", A, A, dict(act="clip", act_alpha=1, act_beta=0), ["act_alpha=1", "not above act_beta"]),
        ("no_bounds", A, A, dict(act="clip"), ["act_alpha is missing"]),
        ("act", A, A, dict(act="tanh"), ["act=tanh", "none, relu, clip, leaky"]),
    ]
)
def test_bad(_, a, b, attrs, parts):
    for op in OPS:
        text = error_of(lambda op=op: getattr(mx.nd, op)(nd(a), nd(b), node="n1", **attrs))
        for part in [op] + parts:
            if part == "b_scale" and op == OPS[2]:
                part = "a_scale"  # a product has one multiplier
            assert part in text, text
