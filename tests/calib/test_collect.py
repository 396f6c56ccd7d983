import io
import sys

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.calib import batches, choose, collect, tensor_key
from mxq.calib.collect import SUB_BATCH
from mxq.errors import CalibrationError, ConfigError
from mxq.network.graph import Graph
from tests import realdata

RNG = np.random.RandomState(0)
X = RNG.normal(0, 1, (10, 3, 9, 11)).astype(np.float32)


def network():
    """Residual, two outputs of one node, a shared tensor, a parameter as an operand, a label."""
    data = mx.sym.var("data")
    conv = mx.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=6, name="conv0")
    norm = mx.sym.BatchNorm(conv, name="bn0", fix_gamma=False)
    relu = mx.sym.Activation(norm, act_type="relu", name="relu0")
    conv1 = mx.sym.Convolution(relu, kernel=(3, 3), pad=(1, 1), num_filter=6, name="conv1")
    add = mx.sym.elemwise_add(conv1, relu, name="add0")
    scaled = mx.sym.broadcast_mul(add, mx.sym.var("factor", shape=(1, 6, 1, 1)), name="mul0")
    parts = mx.sym.SliceChannel(scaled, num_outputs=2, name="split0")
    fc = mx.sym.FullyConnected(parts[1], num_hidden=5, name="fc0")
    return mx.sym.SoftmaxOutput(fc, name="softmax")


def make():
    sym = network()
    arg_shapes, _, aux_shapes = sym.infer_shape(data=X.shape)
    rng = np.random.RandomState(1)
    args = {n: mx.nd.array(rng.normal(0, 0.4, s)) for n, s in zip(sym.list_arguments(), arg_shapes)}
    aux = {n: mx.nd.array(rng.uniform(0.5, 1.5, s)) for n, s in zip(sym.list_auxiliary_states(), aux_shapes)}
    for name in ("data", "softmax_label"):
        del args[name]
    return sym, args, aux


SYM, ARGS, AUX = make()
GRAPH = Graph.from_symbol(SYM, ARGS, AUX)
NAMES = ["data", "conv0", "bn0", "relu0", "conv1", "add0", "factor", "mul0", "split0", "fc0", "softmax"]
KEYS = {tensor_key(v): v for v in [GRAPH.node(n).out() for n in NAMES] + [GRAPH.node("split0").out(1)]}


def truth():
    """The same tensors by MXNet, one at a time."""
    internals = SYM.get_internals()
    arrays = {**ARGS, **AUX, "data": mx.nd.array(X), "softmax_label": mx.nd.zeros(10)}
    values = {"data": X, "factor": ARGS["factor"].asnumpy()}
    for key in KEYS:
        if key not in values:
            name, _, index = key.partition(":")
            head = internals[f"{name}_output{index or 0}" if name == "split0" else f"{name}_output"]
            values[key] = mx.nd.CachedOp(head)(*[arrays[n] for n in head.list_inputs()]).asnumpy()
    return values


def run(data=X, keys=KEYS, graph=GRAPH, num_examples=None, **options):
    return collect(graph, keys, batches(data, ["data"], num_examples=num_examples), **options)


def raises(function, *parts, error=CalibrationError):
    try:
        function()
    except error as caught:
        assert all(part in str(caught) for part in parts), str(caught)
        return
    raise AssertionError(f"no {error.__name__}")


@parameterized.expand([(1,), (4,), (10,), (None,)])
def test_statistics_of_every_kind_of_tensor(sub_batch):
    statistics = run(sub_batch=sub_batch)
    assert list(statistics) == list(KEYS) and statistics.num_examples == 10
    for key, values in truth().items():
        stats = statistics[key]
        assert stats.count == values.size, key
        # float32 sums in another order where the batch has another size
        assert np.allclose([stats.min, stats.max], [values.min(), values.max()], rtol=1e-5, atol=1e-6), key
        assert np.isclose(stats.sum_of_squares, (values.astype(np.float64) ** 2).sum(), rtol=1e-4), key


def test_in_one_batch_counts_equal_the_tensors_own():
    statistics = run(sub_batch=None)
    for key, values in truth().items():
        histogram = statistics[key].histogram()
        beyond = np.sum(values >= 3 * histogram.width)
        assert histogram.counts[max(3 - histogram.first, 0) :].sum() == beyond, key


def test_only_what_is_asked_for_is_run():
    """The part behind the last watched tensor may even lack its parameters' values."""
    graph = GRAPH.copy()
    del graph.params["fc0_weight"]
    statistics = run(graph=graph, keys={"relu": graph.node("relu0").out()})
    assert list(statistics) == ["relu"] and statistics["relu"].min == 0.0


def test_the_graph_is_not_changed():
    before = GRAPH.to_symbol()[0].tojson()
    run()
    assert GRAPH.to_symbol()[0].tojson() == before


def test_only_inputs_need_no_network():
    statistics = run(keys={"data": GRAPH.node("data").out()})
    assert (statistics["data"].min, statistics["data"].max) == (X.min(), X.max())


def test_two_keys_of_one_value():
    statistics = run(keys={"a": GRAPH.node("relu0").out(), "b": GRAPH.node("relu0").out()})
    assert statistics["a"].max == statistics["b"].max > 0


def test_batch_and_image_size_may_change():
    data = [X[:3], X[3:4], X[4:]]
    by_batches = run(data, sub_batch=4)
    assert by_batches["relu0"].count == 10 * 6 * 9 * 11
    conv = {"relu0": GRAPH.node("relu0").out()}
    a = collect(GRAPH, conv, batches([X], ["data"]))
    b = collect(GRAPH, conv, batches([X[:, :, :7]], ["data"]))
    a.merge(b)
    assert a["relu0"].count == 10 * 6 * 11 * (9 + 7)


def test_exactly_num_examples():
    assert run(num_examples=7)["data"].count == 7 * 3 * 9 * 11


def test_integer_pixels():
    pixels = RNG.randint(0, 256, X.shape).astype(np.uint8)
    statistics = run(pixels, keys={"data": GRAPH.node("data").out(), "conv0": GRAPH.node("conv0").out()})
    floats = run(pixels.astype(np.float32), keys={"conv0": GRAPH.node("conv0").out()})
    assert (statistics["data"].min, statistics["data"].max) == (pixels.min(), pixels.max())
    assert statistics["conv0"].max == floats["conv0"].max


def test_not_inside_a_training_scope():
    """BatchNorm uses its own statistics even where the caller records."""
    expected = run()["bn0"].max
    with mx.autograd.record():
        assert run()["bn0"].max == expected


def overflowing():
    graph = GRAPH.copy()
    graph.params["conv1_weight"] = graph.params["conv1_weight"] * np.float32(1e38)
    return graph


def test_a_tensor_that_overflows_is_named():
    graph = overflowing()
    raises(
        lambda: run(graph=graph, keys={k: graph.node(k).out() for k in ("relu0", "conv1")}),
        f"'conv1' in calibration examples 0 to {SUB_BATCH - 1}", "not finite",
    )  # fmt: skip


def test_a_parameter_that_is_not_finite_is_named():
    graph = GRAPH.copy()
    graph.params["factor"] = np.full((1, 6, 1, 1), np.nan, np.float32)
    raises(lambda: run(graph=graph, keys={"factor": graph.node("factor").out()}), "'factor' as a parameter", "nan")


def test_data_of_another_shape():
    raises(lambda: run(X[:, :2]), "does not accept", f"({SUB_BATCH}, 2, 9, 11)")


def test_data_of_another_name():
    data = batches({"image": X}, ["image"])
    raises(lambda: collect(GRAPH, {"conv0": GRAPH.node("conv0").out()}, data), "without data")
    data = batches({"image": X}, ["image"])
    raises(lambda: collect(GRAPH, {"data": GRAPH.node("data").out()}, data), "lacks input 'data'", "image")


def test_no_data():
    raises(lambda: collect(GRAPH, KEYS, []), "empty")


def test_several_inputs():
    a, b = mx.sym.var("a"), mx.sym.var("b")
    sym = mx.sym.concat(mx.sym.relu(a, name="relu_a"), b, dim=1, name="joined")
    graph = Graph.from_symbol(sym, {})
    arrays = {"b": X[:, 0, 0], "a": X[:, 1, 1]}
    statistics = collect(graph, {"joined": graph.outputs[0]}, batches(arrays, ["a", "b"]))
    assert statistics["joined"].min == X[:, 0, 0].min()
    assert statistics["joined"].count == 10 * 22


def test_progress_bar_only_for_people():
    stderr, sys.stderr = sys.stderr, io.StringIO()
    try:
        run()
        assert sys.stderr.getvalue() == ""
    finally:
        sys.stderr = stderr


# -- choose ------------------------------------------------------------------------------------------------------------


@parameterized.expand([("minmax",), ("entropy",), ("percentile",), ("mse",)])
def test_choose(mode):
    statistics = run()
    table = choose(statistics, mode, graph_hash="ab")
    assert (table.mode, table.graph_hash, table.num_examples) == (mode, "ab", 10)
    assert list(table.ranges) == list(KEYS)
    lo, hi = table.range("relu0")
    assert lo == 0.0 and 0.3 * statistics["relu0"].max < hi <= statistics["relu0"].max


def test_naive_is_minmax():
    statistics = run()
    assert choose(statistics, "naive") == choose(statistics, "minmax")
    assert choose(statistics, "minmax").ranges == statistics.extremes()


def test_types():
    statistics = run()
    affine = choose(statistics, "percentile", dtype="uint8", percentile=90)
    symmetric = choose(statistics, "percentile", dtype="int8", percentile=90)
    mixed = choose(statistics, "percentile", dtype={"conv0": "uint8"}, percentile=90)
    automatic = choose(statistics, "percentile", percentile=90)
    assert mixed.range("conv0") == affine.range("conv0") != symmetric.range("conv0") == automatic.range("conv0")
    lo, hi = symmetric.range("conv0")
    assert lo == -hi


def test_choose_errors():
    statistics = run()
    raises(lambda: choose(statistics, "entropie"), "'entropie'", "minmax, entropy, percentile, mse", error=ConfigError)
    raises(lambda: choose(statistics, "mse", dtype="int16"), "'int16'", "uint8", error=ConfigError)
    raises(lambda: choose(statistics, "minmax", percentile=9), "no option 'percentile'", error=ConfigError)
    raises(lambda: choose(statistics, "mse", percentile=9), "it has clip_weight", error=ConfigError)


# -- a real network ----------------------------------------------------------------------------------------------------


def test_resnet18():
    """MXNet's executor does not bind this group of values: its fusion of Convolution, BatchNorm and sum breaks."""
    realdata.need()
    sym, args, aux = realdata.load("resnet18")
    graph = Graph.from_symbol(sym, args, aux)
    keys = {}
    for node in graph.nodes:
        if node.op in ("Convolution", "FullyConnected", "elemwise_add", "broadcast_add"):
            keys.update((tensor_key(v), v) for v in node.inputs if v.node.name not in graph.params)
            keys[tensor_key(node.out())] = node.out()
    images = RNG.normal(0, 1, (2, 3, 224, 224)).astype(np.float32)
    statistics = collect(graph, keys, batches(images, ["data"]))
    assert len(statistics) > 40 and all(stats.count > 0 for stats in statistics.values())
    last = graph.outputs[0]
    arrays = {**args, **aux, "data": mx.nd.array(images)}
    logits = mx.nd.CachedOp(sym)(*[arrays[name] for name in sym.list_inputs()]).asnumpy()
    assert np.isclose(statistics[tensor_key(last)].max, logits.max(), rtol=1e-4)
