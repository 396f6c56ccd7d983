"""The lowered network against the graph with explicit quantization, and against float."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.arithmetic.qmath import QParams, range_to_qparams
from mxq.passes.forms import permutation, representative_range

from ..networks import NETWORKS, batch, conv, fill, forward


def sqnr(reference, value):
    """Signal to noise in dB; 200 where equal."""
    noise = float(np.square(np.float64(reference) - value).sum())
    return 200.0 if noise == 0 else 10 * np.log10(float(np.square(np.float64(reference)).sum()) / noise)


def _quantized(name, **options):
    net = NETWORKS[name]()
    data = batch(net[3])
    options.setdefault("calib_mode", "minmax")
    model = mxq.quantize_model(net[0], net[1:3], data, data_names=list(net[3]), **options)
    return net, data, model


@parameterized.expand([(name,) for name in NETWORKS if name != "nothing_quantizable"])
def test_lowered_agrees_with_explicit_quantization_and_with_float(name):
    net, data, model = _quantized(name)
    expected = forward(net, data)
    explicit = forward(model.qdq, data)
    lowered = forward(model, data)
    assert model.symbol.list_outputs() == net[0].list_outputs()
    assert len(lowered) == len(expected)
    for e, q, y in zip(expected, explicit, lowered):
        assert y.shape == e.shape and y.dtype == e.dtype
        # The explicit graph multiplies float numbers that stand for the same integers: rounding of single values near
        # a half may differ, so single levels do, never more than noise far below that of quantization itself.
        assert sqnr(q, y) > sqnr(e, q) + 6 or sqnr(q, y) > 45, (sqnr(q, y), sqnr(e, q))
        assert sqnr(e, y) > 18, sqnr(e, y)
    assert '"mxq_' in model.symbol.tojson()


@parameterized.expand([(name,) for name in NETWORKS if name != "nothing_quantizable"])
def test_without_calibration(name):
    net, data, model = _quantized(name, calib_mode="none")
    for e, y in zip(forward(net, data), forward(model, data)):
        assert y.shape == e.shape and sqnr(e, y) > 18, sqnr(e, y)
    assert model.table is None


@parameterized.expand([("int8",), ("uint8",)])
def test_every_type_of_activation(dtype):
    net, data, model = _quantized("residual", quantized_dtype=dtype)
    assert sqnr(forward(net, data)[0], forward(model, data)[0]) > 18


def test_full_mode_and_tensor_wise_weights():
    net, data, model = _quantized("multi_output", quantize_mode="full", quantize_granularity="tensor-wise")
    for e, y in zip(forward(net, data), forward(model, data)):
        assert sqnr(e, y) > 14


@parameterized.expand(
    [
        ("swish", lambda x: x * mx.sym.sigmoid(x)),
        ("hard_swish", lambda x: x * mx.sym.clip(x + 3, 0, 6) / 6),
        ("mish", lambda x: x * mx.sym.tanh(mx.sym.Activation(x, act_type="softrelu"))),
        ("gelu", lambda x: mx.sym.LeakyReLU(x, act_type="gelu")),
        ("elu", lambda x: mx.sym.LeakyReLU(x, act_type="elu", slope=0.3)),
        ("prelu", lambda x: mx.sym.LeakyReLU(x, act_type="prelu", name="slope")),
        ("tanh", lambda x: mx.sym.tanh(x)),
        ("exp", lambda x: mx.sym.exp(x)),
        ("batchnorm_relu", lambda x: mx.sym.relu(mx.sym.BatchNorm(mx.sym.relu(x), fix_gamma=False, name="bn"))),
        ("leaky", lambda x: mx.sym.LeakyReLU(x, act_type="leaky", slope=0.1)),
    ]
)
def test_activations(name, function):
    x = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=6, name="a")
    sym = mx.sym.Convolution(function(x), kernel=(3, 3), num_filter=4, name="b")
    net = fill(sym, {"data": (2, 3, 9, 9)})
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, calib_mode="minmax")
    assert sqnr(forward(net, data)[0], forward(model, data)[0]) > 22
    floats = [n.node for n in model.report.floats()]
    assert not floats, floats


def test_lopsided_values_have_a_zero_point_behind_every_operator():
    """LeakyReLU, PReLU, BatchNorm behind a ReLU, a pooling and a padded convolution of what they give."""
    x = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=6, name="a")
    x = mx.sym.LeakyReLU(x, act_type="leaky", slope=0.1, name="leaky")
    x = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=6, num_group=2, name="b")
    x = mx.sym.Pooling(mx.sym.LeakyReLU(x, act_type="prelu", name="prelu"), kernel=(2, 2), stride=(2, 2), name="pool")
    x = mx.sym.relu(mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=6, name="c"))
    x = mx.sym.BatchNorm(x, fix_gamma=False, name="bn")  # the padding behind it keeps it from folding into the layer
    sym = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=4, name="d")
    net = fill(sym, {"data": (16, 3, 16, 16)})
    data = batch(net[3])
    # Factors per channel would make one of the tensors reach as far below zero as above.
    options = {"equalize": False}
    models = {
        kind: mxq.quantize_model(net[0], net[1:3], data, quantized_dtype=kind, **options) for kind in ("auto", "int8")
    }
    exact, found = forward(net, data)[0], {kind: forward(model, data)[0] for kind, model in models.items()}
    assert sqnr(exact, found["auto"]) > sqnr(exact, found["int8"]) + 1, [sqnr(exact, y) for y in found.values()]
    readers = {n.name: n for n in models["auto"].operators.nodes}
    for name in ("b", "c", "d_int8"):
        assert int(readers[name].get("in_zero_point")) > 0, name
    again = mxq.quantize_model(net[0], net[1:3], data, calib_table=models["auto"].table, **options)
    np.testing.assert_array_equal(forward(again, data)[0], found["auto"])


@parameterized.expand([("uint8", 0, 256), ("int8", -128, 128)])
def test_raw_integers_equal_float_preprocessing_then_quantization(dtype, lo, hi):
    """Borders included: the padded convolution sees what it saw behind float preprocessing."""
    mean, std = np.float32([123.7, 116.3, 103.5]), np.float32([58.4, 57.1, 57.4])
    x = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), pad=(1, 1), num_filter=6, name="a")
    net = fill(mx.sym.Activation(x, act_type="relu", name="out"), {"data": (4, 3, 8, 7)})
    raw = np.random.RandomState(0).randint(lo, hi, (4, 3, 8, 7)).astype(dtype)
    floats = (raw.astype(np.float32) - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)
    # Adaptive rounding looks at samples, which are drawn by the bytes of the data.
    options = {"calib_mode": "minmax", "weight_rounding": "nearest"}
    inside = mxq.quantize_model(
        net[0], net[1:3], raw, mean=mean.tolist(), std=std.tolist(), input_dtype=dtype, **options
    )
    outside = mxq.quantize_model(net[0], net[1:3], floats, **options)
    np.testing.assert_array_equal(forward(inside, {"data": raw})[0], forward(outside, {"data": floats})[0])


def test_raw_integers_without_normalization_are_not_requantized():
    net = fill(mx.sym.Convolution(mx.sym.var("data"), kernel=(1, 1), num_filter=2, name="a"), {"data": (1, 3, 4, 4)})
    raw = np.random.RandomState(0).randint(0, 256, (1, 3, 4, 4)).astype("uint8")
    model = mxq.quantize_model(net[0], net[1:3], raw, input_dtype="uint8", calib_mode="minmax")
    assert "mxq_quantize_v2" not in model.symbol.tojson()
    expected = forward(net, {"data": raw.astype(np.float32)})[0]
    assert sqnr(expected, forward(model, {"data": raw})[0]) > 35


@parameterized.expand([("shuffled",), ("pyramid",), ("flattened",)])
def test_splits_means_and_upsampling_leave_nothing_float(name):
    assert not _quantized(name)[2].report.floats()


#: Transposes and flattens where that is not one Flatten in front of the last layer: what leaves an int8 layer for an
#: output or for an operator of MXNet (add_n, Pad, Deconvolution, softmax, Dropout) is brought to channels first.
MOVES = {
    "multi_output": (2, 0), "multi_input": (0, 0), "fully_connected": (0, 2), "noops": (1, 1), "padded": (1, 1),
    "doubled": (1, 1), "upsampled": (2, 0), "shuffled": (0, 0), "flattened": (0, 4), "pyramid": (1, 0),
    "segmented": (1, 0),
}  # fmt: skip


@parameterized.expand([(name,) for name in NETWORKS if name != "nothing_quantizable"])
def test_channels_are_moved_where_int8_ends_only(name):
    _, _, model = _quantized(name)
    ops = [n.op for n in model.operators.nodes if not n.is_variable]
    assert (ops.count("mxq_transpose"), ops.count("mxq_flatten")) == MOVES.get(name, (0, 1)), ops
    assert "transpose" not in ops and "Flatten" not in ops, ops


@parameterized.expand([("shuffled",), ("pyramid",), ("normalized",)])
def test_other_sizes_than_those_of_calibration(name):
    net, _, model = _quantized(name)
    data = batch({"data": (3, 3, 16, 12)})
    for e, y in zip(forward(net, data), forward(model, data)):
        assert y.shape == e.shape and sqnr(e, y) > 15  # ranges are those of two other images


@parameterized.expand([("shuffled",), ("pyramid",), ("normalized",), ("flattened",)])
def test_more_operators_with_11_bits(name):
    net, data, model = _quantized(name, activation_bits=11)
    for e, y in zip(forward(net, data), forward(model, data)):
        assert sqnr(e, y) > 35


def test_permutations_undo_each_other():
    x = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    last = x.transpose(permutation(4, "last"))
    assert last.shape == (2, 4, 5, 3)
    np.testing.assert_array_equal(last.transpose(permutation(4, "first")), x)


@parameterized.expand([("int8", 0.1234567, 0), ("uint8", 3.3e-9, 0), ("uint8", 12.5, 77)])
def test_a_range_gives_back_its_parameters(dtype, scale, zero_point):
    qparams = QParams(float(np.float32(scale)), zero_point, dtype)
    assert range_to_qparams(*representative_range(qparams), dtype) == qparams


def test_data_has_a_rank_so_that_shape_inference_without_data_is_a_clean_error():
    net = NETWORKS["plain"]()
    raw = np.random.RandomState(0).randint(0, 256, net[3]["data"]).astype("uint8")
    model = mxq.quantize_model(net[0], net[1:3], raw, input_dtype="uint8", mean=127.0, std=60.0)
    assert model.symbol.attr_dict()["data"]["__shape__"] == "(0, 0, 0, 0)"
    for size in (13, 20):
        raw = np.zeros((3, 3, size, size), np.uint8)
        assert forward(model, {"data": raw})[0].shape == (3, 5)


def test_a_concat_that_nobody_reads_as_integers():
    """Mode 'full' makes it int8 at the end of a network too, where it has no scale."""
    x = mx.sym.var("data")
    joined = mx.sym.Concat(conv(x, "a", 4), conv(x, "b", 5), dim=1, name="joined")
    for sym in (joined, mx.sym.softmax(joined, axis=1, name="prob")):
        sym, args, aux, shapes = fill(sym, {"data": (2, 3, 8, 8)})
        data = batch(shapes)["data"]
        model = mxq.quantize_model(sym, (args, aux), data, quantize_mode="full")
        assert model.report.count("int8") == 3
        found, wanted = forward(model, {"data": data})[0], forward((sym, args, aux), {"data": data})[0]
        assert np.square(wanted).sum() > 10**3 * np.square(found - wanted).sum()


def _operator(model, name):
    return next(n for n in model.operators.nodes if n.name.startswith(name) and n.op == "mxq_resize")


def test_resizes_between_int8_layers_are_int8():
    """The whole image's pixel too: repeated, and joined with what other branches see."""
    net, data, model = _quantized("segmented")
    for name in ("repeated", "between"):
        node = _operator(model, name)
        assert node.get("layout") == "channels_last" and node.inputs[0].node.attrs["out_type"] == "uint8", node.attrs
        assert [u.node.op for u in model.operators.uses_of(node.out())] == ["mxq_concat"]
    assert not model.report.floats()


def test_a_resize_between_int8_layers_needs_no_calibration():
    x = mx.sym.contrib.BilinearResize2D(conv(mx.sym.var("data"), "a", 5), height=6, width=5, name="resized")
    net = fill(conv(x, "b", 4), {"data": (2, 3, 9, 7)})
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, calib_mode="none")
    assert _operator(model, "resized").inputs[0].node.attrs["out_type"] == "int8"
    assert sqnr(forward(net, data)[0], forward(model, data)[0]) > 25


def test_a_resize_of_what_a_layer_computes_is_float_and_equal_to_mxnets():
    """Nothing is rounded on the way, and what is brought to channels first is the small side."""
    net, data, model = _quantized("segmented")
    node = _operator(model, "resized")
    moved = node.inputs[0].node
    assert moved.op == "mxq_transpose" and node.get("layout") == ""
    assert moved.inputs[0].node.op == "mxq_conv" and moved.inputs[0].node.attrs["out_type"] == "float32"
    resized, classes = forward(model, data)
    expected = mx.nd.contrib.BilinearResize2D(mx.nd.array(classes), height=27, width=25)
    np.testing.assert_array_equal(resized, expected.asnumpy())


def test_a_resize_of_integers_for_a_float_reader_is_float():
    """Another layer reads the same value as integers: they are brought back to float before there are more of them."""
    features = conv(mx.sym.var("data"), "a", 5)
    resized = mx.sym.contrib.BilinearResize2D(features, height=20, width=21, name="resized")
    net = fill(mx.sym.Group([resized, conv(features, "b", 3)]), {"data": (2, 3, 9, 7)})
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, calib_mode="minmax")
    node = _operator(model, "resized")
    assert node.inputs[0].node.op == "mxq_dequantize" and not model.report.floats()
    assert sqnr(forward(net, data)[0], forward(model, data)[0]) > 30


def test_a_head_that_is_read_channels_last_is_not_moved():
    x = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=8, name="conv0")
    heads = [
        mx.sym.Flatten(mx.sym.transpose(mx.sym.Convolution(x, kernel=(3, 3), num_filter=n, name=f"head{n}"), axes=axes))
        for n, axes in ((4, (0, 2, 3, 1)), (6, (0, 3, 2, 1)))
    ]
    net = fill(mx.sym.Concat(*heads, dim=1, name="all"), {"data": (2, 3, 9, 7)}, 0)
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, calib_mode="minmax")
    kinds = [(n.op, n.get("axes")) for n in model.operators.nodes if n.op in ("transpose", "mxq_transpose")]
    assert sorted(kinds) == [("mxq_transpose", (0, 3, 1, 2)), ("transpose", (0, 3, 2, 1))]
    (floats,), (got,) = forward(net[:3], data), forward(model, data)
    assert got.shape == floats.shape and sqnr(floats, got) > 25
