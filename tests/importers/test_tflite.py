"""TFLite networks give the integers that their description says, computed here in numpy, layer by layer."""

import os
import tempfile

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq

from ..refusals import refused
from .tflite_files import Operator, Tensor, model


def load(data: bytes, name: str = "net.tflite"):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return mxq.load(path)


def run(found, **inputs):
    executor = found.symbol.simple_bind(mx.cpu(), grad_req="null", **{k: v.shape for k, v in inputs.items()})
    executor.copy_params_from(found.arg_params, found.aux_params)
    outputs = executor.forward(is_train=False, **{k: mx.nd.array(v) for k, v in inputs.items()})
    return [output.asnumpy() for output in outputs]


def real(integers, tensor: Tensor):
    return ((integers.astype(np.int64) - tensor.zero[0]) * np.float64(np.float32(tensor.scale[0]))).astype(np.float32)


def stored(values, tensor: Tensor):
    low, high = (-128, 127) if tensor.dtype == "int8" else (0, 255)
    return np.clip(np.rint(values / np.float64(np.float32(tensor.scale[0]))) + tensor.zero[0], low, high).astype(
        np.int64
    )


def convolved(x, weight, bias, stride, *, same, groups=1):
    """x: (N, H, W, C) of real numbers; weight: (O, H, W, I); in float64."""
    kernel = weight.shape[1:3]
    sizes = [-(-n // s) if same else (n - k) // s + 1 for n, k, s in zip(x.shape[1:3], kernel, stride)]
    pads = []
    for n, k, s, size in zip(x.shape[1:3], kernel, stride, sizes):
        total = max((size - 1) * s + k - n, 0) if same else 0
        pads.append((total // 2, total - total // 2))
    x = np.pad(x.astype(np.float64), [(0, 0), *pads, (0, 0)])
    found = np.zeros((len(x), *sizes, len(weight)))
    inner, outer = weight.shape[3], len(weight) // groups
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            part = x[:, i * stride[0] : i * stride[0] + kernel[0], j * stride[1] : j * stride[1] + kernel[1]]
            for g in range(groups):
                w = weight[g * outer : (g + 1) * outer]
                found[:, i, j, g * outer : (g + 1) * outer] = np.tensordot(
                    part[..., g * inner : (g + 1) * inner], w, axes=([1, 2, 3], [1, 2, 3])
                )
    return found + bias


class Network:
    """A classifier of images in 8 bits, and what each of its layers gives."""

    def __init__(self, seed: int, dtype: str, zeros=(3, -128, -128, 11, -5), beyond: bool = False):
        random = np.random.RandomState(seed)
        shift = 128 if dtype == "uint8" else 0
        scales = (0.0173, 0.0231, 0.0197, 0.0213, 0.0317)
        self.tensors = [
            Tensor(name, shape, dtype, [scale], [zero + shift])
            for name, shape, scale, zero in zip(
                ("x", "a", "b", "p", "y"),
                ((2, 9, 8, 3), (2, 5, 4, 8), (2, 5, 4, 8), (2, 1, 1, 8), (2, 6)),
                scales,
                zeros,
            )
        ]
        self.tensors.append(Tensor("flat", (2, 8), dtype, [scales[3]], [zeros[3] + shift]))
        self.by_name = {tensor.name: tensor for tensor in self.tensors}
        self.weights = {}
        for name, shape, source, axis, channels in (
            ("wa", (8, 3, 3, 3), "x", 0, 8),
            ("wb", (1, 3, 3, 8), "a", 3, 8),
            ("wy", (6, 8), "flat", 0, 6),
        ):
            per_channel = dtype == "int8" and name != "wy"
            scale = random.uniform(0.003, 0.006, channels if per_channel else 1).astype(np.float32)
            whole = random.randint(-127, 128, shape)
            zero = 0
            if dtype == "uint8":
                zero = 100 if beyond else 128
                whole = random.randint(0 if beyond else 1, 256, shape) - zero
            data = (whole + zero).astype(dtype)
            self.tensors.append(
                Tensor(name, shape, dtype, scale, [zero] * len(scale), data, axis if per_channel else 0)
            )
            along = scale if scale.size == 1 else scale.reshape([-1 if i == axis else 1 for i in range(len(shape))])
            bias_scale = np.float32(self.by_name[source].scale[0]) * scale
            bias = random.randint(-500, 500, channels).astype(np.int32)
            self.tensors.append(Tensor(f"{name}_bias", (channels,), "int32", bias_scale, [0] * len(scale), bias))
            self.weights[name] = whole * along.astype(np.float64), bias * bias_scale.astype(np.float64)
        self.tensors.append(Tensor("shape", (2,), "int32", data=np.int32([2, 8])))
        conv = {"Padding": 0, "StrideH": 2, "StrideW": 2, "FusedActivationFunction": 3}
        depthwise = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DepthMultiplier": 1, "FusedActivationFunction": 1}
        pool = {"Padding": 1, "StrideH": 1, "StrideW": 1, "FilterHeight": 5, "FilterWidth": 4}
        self.operators = [
            Operator("CONV_2D", ("x", "wa", "wa_bias"), ("a",), ("Conv2DOptions", conv)),
            Operator("DEPTHWISE_CONV_2D", ("a", "wb", "wb_bias"), ("b",), ("DepthwiseConv2DOptions", depthwise)),
            Operator("AVERAGE_POOL_2D", ("b",), ("p",), ("Pool2DOptions", pool)),
            Operator("RESHAPE", ("p", "shape"), ("flat",), ("ReshapeOptions", {"NewShape": [2, 8]})),
            Operator("FULLY_CONNECTED", ("flat", "wy", "wy_bias"), ("y",), ("FullyConnectedOptions", {})),
        ]

    def bytes(self, outputs=("y",)) -> bytes:
        return model(self.tensors, self.operators, ["x"], outputs)

    def expected(self, x):
        """Integers of a, b and y, each from the integers of the one before."""
        t = self.by_name
        wa, ba = self.weights["wa"]
        a = stored(np.clip(convolved(x, wa, ba, (2, 2), same=True), 0, 6), t["a"])
        wb, bb = self.weights["wb"]
        wb = wb.transpose(3, 1, 2, 0)
        b = stored(np.maximum(convolved(real(a, t["a"]), wb, bb, (1, 1), same=True, groups=8), 0), t["b"])
        p = stored(real(b, t["b"]).mean(axis=(1, 2)), t["p"])
        wy, by = self.weights["wy"]
        return a, b, stored(real(p, t["p"]) @ wy.T + by, t["y"])


def image(network: Network, seed: int):
    low = -128 if network.by_name["x"].dtype == "int8" else 0
    return real(np.random.RandomState(seed).randint(low, low + 256, (2, 9, 8, 3)), network.by_name["x"])


@parameterized.expand(
    [
        ("int8", "int8", (3, -128, -128, 11, -5)),
        ("uint8", "uint8", (3, -128, -128, 11, -5)),
        ("activations_that_the_rounding_does_not_cut", "int8", (-7, -100, -90, 11, 0)),
    ]
)
def test_the_integers_are_those_of_the_file(name, dtype, zeros):
    network = Network(len(name), dtype, zeros)
    found = load(network.bytes(("y", "b", "a")))
    assert found.format == "TFLite" and found.quantized and not found.report.floats(), str(found.report)
    assert found.shapes == {"x": (2, 9, 8, 3)} and found.outputs == ("y", "b", "a")
    x = image(network, 1)
    y, b, a = run(found, x=x)
    for tensor, mine, theirs in zip("aby", (a, b, y), network.expected(x)):
        assert mine.shape == theirs.shape
        apart = np.abs(stored(mine, network.by_name[tensor]) - theirs)
        assert apart.max() <= 1 and (apart.size < 100 or (apart > 0).mean() < 0.01), (tensor, apart.max())


def test_weights_beyond_int8():
    network = Network(5, "uint8", beyond=True)
    found = load(network.bytes(("a", "b")))
    x = image(network, 2)
    for tensor, mine, theirs in zip("ab", run(found, x=x), network.expected(x)):
        apart = np.abs(stored(mine, network.by_name[tensor]) - theirs)
        assert apart.max() <= 1 and (apart > 0).mean() < 0.01
    assert not found.report.floats(), str(found.report)


def test_tensors_that_are_cut_and_joined():
    def of(name, *shape, scale=0.02, zero=128):
        return Tensor(name, shape, "uint8", [scale], [zero])

    tensors = [
        of("x", 1, 6, 4, 4), of("y", 1, 6, 4, 2), of("l", 1, 6, 4, 2), of("r", 1, 6, 4, 2),
        of("s", 1, 6, 4, 2, scale=0.0371, zero=120), of("c", 1, 6, 4, 4, scale=0.0371, zero=120),
        of("d", 1, 9, 6, 4, scale=0.0371, zero=120), of("m", 1, 4, scale=0.0113, zero=100),
        of("z", 1, 9, 3, 4, scale=0.0371, zero=120),
        Tensor("axis", (), "int32", data=np.int32(3)), Tensor("axes", (2,), "int32", data=np.int32([1, 2])),
        Tensor("pads", (4, 2), "int32", data=np.int32([[0, 0], [1, 2], [0, 2], [0, 0]])),
        Tensor("begin", (4,), "int32", data=np.int32([0, 0, 1, 0])),
        Tensor("end", (4,), "int32", data=np.int32([0, 0, 6, 0])),
        Tensor("step", (4,), "int32", data=np.int32([1, 1, 2, 1])),
    ]  # fmt: skip
    slice_options = {"BeginMask": 0b1011, "EndMask": 0b1011}
    operators = [
        Operator("SPLIT", ("axis", "x"), ("l", "r"), ("SplitOptions", {"NumSplits": 2})),
        Operator("ADD", ("l", "y"), ("s",), ("AddOptions", {})),
        Operator("CONCATENATION", ("s", "r"), ("c",), ("ConcatenationOptions", {"Axis": 3})),
        Operator("PAD", ("c", "pads"), ("d",), ("PadOptions", {})),
        Operator("MEAN", ("d", "axes"), ("m",), ("ReducerOptions", {"KeepDims": False})),
        Operator("STRIDED_SLICE", ("d", "begin", "end", "step"), ("z",), ("StridedSliceOptions", slice_options)),
    ]
    found = load(model(tensors, operators, ["x", "y"], ["m", "z"]))
    assert not found.report.floats(), str(found.report)
    by_name = {tensor.name: tensor for tensor in tensors}
    random = np.random.RandomState(1)
    x, y = (real(random.randint(0, 256, by_name[k].shape), by_name[k]) for k in "xy")
    m, z = run(found, x=x, y=y)
    s = stored(x[..., :2].astype(np.float64) + y, by_name["s"])
    c = np.concatenate([s, stored(x[..., 2:].astype(np.float64), by_name["s"])], axis=3)
    d = np.pad(c, [(0, 0), (1, 2), (0, 2), (0, 0)], constant_values=120)
    assert np.abs(stored(z, by_name["z"]) - d[:, :, 1:6:2]).max() <= 1
    assert np.abs(stored(m, by_name["m"]) - stored(real(d, by_name["d"]).mean(axis=(1, 2)), by_name["m"])).max() <= 1


@parameterized.expand([("corners", "AlignCorners"), ("half_pixels", "HalfPixelCenters")])
def test_bilinear_resizing(_name, option):
    tensors = [
        Tensor("x", (1, 3, 4, 2), "float32"), Tensor("y", (1, 7, 6, 2), "float32"),
        Tensor("size", (2,), "int32", data=np.int32([7, 6])),
    ]  # fmt: skip
    operators = [Operator("RESIZE_BILINEAR", ("x", "size"), ("y",), ("ResizeBilinearOptions", {option: True}))]
    x = np.random.RandomState(2).uniform(-1, 1, (1, 3, 4, 2)).astype(np.float32)

    def mixed(old, new):
        i = np.arange(new)
        at = i * (old - 1) / (new - 1) if option == "AlignCorners" else (i + 0.5) * old / new - 0.5
        at = np.clip(at, 0, old - 1)
        low = np.floor(at).astype(int)
        found = np.zeros((new, old))
        found[i, low] += 1 - (at - low)
        found[i, np.minimum(low + 1, old - 1)] += at - low
        return found

    expected = np.einsum("ab,nbwc,dw->nadc", mixed(3, 7), x, mixed(4, 6))
    np.testing.assert_allclose(run(load(model(tensors, operators, ["x"], ["y"])), x=x)[0], expected, atol=1e-5)


def test_a_float_network():
    w = np.random.RandomState(1).uniform(-1, 1, (4, 3, 3, 2)).astype(np.float32)
    b = np.float32([1, 2, 3, 4])
    tensors = [
        Tensor("x", (1, 5, 6, 2), "float32"), Tensor("y", (1, 5, 6, 4), "float32"),
        Tensor("p", (1, 5, 6, 4), "float32"),
        Tensor("w", w.shape, "float32", data=w), Tensor("b", (4,), "float32", data=b),
    ]  # fmt: skip
    conv = {"Padding": 0, "StrideH": 1, "StrideW": 1, "FusedActivationFunction": 1}
    operators = [
        Operator("CONV_2D", ("x", "w", "b"), ("y",), ("Conv2DOptions", conv)),
        Operator("SOFTMAX", ("y",), ("p",), ("SoftmaxOptions", {"Beta": 2.0})),
    ]
    found = load(model(tensors, operators, ["x"], ["p"]))
    assert not found.quantized
    x = np.random.RandomState(2).uniform(-1, 1, (1, 5, 6, 2)).astype(np.float32)
    scores = np.exp(2 * np.maximum(convolved(x, w, b, (1, 1), same=True), 0))
    np.testing.assert_allclose(run(found, x=x)[0], scores / scores.sum(axis=3, keepdims=True), rtol=1e-4)


def test_refusals():
    network = Network(1, "int8")
    operators = list(network.operators)
    operators[2] = operators[2]._replace(kind="L2_NORMALIZATION", options=("L2NormOptions", {}))
    refused(
        lambda: load(model(network.tensors, operators, ["x"], ["y"])), "'p'", "L2_NORMALIZATION", error=mxq.MXQError
    )
    tensors = [t._replace(data=t.data[:, :2]) if t.name == "wa" else t for t in network.tensors]
    refused(lambda: load(model(tensors, network.operators, ["x"], ["y"])), "'wa'", "bytes of it", error=mxq.MXQError)
    tensors = [t._replace(shape=(2, 4, 4, 8)) if t.name == "a" else t for t in network.tensors]
    refused(lambda: load(model(tensors, network.operators, ["x"], ["y"])), "'a'", "the file says", error=mxq.MXQError)
    refused(lambda: load(b"TFL3 but not at all"), "no TFLite model", error=mxq.MXQError)
    found = load(network.bytes(), name="renamed.bin")
    assert found.format == "TFLite"


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 1 << 30))
def test_damaged_files_are_refused_or_read(seed):
    """Never a crash, a hang or another error."""
    random = np.random.RandomState(seed)
    data = bytearray(Network(1, "int8").bytes())
    for _ in range(random.randint(1, 6)):
        at = random.randint(8, len(data))
        if random.rand() < 0.2:
            del data[at : at + random.randint(1, 30)]
        else:
            data[at] = random.randint(256)
    try:
        load(bytes(data))
    except mxq.MXQError:
        pass
