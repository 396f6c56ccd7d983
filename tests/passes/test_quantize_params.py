"""Weights and biases offline."""

import mxnet as mx
import numpy as np

from mxq.calib.table import CalibTable, tensor_key
from mxq.graph import Graph
from mxq.passes.annotate import annotate, quantized_values
from mxq.passes.insert_qdq import insert_qdq
from mxq.passes.quantize_params import quantize_params
from mxq.qmath import INT32_MAX, range_to_qparams


def _qdq(sym, params, ranges=(-1.0, 1.0)):
    graph = annotate(Graph.from_symbol(sym, params))
    table = CalibTable({tensor_key(v): ranges for v in quantized_values(graph)}, "minmax", "", 1)
    return insert_qdq(graph, table)


def _fc(weight, bias, **ranges):
    sym = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=weight.shape[0], name="fc")
    params = {"fc_weight": np.float32(weight), "fc_bias": np.float32(bias)}
    return quantize_params(_qdq(sym, params, **ranges)).params


def test_names_types_and_values():
    weight = np.array([[1.0, -0.501], [0.01, 0.04]])
    params = _fc(weight, [0.25, -3.0])
    assert sorted(params) == ["fc_bias_quantize", "fc_bias_scale", "fc_weight_quantize", "fc_weight_scale"]
    assert params["fc_weight_quantize"].dtype == np.int8 and params["fc_bias_quantize"].dtype == np.int32
    assert params["fc_weight_quantize"].tolist() == [[127, -64], [32, 127]]
    in_scale = range_to_qparams(-1.0, 1.0, "int8").scale
    expected = np.rint(np.float64([0.25, -3.0]) / (np.float64(in_scale) * params["fc_weight_scale"]))
    assert params["fc_bias_quantize"].tolist() == expected.tolist()


def test_tensor_wise_has_one_scale():
    sym = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, no_bias=True, name="fc")
    qdq = _qdq(sym, {"fc_weight": np.float32([[1.0, 0.5], [0.01, 0.02]])})
    scale = quantize_params(qdq, granularity="tensor-wise").params["fc_weight_scale"]
    assert scale[0] == scale[1] == np.float32(1 / 127)


def test_a_bias_beyond_int32_raises_the_scale_of_its_channel():
    params = _fc(np.array([[1e-9, 1e-9], [1.0, 1.0]]), [1000.0, 1000.0])
    assert abs(params["fc_bias_quantize"][0]) <= INT32_MAX // 2 * (1 + 1e-6)  # float32 scales
    step = np.float64(range_to_qparams(-1.0, 1.0, "int8").scale) * params["fc_weight_scale"]
    np.testing.assert_allclose(params["fc_bias_quantize"] * step, [1000.0, 1000.0], rtol=1e-6)
    assert params["fc_weight_scale"][1] == np.float32(1 / 127)


def test_an_all_zero_channel_keeps_its_bias():
    params = _fc(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]), [0.0, 0.3, 0.5])
    assert not params["fc_weight_quantize"][:2].any() and params["fc_weight_scale"][0] == 1.0
    step = np.float64(range_to_qparams(-1.0, 1.0, "int8").scale) * params["fc_weight_scale"]
    np.testing.assert_allclose(params["fc_bias_quantize"][1] * step[1], 0.3, rtol=1e-6)


def test_shared_weights_are_quantized_once():
    weight, data = mx.sym.var("w"), mx.sym.var("data")
    a = mx.sym.FullyConnected(data, weight=weight, num_hidden=3, no_bias=True, name="a")
    b = mx.sym.FullyConnected(a, weight=weight, num_hidden=3, no_bias=True, name="b")
    qdq = quantize_params(_qdq(b, {"w": np.eye(3, dtype=np.float32)}))
    assert sorted(qdq.params) == ["w_quantize", "w_scale"]
    assert qdq.node("a").inputs[1] == qdq.node("b").inputs[1]
