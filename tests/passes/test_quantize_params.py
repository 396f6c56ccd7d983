"""Weights and biases offline."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.arithmetic.qmath import INT32_MAX, quantize_bias, range_to_qparams
from mxq.calib.table import CalibTable
from mxq.errors import CalibrationError
from mxq.network.graph import Graph
from mxq.network.identity import tensor_key
from mxq.network.shapes import infer_shapes
from mxq.passes.annotate import annotate, quantized_values
from mxq.passes.insert_qdq import insert_qdq
from mxq.passes.quantize_params import quantize_params

from ..networks import fill, forward
from ..refusals import refused


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


def test_biases_at_the_ends_of_int32():
    """Saturated on both sides alike, exact up to there, rounded half to even."""
    biases = [2.0**31 - 2, 2.0**31 - 1, 2.0**31, 1e30, -(2.0**31) + 2, -(2.0**31) + 1, -(2.0**31), -1e30, 0.5, 1.5]
    end = 2**31 - 1
    expected = [end - 1, end, end, end, -end + 1, -end, -end, -end, 0, 2]
    for step in (1.0, 0.25):  # input scale times weight scale
        found = quantize_bias(np.float64(biases) * step, 0.5, np.full(len(biases), 2 * step, np.float32))
        assert found.dtype == np.int32 and found.tolist() == expected


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


# -- bias correction ---------------------------------------------------------------------------------------------------

MEANS = np.float32([0.7, -0.4, 0.2, 0.9, -0.8, 0.5])


def _fc_layer(**attrs):
    return mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=7, name="layer", **attrs)


def _conv_layer(kernel, **attrs):
    return mx.sym.Convolution(mx.sym.var("data"), num_filter=9, kernel=kernel, name="layer", **attrs)


LAYERS = {
    "fc": (_fc_layer(), (5, 6)),
    "fc_no_bias": (_fc_layer(no_bias=True), (5, 6)),
    "fc_of_an_image": (_fc_layer(), (5, 6, 3, 2)),
    "fc_rows": (_fc_layer(flatten=False), (5, 6)),
    "conv_1x1": (_conv_layer((1, 1)), (2, 6, 5, 7)),
    "conv_no_bias": (_conv_layer((3, 3), no_bias=True), (2, 6, 5, 7)),
    "conv_padded": (_conv_layer((3, 3), pad=(1, 1)), (2, 6, 4, 5)),
    "conv_mostly_padding": (_conv_layer((5, 5), pad=(4, 3), stride=(2, 1)), (2, 6, 3, 4)),
    "conv_dilated": (_conv_layer((3, 3), pad=(2, 2), dilate=(2, 2), stride=(2, 3)), (2, 6, 7, 6)),
    "conv_groups": (_conv_layer((3, 3), pad=(1, 1), num_group=3), (2, 6, 4, 5)),
    "conv_groups_no_bias": (_conv_layer((3, 3), num_group=3, no_bias=True), (2, 6, 4, 5)),
    "conv1d": (_conv_layer((3,), pad=(1,), stride=(2,)), (2, 6, 9)),
}
DEPTHWISE = mx.sym.Convolution(
    mx.sym.var("data"), num_filter=6, num_group=6, kernel=(3, 3), pad=(1, 1), no_bias=True, name="layer"
)
LAYERS["depthwise"] = (DEPTHWISE, (2, 6, 4, 5))


def _corrected(sym, shape, means):
    """(float network, quantized parameters, the input's scale) of one layer whose input has these channel means."""
    net = fill(sym, {"data": shape})
    graph = Graph.from_symbol(*net[:3])
    graph.shapes = infer_shapes(graph, {"data": shape})
    graph = annotate(graph)
    table = CalibTable({tensor_key(v): (-1.0, 1.0) for v in quantized_values(graph)}, "minmax", "", 1)
    found = quantize_params(insert_qdq(graph, table), channel_means=means and {"data": means})
    return net, found.params, range_to_qparams(-1.0, 1.0, "int8").scale


@parameterized.expand([(name,) for name in LAYERS])
def test_the_mean_error_of_rounding_is_gone(name):
    """Channels that hold their means everywhere: the layer with rounded weights has the float layer's mean output."""
    sym, shape = LAYERS[name]
    (_, args, _, _), params, in_scale = _corrected(sym, shape, tuple(MEANS))
    data = np.broadcast_to(MEANS.reshape((1, 6) + (1,) * (len(shape) - 2)), shape).copy()
    scale, step = params["layer_weight_scale"], np.float64(in_scale) * params["layer_weight_scale"]
    weight = params["layer_weight_quantize"] * scale.reshape((-1,) + (1,) * (args["layer_weight"].ndim - 1))

    def mean_output(changed):
        y = forward((sym, {**args, **changed}, {}), {"data": data})[0]
        return y.reshape(*y.shape[:2], -1).mean(axis=(0, 2), dtype=np.float64)

    wanted, rounded = mean_output({}), mean_output({"layer_weight": mx.nd.array(weight)})
    correction = params["layer_bias_quantize"] * step - (args["layer_bias"].asnumpy() if "layer_bias" in args else 0.0)
    assert np.abs(rounded + correction - wanted).max() <= 0.51 * step.max() + 2e-6  # a bias is a whole number of steps
    assert np.abs(rounded - wanted).max() > 10 * step.max()  # there was something to correct


def test_without_means_biases_stay():
    sym, shape = LAYERS["conv_padded"]
    (_, args, _, _), params, in_scale = _corrected(sym, shape, None)
    step = np.float64(in_scale) * params["layer_weight_scale"]
    np.testing.assert_allclose(
        params["layer_bias_quantize"] * step, args["layer_bias"].asnumpy(), atol=0.51 * step.max()
    )


def test_rows_of_several_axes_have_no_channel_means():
    """flatten=False sums over the last axis; axis 1, whose means are known, counts rows: here just as many."""
    sym = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=7, flatten=False, name="layer")
    with_means, without = (_corrected(sym, (5, 6, 6), means)[1] for means in (tuple(MEANS), None))
    assert with_means["layer_bias_quantize"].tolist() == without["layer_bias_quantize"].tolist()


@parameterized.expand([("fc", "6 inputs"), ("conv_padded", "6 inputs"), ("conv_groups", "6 inputs")])
def test_means_of_another_number_of_channels_are_refused(name, inputs):
    parts = ("4 channel means", "'layer'", inputs)
    refused(lambda: _corrected(*LAYERS[name], (0.1, 0.2, 0.3, 0.4)), *parts, error=CalibrationError)
