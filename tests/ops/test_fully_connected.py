"""mxq_fully_connected: every implementation against numpy, integer for integer."""

from typing import Any, Callable, Dict

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.fully_connected import fully_connected
from .linear_cases import Comparison, make_inputs, run, stages

comparison = Comparison("mxq_fully_connected")


@st.composite
def layers(draw: Callable[[Any], Any]) -> Dict[str, Any]:
    case = draw(stages())
    flatten = draw(st.booleans())
    rank = draw(st.integers(2, 4))
    shape = [draw(st.sampled_from([1, 1, 2, 7, 33]))] + [draw(st.integers(1, 6)) for _ in range(rank - 2)]
    shape.append(draw(st.one_of(st.integers(1, 130), st.sampled_from([256, 512, 999]))))
    case["data_shape"] = tuple(shape)
    case["attrs"].update(
        flatten=flatten, num_hidden=draw(st.one_of(st.integers(1, 70), st.sampled_from([1, 128, 250])))
    )
    return case


def check(case: Dict[str, Any]) -> None:
    shape, attrs = case["data_shape"], case["attrs"]
    depth = int(np.prod(shape[1:])) if attrs["flatten"] else shape[-1]
    out_shape = (shape[:1] if attrs["flatten"] else shape[:-1]) + (attrs["num_hidden"],)
    inputs = make_inputs(case, shape, (attrs["num_hidden"], depth), out_shape)
    comparison.check(fully_connected(*inputs, attrs), inputs, case)


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers())
def test_1_generated(case):
    check(case)


def test_2_off_by_one_is_rare():
    # The documented order is oneDNN's own; nothing was off by one with 3.2 on AMX and AVX-512 VNNI.
    comparison.check_rate(500, 1e-4)


def named(data_shape, num_hidden, in_type="uint8", values="random", **attrs):
    base = dict(num_hidden=num_hidden, flatten=True, in_scale=0.05, no_bias=False, out_type="int8", out_scale=0.1)
    base.update(attrs)
    return dict(in_type=in_type, values=values, residual_type=None, seed=4, data_shape=data_shape, attrs=base)


@parameterized.expand(
    [
        ("classifier", named((1, 2048), 1000, out_type="float32", out_scale=1.0)),
        ("batch_32", named((32, 512), 100, "int8")),
        ("one_hidden_no_bias", named((5, 300), 1, no_bias=True)),
        ("one_value", named((1, 1), 1)),
        ("vgg_depth", named((2, 7, 7, 512), 16, act="relu", out_type="uint8")),
        ("sequence", named((2, 9, 64), 48, flatten=False)),
        ("saturates", named((3, 999), 20, values="extreme", out_scale=1e-4)),
        ("int32_zero_point", named((3, 5000), 20, "int8", "extreme", out_type="int32", in_zero_point=-128)),
        ("int32", named((3, 5000), 20, "uint8", "extreme", out_type="int32")),
        ("just_fits_int32", named((1, 65000), 2, "uint8", "extreme", out_type="float32", out_scale=1.0)),
        # Beyond 65,793 products of the largest values int32 is not enough: all implementations go on in 64 bits.
        ("beyond_int32", named((2, 70000), 3, "uint8", "extreme", out_type="float32", out_scale=1.0)),
        ("beyond_int32_clamps", named((2, 70000), 3, "uint8", "extreme", out_type="int32")),
    ]
)
def test_named(_, case):
    check(case)


@parameterized.expand(
    [
        ("depth", {}, (2, 5), (4, 6), "data has 5 values per row", "weight expects 6"),
        ("depth_flattened", {}, (2, 5, 2), (4, 5), "data has 10 values per row", "flatten=True"),
        ("depth_of_last_axis", dict(flatten=False), (2, 5, 2), (4, 10), "data has 2 values per row", "flatten=False"),
        ("hidden", dict(num_hidden=3), (2, 5), (4, 5), "(4, 5)", "(3, 5)"),
        ("no_hidden", dict(num_hidden=0), (2, 5), (4, 5), "num_hidden=0", "1 or more"),
        ("rank", {}, (5,), (4, 5), "data has 1 dimensions", "2 or more"),
    ]
)
def test_bad_input(_, attrs, data_shape, weight_shape, *words):
    inputs = [
        np.ones(data_shape, np.int8),
        np.ones(weight_shape, np.int8),
        np.ones(4, np.float32),
        np.ones(4, np.int32),
    ]
    try:
        run("mxq_fully_connected", inputs, dict(dict(num_hidden=4, in_scale=0.1, out_scale=0.1), **attrs))
    except mx.base.MXNetError as error:
        assert all(word in str(error) for word in words), str(error)
    else:
        raise AssertionError("accepted")


def test_beyond_int32_clamps_to_int32():
    inputs = [np.full((1, 70000), 255, np.uint8), np.full((1, 70000), 127, np.int8), np.ones(1, np.float32), None, None]
    out = run("mxq_fully_connected", inputs, dict(num_hidden=1, no_bias=True, out_type="int32"))
    assert out.tolist() == [[2**31 - 1]]
