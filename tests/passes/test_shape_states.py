"""Shapes that MXNet infers backwards: initial states, labels, tensors that depend on no data."""

import ctypes
import os
import tempfile

import mxnet as mx
import numpy as np
from mxnet import gluon
from parameterized import parameterized

import mxq
from mxq.network.graph import Graph
from mxq.passes.annotate import annotate
from mxq.passes.shape_states import open_shapes, shape_states
from tests.blocks import initialized, sqnr
from tests.networks import conv, fill, forward, graph_of, relu


def normal(*shape, seed=0):
    return np.random.RandomState(seed).normal(0, 1, shape).astype(np.float32)


def unrolled(cell, layout="NTC", states=False):
    x, last = cell.unroll(3, inputs=mx.sym.var("data"), layout=layout, merge_outputs=True)
    x = mx.sym.FullyConnected(x, num_hidden=5, flatten=False, name="decoder")
    return fill(mx.sym.Group([x, *last]) if states else x, {"data": (2, 3, 6) if layout == "NTC" else (3, 2, 6)})


def stacked():
    cell = mx.rnn.SequentialRNNCell()
    cell.add(mx.rnn.LSTMCell(8, prefix="first_"))
    cell.add(mx.rnn.ResidualCell(mx.rnn.GRUCell(8, prefix="second_")))
    return cell


CELLS = {
    "lstm": lambda: unrolled(mx.rnn.LSTMCell(8, prefix="lstm_"), states=True),
    "lstm, time first": lambda: unrolled(mx.rnn.LSTMCell(8, prefix="lstm_"), layout="TNC"),
    "gru": lambda: unrolled(mx.rnn.GRUCell(8, prefix="gru_")),
    "rnn": lambda: unrolled(mx.rnn.RNNCell(8, prefix="rnn_")),
    "both ways": lambda: unrolled(
        mx.rnn.BidirectionalCell(mx.rnn.LSTMCell(8, prefix="left_"), mx.rnn.LSTMCell(8, prefix="right_"))
    ),
    "stacked": lambda: unrolled(stacked()),
}


@parameterized.expand([(name,) for name in CELLS])
def test_states_follow_from_the_data(name):
    net = CELLS[name]()
    data = {"data": normal(*net[3]["data"])}
    graph = shape_states(graph_of(net), net[3])
    assert not open_shapes(graph) and open_shapes(graph_of(net))
    assert all(np.array_equal(a, b) for a, b in zip(forward(net, data), forward(graph, data)))
    if name != "lstm, time first":
        data = {"data": normal(7, 3, 6)}  # any number of examples
        assert all(np.array_equal(a, b) for a, b in zip(forward(net, data), forward(graph, data)))


@parameterized.expand([*((name, "smart") for name in CELLS), ("lstm", "full"), ("gru", "full")])
def test_an_unrolled_cell_is_int8_and_binds(name, mode):
    net = CELLS[name]()
    batches = [normal(*net[3]["data"], seed=seed) for seed in range(4)]
    model = mxq.quantize_model(net[0], net[1:3], batches, quantize_mode=mode)
    layers = [n for n in model.report.nodes if n.precision == "int8" and n.op == "FullyConnected"]
    assert len(layers) == sum('"FullyConnected"' in line for line in net[0].tojson().splitlines())
    assert not [f for f in model.findings if f.check == "constant" and "begin_state" in f.node]
    exact, found = (forward(m, {"data": batches[0]}) for m in (net, model))
    assert all(sqnr(a, b) > 18 for a, b in zip(exact, found)), [sqnr(a, b) for a, b in zip(exact, found)]


def test_gluon_cells_are_int8_and_run():
    class Unrolled(gluon.HybridBlock):
        def __init__(self, cell):
            super().__init__()
            self.cell = cell

        def hybrid_forward(self, F, x):
            return self.cell.unroll(3, x, layout="NTC", merge_outputs=True)[0]

    size = {"input_shape": (3, 6, 6), "hidden_channels": 4, "i2h_kernel": 3, "h2h_kernel": 3, "i2h_pad": 1}
    cells = {
        (2, 3, 6): [gluon.rnn.LSTMCell(8), gluon.rnn.GRUCell(8)],
        (2, 3, 3, 6, 6): [gluon.contrib.rnn.Conv2DLSTMCell(**size), gluon.contrib.rnn.Conv2DGRUCell(**size)],
    }
    for shape, some in cells.items():
        for cell in some:
            net = initialized(Unrolled(cell))
            batches = [mx.nd.array(normal(*shape, seed=seed)) for seed in range(4)]
            block = mxq.quantize_net(net, batches)
            assert (
                len(
                    [
                        n
                        for n in block.report.nodes
                        if n.precision == "int8" and n.op in ("FullyConnected", "Convolution")
                    ]
                )
                == 6
            )
            assert sqnr(net(batches[0]).asnumpy(), block(batches[0]).asnumpy()) > 18


def test_what_a_state_leaves_open_stays_float_with_that_reason():
    """Without shapes of the data nothing can be said of the state."""
    graph = annotate(graph_of(CELLS["lstm"]()), calibrated=False)
    reason = graph.notes["lstm_t0_h2h"]
    assert "'lstm_begin_state_0'" in reason and "does not follow from the data" in reason, reason
    sym, args, aux, shapes = CELLS["lstm"]()
    model = mxq.quantize_model(sym, (args, aux), calib_mode="none")
    assert {n.node for n in model.report.nodes if n.precision == "int8"} >= {"lstm_t1_h2h", "lstm_t0_i2h"}
    data = {"data": normal(2, 3, 6)}
    assert sqnr(forward((sym, args, aux), data)[0], forward(model, data)[0]) > 18


# -- labels ------------------------------------------------------------------------------------------------------------

HEADS = {
    "linear": mx.sym.LinearRegressionOutput, "absolute": mx.sym.MAERegressionOutput, "svm": mx.sym.SVMOutput,
    "logistic": mx.sym.LogisticRegressionOutput, "softmax": mx.sym.SoftmaxOutput,
}  # fmt: skip


def headed(head, hidden):
    x = mx.sym.Flatten(relu(conv(mx.sym.var("data"), "conv0", 6), "relu0"))
    x = mx.sym.FullyConnected(x, num_hidden=hidden, name="fc")
    return fill(HEADS[head](x, mx.sym.var("some_label"), name="head"), {"data": (2, 3, 6, 6)})


@parameterized.expand([(head, hidden) for head in HEADS for hidden in (1, 3)])
def test_a_head_needs_no_label(head, hidden):
    sym, args, aux, shapes = headed(head, hidden)
    model = mxq.quantize_model(sym, (args, aux), normal(8, 3, 6, 6))
    _, outputs, _ = model.symbol.infer_shape(data=(5, 3, 6, 6))
    assert outputs == [(5, hidden)]
    data = {"data": normal(4, 3, 6, 6)}
    assert sqnr(forward((sym, args, aux), data)[0], forward(model, data)[0]) > 25


def predicted(prefix: str, data: np.ndarray, size: int) -> np.ndarray:
    """By the C predict API, which is told of the data alone."""
    library = mx.base._LIB
    with open(f"{prefix}-symbol.json", "rb") as symbol, open(f"{prefix}-0000.params", "rb") as params:
        text, arrays = symbol.read(), params.read()
    handle = ctypes.c_void_p()
    keys = (ctypes.c_char_p * 1)(b"data")
    ends, shape = (ctypes.c_uint * 2)(0, data.ndim), (ctypes.c_uint * data.ndim)(*data.shape)
    pointer = ctypes.POINTER(ctypes.c_float)
    mx.base.check_call(
        library.MXPredCreate(text, arrays, len(arrays), 1, 0, 1, keys, ends, shape, ctypes.byref(handle))
    )
    found = np.empty(size, np.float32)
    data = np.ascontiguousarray(data, np.float32)
    mx.base.check_call(library.MXPredSetInput(handle, b"data", data.ctypes.data_as(pointer), data.size))
    mx.base.check_call(library.MXPredForward(handle))
    mx.base.check_call(library.MXPredGetOutput(handle, 0, found.ctypes.data_as(pointer), found.size))
    mx.base.check_call(library.MXPredFree(handle))
    return found


@parameterized.expand([("linear",), ("logistic",), ("softmax",), ("cell",)])
def test_the_c_predict_api_runs_it(head):
    net = CELLS["lstm, time first"]() if head == "cell" else headed(head, 3)
    data = normal(*net[3]["data"])
    model = mxq.quantize_model(net[0], net[1:3], [data, data])
    expected = forward(model, {"data": data})[0]
    with tempfile.TemporaryDirectory() as folder:
        model.save(os.path.join(folder, "net"))
        found = predicted(os.path.join(folder, "net"), data, expected.size)
    assert np.array_equal(found, expected.reshape(-1))


# -- nothing of the data -----------------------------------------------------------------------------------------------

PARTS = {
    "a sum with zeros": lambda x: x + mx.sym.zeros(shape=(2, 4)),
    "a product with numbers": lambda x: mx.sym.broadcast_mul(x, mx.sym.Reshape(mx.sym.arange(4), shape=(1, 4))),
    "a layer of ones": lambda x: x + mx.sym.FullyConnected(mx.sym.ones(shape=(2, 3)), num_hidden=4, name="constant"),
    "a concat with ones": lambda x: mx.sym.Concat(x, mx.sym.ones(shape=(2, 3)), dim=1),
}


@parameterized.expand([(name, mode) for name in PARTS for mode in ("smart", "full")])
def test_a_part_without_inputs(name, mode):
    x = mx.sym.FullyConnected(relu(conv(mx.sym.var("data"), "conv0", 6), "relu0"), num_hidden=4, name="fc")
    sym, args, aux, _ = fill(mx.sym.FullyConnected(PARTS[name](x), num_hidden=3, name="last"), {"data": (2, 3, 5, 5)})
    data = normal(8, 3, 5, 5)
    options = {"quantize_mode": mode, "metric": "sqnr", "min_metric": 10.0, "float_where_faster": mode == "smart"}
    model = mxq.quantize_model(sym, (args, aux), data, **options)
    assert not [f for f in model.findings if f.check == "constant"]
    some = {"data": data[:2]}
    assert sqnr(forward((sym, args, aux), some)[0], forward(model, some)[0]) > 15
    mxq.explain(model, data, effect_examples=2)


def test_open_shapes():
    x, data = mx.sym.zeros(shape=(0, 3), name="open"), mx.sym.var("data")
    joined = mx.sym.Concat(x, data, dim=1, name="joined")
    found = open_shapes(Graph.from_symbol(mx.sym.Group([x + data, joined, mx.sym.ones((2, 3))]), {}))
    assert found == {"open": "open", "joined": "open"}
