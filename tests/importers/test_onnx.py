"""ONNX networks compute in MXNet what onnx' own reference makes of the same files."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from parameterized import parameterized

import mxq

from ..refusals import refused
from .onnx_files import I64, X, check, floats, load, model_of, node, run

#: name -> (nodes, constants)
CASES = {
    "conv": ([node("Conv", "x,w,b", pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2], group=2)],
             {"w": floats(2, 4, 3, 2, 3), "b": floats(3, 4)}),
    "conv_transpose": ([node("ConvTranspose", "x,w,b", strides=[2, 2], pads=[1, 0, 1, 0], output_padding=[1, 1])],
                       {"w": floats(2, 6, 4, 3, 4), "b": floats(3, 4)}),
    "gemm": ([node("Flatten", "x", "f"), node("Gemm", "f,w,b", transB=1)], {"w": floats(2, 5, 432), "b": floats(3, 5)}),
    "gemm_plain": ([node("Flatten", "x", "f"), node("Gemm", "f,w")], {"w": floats(2, 432, 5)}),
    "matmul_and_bias": ([node("MatMul", "x,w", "m"), node("Add", "m,b")], {"w": floats(2, 8, 5), "b": floats(3, 5)}),
    "prelu": ([node("PRelu", "x,s")], {"s": floats(2, 6, 1, 1)}),
    "clip_of_inputs": ([node("Clip", "x,lo,hi")], {"lo": np.float32(-0.2), "hi": np.float32(0.4)}),
    "clip_above": ([node("Clip", "x,,hi")], {"hi": np.float32(0.4)}),
    "leaky": ([node("LeakyRelu", alpha=0.3)], {}),
    "elu": ([node("Elu", alpha=1.0)], {}),
    "sigmoid_gate": ([node("Sigmoid", "x", "s"), node("Mul", "x,s")], {}),
    "hard_sigmoid": ([node("HardSigmoid", alpha=0.3, beta=0.4)], {}),
    "softmax": ([node("Softmax", axis=1)], {}),
    "global_average": ([node("GlobalAveragePool")], {}),
    "global_max": ([node("GlobalMaxPool")], {}),
    "mean": ([node("ReduceMean", axes=[2, 3], keepdims=0)], {}),
    "add_a_channel": ([node("Add", "c,x")], {"c": floats(2, 6, 1, 1)}),
    "subtract_from_a_number": ([node("Sub", "c,x")], {"c": np.float32(2)}),
    "divide": ([node("Div", "x,c")], {"c": np.float32([4.0])}),
    "power": ([node("Pow", "x,c")], {"c": np.float32(2)}),
    "sum_of_three": ([node("Relu", "x", "a"), node("Abs", "x", "b"), node("Sum", "x,a,b")], {}),
    "maximum": ([node("Neg", "x", "a"), node("Max", "x,a")], {}),
    "concat": ([node("Relu", "x", "a"), node("Concat", "x,a", axis=1)], {}),
    "reshape": ([node("Reshape", "x,s")], {"s": I64([0, -1, 4])}),
    "squeeze": ([node("Unsqueeze", "x,a", "u"), node("Squeeze", "u,a")], {"a": I64([2])}),
    "transpose": ([node("Transpose", perm=[0, 2, 3, 1])], {}),
    "slice": ([node("Slice", "x,b,e,a,s")], {"b": I64([1, -6]), "e": I64([9, 99]), "a": I64([2, 3]), "s": I64([2, 1])}),
    "split": ([node("Split", "x,n", "a,b", axis=1), node("Relu", "a", "c"), node("Concat", "c,b", axis=1)],
              {"n": I64([2, 4])}),
    "pad": ([node("Pad", "x,p")], {"p": I64([0, 0, 1, 2, 0, 0, 3, 0])}),
    "pad_edge": ([node("Pad", "x,p", mode="edge")], {"p": I64([0, 0, 1, 2, 0, 0, 3, 0])}),
    "resize_nearest": ([node("Resize", "x,,s", mode="nearest", coordinate_transformation_mode="asymmetric",
                             nearest_mode="floor")], {"s": np.float32([1, 1, 2, 2])}),
    "resize_linear": ([node("Resize", "x,,,n", mode="linear", coordinate_transformation_mode="align_corners")],
                      {"n": I64([1, 2, 7, 5])}),
    "depth_to_space": ([node("Slice", "x,b,e,a", "z"), node("DepthToSpace", "z", blocksize=2)],
                       {"b": I64([0]), "e": I64([4]), "a": I64([1])}),
    "shape_arithmetic": ([node("Shape", "x", "s"), node("Gather", "s,i", "n"), node("Unsqueeze", "n,z", "u"),
                          node("Concat", "u,m", "d", axis=0), node("Reshape", "x,d")],
                         {"i": I64(0), "z": I64([0]), "m": I64([-1])}),
    "conv_transpose_that_crops": ([node("ConvTranspose", "x,w", strides=[2, 2], pads=[0, 1, 1, 0])],
                                  {"w": floats(2, 6, 4, 3, 3)}),
    "gemm_with_factors": ([node("Flatten", "x", "f"), node("Gemm", "f,w,b", alpha=0.5, beta=2.0)],
                          {"w": floats(2, 432, 5), "b": floats(3, 1, 5)}),
    "matmul_of_batches": ([node("Transpose", "x", "t", perm=[0, 1, 3, 2]), node("MatMul", "x,t")], {}),
    "mean_of_three": ([node("Relu", "x", "a"), node("Abs", "x", "b"), node("Mean", "x,a,b")], {}),
    "limits_the_wrong_way": ([node("Clip", "x,lo,hi")], {"lo": np.float32(0.5), "hi": np.float32(-0.5)}),
    "instance_normalization": ([node("InstanceNormalization", "x,s,b", epsilon=1e-3)],
                               {"s": floats(2, 6), "b": floats(3, 6)}),
    "depth_to_space_by_columns": ([node("Slice", "x,b,e,a", "z"), node("DepthToSpace", "z", blocksize=2, mode="CRD")],
                                  {"b": I64([0]), "e": I64([4]), "a": I64([1])}),
    "shape_products": ([node("Shape", "x", "s"), node("ReduceProd", "s,a", "p", keepdims=0), node("Size", "x", "n"),
                        node("Div", "n,p", "q"), node("Cast", "q", "c", to=1), node("Mul", "x,c")], {"a": I64([0])}),
    "dropout": ([node("Dropout", "x", "d"), node("Relu", "d")], {}),
}  # fmt: skip


#: Versions of operators that onnx' reference knows in this form, where they are not 13.
OPSETS = {"shape_products": 18}


@parameterized.expand(sorted(CASES))
def test_operators(name):
    nodes, constants = CASES[name]
    check(nodes, {"x": X if "resize" not in name else X[:1, :2, :4, :3]}, constants, opset=OPSETS.get(name))


PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(PLACES), st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0]), st.sampled_from([0.5, 1.0, 2.0, 2.5]),
)  # fmt: skip
def test_resize_takes_the_pixels_that_the_file_says(place, nearest, high, wide):
    attrs = {"mode": "nearest", "coordinate_transformation_mode": place, "nearest_mode": nearest}
    x = X[:1, :1, :8, :4]
    if place == "align_corners" and high < 0.5:
        return  # a single row of this size is cut off in the reference
    check([node("Resize", "x,,s", **attrs)], {"x": x}, {"s": np.float32([1, 1, high, wide])}, opset=18)


@parameterized.expand([(f"{p}_{s}", p, s) for p in PLACES[:3] for s in (0.5, 1.5, 2.0)])
def test_resize_mixes_pixels(_name, place, scale):
    attrs = {"mode": "linear", "coordinate_transformation_mode": place}
    sizes = I64([int(8 * scale), int(4 * scale)])
    nodes = [node("Resize", "x,,,s", axes=[2, 3], **attrs)]
    check(nodes, {"x": X[:1, :1, :8, :4]}, {"s": sizes}, opset=18)


def test_a_part_of_a_shape():
    """onnx' reference counts start and end otherwise where they are left out; by the description."""
    nodes = [node("Shape", "x", "s", start=-3, end=-1), node("Cast", "s", "c", to=1), node("Reshape", "c,k", "r")]
    nodes += [node("Slice", "x,b,e,a", "z"), node("Mul", "z,r")]
    constants = {"k": I64([1, 2, 1, 1]), "b": I64([0]), "e": I64([2]), "a": I64([1])}
    found = load(model_of(nodes, {"x": X}, constants, opset=15))
    np.testing.assert_allclose(run(found, {"x": X})[0], X[:, :2] * np.float32([6, 9]).reshape(1, 2, 1, 1), rtol=1e-6)


def test_same_padding():
    """onnx' reference does not know it; by its definition."""
    for mode, kernel, pads in (
        ("LOWER", (2, 3), [1, 1, 0, 0]),
        ("UPPER", (2, 3), [0, 0, 1, 1]),
        ("UPPER", (3, 4), [1] * 4),
    ):
        constants = {"w": floats(2, 4, 6, *kernel)}
        found = load(model_of([node("Conv", "x,w", auto_pad=f"SAME_{mode}", strides=[2, 2])], {"x": X}, constants))
        expected = ReferenceEvaluator(model_of([node("Conv", "x,w", pads=pads, strides=[2, 2])], {"x": X}, constants))
        np.testing.assert_allclose(run(found, {"x": X})[0], expected.run(None, {"x": X})[0], rtol=1e-4, atol=1e-5)


def test_lrn():
    """onnx' reference leaves out the last channel; by its definition."""
    padded = np.pad(X**2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    sums = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    found = load(model_of([node("LRN", size=3, alpha=0.3, beta=0.7, bias=2.0)], {"x": X}, {}))
    np.testing.assert_allclose(run(found, {"x": X})[0], X / (2 + 0.1 * sums) ** 0.7, rtol=1e-4, atol=1e-5)


def test_batch_normalization():
    """onnx' reference knows inference since version 15 alone."""
    constants = {"g": floats(2, 6), "b": floats(3, 6), "m": floats(4, 6), "v": 2 + floats(5, 6)}
    check([node("BatchNormalization", "x,g,b,m,v", epsilon=1e-3)], {"x": X}, constants, opset=15)


def test_softmax_of_old_versions():
    logits = floats(1, 2, 5, 1, 1)
    check([node("Softmax", axis=1)], {"x": logits}, opset=11)
    refused(
        lambda: load(model_of([node("Softmax", axis=1)], {"x": X}, {}, opset=11)), "axes 1 to 3", error=mxq.MXQError
    )


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["MaxPool", "AveragePool"]), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_pooling(kind, kernel, stride, pad, up, include):
    pad, stride = min(pad, kernel - 1), min(stride, kernel)
    attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
    if kind == "AveragePool":
        attributes["count_include_pad"] = int(include)
    model = model_of([node(kind, ceil_mode=int(up), **attributes)], {"x": X}, {})
    try:
        found = run(load(model), {"x": X})[0]
    except mxq.MXQError as error:
        assert "runtimes disagree" in str(error) and up and kind == "AveragePool"
        return
    np.testing.assert_allclose(found, pooled(X, kind, kernel, stride, pad, up, include), rtol=1e-5, atol=1e-6)


def pooled(x, kind, kernel, stride, pad, up, include):
    """Window by window; a last one that begins behind the image is dropped."""
    sizes = []
    for n in x.shape[2:]:
        room = n + 2 * pad - kernel
        count = (-(-room // stride) if up else room // stride) + 1
        sizes.append(count - 1 if (count - 1) * stride >= n + pad else count)
    found = np.zeros((*x.shape[:2], *sizes), np.float32)
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            spans = [(max(k * stride - pad, 0), min(k * stride - pad + kernel, n)) for k, n in zip((i, j), x.shape[2:])]
            part = x[:, :, slice(*spans[0]), slice(*spans[1])]
            if kind == "MaxPool":
                found[:, :, i, j] = part.max(axis=(2, 3))
            else:
                count = kernel**2 if include else part.shape[2] * part.shape[3]
                found[:, :, i, j] = part.sum(axis=(2, 3)) / count
    return found
