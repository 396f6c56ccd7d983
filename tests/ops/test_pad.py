"""mxq_pad: every implementation against numpy, and edge and reflect against MXNet's own Pad."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.movement import pad
from .calling import check_all, error_of, integers, nd, shapes

MODES = ("constant", "edge", "reflect")


@st.composite
def cases(draw):
    shape = draw(shapes(min_rank=1))
    mode, dtype = draw(st.sampled_from(MODES)), draw(st.sampled_from(["int8", "uint8"]))
    width = []
    for n in shape:
        most = min(n - 1, 4) if mode == "reflect" else 4
        width += [draw(st.integers(0, most)) if draw(st.booleans()) else 0 for _ in range(2)]
    attrs = {"pad_width": tuple(width), "mode": mode}
    if mode == "constant" and draw(st.booleans()):
        attrs["value"] = draw(st.integers(-128, 127) if dtype == "int8" else st.integers(0, 255))
    return attrs, shape, dtype, draw(st.integers(0, 2**31))


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_generated(case):
    attrs, shape, dtype, seed = case
    data = integers(np.random.RandomState(seed), dtype, shape)
    check_all("mxq_pad", [data], attrs, [pad(data, attrs)])


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(MODES), st.integers(4, 5), st.data())
def test_as_mxnet(mode, rank, data):
    shape = tuple(data.draw(st.integers(1, 5)) for _ in range(rank))
    width = [0, 0, 0, 0]  # MXNet pads neither the batch nor the channels
    for n in shape[2:]:
        width += [data.draw(st.integers(0, n - 1 if mode == "reflect" else 6)) for _ in range(2)]
    x = integers(np.random.RandomState(0), "int8", shape)
    expected = mx.nd.pad(mx.nd.array(x), mode=mode, pad_width=tuple(width), constant_value=-5).asnumpy()
    attrs = {"pad_width": tuple(width), "mode": mode}
    if mode == "constant":
        attrs["value"] = -5
    check_all("mxq_pad", [x], attrs, [expected.astype(np.int8)])


@parameterized.expand([(mode,) for mode in MODES])
def test_large(mode):
    data = integers(np.random.RandomState(0), "uint8", (2, 56, 57, 33))
    for width in ((0, 0, 3, 3, 3, 3, 0, 0), (0, 0, 0, 1, 1, 0, 0, 0), (0, 0, 2, 0, 0, 0, 5, 31)):
        attrs = {"pad_width": width, "mode": mode}
        check_all("mxq_pad", [data], attrs, [pad(data, attrs)])


DATA = np.ones((2, 3), np.int8)
WIDTH = (1, 0, 0, 1)


@parameterized.expand(
    [
        ("type", DATA.astype(np.float32), dict(pad_width=WIDTH), ["data is float32"]),
        ("missing", DATA, {}, ["pad_width is missing"]),
        ("odd", DATA, dict(pad_width=(1, 0, 0)), ["pad_width=(1, 0, 0)", "(before, after)"]),
        ("rank", DATA, dict(pad_width=(1, 0)), ["2 items", "needs 4"]),
        ("negative", DATA, dict(pad_width=(-1, 0, 0, 0)), ["pad_width=(-1, 0, 0, 0)", "[0, "]),
        ("reflect", DATA, dict(pad_width=(2, 0, 0, 0), mode="reflect"), ["reflects 2 values on axis 0", "up to 1"]),
        ("value", DATA, dict(pad_width=WIDTH, value=128), ["value=128", "int8"]),
        ("mode", DATA, dict(pad_width=WIDTH, mode="wrap"), ["mode=wrap", "constant, edge, reflect"]),
    ]
)
def test_bad(_, data, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_pad(nd(data), node="n1", **attrs))
    for part in ["mxq_pad"] + parts:
        assert part in text, text
