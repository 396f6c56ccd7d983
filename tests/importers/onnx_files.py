"""Writes ONNX files, and compares what is read of them with onnx' own reference."""

import os
import tempfile

import mxnet as mx
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import mxq

OPSET = 13


def floats(seed, *shape):
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)


def model_of(nodes, inputs, constants, outputs=("y",), opset=None, domains=()):
    """`inputs` and `constants`: name -> array."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    opset = opset or (19 if any("QuantizeLinear" in node.op_type for node in nodes) else OPSET)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def load(model):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        onnx.save(model, path)
        return mxq.load(path)


def run(found, inputs):
    shapes = {name: array.shape for name, array in inputs.items()}
    executor = found.symbol.simple_bind(mx.cpu(), grad_req="null", **shapes)
    executor.copy_params_from(found.arg_params, found.aux_params)
    arrays = {name: mx.nd.array(array) for name, array in inputs.items()}
    return [output.asnumpy() for output in executor.forward(is_train=False, **arrays)]


def check(nodes, inputs, constants=None, **options):
    """Compares with the reference; returns what was loaded."""
    model = model_of(nodes, inputs, constants or {}, **options)
    found = load(model)
    assert found.format == "ONNX"
    expected = ReferenceEvaluator(model).run(None, inputs)
    for mine, theirs in zip(run(found, inputs), expected):
        assert mine.shape == np.shape(theirs)
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    return found


def node(kind, inputs="x", outputs="y", **attributes):
    return helper.make_node(kind, inputs.split(","), outputs.split(","), **attributes)


X = floats(1, 2, 6, 9, 8)
I64 = np.int64


# -- quantized ---------------------------------------------------------------------------------------------------------


def qdq(name, scale, zero, constants):
    """A QuantizeLinear and a DequantizeLinear behind tensor `name`; the result is `name`_dq."""
    constants[f"{name}_s"], constants[f"{name}_z"] = np.float32(scale), zero
    inputs = [f"{name}_s", f"{name}_z"]
    return [
        helper.make_node("QuantizeLinear", [name, *inputs], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", *inputs], [f"{name}_dq"]),
    ]


def weight(name, integers, scale, zero, constants, axis=0):
    constants.update({name: integers, f"{name}_s": np.float32(scale), f"{name}_z": zero})
    return helper.make_node("DequantizeLinear", [name, f"{name}_s", f"{name}_z"], [f"{name}_dq"], axis=axis)


def levels(found, expected, scale):
    """How many levels apart, of what the last rounding gives."""
    return np.abs(np.rint((np.asarray(found, np.float64) - expected) / scale)).astype(int)


def block(seed, signed, out_zero, beyond=False):
    """conv -> relu -> max pool -> conv + conv -> global pool -> gemm, with pairs as ONNX Runtime writes them."""
    random = np.random.RandomState(seed)
    constants, nodes = {}, []
    of = np.int8 if signed else np.uint8
    zero = of(random.randint(-20, 20) if signed else random.randint(100, 150))

    def conv(name, source, source_scale, channels, inputs, group=1):
        w = random.randint(-128, 128, (channels, inputs // group, 3, 3)).astype(np.int8)
        scales = random.uniform(0.001, 0.004, channels).astype(np.float32)
        if beyond:
            nodes.append(weight(f"{name}_w", (w.astype(np.int16) + 128).astype(np.uint8), scales,
                                random.randint(90, 160, channels).astype(np.uint8), constants))  # fmt: skip
        else:
            nodes.append(weight(f"{name}_w", w, scales, np.zeros(channels, np.int8), constants))
        b = random.randint(-2000, 2000, channels).astype(np.int32)
        nodes.append(weight(f"{name}_b", b, np.float32(source_scale) * scales, np.zeros(channels, np.int32), constants))
        inputs = [source, f"{name}_w_dq", f"{name}_b_dq"]
        nodes.append(helper.make_node("Conv", inputs, [name], pads=[1] * 4, group=group))

    nodes += qdq("x", 1 / 128, zero, constants)
    conv("a", "x_dq", 1 / 128, 8, 6)
    nodes.append(node("Relu", "a", "r"))
    nodes += qdq("r", 0.01973, np.uint8(0), constants)
    nodes.append(node("MaxPool", "r_dq", "m", kernel_shape=[2, 2], strides=[2, 2]))
    nodes += qdq("m", 0.01973, np.uint8(0), constants)
    conv("b", "m_dq", 0.01973, 8, 8)
    nodes += qdq("b", 0.03017, of(out_zero), constants)
    conv("c", "m_dq", 0.01973, 8, 8, group=8)
    nodes += qdq("c", 0.02539, of(out_zero), constants)
    nodes.append(node("Add", "b_dq,c_dq", "d"))
    nodes += qdq("d", 0.04071, of(out_zero), constants)
    nodes.append(node("Concat", "d_dq,b_dq", "e", axis=1))
    nodes += qdq("e", 0.04493, of(out_zero), constants)
    nodes.append(node("GlobalAveragePool", "e_dq", "g"))
    nodes += qdq("g", 0.02011, of(out_zero), constants)
    nodes.append(node("Flatten", "g_dq", "f"))
    w = random.randint(-127, 128, (16, 5)).astype(np.int8)
    nodes.append(weight("fc", w, np.float32(0.003), np.int8(0), constants))
    nodes.append(node("MatMul", "f,fc_dq", "h"))
    nodes += qdq("h", 0.01, of(out_zero), constants)
    return nodes, constants
