"""Depthwise 3x3 convolutions by the implementation for AVX-512 VNNI against the reference."""

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from .calling import ACTS, LIMITS, call, integers, need_vnni, slopes


@st.composite
def _cases(draw):
    pads = st.tuples(st.integers(0, 2), st.integers(0, 2))
    channels = draw(st.sampled_from([1, 3, 7, 16, 24, 48, 64, 65, 96, 130]))
    begin, end = draw(pads), draw(pads)
    sizes = [draw(st.integers(max(1, 3 - begin[i] - end[i]), 18)) for i in (0, 1)]
    dtype, out = draw(st.sampled_from(["int8", "uint8"])), draw(st.sampled_from(["int8", "uint8", "float32"]))
    stride = draw(st.integers(1, 2))
    attrs = {
        "kernel": (3, 3),
        "stride": (stride, stride),
        "pad_begin": begin,
        "pad_end": end,
        "num_filter": channels,
        "num_group": channels,
        "no_bias": draw(st.booleans()),
        "in_zero_point": draw(st.sampled_from([0, 5, *LIMITS[dtype]])),
        "in_scale": 0.5,
        "out_type": out,
    }
    if out == "float32":
        attrs["sum"] = draw(st.sampled_from(["none", "before_act"]))
    else:
        attrs["out_zero_point"] = draw(st.sampled_from([0, 3, *LIMITS[out]]))
        attrs["out_scale"] = draw(st.sampled_from([0.9, 0.9, 1e-9]))  # the last: products that int32 does not hold
    shape = (draw(st.integers(1, 2)), *sizes, channels)
    return dtype, shape, {**attrs, **draw(st.sampled_from(ACTS))}, draw(st.integers(0, 2**31))


@given(_cases())
@settings(max_examples=300, derandomize=True, deadline=None)
def test_equals_the_reference(case):
    need_vnni()
    dtype, shape, attrs, seed = case
    rng = np.random.RandomState(seed)
    channels = shape[-1]
    inputs = [
        integers(rng, dtype, shape),
        integers(rng, "int8", (channels, 1, 3, 3)),
        rng.uniform(0.0005, 0.004, channels).astype(np.float32),
    ]
    if not attrs["no_bias"]:
        inputs.append(rng.randint(-9000, 9000, channels).astype(np.int32))
    inputs += slopes(rng, attrs, channels)
    if attrs.get("sum") == "before_act":
        (alone,) = call("mxq_conv", inputs, {**attrs, "sum": "none", "backend": "ref"})
        inputs.append(rng.uniform(-30, 30, alone.shape).astype(np.float32))
    (expected,) = call("mxq_conv", inputs, {**attrs, "backend": "ref"})
    for backend in ("vnni", "auto"):
        (got,) = call("mxq_conv", inputs, {**attrs, "backend": backend})
        assert np.array_equal(got, expected), (backend, case, np.sum(got != expected))


def test_other_convolutions_are_refused():
    x, w, s = np.zeros((1, 5, 5, 4), np.int8), np.zeros((4, 1, 3, 3), np.int8), np.ones(4, np.float32)
    attrs = {"kernel": (3, 3), "num_filter": 4, "num_group": 4, "no_bias": True, "backend": "vnni"}
    refused = [
        {"dilate": (2, 2)},
        {"stride": (1, 2)},
        {"out_type": "int32"},
    ]
    for change in refused:
        try:
            call("mxq_conv", [x, w, s], {**attrs, **change})
        except mx.MXNetError as error:
            assert "no implementation applies" in str(error)
        else:
            raise AssertionError(change)
