"""Caffe's layers compute in MXNet what OpenCV makes of the same files."""

import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq
from mxq.importers.caffe import LAYERS

from .caffe_files import check, dims, floats, head, layer, run, write

X = floats(1, 2, 6, 9, 7)
#: name -> (layers behind "data", their arrays)
CASES = {
    "inner_product": (
        layer("InnerProduct", "y", "data", "inner_product_param { num_output: 5 }"),
        {"y": [floats(2, 5, 378), floats(3, 5)]},
    ),
    "depthwise": (
        layer(
            "ConvolutionDepthwise", "y", "data", "convolution_param { num_output: 6 kernel_size: 3 pad: 1 group: 6 }"
        ),
        {"y": [floats(2, 6, 1, 3, 3), floats(3, 6)]},
    ),
    "kernel_of_two_sizes": (
        layer(
            "Convolution",
            "y",
            "data",
            "convolution_param { num_output: 4 kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 stride_h: 2 stride_w: 1 }",
        ),
        {"y": [floats(2, 4, 6, 1, 3), floats(3, 4)]},
    ),
    "deconvolution": (
        layer(
            "Deconvolution", "y", "data", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 2 }"
        ),
        {"y": [floats(2, 6, 2, 4, 4), floats(3, 4)]},
    ),
    "batch_norm_alone": (
        layer("BatchNorm", "y", "data", "batch_norm_param { eps: 1e-3 }"),
        {"y": [floats(2, 6) * 3, 2 + floats(3, 6), np.float32([2.0])]},
    ),
    "batch_norm_with_scale_in_place": (
        layer("BatchNorm", "bn", "data", tops="y") + layer("Scale", "s", "y", "scale_param { bias_term: true }", "y"),
        {"bn": [floats(2, 6), 2 + floats(3, 6), np.float32([1.0])], "s": [floats(4, 6), floats(5, 6)]},
    ),
    "batch_norm_read_before_its_scale": (
        layer("BatchNorm", "bn", "data")
        + layer("Scale", "s", "bn", "scale_param { bias_term: true }")
        + layer("Eltwise", "y", "bn s"),
        {"bn": [floats(2, 6), 2 + floats(3, 6), np.float32([1.0])], "s": [floats(4, 6), floats(5, 6)]},
    ),
    "scale_twice": (
        layer("BatchNorm", "bn", "data")
        + layer("Scale", "s", "bn", "scale_param { bias_term: true }")
        + layer("Scale", "y", "s"),
        {
            "bn": [floats(2, 6), 2 + floats(3, 6), np.float32([1.0])],
            "s": [floats(4, 6), floats(5, 6)],
            "y": [floats(6, 6)],
        },
    ),
    "prelu": (layer("PReLU", "y", "data"), {"y": [floats(2, 6)]}),
    "prelu_shared": (layer("PReLU", "y", "data", "prelu_param { channel_shared: true }"), {"y": [floats(2, 1)]}),
    "relu_leaky": (layer("ReLU", "y", "data", "relu_param { negative_slope: 0.1 }"), {}),
    "relu6": (layer("ReLU6", "y", "data"), {}),
    "sigmoid": (layer("Sigmoid", "y", "data"), {}),
    "tanh": (layer("TanH", "y", "data"), {}),
    "elu": (layer("ELU", "y", "data", "elu_param { alpha: 1.0 }"), {}),
    "abs": (layer("AbsVal", "y", "data"), {}),
    "power": (layer("Power", "y", "data", "power_param { power: 2 scale: 0.5 shift: 1.5 }"), {}),
    "lrn": (layer("LRN", "y", "data", "lrn_param { local_size: 3 alpha: 0.3 beta: 0.7 }"), {}),
    "softmax_of_channels": (layer("Softmax", "y", "data"), {}),
    "softmax_of_the_last_axis": (layer("Softmax", "y", "data", "softmax_param { axis: -1 }"), {}),
    "sum_with_coefficients": (
        layer("ReLU", "a", "data")
        + layer("Eltwise", "y", "data a", "eltwise_param { operation: SUM coeff: 0.5 coeff: -1 }"),
        {},
    ),
    "product_of_three": (
        layer("ReLU", "a", "data")
        + layer("Sigmoid", "b", "data")
        + layer("Eltwise", "y", "data a b", "eltwise_param { operation: PROD }"),
        {},
    ),
    "maximum": (layer("TanH", "a", "data") + layer("Eltwise", "y", "data a", "eltwise_param { operation: MAX }"), {}),
    "concat": (layer("ReLU", "a", "data") + layer("Concat", "y", "data a data", "concat_param { axis: 1 }"), {}),
    "concat_of_one": (layer("ReLU", "a", "data") + layer("Concat", "b", "a") + layer("ReLU", "y", "b"), {}),
    "slice": (
        layer("Slice", "s", "data", "slice_param { axis: 1 slice_point: 2 }", "a b")
        + layer("ReLU", "c", "a")
        + layer("ReLU", "d", "b"),
        {},
    ),
    "slice_in_equal_parts": (
        layer("Slice", "s", "data", "slice_param { axis: 1 }", "a b") + layer("Eltwise", "y", "a b"),
        {},
    ),
    "split": (layer("Split", "s", "data", tops="a b") + layer("ReLU", "c", "a") + layer("TanH", "d", "b"), {}),
    "dropout_in_place": (
        layer("ReLU", "a", "data") + layer("Dropout", "d", "a", tops="a") + layer("ReLU", "y", "a"),
        {},
    ),
    "flatten": (layer("Flatten", "y", "data"), {}),
    "flatten_some": (layer("Flatten", "y", "data", "flatten_param { axis: 1 end_axis: 2 }"), {}),
    "reshape": (layer("Reshape", "y", "data", f"reshape_param {{ shape {{ {dims((0, -1, 7, 3))} }} }}"), {}),
    "permute": (layer("Permute", "y", "data", "permute_param { order: 0 order: 2 order: 3 order: 1 }"), {}),
    "crop": (
        layer("Pooling", "a", "data", "pooling_param { pool: MAX kernel_size: 2 }")
        + layer("Crop", "y", "data a", "crop_param { axis: 2 offset: 1 }"),
        {},
    ),
    "global_pooling": (layer("Pooling", "y", "data", "pooling_param { pool: AVE global_pooling: true }"), {}),
    "normalize": (
        layer("Normalize", "y", "data", "norm_param { across_spatial: false channel_shared: false }"),
        {"y": [floats(2, 6)]},
    ),
    "normalize_across": (
        layer("Normalize", "y", "data", "norm_param { across_spatial: true channel_shared: true }"),
        {"y": [floats(2, 1)]},
    ),
    "shuffle": (layer("ShuffleChannel", "y", "data", "shuffle_channel_param { group: 3 }"), {}),
}


@parameterized.expand(sorted(CASES))
def test_layers(name):
    text, blobs = CASES[name]
    check(head(*X.shape) + text, blobs, {"data": X})


def test_layers_that_opencv_has_not():
    """What caffe.proto says, by hand."""

    def ours(text, blobs=()):
        with tempfile.TemporaryDirectory() as folder:
            return run(mxq.load(write(folder, head(*X.shape) + text, dict(blobs))), {"data": X})[0]

    close = np.testing.assert_allclose
    exp = layer("Exp", "y", "data", "exp_param { base: 2 scale: 0.5 shift: 1 }")
    close(ours(exp), 2 ** (0.5 * X + 1), rtol=1e-5)
    log = layer("Log", "y", "data", "log_param { base: 10 scale: 0.5 shift: 2 }")
    close(ours(log), np.log10(0.5 * X + 2), rtol=1e-5, atol=1e-6)
    close(ours(layer("BNLL", "y", "data")), np.log1p(np.exp(X)), rtol=1e-5)
    close(ours(layer("Bias", "y", "data"), {"y": [floats(2, 6)]}), X + floats(2, 6)[None, :, None, None], atol=1e-6)
    weight = floats(2, 378, 5)
    dense = layer("InnerProduct", "y", "data", "inner_product_param { num_output: 5 bias_term: false transpose: true }")
    close(ours(dense, {"y": [weight]}), X.reshape(2, -1) @ weight, rtol=1e-4, atol=1e-5)
    padded = np.pad(X**2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    sums = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    lrn = layer("LRN", "y", "data", "lrn_param { local_size: 3 alpha: 0.3 beta: 0.7 k: 2 }")
    close(ours(lrn), X / (2 + 0.1 * sums) ** 0.7, rtol=1e-4, atol=1e-6)
    double = layer("Upsample", "y", "data", "upsample_param { scale: 2 }")
    close(ours(double), X.repeat(2, axis=2).repeat(2, axis=3))
    gate = layer("Pooling", "p", "data", "pooling_param { pool: AVE global_pooling: true }") + layer(
        "Flatten", "f", "p"
    )
    found = ours(gate + layer("Scale", "y", "data f", "scale_param { axis: 0 }"))
    close(found, X * X.mean(axis=(2, 3), keepdims=True), rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["MAX", "AVE"]), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2),
    st.integers(5, 12), st.integers(5, 12), st.sampled_from(["", "ceil_mode: false"]),
)  # fmt: skip
def test_pooling_rounds_as_caffe_does(kind, kernel, stride, pad, height, width, mode):
    pad, stride = min(pad, kernel - 1), min(stride, kernel)
    param = f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} {mode} }}"
    x = floats(kernel, 1, 2, height, width)
    if kind == "MAX":
        check(head(*x.shape) + layer("Pooling", "y", "data", param), {}, {"data": x})
        return
    with tempfile.TemporaryDirectory() as folder:  # OpenCV divides by the whole window where it leaves the padding
        model = mxq.load(write(folder, head(*x.shape) + layer("Pooling", "y", "data", param), {}))
    np.testing.assert_allclose(
        run(model, {"data": x})[0], average(x, kernel, stride, pad, not mode), rtol=1e-5, atol=1e-6
    )


def average(x, kernel, stride, pad, up):
    """Caffe's average pooling, window by window, as its pooling_layer.cpp does it."""
    sizes = []
    for n in x.shape[2:]:
        room = n + 2 * pad - kernel
        count = (-(-room // stride) if up else room // stride) + 1
        sizes.append(count - 1 if pad and (count - 1) * stride >= n + pad else count)
    found = np.zeros((*x.shape[:2], *sizes), np.float32)
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            top, left = i * stride - pad, j * stride - pad
            bottom, right = min(top + kernel, x.shape[2] + pad), min(left + kernel, x.shape[3] + pad)
            part = x[:, :, max(top, 0) : min(bottom, x.shape[2]), max(left, 0) : min(right, x.shape[3])]
            found[:, :, i, j] = part.sum(axis=(2, 3)) / ((bottom - top) * (right - left))
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.booleans(),
)  # fmt: skip
def test_convolutions(group, kernel, stride, pad, dilation, bias):
    size = dilation * (kernel - 1) + 1
    x = floats(7, 1, 2 * group, size + 3, size + 4)
    param = f"num_output: {3 * group} kernel_size: {kernel} stride: {stride} pad: {pad} group: {group} "
    param += f"dilation: {dilation} bias_term: {str(bias).lower()}"
    blobs = [floats(8, 3 * group, 2, kernel, kernel)] + ([floats(9, 3 * group)] if bias else [])
    text = head(*x.shape) + layer("Convolution", "y", "data", f"convolution_param {{ {param} }}")
    check(text, {"y": blobs}, {"data": x})


def test_every_layer_is_tested():
    text = "".join(case[0] for case in CASES.values())
    elsewhere = {"Pooling", "Exp", "Log", "BNLL", "Bias", "Upsample", "PriorBox", "DetectionOutput", "SoftmaxWithLoss"}
    elsewhere |= {"Convolution", "DepthwiseConvolution"}
    assert {kind for kind in LAYERS if f'"{kind}"' not in text} <= elsewhere
