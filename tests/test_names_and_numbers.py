"""Names of any alphabet, tensors of one dimension, functions that are infinite somewhere, windows without a value."""

import os
import tempfile

import mxnet as mx
import numpy as np

import mxq
from mxq.contrib import quantization
from mxq.network.files import load_symbol

from .blocks import sqnr
from .networks import conv, fill, forward, head, relu
from .refusals import refused

S = mx.sym


def quantized(sym, shapes, least: float, data=None, **options):
    """The model of a network with random parameters, which must be that near to float."""
    net = fill(sym, shapes)
    if data is None:
        data = {n: np.random.RandomState(1).normal(0, 1, s).astype(np.float32) for n, s in shapes.items()}
    model = mxq.quantize_model(net[0], net[1:3], data, **options)
    for exact, found in zip(forward(net, data), forward(model, data)):
        assert sqnr(exact, found) > least, (sqnr(exact, found), list(model.report))
    return model, data


def precision(model) -> dict:
    return {row.node: row.precision for row in model.report}


def test_names_may_be_of_any_alphabet():
    shapes = {"данные": (4, 3, 8, 8)}
    x = relu(conv(S.var("данные"), "свёртка", 6), "активация é")
    model, data = quantized(head(conv(x, "层'\"", 5)), shapes, 25)
    assert precision(model)["层'\""] == "int8"
    with tempfile.TemporaryDirectory() as folder:
        model.save(os.path.join(folder, "сеть"))
        paths = [os.path.join(folder, f"сеть{ending}") for ending in ("-symbol.json", "-0000.params")]
        block = mx.gluon.SymbolBlock.imports(paths[0], list(data), paths[1])
        assert np.array_equal(block(mx.nd.array(data["данные"])).asnumpy(), forward(model, data)[0])
        with open(paths[0], encoding="utf-8") as file:  # as Python's json writes it; MXNet reads no \u
            text = file.read().replace("данные", "".join(f"\\u{ord(c):04x}" for c in "данные"))
        with open(paths[0], "w", encoding="ascii", errors="backslashreplace") as file:
            file.write(text.encode("ascii", "backslashreplace").decode())
        assert load_symbol(paths[0]).list_arguments() == model.symbol.list_arguments()
    symbol = quantization.quantize_graph(*fill(head(x), shapes)[:3], calib_mode="none")[0]
    assert "данные" in symbol.list_arguments()


def test_functions_of_one_dimension_are_tables():
    data = S.var("data")
    scores = S.sum(S.FullyConnected(data, num_hidden=6, name="fc"), axis=1)
    for x, shape in ((S.sigmoid(scores), (8, 5)), (S.sigmoid(S.tanh(data) * 2), (32,))):
        model, _ = quantized(x, {"data": shape}, 30, quantize_mode="full")
        assert "int8" in precision(model).values()
    shifted = S.broadcast_add(scores, S.var("one_bias", shape=(1,)), name="shifted")
    model, _ = quantized(shifted, {"data": (8, 5)}, 30, quantize_mode="full")
    assert precision(model)["shifted"] == "int8"


def test_a_parameter_that_makes_a_tensor_wider_is_no_table():
    x = conv(S.var("data"), "conv0", 1)
    for shape in ((1, 4, 1, 1), (1, 1, 8, 8), (3, 1, 1, 1, 1)):
        wider = S.broadcast_mul(x, S.var("factor_weight", shape=shape), name="wider")
        if len(shape) == 4:
            wider = conv(wider, "conv1", 3)
        model, _ = quantized(wider, {"data": (4, 3, 8, 8)}, 25)
        row = {row.node: row for row in model.report}["wider"]
        assert row.precision == "float" and "'factor_weight'" in row.reason, row
    flat = S.broadcast_add(S.FullyConnected(S.var("data"), num_hidden=4, name="fc"), S.var("one_bias", shape=(1, 1, 1)))
    quantized(S.tanh(flat), {"data": (4, 5)}, 25, quantize_mode="full")


def test_functions_may_be_infinite_where_no_data_are():
    """0 has a level whatever the data are: log, rsqrt and 1 / x of it end up in no table entry that is read."""
    rng = np.random.RandomState(0)
    positive = {"data": rng.uniform(0.5, 3, (4, 3, 8, 8)).astype(np.float32)}
    for name in ("log", "log2", "log10", "rsqrt", "reciprocal", "sqrt"):
        x = getattr(S, name)(S.var("data"), name="function")
        model, _ = quantized(conv(x, "conv0", 4), {"data": (4, 3, 8, 8)}, 25, positive, quantize_mode="full")
        assert precision(model)["function"] == "int8"
        table = model.operators.params["function_table"]
        assert np.isfinite(np.float64(table)).all() and np.unique(table).size > 60
    negative = {"data": -positive["data"]}
    for x in (1 / S.var("data"), S.log(-1 * S.var("data")), S.exp(S.var("data") * 100)):
        quantized(conv(x, "conv0", 4), {"data": (4, 3, 8, 8)}, 15, negative, quantize_mode="full")


def test_a_window_without_a_value_gives_no_range():
    """In the 'full' convention the last window may lie outside the image: MXNet's maximum there is -3.4e38."""
    for mode in ("smart", "full"):
        for behind in (relu, lambda x, name: S.slice(x, begin=(0, 0, 0, 0), end=(None, None, 3, 3), name=name)):
            x = S.Pooling(
                conv(S.var("data"), "conv0", 6),
                kernel=(1, 1),
                stride=(2, 2),
                pool_type="max",
                pooling_convention="full",
                name="pool",
            )
            quantized(head(conv(behind(x, "behind"), "conv1", 4)), {"data": (4, 3, 6, 6)}, 25, quantize_mode=mode)


def test_numbers_near_the_end_of_float32_are_calibrated_or_refused_in_words():
    x = S.LRN(relu(conv(S.var("data"), "conv0", 6), "relu0"), nsize=3, name="lrn")
    net = fill(head(conv(x, "conv1", 4)), {"data": (4, 3, 8, 8)})
    data = np.random.RandomState(1).uniform(-1, 1, (4, 3, 8, 8)).astype(np.float32)
    for large in (1e12, 1e30):
        model = mxq.quantize_model(net[0], net[1:3], data * np.float32(large))
        assert np.isfinite(forward(model, {"data": data * np.float32(large)})[0]).all()
        assert precision(model)["conv0"] == "int8"
    refused(lambda: mxq.quantize_model(net[0], net[1:3], data * np.float32(3e38)), "tensor '", "are not finite")
