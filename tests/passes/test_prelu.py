"""PReLU is part of the layer in front of it: no table, slopes as float32, its input never rounded to 8 bits."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.network.graph import Graph
from mxq.passes.annotate import annotate, units

from ..networks import batch, bn, conv, fill, forward
from .test_lower import sqnr


def prelu(x, name="prelu"):
    return mx.sym.LeakyReLU(x, act_type="prelu", name=f"{name}_slope")


def _residual_before(x):
    return prelu(mx.sym.elemwise_add(conv(x, "middle", 6), x))


def _residual_after(x):
    return mx.sym.elemwise_add(prelu(bn(conv(x, "middle", 6, no_bias=True), "bn")), x)


CHAINS = {
    "convolution": lambda x: prelu(conv(x, "middle", 6)),
    "batchnorm": lambda x: prelu(bn(conv(x, "middle", 6), "bn")),
    "depthwise": lambda x: prelu(conv(x, "middle", 6, num_group=6)),
    "sum_before": _residual_before,
    "sum_after": _residual_after,
    "gluon_shares_one_slope": lambda x: mx.sym.LeakyReLU(
        conv(x, "middle", 6), mx.sym.var("one_slope", shape=(1,)), act_type="prelu", name="prelu"
    ),
}


def _quantized(chain, **options):
    x = CHAINS[chain](mx.sym.Activation(conv(mx.sym.var("data"), "first", 6), act_type="relu", name="relu"))
    net = fill(conv(x, "last", 5), {"data": (4, 3, 13, 11)})
    data = batch(net[3])
    return net, data, mxq.quantize_model(net[0], net[1:3], data, calib_mode="minmax", **options)


@parameterized.expand([(chain, bits) for chain in CHAINS for bits in (8, 11)])
def test_is_part_of_its_layer(chain, bits):
    net, data, model = _quantized(chain, activation_bits=bits)
    ops = [n.op for n in model.operators.nodes if not n.is_variable]
    assert "mxq_lut" not in ops and "LeakyReLU" not in ops, ops
    assert not model.report.floats()
    assert sqnr(forward(net, data)[0], forward(model, data)[0]) > (32 if bits == 8 else 38)


@parameterized.expand([(chain,) for chain in CHAINS])
def test_equals_explicit_quantization(chain):
    net, data, model = _quantized(chain)
    (expected,), (explicit,), (lowered,) = forward(net, data), forward(model.qdq, data), forward(model, data)
    assert sqnr(explicit, lowered) > sqnr(expected, explicit) + 6


def test_slopes_are_stored_as_they_are():
    net, _, model = _quantized("convolution")
    (node,) = [n for n in model.operators.nodes if n.get("act") == "prelu"]
    stored = model.operators.params[node.inputs[4].node.name]
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, net[1]["prelu_slope_gamma"].asnumpy())


def test_a_dense_layer():
    x = prelu(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=9, name="first"))
    net = fill(mx.sym.FullyConnected(x, num_hidden=4, name="last"), {"data": (8, 7)})
    model = mxq.quantize_model(net[0], net[1:3], batch(net[3]), calib_mode="minmax")
    assert [n.op for n in model.operators.nodes if n.op.startswith("mxq_l")] == []
    assert sqnr(forward(net, batch(net[3]))[0], forward(model, batch(net[3]))[0]) > 35


def test_rows_of_a_dense_layer_are_no_channels():
    """Without flatten, the slopes of axis 1 belong to rows; there are as many as outputs here."""
    x = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=6, flatten=False, name="first")
    net = fill(mx.sym.FullyConnected(prelu(x), num_hidden=4, flatten=False, name="last"), {"data": (3, 6, 7)})
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, calib_mode="minmax")
    assert not [n for n in model.operators.nodes if n.op == "mxq_fully_connected" and n.get("act") == "prelu"]
    assert sqnr(forward(net, data)[0], forward(model, data)[0]) > 30


def test_the_operator_refuses_slopes_that_are_not_finite():
    x, w, s = np.ones((1, 3, 3, 2), "int8"), np.ones((4, 2, 1, 1), "int8"), np.ones(4, "float32")
    for backend in mxq.native.info()["ops"]["mxq_conv"]:
        if backend == "vnni":  # for depthwise
            continue
        given = [mx.nd.array(a, dtype=a.dtype) for a in (x, w, s, np.float32([0.1, np.nan, 0, 1]))]
        try:
            mx.nd.mxq_conv(
                *given, kernel=(1, 1), num_filter=4, no_bias=True, act="prelu", backend=backend
            ).wait_to_read()
        except mx.MXNetError as error:
            assert "slope[1] = nan; expected a finite number" in str(error) or "no implementation" in str(error)
        else:
            raise AssertionError(backend)


def _behind_relu(x):
    return prelu(bn(mx.sym.Activation(x, act_type="relu", name="again"), "bn"))


STANDING = {
    "pooling": lambda x: prelu(mx.sym.Pooling(x, kernel=(3, 3), pool_type="avg", name="pool")),
    "concat": lambda x: prelu(mx.sym.Concat(x, conv(x, "side", 4), dim=1, name="join")),
    "batchnorm_behind_relu": _behind_relu,
    "sum_of_two_poolings": lambda x: prelu(
        mx.sym.Pooling(x, kernel=(3, 3), pool_type="avg", name="a") + mx.sym.Pooling(x, kernel=(3, 3), name="b")
    ),
}


def _standing(function, **options):
    x = function(mx.sym.Activation(conv(mx.sym.var("data"), "first", 6), act_type="relu", name="relu"))
    net = fill(conv(x, "last", 5), {"data": (4, 3, 13, 11)})
    data = batch(net[3])
    return net, data, mxq.quantize_model(net[0], net[1:3], data, calib_mode="minmax", **options)


@parameterized.expand([(name, bits) for name in STANDING for bits in (8, 11)])
def test_where_no_layer_takes_it_three_numbers_a_channel_and_no_table(name, bits):
    net, data, model = _standing(STANDING[name], activation_bits=bits)
    ops = [n.op for n in model.operators.nodes if not n.is_variable]
    assert ops.count("mxq_affine") == 1 and "mxq_lut" not in ops, ops
    assert not model.report.floats()
    (expected,), (explicit,), (lowered,) = forward(net, data), forward(model.qdq, data), forward(model, data)
    assert sqnr(expected, lowered) > (30 if bits == 8 else 36), sqnr(expected, lowered)
    assert sqnr(explicit, lowered) > sqnr(expected, explicit) + 6 or sqnr(explicit, lowered) > 45


def test_what_a_layer_computes_is_read_unrounded():
    _, _, model = _standing(STANDING["batchnorm_behind_relu"])
    (node,) = [n for n in model.operators.nodes if n.op == "mxq_affine"]
    assert node.inputs[0].node.get("out_type") == "float32" and node.get("out_type") in ("int8", "uint8")


def test_a_batchnorm_is_a_table_with_8_bits_and_no_rounding_with_11():
    def function(x):
        return mx.sym.relu(bn(x, "bn"), name="behind")

    for bits, expected in ((8, "mxq_lut"), (11, "mxq_affine")):
        net, data, model = _standing(function, activation_bits=bits)
        ops = [n.op for n in model.operators.nodes if n.op in ("mxq_lut", "mxq_affine")]
        assert ops == [expected], (bits, ops)
        assert sqnr(forward(net, data)[0], forward(model, data)[0]) > (28 if bits == 8 else 38)


def test_a_prelu_of_unknown_shapes_is_a_table():
    x = prelu(mx.sym.Pooling(conv(mx.sym.var("data"), "first", 6), kernel=(3, 3), name="pool"))
    net = fill(conv(x, "last", 5), {"data": (4, 3, 13, 11)})
    graph = annotate(Graph.from_symbol(*net[:3]))
    assert [u.spec.name for u in units(graph) if u.kind == "unary"] == ["unary"]
