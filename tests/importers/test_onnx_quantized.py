"""Quantized ONNX networks give the same integers, whatever form the file has."""

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator
from parameterized import parameterized

from mxq.network.graph import Graph
from mxq.network.regions import expand_regions

from .onnx_files import X, block, floats, levels, load, model_of, node, qdq, run, weight


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


def test_a_pair_on_an_input_that_is_the_output():
    """The input keeps its name, whatever computes the network's output."""
    constants = {}
    model = model_of(qdq("x", 1 / 64, np.uint8(128), constants), {"x": X}, constants, outputs=("x_dq",))
    found = load(model)
    assert found.symbol.list_arguments() == ["x"]
    np.testing.assert_array_equal(run(found, {"x": X})[0], ReferenceEvaluator(model).run(None, {"x": X})[0])


def test_the_integers_of_the_file_are_what_is_saved():
    nodes, constants = block(5, False, 128)
    found = load(model_of(nodes, {"x": X}, constants, outputs=("h_dq",)))
    params = expand_regions(Graph.from_symbol(*found)).params
    kept = [array for array in params.values() if array.dtype == np.int8 and array.shape == (8, 6, 3, 3)]
    assert len(kept) == 1 and (kept[0] == constants["a_w"]).all()


def test_weights_beyond_int8_stay_exact():
    nodes, constants = block(6, False, 128, beyond=True)
    model = model_of(nodes, {"x": X}, constants, outputs=("e_dq",))
    found = load(model)
    apart = levels(run(found, {"x": X})[0], ReferenceEvaluator(model).run(None, {"x": X})[0], 0.04493)
    assert apart.max() <= 1 and (apart > 0).mean() <= 0.01
    assert not found.report.floats(), str(found.report)
    operators = [node.op for node in expand_regions(Graph.from_symbol(*found)).nodes]
    assert operators.count("mxq_conv") == 4  # the grouped layer is two


def test_weights_that_two_parts_do_not_hold_stay_float():
    constants = {"w": np.full((4, 6, 1, 1), 255, np.uint8)}
    nodes = qdq("x", 1 / 128, np.uint8(128), constants)
    nodes += [weight("w", constants["w"], np.float32(0.01), np.uint8(0), constants), node("Conv", "x_dq,w_dq", "c")]
    nodes += qdq("c", 0.1, np.uint8(128), constants)
    model = model_of(nodes, {"x": X}, constants, outputs=("c_dq",))
    found = load(model)
    assert ["4 channels" in row.reason for row in found.report.floats()] == [True], str(found.report)
    assert levels(run(found, {"x": X})[0], ReferenceEvaluator(model).run(None, {"x": X})[0], 0.1).max() <= 1


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


def test_weights_that_the_file_has_in_float_and_rounds():
    """As TensorRT's and other toolkits write them: a pair on the weights too, with scales for each output."""
    constants = {"w": floats(3, 4, 6, 3, 3), "v": floats(4, 4, 5, 2, 2)}
    nodes = qdq("x", 1 / 128, np.int8(0), constants)
    for name, axis, channels in (("w", 0, 4), ("v", 1, 5)):
        scales = np.random.RandomState(axis).uniform(0.005, 0.009, channels).astype(np.float32)
        constants.update({f"{name}_s": scales, f"{name}_z": np.zeros(channels, np.int8)})
        inputs = [f"{name}_s", f"{name}_z"]
        nodes.append(helper.make_node("QuantizeLinear", [name, *inputs], [f"{name}_q"], axis=axis))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *inputs], [f"{name}_dq"], axis=axis))
    nodes += [node("Conv", "x_dq,w_dq", "c"), *qdq("c", 0.03, np.int8(0), constants)]
    nodes += [node("ConvTranspose", "c_dq,v_dq", "t", strides=[2, 2]), *qdq("t", 0.05, np.int8(0), constants)]
    model = model_of(nodes, {"x": X}, constants, outputs=("c_dq", "t_dq"))
    found = load(model)
    assert [row.op for row in found.report.floats()] == ["Deconvolution"], str(found.report)
    for mine, theirs, scale in zip(run(found, {"x": X}), ReferenceEvaluator(model).run(None, {"x": X}), (0.03, 0.05)):
        apart = levels(mine, theirs, scale)
        assert apart.max() <= 1 and (apart > 0).mean() <= 0.01


def test_a_pad_of_integers_has_a_level():
    for zero, level in ((np.uint8(120), np.uint8(3)), (np.int8(-7), np.int8(90)), (np.int8(0), np.int8(5))):
        constants = {"s": np.float32(1 / 64), "z": zero, "p": np.int64([0, 0, 1, 0, 0, 0, 0, 2]), "v": level}
        ends = [node("QuantizeLinear", "x,s,z", "q"), node("DequantizeLinear", "d,s,z", "y")]
        for pad, value in ((node("Pad", "q,p,v", "d"), float(level)), (node("Pad", "q,p", "d"), 0.0)):
            found = load(model_of([ends[0], pad, ends[1]], {"x": X}, constants))
            real = (value - float(zero)) / 64
            expected = np.pad(np.rint(X * 64) / 64, [(0, 0), (0, 0), (1, 0), (0, 2)], constant_values=real)
            np.testing.assert_allclose(run(found, {"x": X})[0], expected, atol=1e-6)


def test_the_type_of_integers_without_a_zero_point():
    constants = {"s": np.float32(1 / 64)}
    nodes = [
        node("QuantizeLinear", "x,s", "q", output_dtype=3),
        node("DequantizeLinear", "q,s", "d"),
        node("Relu", "d"),
    ]
    found = load(model_of(nodes, {"x": -X}, constants, opset=21))
    np.testing.assert_allclose(run(found, {"x": -X})[0], np.maximum(np.rint(-X * 64) / 64, 0), atol=1e-6)


def test_microsofts_pairs_are_those_of_onnx():
    constants = {}
    nodes = qdq("x", 1 / 128, np.uint8(120), constants) + [node("Relu", "x_dq")]
    for pair in nodes[:2]:
        pair.domain = "com.microsoft"
    found = load(model_of(nodes, {"x": X}, constants, domains=("com.microsoft",)))
    np.testing.assert_allclose(run(found, {"x": X})[0], np.maximum(np.rint(X * 128) / 128, 0), atol=1e-6)


def test_a_resize_rounds_once():
    """What it mixes is not on the grid of its input: rounding there first would be once too often."""
    constants = {"n": np.int64([2, 6, 18, 16])}
    nodes = qdq("x", 1 / 128, np.uint8(120), constants)
    nodes += [node("Resize", "x_dq,,,n", "r", mode="linear"), *qdq("r", 1 / 100, np.uint8(110), constants)]
    model = model_of(nodes, {"x": X}, constants, outputs=("r_dq",))
    apart = levels(run(load(model), {"x": X})[0], ReferenceEvaluator(model).run(None, {"x": X})[0], 1 / 100)
    assert apart.max() <= 1 and (apart > 0).mean() <= 0.001


def test_maxima_that_reach_over_the_end_stay_int8():
    """With pads at one end, and with a Pad of its own as mxq's exporter writes."""
    lowest = np.float32(-3.4028234663852886e38)
    for pads in ([0, 0, 1, 1], [1, 0, 0, 1]):
        constants = {"p": np.int64([0, 0, *pads[:2], 0, 0, *pads[2:]]), "v": lowest}
        nodes = qdq("x", 1 / 128, np.uint8(120), constants)
        pool = {"kernel_shape": [3, 2], "strides": [2, 2]}
        nodes += [node("MaxPool", "x_dq", "a", pads=pads, **pool), *qdq("a", 1 / 128, np.uint8(120), constants)]
        nodes += [node("Pad", "x_dq,p,v", "w"), node("MaxPool", "w", "b", **pool)]
        nodes += qdq("b", 1 / 128, np.uint8(120), constants)
        model = model_of(nodes, {"x": X}, constants, outputs=("a_dq", "b_dq"))
        found = load(model)
        assert not found.report.floats(), str(found.report)
        padded = np.pad(rounded(X), [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])], constant_values=-9)
        rows, columns = (padded.shape[2] - 3) // 2 + 1, (padded.shape[3] - 2) // 2 + 1
        expected = np.max([padded[:, :, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2]
                           for i in range(3) for j in range(2)], axis=0)  # fmt: skip
        for mine in run(found, {"x": X}):
            np.testing.assert_allclose(mine, expected, atol=1e-6)


def rounded(x):
    return np.clip(np.rint(x * 128) + 120, 0, 255) / 128 - 120 / 128
