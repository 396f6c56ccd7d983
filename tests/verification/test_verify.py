"""The int8 network is looked at before it is returned: what is measured, what is an error, what a warning says."""

import logging

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.arithmetic.noise import Noise
from mxq.calib import CalibTable
from mxq.data.batches import Batch
from mxq.errors import GraphError
from mxq.network.batch_sizes import BatchSizes, arranged
from mxq.network.graph import Graph
from mxq.verification import FewExamples
from mxq.verification.shapes import shapes_follow
from mxq.verification.verify import hardest_examples

from ..networks import NETWORKS, conv, fill, forward, head, relu
from ..refusals import refused


def data_of(shapes, examples: int = 16) -> dict:
    rng = np.random.RandomState(3)
    return {name: rng.normal(0, 1, (examples, *shape[1:])).astype(np.float32) for name, shape in shapes.items()}


class Logged(logging.Handler):
    """The messages of mxq inside the block."""

    def __enter__(self):
        self.messages = []
        logging.getLogger("mxq").addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger("mxq").removeHandler(self)

    def emit(self, record):
        self.messages.append(record.getMessage())

    def about(self, part: str) -> list:
        return [text for text in self.messages if part in text]


@parameterized.expand(["residual", "multi_output", "multi_input", "fully_connected"])
def test_sqnr_of_each_output_on_a_few_examples(name):
    sym, args, aux, shapes = NETWORKS[name]()
    data = data_of(shapes, 24)
    model = mxq.quantize_model(sym, (args, aux), data)
    some = {key: array[[4, 12, 20]] for key, array in data.items()}
    exact, found = forward((sym, args, aux), some), forward(model, some)
    assert model.verification.examples == 3 and model.verification.worst is None
    assert len(model.verification.outputs) == len(exact)
    for output, a, b in zip(model.verification.outputs, exact, found):
        noise = Noise()
        noise.add(a, b)
        assert abs(output.sqnr - noise.db) < 0.02, (output, noise.db)  # other kernels of the float network at its end
        assert abs(output.max_error - np.abs(a - b).max()) < 1e-4 and not output.decides
    assert model.verification.summary() in model.report.summary()
    assert model.verification.outputs[0].name in str(model.report)


def test_of_many_examples_eight_are_used_and_of_few_two():
    sym, args, aux, shapes = NETWORKS["residual"]()
    for count, used in ((4, 2), (100, 8)):
        model = mxq.quantize_model(sym, (args, aux), data_of(shapes, count), weight_rounding="nearest")
        assert model.verification.examples == used


def test_without_data_shapes_are_verified_alone():
    sym, args, aux, shapes = NETWORKS["residual"]()
    model = mxq.quantize_model(sym, (args, aux), calib_mode="none", data_shapes=shapes)
    assert model.verification.examples == 0 and not model.verification.outputs
    assert "not compared" in model.report.summary()
    model = mxq.quantize_model(sym, (args, aux), data_of(shapes), verify=False)
    assert model.verification is None and "SQNR" not in model.report.summary()
    refused(lambda: mxq.quantize_model(sym, (args, aux), data_of(shapes), verify="no"), "verify='no'", "warn")


def loud() -> tuple:
    """The second convolution reads little of a channel that is 300 times as large as the others."""
    x = relu(conv(mx.sym.var("data"), "conv0", 6), "relu0")
    x = relu(conv(x, "conv1", 6), "relu1")
    sym, args, aux, shapes = fill(head(x), {"data": (2, 3, 9, 9)})
    args["conv0_weight"][:1] *= 300
    args["conv1_weight"][:, :1] = 0
    return sym, args, aux, shapes


def test_a_poor_output_names_the_operator_that_costs_most_and_what_to_try():
    sym, args, aux, shapes = loud()
    with Logged() as log:
        model = mxq.quantize_model(sym, (args, aux), data_of(shapes), equalize=False, calib_mode="minmax")
    (output,) = model.verification.outputs
    worst = model.verification.worst
    assert output.sqnr < 15
    assert (worst.name, worst.op, worst.tensor) == ("conv1", "Convolution", "relu0") and worst.share > 0.9
    (told,) = log.about("far from float")
    for part in (
        f"fc {output.sqnr:.1f} dB",
        "Convolution 'conv1'",
        "'relu0'",
        "['conv1']",
        "preset='best'",
        "min_metric",
    ):
        assert part in told, (part, told)
    excluded = mxq.quantize_model(
        sym, (args, aux), data_of(shapes), equalize=False, calib_mode="minmax", excluded_sym_names=["conv1"]
    )
    assert excluded.verification.outputs[0].sqnr > 30 and excluded.verification.worst is None


def constant(verify) -> object:
    """A table of another scale: everything behind the first layer is rounded to zero."""
    sym, args, aux, shapes = NETWORKS["residual"]()
    data = data_of(shapes)
    table = mxq.quantize_model(sym, (args, aux), data, verify=False).table
    ranges = {key: (-1e6, 1e6) if key == "gap" else between for key, between in table.ranges.items()}
    wrong = CalibTable(ranges, "mse", table.graph_hash, 16, channel_factors=table.channel_factors)
    return mxq.quantize_model(sym, (args, aux), data, calib_table=wrong, verify=verify)


def test_an_output_that_is_constant_where_that_of_float_is_not_is_an_error_unless_asked_for():
    refused(
        lambda: constant(True), "output 'fc' is 0 everywhere", "FullyConnected 'fc'", "verify='warn'", error=GraphError
    )
    with Logged() as log:
        model = constant("warn")
    assert log.about("is 0 everywhere, and float's goes from") and model.verification.worst.name == "fc"
    with Logged() as log:
        assert constant(False).verification is None
    assert not log.messages


def test_what_is_wrong():
    from mxq.verification.verify import what_is_wrong

    a, b = np.float32([[1, 2], [3, 4]]), np.float32([[1, 2], [3, np.nan]])
    assert "1 values of 4 that are NaN" in what_is_wrong([a], [b])
    assert what_is_wrong([b], [a]) is None  # float itself has them
    assert what_is_wrong([a[:1], a[1:]], [a[:1], a[1:]]) is None
    assert "1 everywhere, and float's goes from 1 to 4" in what_is_wrong([a], [np.ones_like(a)])
    assert "same for all 2 examples" in what_is_wrong([a[:1], a[1:]], [a[:1], a[:1]])
    assert what_is_wrong([a * 1e-3 + 5], [np.full_like(a, 5)]) is None  # what little varies may be rounded away


def test_outputs_that_decide_are_judged_by_the_layers_before_them():
    x = conv(mx.sym.var("data"), "conv0", 6)
    scores = mx.sym.FullyConnected(relu(x, "relu0"), num_hidden=5, name="fc")
    out = mx.sym.Group([mx.sym.argmax(scores, axis=1, name="best"), mx.sym.softmax(scores, name="prob")])
    sym, args, aux, shapes = fill(out, {"data": (2, 3, 9, 9)})
    with Logged() as log:
        model = mxq.quantize_model(sym, (args, aux), data_of(shapes))
    best, prob = model.verification.outputs
    assert best.decides and not prob.decides
    assert [layer.name for layer in model.verification.layers] == ["fc", "prob"]
    assert model.verification.layers[0].sqnr > 30 and not log.about("far from float")


def test_the_reference_is_not_fused_whatever_mxnet_does_by_default():
    """MXNet's fusion computes another value where a sum is read before and behind its ReLU."""
    x = conv(mx.sym.var("data"), "conv0", 6)
    total = mx.sym.elemwise_add(conv(relu(x, "relu0"), "conv1", 6), x, name="add")
    out = mx.sym.elemwise_add(conv(relu(total, "relu1"), "conv2", 6), total, name="add2")
    sym, args, aux, shapes = fill(out, {"data": (1, 3, 9, 9)})
    model = mxq.quantize_model(sym, (args, aux), data_of(shapes))
    assert model.verification.outputs[0].sqnr > 30


def test_shapes_that_do_not_follow_from_the_data_are_an_error():
    sym, args, aux, shapes = NETWORKS["residual"]()
    model = mxq.quantize_model(sym, (args, aux), data_of(shapes), regions=False, verify=False)
    network = Graph.from_symbol(sym, args, aux)
    shapes_follow(model, network, shapes)
    open_ = mx.sym.Group([model.symbol, mx.sym.zeros(shape=(0, 3), name="state")])
    broken = type(model)(open_, model.arg_params, model.aux_params)
    refused(lambda: shapes_follow(broken, network, shapes), "cannot be bound", "_zeros 'state'", "data (2, 3, 9, 9)")
    other = Graph.from_symbol(mx.sym.Group([sym, sym]), args, aux)
    refused(lambda: shapes_follow(model, other, shapes), "returns shapes", "float network")


def kept(graph, sizes, count, sub_batch=8, most=8) -> list:
    few = FewExamples(graph, most, sub_batch)
    batches, first = [], 0
    for size in sizes:
        values = np.arange(first, first + size, dtype=np.float32).reshape(-1, 1, 1, 1)
        batches.append(Batch({"data": mx.nd.array(np.broadcast_to(values, (size, 3, 5, 5)))}, size))
        first += size
    batches = list(arranged(batches, BatchSizes(graph)))
    assert list(few.through(batches)) == batches
    return [part.arrays["data"].asnumpy()[:, 0, 0, 0].tolist() for part in few.parts(count)]


def test_examples_that_are_kept_lie_apart():
    free = Graph.from_symbol(*NETWORKS["residual"]()[:3])
    assert kept(free, [4, 4, 4], 6) == [[1, 3, 5, 7, 9, 11]]
    assert kept(free, [32] * 8, 8) == [[0, 32, 64, 96, 128, 160, 192, 224]]
    assert kept(free, [4, 4, 4], 3, sub_batch=2) == [[2, 6], [10]]
    assert kept(free, [2, 3], 2, sub_batch=None) == [[2, 3, 4]]  # as they come
    assert kept(free, [1, 1, 1], 2, sub_batch=None) == [[0], [2]]
    assert kept(free, [3], 8) == [[0, 1, 2]] and kept(free, [], 8) == []


def test_images_of_different_sizes_are_not_joined():
    few = FewExamples(Graph.from_symbol(*NETWORKS["pyramid"]()[:3]), 8, 8)
    batches = [Batch({"data": mx.nd.zeros((2, 3, *size))}, 2) for size in ((8, 10), (4, 6), (8, 10))]
    assert len(list(few.through(batches))) == 3
    assert [part.arrays["data"].shape for part in few.parts(8)] == [(4, 3, 8, 10), (2, 3, 4, 6)]


def test_batches_of_a_network_made_for_one_size_are_run_as_they_come():
    x = relu(conv(mx.sym.var("data"), "conv0", 6), "relu0")
    x = mx.sym.Reshape(x, shape=(4, -1), name="rows")
    sym, args, aux, shapes = fill(mx.sym.FullyConnected(x, num_hidden=3, name="fc"), {"data": (4, 3, 5, 5)})
    assert kept(Graph.from_symbol(sym, args, aux), [4, 4, 4], 5) == [[0, 1, 2, 3], [8, 9, 10, 11]]
    model = mxq.quantize_model(sym, (args, aux), [data_of(shapes, 4)["data"]] * 2, sub_batch=None)
    assert model.verification.examples == 4 and model.verification.outputs[0].sqnr > 30


def test_integers_as_data():
    sym, args, aux, shapes = NETWORKS["residual"]()
    pixels = np.random.RandomState(0).randint(0, 256, (16, *shapes["data"][1:])).astype(np.uint8)
    model = mxq.quantize_model(sym, (args, aux), pixels, mean=127.0, std=60.0, input_dtype="uint8")
    assert model.verification.outputs[0].sqnr > 30
    model = mxq.quantize_model(sym, (args, aux), pixels)  # integers that stand for numbers of a float input
    assert model.verification.outputs[0].sqnr > 30


def test_the_worst_operator_is_sought_on_the_examples_with_the_most_noise():
    """All but one in sixteen examples saturate the tanh: on those nothing is rounded that anybody sees."""
    x = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=8, no_bias=True, name="fc1")
    x = mx.sym.FullyConnected(mx.sym.tanh(x, name="tanh1"), num_hidden=3, name="fc2")
    sym, args, aux, _ = fill(x, {"data": (64, 4)})
    data = np.random.RandomState(0).normal(0, 1, (64, 4)).astype(np.float32)
    data *= np.where(np.arange(64) % 16 == 13, 0.3, 3000)[:, None].astype(np.float32)
    with Logged() as log:
        model = mxq.quantize_model(sym, (args, aux), data, precision_budget=0)
    worst = model.verification.worst
    assert worst is not None and worst.name in ("fc1", "tanh1") and worst.effect < 20, model.verification
    assert log.about(f"{worst.name!r} costs most")


def test_hardest_examples_are_those_with_the_most_noise():
    parts = [Batch({"data": mx.nd.array([[i], [i + 1]])}, 2) for i in (0, 2)]
    exact = [[np.float32([[1], [1]]), np.float32([5])], [np.float32([[1], [1]]), np.float32([5])]]
    found = [[np.float32([[1], [2]]), np.float32([5])], [np.float32([[1], [np.nan]]), np.float32([4])]]
    chosen = hardest_examples(parts, exact, found, 1)
    assert chosen.n_valid == 1 and chosen.arrays["data"].asnumpy().tolist() == [[3]]
    assert hardest_examples(parts[:1], exact[:1], found[:1], 2).arrays["data"].asnumpy().tolist() == [[0], [1]]
    whole = [part.as_whole() for part in parts]
    assert hardest_examples(whole, exact, found, 1) is whole[1]
