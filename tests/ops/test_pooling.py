"""mxq_pooling: every implementation against numpy, and the conventions against MXNet's own Pooling."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.pooling import pooling
from .calling import channels_first, channels_last, check_all, error_of, integers, nd


@st.composite
def geometries(draw, conventions=("valid", "full", "same")):
    """Attributes that say where the windows lie, with a shape that they fit."""
    rank = draw(st.integers(1, 2))
    channels = draw(st.sampled_from([1, 2, 3, 5, 16, 17, 33, 64, 70]))
    spatial = [draw(st.integers(1, 9)) for _ in range(rank)]
    shape = (draw(st.integers(1, 3)), *spatial, channels)
    if draw(st.integers(0, 5)) == 0:
        return {"global_pool": True, "keepdims": draw(st.booleans())}, shape
    attrs = {"kernel": tuple(draw(st.integers(1, 5)) for _ in range(rank))}
    attrs["stride"] = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    attrs["pooling_convention"] = draw(st.sampled_from(conventions if rank == 1 else conventions[:2]))
    if attrs["pooling_convention"] != "same":
        attrs["pad"] = tuple(draw(st.integers(0, k - 1)) for k in attrs["kernel"])
    pad = attrs.get("pad", (0,) * rank)
    assume(all(k <= n + 2 * p for k, n, p in zip(attrs["kernel"], spatial, pad)))
    return attrs, shape


@st.composite
def cases(draw):
    attrs, shape = draw(geometries())
    in_type = draw(st.sampled_from(["int8", "uint8"]))
    attrs["pool_type"] = draw(st.sampled_from(["max", "avg"]))
    if attrs["pool_type"] == "avg":
        attrs["count_include_pad"] = draw(st.booleans())
        attrs["out_type"] = draw(st.sampled_from(["int8", "uint8", "float32"]))
        attrs["in_scale"] = draw(st.sampled_from([1.0, 0.05, 0.0313, 1e-3]))
        attrs["in_zero_point"] = draw(st.integers(0, 255)) if in_type == "uint8" else draw(st.integers(-3, 3))
        if attrs["out_type"] != "float32":
            attrs["out_scale"] = attrs["in_scale"] * draw(st.sampled_from([1.0, 0.25, 0.7, 3.0]))
            attrs["out_zero_point"] = draw(st.integers(0, 255)) if attrs["out_type"] == "uint8" else 0
    return attrs, shape, in_type, draw(st.integers(0, 2**31))


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_generated(case):
    attrs, shape, in_type, seed = case
    data = integers(np.random.RandomState(seed), in_type, shape)
    check_all("mxq_pooling", [data], attrs, [pooling(data, attrs)])


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(geometries(), st.sampled_from(["max", "avg"]), st.booleans(), st.integers(0, 2**31))
def test_generated_float(geometry, pool_type, count_include_pad, seed):
    attrs, shape = geometry
    attrs = {**attrs, "pool_type": pool_type, "count_include_pad": count_include_pad}
    data = np.random.RandomState(seed).randn(*shape).astype(np.float32)
    check_all("mxq_pooling", [data], attrs, [pooling(data, attrs)])


def test_float_has_no_scale():
    data = np.zeros((1, 2, 2, 1), np.float32)
    for attrs in ({"out_type": "int8"}, {"in_scale": 0.5}, {"in_zero_point": 1}):
        attrs = {"global_pool": True, "pool_type": "avg", **attrs}
        assert "float32" in error_of(lambda a=attrs: mx.nd.mxq_pooling(nd(data), **a))


def mx_pooling(data, attrs):
    """MXNet's Pooling on channels-last integers, or None where MXNet has no answer."""
    rank = data.ndim - 2
    keepdims, attrs = attrs.get("keepdims", True), {"kernel": (1,) * rank, **attrs}
    attrs.pop("keepdims", None)
    if attrs.get("pooling_convention") == "same":
        attrs["pad"] = (0, 0, 0)  # MXNet looks at three numbers
    try:
        out = mx.nd.Pooling(mx.nd.array(channels_first(data.astype(np.float32))), **attrs).asnumpy()
    except mx.MXNetError as error:
        assert "could not create a descriptor" in str(error), error  # of its oneDNN, for most of 'same'
        return None
    return channels_last(out) if keepdims else out.reshape(out.shape[:2])


COMPARED = {"max": 0, "avg": 0, "same": 0}


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(geometries(), st.sampled_from(["max", "avg"]), st.booleans(), st.integers(0, 2**31))
def check_as_mxnet(geometry, pool_type, count_include_pad, seed):
    attrs, shape = dict(geometry[0], pool_type=pool_type), geometry[1]
    if pool_type == "avg":
        attrs["count_include_pad"] = count_include_pad
    data = integers(np.random.RandomState(seed), "int8", shape)
    expected = mx_pooling(data, attrs)
    if expected is None:
        return
    if pool_type == "max":  # a window without values is the smallest float there, the smallest integer here
        expected = np.maximum(expected, -128).astype(np.int8)
        check_all("mxq_pooling", [data], attrs, [expected])
    else:
        got = mx.nd.mxq_pooling(nd(data), out_type="float32", **attrs).asnumpy()
        expected = np.where(np.isnan(expected), 0, expected)  # 0 / 0: a window without values
        assert got.shape == expected.shape
        # MXNet divides each of up to 81 values of up to 128 and rounds at each sum; averages of integers that differ at
        # all differ by 1 / 81 or more.
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3, err_msg=str((attrs, shape)))
    COMPARED[pool_type] += 1
    COMPARED["same"] += attrs.get("pooling_convention") == "same"


def test_as_mxnet():
    check_as_mxnet()
    assert COMPARED["max"] > 150 and COMPARED["avg"] > 150 and COMPARED["same"] > 10, COMPARED


@parameterized.expand(
    [
        ("resnet", "max", (2, 56, 57, 64), dict(kernel=(3, 3), stride=(2, 2), pad=(1, 1))),
        ("squeezenet", "max", (1, 55, 55, 48), dict(kernel=(3, 3), stride=(2, 2), pooling_convention="full")),
        ("inception", "avg", (1, 17, 17, 300), dict(kernel=(3, 3), pad=(1, 1), count_include_pad=False)),
        ("spp", "max", (1, 13, 13, 600), dict(kernel=(13, 13), stride=(1, 1), pad=(6, 6))),
        ("global", "avg", (2, 7, 7, 2048), dict(global_pool=True)),
        ("global_max", "max", (1, 9, 9, 1100), dict(global_pool=True)),
        ("many_positions", "avg", (1, 70, 70, 40), dict(global_pool=True)),
        ("tall_window", "avg", (1, 300, 6, 8), dict(kernel=(290, 2))),
        ("sound", "avg", (2, 1000, 20), dict(kernel=(400,), stride=(200,))),
    ]
)
def test_large(_, pool_type, shape, attrs):
    for in_type in ("int8", "uint8"):
        data = integers(np.random.RandomState(3), in_type, shape)
        case = dict(attrs, pool_type=pool_type)
        if pool_type == "avg":
            case.update(in_scale=0.1, out_scale=0.02, out_type="uint8", in_zero_point=3, out_zero_point=100)
        check_all("mxq_pooling", [data], case, [pooling(data, case)])


@parameterized.expand([("int8", -128), ("int8", 127), ("uint8", 0), ("uint8", 255)])
def test_ends_of_the_type(in_type, value):
    data = np.full((1, 6, 6, 130), value, in_type)
    for pool_type in ("max", "avg"):
        attrs = dict(kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type=pool_type)
        if pool_type == "avg":
            attrs.update(count_include_pad=False, out_type=in_type)
        check_all("mxq_pooling", [data], attrs, [np.full((1, 3, 3, 130), value, in_type)])


DATA = np.ones((1, 5, 6, 2), np.int8)


@parameterized.expand(
    [
        ("int32", DATA.astype(np.int32), dict(kernel=(2, 2)), ["data is int32", "int8 and uint8"]),
        ("no_kernel", DATA, {}, ["kernel is missing", "1 or 2 numbers"]),
        ("rank", DATA, dict(kernel=(2,)), ["(1, 5, 6, 2)", "(N, W, C)"]),
        ("too_large", DATA, dict(kernel=(7, 2)), ["kernel 7 exceeds", "is 5 and padded to 5"]),
        ("pad", DATA, dict(kernel=(2, 2), pad=(2, 0)), ["pad=(2, 0)", "smaller than the kernel"]),
        ("stride", DATA, dict(kernel=(2, 2), stride=(0, 1)), ["stride=(0, 1)", "1 or more"]),
        ("keepdims", DATA, dict(kernel=(2, 2), keepdims=False), ["keepdims=False", "global"]),
        ("same", DATA, dict(kernel=(2, 2), pooling_convention="same"), ["pooling_convention=same", "1-D"]),
        ("kind", DATA, dict(kernel=(2, 2), pool_type="sum"), ["pool_type=sum", "max, avg"]),
        ("out_type", DATA, dict(kernel=(2, 2), out_type="uint8"), ["out_type=uint8", "type of its data, int8"]),
        ("zero", DATA, dict(kernel=(2, 2), pool_type="avg", in_zero_point=200), ["in_zero_point=200", "int8"]),
        ("scale", DATA, dict(kernel=(2, 2), in_scale=1e38, out_scale=1e-30), ["in_scale=1e+38", "too large"]),
        ("global_rank", DATA[0, 0], dict(global_pool=True), ["(6, 2)", "(N, W, C)"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_pooling(nd(data), node="n1", **attrs))
    for part in ["mxq_pooling 'n1'"] + parts:
        assert part in text, text
