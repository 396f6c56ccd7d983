"""ONNX networks compute in MXNet what onnx' own reference makes of the same files; quantized ones the same integers."""

import os
import tempfile

import mxnet as mx
import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from parameterized import parameterized

import mxq

from ..refusals import refused

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
    "dropout": ([node("Dropout", "x", "d"), node("Relu", "d")], {}),
}  # fmt: skip


@parameterized.expand(sorted(CASES))
def test_operators(name):
    nodes, constants = CASES[name]
    check(nodes, {"x": X if "resize" not in name else X[:1, :2, :4, :3]}, constants)


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


@parameterized.expand(
    [
        ("unsigned", 1, False, 128),
        ("signed", 2, True, 0),
        ("signed_with_a_zero_point", 3, True, -7),
        ("odd", 4, False, 77),
    ]
)
def test_pairs_keep_the_integers(_name, seed, signed, out_zero):
    nodes, constants = block(seed, signed, out_zero)
    model = model_of(nodes, {"x": X}, constants, outputs=("h_dq", "e_dq"))
    found = load(model)
    expected = ReferenceEvaluator(model).run(None, {"x": X})
    assert found.quantized and not found.report.floats(), str(found.report)
    for mine, theirs, scale in zip(run(found, {"x": X}), expected, (0.01, 0.04493)):
        apart = levels(mine, theirs, scale)
        assert apart.max() <= 1 and (apart.size < 100 or (apart > 0).mean() <= 0.002), (apart > 0).mean()


def test_the_integers_of_the_file_are_what_is_saved():
    nodes, constants = block(5, False, 128)
    found = load(model_of(nodes, {"x": X}, constants, outputs=("h_dq",)))
    from mxq.network.graph import Graph
    from mxq.network.regions import expand_regions

    params = expand_regions(Graph.from_symbol(*found)).params
    kept = [array for array in params.values() if array.dtype == np.int8 and array.shape == (8, 6, 3, 3)]
    assert len(kept) == 1 and (kept[0] == constants["a_w"]).all()


def test_weights_beyond_int8_stay_exact():
    nodes, constants = block(6, False, 128, beyond=True)
    model = model_of(nodes, {"x": X}, constants, outputs=("e_dq",))
    found = load(model)
    apart = levels(run(found, {"x": X})[0], ReferenceEvaluator(model).run(None, {"x": X})[0], 0.04493)
    assert apart.max() <= 1 and (apart > 0).mean() <= 0.01
    assert [row.node for row in found.report.floats() if "beyond int8" in row.reason] == ["c"]


def test_scales_pass_where_no_pair_stands():
    """NNCF writes pairs in front of layers alone, and float biases."""
    random = np.random.RandomState(7)
    constants = {"c1_b": floats(8, 4), "c2_b": floats(9, 4)}
    nodes = qdq("x", 1 / 128, np.int8(0), constants)
    for name, source, inputs in (("c1", "x_dq", 6), ("c2", "p", 4)):
        w = random.randint(-127, 128, (4, inputs, 1, 1)).astype(np.int8)
        nodes.append(weight(f"{name}_w", w, random.uniform(0.001, 0.004, 4), np.zeros(4, np.int8), constants))
        nodes.append(helper.make_node("Conv", [source, f"{name}_w_dq", f"{name}_b"], [name]))
        if name == "c1":
            nodes += [node("Relu", "c1", "r"), *qdq("r", 0.02, np.uint8(0), constants)]
            nodes += [node("MaxPool", "r_dq", "p", kernel_shape=[2, 2])]
    model = model_of(nodes, {"x": X}, constants, outputs=("c2",))
    found = load(model)
    assert not found.report.floats(), str(found.report)
    np.testing.assert_allclose(run(found, {"x": X})[0], ReferenceEvaluator(model).run(None, {"x": X})[0], atol=1e-3)


def test_operators_of_integers():
    random = np.random.RandomState(8)
    w = random.randint(-127, 128, (4, 6, 3, 3)).astype(np.int8)
    constants = {
        "xs": np.float32(1 / 128), "xz": np.uint8(120),
        "w": w, "ws": random.uniform(0.001, 0.004, 4).astype(np.float32),
        "wz": np.zeros(4, np.int8), "ys": np.float32(0.03), "yz": np.uint8(100),
        "b": random.randint(-2000, 2000, 4).astype(np.int32),
        "m": random.randint(-127, 128, (8, 5)).astype(np.int8), "ms": np.float32(0.01), "mz": np.int8(0),
        "os": np.float32(0.05), "oz": np.uint8(90),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x,xs,xz", "q"),
        node("QLinearConv", "q,xs,xz,w,ws,wz,ys,yz,b", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("MaxPool", "c", "p", kernel_shape=[2, 2]),
        node("QLinearMatMul", "q,xs,xz,m,ms,mz,os,oz", "k"),
        node("DequantizeLinear", "p,ys,yz", "y"),
        node("DequantizeLinear", "k,os,oz", "z"),
    ]
    model = model_of(nodes, {"x": X}, constants, outputs=("y", "z"))
    found = load(model)
    plain = [node("QuantizeLinear", "x,xs,xz", "q"), node("DequantizeLinear", "q,xs,xz", "d")]
    plain += [weight_node("w", "ws", "wz"), weight_node("m", "ms", "mz", 1)]
    plain += [
        node("Conv", "d,w_dq,bf", "c", pads=[1] * 4, strides=[2, 2]),
        node("QuantizeLinear", "c,ys,yz", "cq"),
        node("DequantizeLinear", "cq,ys,yz", "cd"),
        node("MaxPool", "cd", "y", kernel_shape=[2, 2]),
        node("MatMul", "d,m_dq", "k"),
        node("QuantizeLinear", "k,os,oz", "kq"),
        node("DequantizeLinear", "kq,os,oz", "z"),
    ]
    constants["bf"] = constants["b"].astype(np.float32) * constants["xs"] * constants["ws"]
    expected = ReferenceEvaluator(model_of(plain, {"x": X}, constants, outputs=("y", "z"))).run(None, {"x": X})
    for mine, theirs, scale in zip(run(found, {"x": X}), expected, (0.03, 0.05)):
        apart = levels(mine, theirs, scale)
        assert apart.max() <= 1 and (apart > 0).mean() <= 0.01
    assert not found.report.floats()


def weight_node(name, scale, zero, axis=0):
    return helper.make_node("DequantizeLinear", [name, scale, zero], [f"{name}_dq"], axis=axis)


def test_microsofts_operators():
    constants = {
        "xs": np.float32(1 / 128), "xz": np.uint8(120), "as": np.float32(0.011), "az": np.uint8(100),
        "bs": np.float32(0.013), "bz": np.uint8(30), "ps": np.float32(0.004), "pz": np.uint8(128),
        "k": np.random.RandomState(3).randint(0, 255, (6, 1, 1)).astype(np.uint8),
        "ks": np.float32(0.01), "kz": np.uint8(110),
    }  # fmt: skip
    ms = {"domain": "com.microsoft"}
    nodes = [
        node("QuantizeLinear", "x,xs,xz", "q"),
        node("QLinearAdd", "q,xs,xz,k,ks,kz,as,az", "a", **ms),
        node("QLinearMul", "q,xs,xz,a,as,az,ps,pz", "m", **ms),
        node("QLinearLeakyRelu", "m,ps,pz,bs,bz", "l", alpha=0.1, **ms),
        node("QLinearConcat", "bs,bz,l,bs,bz,a,as,az", "c", axis=1, **ms),
        node("QLinearGlobalAveragePool", "c,bs,bz,ps,pz", "g", channels_last=0, **ms),
        node("DequantizeLinear", "g,ps,pz", "y"),
    ]
    found = load(model_of(nodes, {"x": X}, constants, domains=("com.microsoft",)))

    def rounded(x, name):
        scale, zero = constants[name + "s"], int(constants[name + "z"])
        return (np.clip(np.rint(x / scale) + zero, 0, 255) - zero).astype(np.float32) * scale

    x = rounded(X, "x")
    k = (constants["k"].astype(np.float32) - 110) * constants["ks"]
    a = rounded(x + k, "a")
    m = rounded(x * a, "p")
    leaky = rounded(np.where(m > 0, m, 0.1 * m), "b")
    c = rounded(np.concatenate([leaky, a], axis=1), "b")
    expected = rounded(c.mean(axis=(2, 3), keepdims=True), "p")
    assert levels(run(found, {"x": X})[0], expected, 0.004).max() <= 1
    assert not found.report.floats(), str(found.report)


# -- what is refused ---------------------------------------------------------------------------------------------------


@parameterized.expand(
    [
        ("unknown", [node("Einsum", "x,x", equation="a,a->a")], {}, ["'y'", "Einsum", "not known"]),
        ("domain", [node("QLinearAdd", "x,x")], {}, ["QLinearAdd", "not known"]),
        ("attribute", [node("Relu", quirk=1)], {}, ["'y'", "quirk", "accepted are none"]),
        ("unwritten", [node("Relu", "z")], {}, ["'z'", "nothing before it writes that"]),
        ("channels", [node("Conv", "x,w")], {"w": floats(1, 2, 5, 3, 3)}, ["6 channels", "5"]),
        ("data_dependent", [node("Conv", "x,x")], {}, ["accepted are constants"]),
        ("type", [node("Add", "x,c")], {"c": np.array([1 + 2j])}, ["'c'", "type 15"]),
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
