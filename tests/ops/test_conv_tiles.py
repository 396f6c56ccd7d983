"""Convolutions by the register tiles for AVX-512 VNNI against the reference."""

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from .calling import ACTS, LIMITS, call, integers, nd, need_vnni, slopes


@st.composite
def _cases(draw):
    kernel = draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (1, 3), (2, 1), (5, 5), (7, 7)]))
    dilate = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]))
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 2)]))
    begin, end = (draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(2))
    covered = [(k - 1) * d + 1 for k, d in zip(kernel, dilate)]
    large = draw(st.integers(0, 5)) == 0  # pixels enough for more than one part
    least = [max(1, covered[i] - begin[i] - end[i]) for i in (0, 1)]
    sizes = [draw(st.integers(n, max(n, 24 if large else 14))) for n in least]
    if draw(st.booleans()):
        begin = end = (0, 0)
        sizes = [max(n, c) for n, c in zip(sizes, covered)]
    dtype, out = draw(st.sampled_from(["int8", "uint8"])), draw(st.sampled_from(["int8", "uint8", "float32"]))
    attrs = {
        "kernel": kernel,
        "stride": stride,
        "dilate": dilate,
        "pad_begin": begin,
        "pad_end": end,
        "num_filter": draw(st.sampled_from([1, 7, 16, 17, 33, 48, 64, 65, 96, 130])),
        "no_bias": draw(st.booleans()),
        "in_zero_point": draw(st.sampled_from([0, 0, 5, *LIMITS[dtype]])),
        "in_scale": 0.5,
        "out_type": out,
    }
    residual = None
    if out != "float32":
        attrs["out_scale"] = draw(st.sampled_from([0.9, 0.9, 0.9, 1e-9]))  # the last: what int32 does not hold
        attrs["out_zero_point"] = draw(st.sampled_from([0, 0, 3, *LIMITS[out]]))
        if draw(st.booleans()):
            residual = draw(st.sampled_from(["int8", "uint8"]))
            attrs.update(sum="before_act", sum_scale=0.7)
            attrs["sum_zero_point"] = draw(st.sampled_from([0, 0, *LIMITS[residual]]))
    attrs.update(draw(st.sampled_from(ACTS)))
    shape = (draw(st.integers(1, 2)), *sizes, draw(st.sampled_from([1, 3, 4, 8, 12, 17, 64])))
    return dtype, residual, shape, attrs, draw(st.integers(0, 2**31))


@given(_cases())
@settings(max_examples=400, derandomize=True, deadline=None)
def test_equals_the_reference(case):
    need_vnni()
    dtype, residual, shape, attrs, seed = case
    rng = np.random.RandomState(seed)
    outputs = attrs["num_filter"]
    inputs = [
        integers(rng, dtype, shape),
        integers(rng, "int8", (outputs, shape[-1], *attrs["kernel"])),
        rng.uniform(0.0005, 0.004, outputs).astype(np.float32),
    ]
    if not attrs["no_bias"]:
        inputs.append(rng.randint(-9000, 9000, outputs).astype(np.int32))
    inputs += slopes(rng, attrs, outputs)
    if residual:
        (y,) = call(
            "mxq_conv", inputs, {**{k: v for k, v in attrs.items() if not k.startswith("sum")}, "backend": "ref"}
        )
        inputs.append(integers(rng, residual, y.shape))
    (expected,) = call("mxq_conv", inputs, {**attrs, "backend": "ref"})
    (got,) = call("mxq_conv", inputs, {**attrs, "backend": "tiles"})
    assert np.array_equal(got, expected), (case, np.sum(got != expected))


def test_sums_and_values_that_int32_does_not_hold():
    """Where numbers leave int32 on their way to the end, another implementation takes over."""
    need_vnni()
    data, weight = np.full((1, 7, 7, 2048), 255, np.uint8), np.full((1, 2048, 7, 7), 127, np.int8)
    attrs = dict(kernel=(7, 7), num_filter=1, no_bias=True, backend="tiles")
    (out,) = call("mxq_conv", [data, weight, np.float32([1e-9])], {**attrs, "in_scale": 1.0, "out_scale": 0.03})
    assert out.ravel().tolist() == [108]  # 7 * 7 * 2048 * 255 * 127 * 1e-9 / 0.03
    data, weight = np.full((1, 1, 1, 4), 1, np.int8), np.full((1, 4, 1, 1), 1, np.int8)
    attrs = {**attrs, "kernel": (1, 1), "in_scale": 1e-9, "out_scale": 1e-9}
    arrays = [data, weight, np.float32([1.0]), np.full((1, 1, 1, 1), 100, np.int8)]
    (out,) = call("mxq_conv", arrays, {**attrs, "sum": "before_act", "sum_scale": 0.7})
    assert out.ravel().tolist() == [127]  # 70 / 1e-9, saturated


def test_the_same_arrays_in_other_layers():
    """Packed weights are shared by parameters; what they are packed for differs."""
    need_vnni()
    rng = np.random.RandomState(0)
    x, flat = integers(rng, "uint8", (1, 6, 6, 8)), integers(rng, "uint8", (1, 6, 6, 72))
    weights, scale = integers(rng, "int8", (40, 8, 3, 3)), rng.uniform(0.001, 0.002, 40).astype(np.float32)
    image, row, weight, weight_scale = nd(x), nd(flat), nd(weights), nd(scale)
    attrs = {"num_filter": 40, "no_bias": True, "in_scale": 0.5}
    for kernel, out_type in (((3, 3), "float32"), ((3, 3), "int8"), ((3, 3), "uint8"), ((1, 1), "uint8")):
        data, shaped = (row, weight.reshape((40, 72, 1, 1))) if kernel == (1, 1) else (image, weight)
        case = {**attrs, "kernel": kernel, "out_type": out_type}
        got, expected = (mx.nd.mxq_conv(data, shaped, weight_scale, backend=b, **case) for b in ("tiles", "ref"))
        np.testing.assert_array_equal(got.asnumpy(), expected.asnumpy(), err_msg=str(case))


def test_other_convolutions_are_refused():
    x, s = np.zeros((1, 5, 5, 4), np.int8), np.ones(4, np.float32)
    attrs = {"kernel": (3, 3), "num_filter": 4, "no_bias": True, "backend": "tiles"}
    for depth, change in ((4, {"out_type": "int32"}), (2, {"num_group": 2})):
        try:
            call("mxq_conv", [x, np.zeros((4, depth, 3, 3), np.int8), s], {**attrs, **change})
        except mx.MXNetError as error:
            assert "tiles:" in str(error)
        else:
            raise AssertionError(f"accepted {change}")
