"""mxq_conv: every implementation against numpy, integer for integer."""

from typing import Any, Callable, Dict

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.conv import conv
from .linear_cases import Comparison, make_inputs, run, stages

comparison = Comparison("mxq_conv")

#: groups -> (channels in, channels out), by the kernels they lead to.
CHANNELS = {
    "any": st.tuples(st.just(1), st.integers(1, 70), st.integers(1, 70)),
    "blocks": st.tuples(st.just(1), st.sampled_from([16, 32, 64, 96]), st.sampled_from([16, 32, 64])),
    "image": st.tuples(st.just(1), st.sampled_from([1, 3]), st.sampled_from([16, 24, 64])),
    "grouped": st.tuples(st.integers(2, 4), st.integers(1, 20), st.integers(1, 20)),  # per group
    "depthwise": st.tuples(st.sampled_from([2, 5, 16, 33, 64]), st.just(1), st.just(1)),
    "multiplier": st.tuples(st.sampled_from([3, 16, 17]), st.just(1), st.integers(2, 4)),
}


@st.composite
def convolutions(draw: Callable[[Any], Any]) -> Dict[str, Any]:
    case = draw(stages())
    rank = draw(st.sampled_from([1, 2, 2, 2]))
    kind = draw(st.sampled_from(sorted(CHANNELS)))
    groups, group_in, group_out = draw(CHANNELS[kind])

    def axes(values: Any) -> tuple:
        return tuple(draw(values) for _ in range(rank))

    kernel = axes(st.integers(1, 4)) if draw(st.booleans()) else (draw(st.sampled_from([1, 3, 5])),) * rank
    dilate, stride = axes(st.sampled_from([1, 1, 1, 2])), axes(st.sampled_from([1, 1, 2, 3]))
    window = [(k - 1) * d + 1 for k, d in zip(kernel, dilate)]
    begin, end = axes(st.integers(0, 2)), axes(st.integers(0, 2))
    size = [max(1, w + draw(st.integers(-2, 8)), w - b - e) for w, b, e in zip(window, begin, end)]
    case["attrs"].update(kernel=kernel, dilate=dilate, stride=stride, pad_begin=begin, pad_end=end)
    case["attrs"].update(num_filter=groups * group_out, num_group=groups)
    case["data_shape"] = (draw(st.integers(1, 2)), *size, groups * group_in)
    return case


def check(case: Dict[str, Any]) -> None:
    attrs = case["attrs"]
    spatial = [
        (n + b + e - (k - 1) * d - 1) // s + 1
        for n, b, e, k, d, s in zip(
            case["data_shape"][1:-1],
            *(attrs[key] for key in ("pad_begin", "pad_end", "kernel", "dilate", "stride")),
        )
    ]
    weight_shape = (attrs["num_filter"], case["data_shape"][-1] // attrs["num_group"], *attrs["kernel"])
    out_shape = (case["data_shape"][0], *spatial, attrs["num_filter"])
    inputs = make_inputs(case, case["data_shape"], weight_shape, out_shape)
    comparison.check(conv(*inputs, attrs), inputs, case)


@settings(max_examples=700, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(convolutions())
def test_1_generated(case):
    check(case)


def test_2_off_by_one_is_rare():
    # The documented order is oneDNN's own; nothing was off by one with 3.2 on AMX and AVX-512 VNNI.
    comparison.check_rate(500, 1e-4)


def named(data_shape, kernel, num_filter, in_type="uint8", values="random", residual_type=None, **attrs):
    rank = len(kernel)
    base = dict(kernel=kernel, num_filter=num_filter, num_group=1, in_scale=0.05, no_bias=False, out_type="int8")
    base.update(out_scale=0.1, stride=(1,) * rank, dilate=(1,) * rank, pad_begin=(0,) * rank, pad_end=(0,) * rank)
    base.update(attrs)
    return dict(in_type=in_type, values=values, residual_type=residual_type, seed=3, data_shape=data_shape, attrs=base)


SUM = dict(sum="before_act", act="relu", sum_scale=0.07)


@parameterized.expand(
    [
        (
            "first_layer_7x7_stride_2",
            named((1, 37, 37, 3), (7, 7), 64, stride=(2, 2), pad_begin=(3, 3), pad_end=(3, 3)),
        ),
        ("first_layer_3x3_batch_2", named((2, 21, 19, 3), (3, 3), 24, "int8", stride=(2, 2), pad_end=(1, 1))),
        ("1x1", named((2, 7, 7, 128), (1, 1), 64, out_type="uint8", act="relu")),
        ("1x1_stride_2", named((1, 9, 9, 64), (1, 1), 96, stride=(2, 2))),
        ("one_pixel", named((1, 1, 1, 512), (1, 1), 10)),
        ("kernel_covers_image", named((1, 7, 7, 32), (7, 7), 16)),
        ("only_padding_in_a_window", named((1, 2, 2, 5), (2, 2), 6, pad_begin=(3, 3), pad_end=(4, 4), in_zero_point=9)),
        ("asymmetric_pad", named((1, 8, 8, 16), (3, 3), 16, stride=(2, 2), pad_end=(1, 1), in_zero_point=128)),
        ("depthwise_3x3", named((1, 14, 14, 96), (3, 3), 96, num_group=96, pad_begin=(1, 1), pad_end=(1, 1))),
        ("depthwise_multiplier", named((1, 9, 9, 24), (3, 3), 72, num_group=24, out_type="uint8")),
        ("grouped_by_4", named((1, 9, 9, 128), (3, 3), 128, num_group=32, pad_begin=(1, 1), pad_end=(1, 1))),
        ("single_channel", named((3, 5, 6, 1), (3, 3), 1)),
        ("saturates", named((1, 6, 6, 64), (3, 3), 32, values="extreme", out_scale=1e-4)),
        ("wide_accumulator_int32", named((1, 6, 6, 512), (3, 3), 32, values="extreme", out_type="int32", no_bias=True)),
        (
            "wide_int32_bias_zero_point",
            named((1, 6, 6, 512), (3, 3), 9, "int8", "extreme", out_type="int32", in_zero_point=2),
        ),
        ("float32", named((1, 6, 6, 20), (3, 3), 40, out_type="float32", out_scale=1.0)),
        ("sum_u8_into_s8", named((1, 8, 8, 64), (1, 1), 64, residual_type="uint8", sum_zero_point=3, **SUM)),
        ("sum_s8_into_u8", named((1, 8, 8, 64), (1, 1), 64, residual_type="int8", out_type="uint8", **SUM)),
        ("dilated_1d", named((2, 40, 24), (3,), 32, dilate=(4,), pad_begin=(8,))),
        # oneDNN 3.2 merges neighbouring taps of these wrongly on some processors.
        ("patches_2x2", named((1, 14, 14, 96), (2, 2), 192, stride=(2, 2))),
        ("patches_4x4", named((1, 16, 16, 24), (4, 4), 48, stride=(4, 4))),
        ("patches_1d_odd", named((1, 15, 64), (2,), 32, stride=(2,))),
        ("patches_4x2", named((1, 14, 14, 160), (4, 2), 32, stride=(2, 2))),
    ]
)
def test_named(_, case):
    check(case)


GOOD = dict(kernel=(3, 3), num_filter=8, in_scale=0.1, out_scale=0.1)


@parameterized.expand(
    [
        ("channels", {}, dict(weight=(8, 4, 3, 3)), "data has 3 channels", "weight expects 4"),
        ("filters", dict(num_filter=9), {}, "(8, 3, 3, 3)", "(9, 3, 3, 3)"),
        ("scales", {}, dict(scale=(7,)), "weight_scale", "(7)"),
        ("bias", {}, dict(bias=(9,)), "bias", "(9)"),
        ("rank", {}, dict(data=(1, 6, 3)), "data has 3 dimensions", "(N, C, H, W)"),
        ("groups", dict(num_group=2), {}, "num_group=2", "3 channels"),
        ("groups_of_filters", dict(num_group=3), {}, "num_group=3", "num_filter=8"),
        ("window", {}, dict(data=(1, 2, 6, 3)), "kernel 3", "only 2"),
        ("kernel_rank", dict(kernel=(3, 3, 3)), {}, "kernel=(3, 3, 3)", "1 or 2"),
        ("stride", dict(stride=(0, 1)), {}, "stride=(0, 1)", "1 or more"),
        ("pad", dict(pad_begin=(1,)), {}, "pad_begin=(1,)", "2 axes"),
        ("in_scale", dict(in_scale=0), {}, "in_scale=0", ""),
        ("in_scale_nan", dict(in_scale="nan"), {}, "in_scale=nan", ""),
        ("in_zero_point", dict(in_zero_point=300), {}, "in_zero_point=300", "uint8"),
        ("out_zero_point", dict(out_zero_point=128), {}, "out_zero_point=128", ""),
        ("out_type", dict(out_type="int16"), {}, "out_type=int16", "uint8"),
        ("act", dict(act="gelu"), {}, "act=gelu", "leaky"),
        ("clip_order", dict(act="clip", act_alpha=2, act_beta=1), {}, "act_alpha=2", "act_beta"),
        ("int32_act", dict(out_type="int32", act="relu"), {}, "act=relu", "int32"),
        ("backend", dict(backend="cuda"), {}, "backend=cuda", "accepted are auto"),
        ("unknown", dict(num_filters=8), {}, "num_filters=8", "num_filter"),
        ("float_data", {}, dict(data_type="float32"), "data is float32", "mxq_quantize_v2"),
        ("float_weight", {}, dict(weight_type="float32"), "weight is float32", "int8"),
        ("overflowing_scale", dict(in_scale=1e30, out_scale=1e-30), {}, "multiplier", "check the scales"),
    ]
)
def test_bad_input(_, attrs, change, *words):
    shapes = dict(data=(1, 6, 6, 3), weight=(8, 3, 3, 3), scale=(8,), bias=(8,))
    shapes.update({k: v for k, v in change.items() if k in shapes})
    inputs = [
        np.ones(shapes["data"], change.get("data_type", "uint8")),
        np.ones(shapes["weight"], change.get("weight_type", "int8")),
        np.ones(shapes["scale"], np.float32),
        np.ones(shapes["bias"], np.int32),
    ]
    try:
        run("mxq_conv", inputs, dict(GOOD, **dict({"backend": "auto"}, **attrs)))
    except mx.base.MXNetError as error:
        assert all(word in str(error) for word in words), str(error)
    else:
        raise AssertionError("accepted")


def test_zero_weight_scale_is_refused():
    inputs = [np.ones((1, 3, 3, 2), np.int8), np.ones((4, 2, 1, 1), np.int8), np.float32([1, 1, 0, 1]), None]
    try:
        run("mxq_conv", inputs, dict(GOOD, kernel=(1, 1), num_filter=4, no_bias=True))
    except mx.base.MXNetError as error:
        assert "weight_scale[2] = 0" in str(error), str(error)
    else:
        raise AssertionError("accepted")


def test_shapes_with_an_unknown_batch():
    names = ["data", "weight", "scale", "bias"]
    symbol = mx.sym.mxq_conv(*[mx.sym.var(n) for n in names], kernel=(3,), num_filter=8, stride=(2,), pad_end=(1,))
    known = dict(data=(2, 9, 3), weight=(8, 3, 3), scale=(8,), bias=(8,))
    assert symbol.infer_shape(**known)[1] == [(2, 4, 8)]


def test_reference_is_a_convolution():
    # The numpy meaning against an independent one: a convolution written as a sum over one output value.
    rng = np.random.RandomState(0)
    data = rng.randint(0, 256, (1, 6, 7, 4)).astype(np.uint8)
    weight = rng.randint(-127, 128, (6, 2, 3, 2)).astype(np.int8)
    attrs = dict(num_group=2, stride=(2, 1), dilate=(1, 2), pad_begin=(1, 0), pad_end=(0, 1), in_zero_point=3)
    got = conv(data, weight, None, None, None, None, dict(attrs, out_type="int32"))
    n, y, x, o = 0, 1, 2, 4
    want = 0
    for c in range(2):
        for ky in range(3):
            for kx in range(2):
                iy, ix = y * 2 - 1 + ky, x + 2 * kx
                if 0 <= iy < 6 and 0 <= ix < 7:
                    want += (int(data[n, iy, ix, 2 + c]) - 3) * int(weight[o, c, ky, kx])
    assert got[n, y, x, o] == want
