"""Numbers that are indices, parts of very different ranges, and values that are float already: not rounded."""

import mxnet as mx
import numpy as np

import mxq
from mxq.network.graph import Graph
from mxq.passes.indices import indices, zeros

from ..blocks import sqnr
from ..networks import conv, fill, forward, relu
from ..test_owners import Logged

S = mx.sym


def quantized(sym, data, params=None, **options):
    """Float and int8 outputs, and the report by node."""
    net = fill(sym, {name: array.shape for name, array in data.items()})
    net[1].update(params or {})
    model = mxq.quantize_model(net[0], net[1:3], data, **options)
    return forward(net, data), forward(model, data), {row.node: row for row in model.report}


def test_indices_are_moved_as_they_are():
    ids = {"data": np.random.RandomState(0).randint(0, 900, (8, 6)).astype(np.float32)}
    x = S.Reshape(S.transpose(S.var("data"), axes=(1, 0), name="turn"), shape=(-1,), name="flat")
    x = S.Embedding(x, input_dim=900, output_dim=5, name="rows")
    (exact,), (found,), report = quantized(S.FullyConnected(x, num_hidden=4, name="fc"), ids, quantize_mode="full")
    assert sqnr(exact, found) > 35
    assert report["flat"].reason == report["turn"].reason == "Embedding 'rows' needs its numbers as they are"
    assert report["fc"].precision == "int8"


def test_what_argmax_finds_is_moved_as_it_is():
    data = {"data": np.random.RandomState(0).normal(0, 1, (4, 3, 5, 5)).astype(np.float32)}
    scores = conv(S.var("data"), "conv0", 300, (1, 1))
    classes = S.Reshape(S.expand_dims(S.argmax(scores, axis=1, name="best"), axis=1), shape=(0, -1), name="flat")
    joined = S.concat(classes, S.Reshape(S.max(scores, axis=1), shape=(0, -1)), dim=1, name="joined")
    exact, found, report = quantized(S.Group([classes, joined]), data, quantize_mode="full")
    assert "argmax 'best' gives numbers" in report["flat"].reason and report["joined"].precision == "float"
    assert (found[0] == np.rint(found[0])).all() and found[0].max() > 255
    assert (exact[0] == found[0]).mean() > 0.8


def test_indices_that_a_layer_reads_too_are_those_of_the_data():
    """The layer rounds them, the embedding reads what the network got."""
    ids = {"data": np.random.RandomState(0).randint(0, 900, (8, 6)).astype(np.float32)}
    data = S.var("data")
    x = S.Embedding(data, input_dim=900, output_dim=5, name="rows")
    sym = S.Group([S.FullyConnected(data, num_hidden=4, name="fc"), x])
    for options in ({}, {"quantize_mode": "full"}, {"calib_mode": "none", "data_shapes": {"data": (8, 6)}}):
        net = fill(sym, {"data": (8, 6)})
        model = mxq.quantize_model(net[0], net[1:3], None if "calib_mode" in options else ids, **options)
        exact, found = forward(net, ids), forward(model, ids)
        assert np.array_equal(exact[1], found[1]) and 25 < sqnr(exact[0], found[0]) < 90, options


def test_what_float_operators_compute_is_read_as_it_is():
    data = {"data": np.random.RandomState(0).normal(0, 1, (4, 3, 8, 8)).astype(np.float32)}
    x = S.LayerNorm(S.var("data"), name="norm")
    exact, found, report = quantized(S.Group([conv(x, "conv0", 4), S.softmax(x, name="attention")]), data)
    assert np.array_equal(exact[1], found[1]) and report["conv0"].precision == "int8"
    model = mxq.quantize_model(*_raw())
    assert sqnr(*(net[1] for net in _raw_outputs(model))) > 100  # integers at the input are what they are


def _raw():
    x = S.var("data")
    sym, args, aux, _ = fill(S.Group([conv(x, "conv0", 4), S.softmax(x * 0.01)]), {"data": (2, 3, 8, 8)})
    pixels = np.random.RandomState(0).randint(0, 256, (2, 3, 8, 8)).astype(np.float32)
    return sym, (args, aux), pixels


def _raw_outputs(_):
    sym, params, pixels = _raw()
    model = mxq.quantize_model(sym, params, pixels.astype(np.uint8), input_dtype="uint8")
    return forward((sym, *params), {"data": pixels}), forward(model, {"data": pixels.astype(np.uint8)})


def yolo(classes: int = 20):
    """A head as detectors have it: corners in pixels, scores up to 1, numbers of classes, joined; then cut."""
    size = 5 + classes
    x = conv(relu(conv(S.var("data"), "conv0", 8, stride=(2, 2)), "relu0"), "predicted", 3 * size, (1, 1))
    x = S.reshape(S.transpose(S.reshape(x, shape=(0, 3 * size, -1)), axes=(0, 2, 1)), shape=(0, -1, 3, size))
    cut = [S.slice_axis(x, axis=-1, begin=a, end=b) for a, b in ((0, 2), (2, 4), (4, 5), (5, size))]
    centre = S.broadcast_add(S.sigmoid(cut[0]) * 64.0, S.var("cells_bias", shape=(1, 64, 1, 2)))
    half = S.broadcast_mul(S.exp(cut[1] * 0.3), S.var("anchors_bias", shape=(1, 1, 3, 2))) / 2.0
    corners = S.tile(S.concat(centre - half, centre + half, dim=-1, name="corners"), reps=(classes, 1, 1, 1, 1))
    scores = S.broadcast_mul(S.sigmoid(cut[3]), S.sigmoid(cut[2]), name="scores")
    scores = S.expand_dims(S.transpose(scores, axes=(3, 0, 1, 2)), axis=-1)
    ids = S.broadcast_add(scores * 0, S.var("ids_bias", shape=(classes, 1, 1, 1, 1)), name="ids")
    joined = S.concat(ids, scores, corners, dim=-1, name="joined")
    joined = S.reshape(S.transpose(joined, axes=(1, 0, 2, 3, 4)), shape=(0, -1, 6), name="boxes")
    cells = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(1, 64, 1, 2) * 50
    anchors = np.float32([[30, 40], [60, 100], [200, 150]]).reshape(1, 1, 3, 2)
    params = {"cells_bias": cells, "anchors_bias": anchors, "ids_bias": np.arange(classes).reshape(-1, 1, 1, 1, 1)}
    ends = ((0, 1), (1, 2), (2, None))
    parts = [S.slice_axis(joined, axis=-1, begin=a, end=b, name=f"part{a}") for a, b in ends]
    return S.Group(parts), {name: mx.nd.array(array) for name, array in params.items()}


def test_classes_scores_and_corners_of_boxes_have_no_scale_in_common():
    sym, params = yolo()
    data = {"data": np.random.RandomState(1).normal(0, 1, (4, 3, 16, 16)).astype(np.float32)}
    with Logged() as log:
        exact, found, report = quantized(sym, data, params, quantize_mode="full")
    assert not log.about("nothing gets through")  # x * 0 is meant
    assert np.array_equal(exact[0], found[0])
    assert sqnr(exact[1], found[1]) > 30 and sqnr(exact[2], found[2]) > 40
    reason = report["joined"].reason
    assert reason.startswith("one scale for 'expand_dims") and "would leave the first" in reason, reason
    assert report["boxes"].reason.startswith("it moves 'joined': one scale")
    assert report["scores"].precision == "int8" and report["corners"].precision == "int8"


def test_branches_of_different_ranges_stay_int8_where_a_layer_reads_them():
    data = {"data": np.random.RandomState(1).normal(0, 1, (4, 3, 8, 8)).astype(np.float32)}
    x = S.var("data")
    joined = S.concat(relu(conv(x, "small", 4) * 0.01, "a"), relu(conv(x, "large", 4), "b"), dim=1, name="joined")
    (exact,), (found,), report = quantized(conv(joined, "conv0", 4), data, quantize_mode="full")
    assert report["joined"].precision == "int8" and sqnr(exact, found) > 30


def test_states_of_zeros_stay_float():
    cell = mx.rnn.LSTMCell(6, prefix="lstm_")
    outputs, _ = cell.unroll(3, inputs=S.var("data"), merge_outputs=False, layout="NTC")
    data = {"data": np.random.RandomState(0).normal(0, 1, (4, 3, 5)).astype(np.float32)}
    with Logged() as log:
        (exact,), (found,), _ = quantized(outputs[-1], data, quantize_mode="full")
        net = fill(outputs[-1], {"data": (4, 3, 5)})
        mxq.quantize_model(*net[:2], statistics=mxq.collect_statistics(*net[:2], data))
    assert sqnr(exact, found) > 30, sqnr(exact, found)
    assert not log.about("nothing gets through"), log.messages


def test_zeros_are_found_through_products():
    x = S.var("data")
    sym = S.zeros_like(x, name="a") * S.sigmoid(x)
    sym = S.Group([S.reshape(sym, shape=(-1,), name="b"), S.elemwise_add(sym, x, name="c"), x * 2, x * 0])
    graph = Graph.from_symbol(sym, {})
    names = {node.name for node in graph.nodes if node.op == "_mul_scalar" and node.get("scalar") == 0}
    assert {"a", "b"} | names <= zeros(graph) and "c" not in zeros(graph) and len(names) == 1
    assert not indices(graph)  # products are computed, not moved
