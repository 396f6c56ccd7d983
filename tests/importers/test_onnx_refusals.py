"""ONNX files that are refused, with what the error says."""

import os
import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq

from ..refusals import refused
from .onnx_files import I64, X, block, floats, load, model_of, node


@parameterized.expand(
    [
        ("unknown", [node("Einsum", "x,x", equation="a,a->a")], {}, ["'y'", "Einsum", "not known"]),
        ("domain", [node("QLinearAdd", "x,x")], {}, ["QLinearAdd", "not known"]),
        ("attribute", [node("Relu", quirk=1)], {}, ["'y'", "quirk", "accepted are none"]),
        ("unwritten", [node("Relu", "z")], {}, ["'z'", "nothing before it writes that"]),
        ("channels", [node("Conv", "x,w")], {"w": floats(1, 2, 5, 3, 3)}, ["6 channels", "5"]),
        ("data_dependent", [node("Conv", "x,x")], {}, ["accepted are constants"]),
        ("type", [node("Add", "x,c")], {"c": np.array([1 + 2j])}, ["'c'", "COMPLEX128", "FLOAT, UINT8"]),
        ("bits", [node("QuantizeLinear", "x,s,z", "q"), node("DequantizeLinear", "q,s,z")],
         {"s": np.float32(1), "z": np.uint16(0)}, ["'z'", "UINT16"]),
        ("blocks", [node("DequantizeLinear", "w,s", "d", axis=1), node("MatMul", "x,d")],
         {"s": np.float32([[1], [2], [3], [4], [5], [6], [7], [8]]), "w": np.ones((8, 8), np.int8)},
         ["'d'", "(8, 1)", "one for each index of an axis"]),
        ("ranges_at_run_time", [node("DynamicQuantizeLinear", "x", "q,s,z"), node("DequantizeLinear", "q,s,z")], {},
         ["DynamicQuantizeLinear", "at run time", "quantized with constant scales"]),
        ("relu_of_integers", [node("QuantizeLinear", "x,s,z", "q"), node("Relu", "q", "r"),
                              node("DequantizeLinear", "r,s,z")],
         {"s": np.float32(0.01), "z": np.int8(5)}, ["'r'", "reads 'q'", "int8", "DequantizeLinear"]),
        ("cast_of_integers", [node("QuantizeLinear", "x,s,z", "q"), node("Cast", "q", "y", to=1)],
         {"s": np.float32(0.01), "z": np.uint8(5)}, ["'y'", "reads 'q'", "uint8"]),
        ("integers_joined", [node("QuantizeLinear", "x,s,z", "q"), node("QuantizeLinear", "x,t,z", "p"),
                             node("Concat", "q,p", "c", axis=1), node("DequantizeLinear", "c,s,z")],
         {"s": np.float32(0.01), "t": np.float32(0.02), "z": np.uint8(5)}, ["'c'", "several scales", "QLinearConcat"]),
        ("bias_for_each_row", [node("Flatten", "x", "f"), node("Gemm", "f,w,b")],
         {"w": floats(1, 432, 2), "b": floats(2, 2, 1)}, ["'y'", "(2, 1)", "accepted are 2 constants"]),
        ("resize", [node("Resize", "x,,s", mode="cubic")], {"s": np.float32([1, 1, 2, 2])}, ["'y'", "cubic"]),
        ("strides", [node("Conv", "x,w", strides=[2])], {"w": floats(1, 2, 6, 3, 3)}, ["'y'", "strides [2]"]),
        ("no_step", [node("MaxPool", kernel_shape=[2, 2], strides=[1, 0])], {}, ["'y'", "strides [1, 0]", "from 1"]),
        ("dilations", [node("ConvTranspose", "x,w", dilations=[1, 1, 1])], {"w": floats(1, 6, 2, 3, 3)},
         ["'y'", "dilations [1, 1, 1]"]),
        ("groups", [node("ConvTranspose", "x,w", group=0)], {"w": floats(1, 6, 2, 3, 3)}, ["'y'", "0 groups"]),
        ("axes", [node("Unsqueeze", "x,a")], {"a": I64([0, 0])}, ["'y'", "[0, 0]", "different"]),
        ("far_axis", [node("Unsqueeze", "c,a", "u"), node("Add", "x,u")], {"c": floats(1, 8), "a": I64([1 << 40])},
         ["'u'", "cannot be computed"]),
        ("large", [node("Resize", "x,,,n")], {"n": I64([2, 6, 1 << 32, 8])}, ["'y'", "4294967296"]),
        ("statistics", [node("BatchNormalization", "x,a,a,b,a")], {"a": floats(1, 6) + 2, "b": floats(1, 40)},
         ["mean", "(40,)", "(6,)"]),
        ("no_output", [node("Relu", "x", "z")], {}, ["no node writes the output y"]),
        ("scales", [node("QuantizeLinear", "x,s,z", "q"), node("DequantizeLinear", "q,s,z")],
         {"s": np.float32([1, 2]), "z": np.uint8([0, 0])}, ["2 scales", "accepted is one"]),
        ("scale", [node("QuantizeLinear", "x,s,z", "q"), node("DequantizeLinear", "q,s,z")],
         {"s": np.float32(-1), "z": np.uint8(0)}, ["scale -1", "1e-35"]),
        ("reshape", [node("Reshape", "x,s")], {"s": I64([7, -1])}, ["'y'", "number of values must stay"]),
    ]
)  # fmt: skip
def test_refusals(_name, nodes, constants, parts):
    refused(lambda: load(model_of(nodes, {"x": X}, constants)), "net.onnx", *parts, error=mxq.MXQError)


def test_versions_and_shapes():
    refused(lambda: load(model_of([node("Relu")], {"x": X}, {}, opset=5)), "version 5", error=mxq.MXQError)
    model = model_of([node("Relu")], {"x": X}, {})
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    refused(lambda: load(model), "'x'", "(2, 6, 0, 8)", "data_shapes", error=mxq.MXQError)


def test_names_that_are_no_text():
    model = model_of([node("Relu", outputs="yz")], {"x": X}, {}, outputs=("yz",)).SerializeToString()
    for text, reason in ((b"\xff\xfe", "is no UTF-8 text"), (b"y\x01", "has control characters")):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "net.onnx")
            with open(path, "wb") as file:
                file.write(model.replace(b"yz", text))
            refused(lambda p=path: mxq.load(p), reason, error=mxq.MXQError)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 1 << 30))
def test_damaged_files_are_refused_or_read(seed):
    """Never a crash, a hang or another error."""
    random = np.random.RandomState(seed)
    nodes, constants = block(1, False, 128)
    data = bytearray(model_of(nodes, {"x": X}, constants, outputs=("h_dq",)).SerializeToString())
    for _ in range(random.randint(1, 6)):
        at = random.randint(len(data))
        if random.rand() < 0.3:
            del data[at : at + random.randint(1, 30)]
        else:
            data[at] = random.randint(256)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        with open(path, "wb") as file:
            file.write(bytes(data))
        try:
            mxq.load(path)
        except mxq.MXQError:
            pass
