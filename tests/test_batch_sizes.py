"""Networks made for one batch size, and data that comes in other batches.

Without the checks most of these read or write what lies behind an array, and the process dies.
"""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.contrib import quantization
from mxq.data.batches import Batch
from mxq.network.batch_sizes import BatchSizes, arranged
from mxq.network.graph import Graph
from tests.blocks import sqnr
from tests.networks import conv, fill, forward, relu
from tests.refusals import refused

RNG = np.random.RandomState(3)


def normal(*shape):
    return RNG.normal(0, 1, shape).astype(np.float32)


def fc(x, name="fc", **attrs):
    return mx.sym.FullyConnected(x, num_hidden=5, name=name, **attrs)


def images(n):
    return {"data": normal(n, 3, 6, 6)}


def reshaped(n):
    """The batch size stands in a Reshape, which MXNet does not check."""
    x = mx.sym.Reshape(relu(conv(mx.sym.var("data"), "conv0", 8), "relu0"), shape=(n, 8 * 36))
    return fill(fc(x), {"data": (n, 3, 6, 6)})


def sliced():
    """The first example alone goes on."""
    x = mx.sym.slice(conv(mx.sym.var("data"), "conv0", 8), begin=(0,) * 4, end=(1, 8, 6, 6))
    return fill(fc(x), {"data": (1, 3, 6, 6)})


def positions():
    """A parameter with an axis of examples."""
    x = conv(mx.sym.var("data"), "conv0", 8) + mx.sym.var("positions", shape=(2, 8, 6, 6))
    return fill(fc(relu(x, "relu0")), {"data": (2, 3, 6, 6)})


def turned():
    """Time along the first axis, as in recurrent networks; a layer flattens the rest."""
    x = mx.sym.swapaxes(fc(mx.sym.var("data"), "fc0", flatten=False), dim1=0, dim2=1)
    return fill(fc(x), {"data": (4, 6, 3)})


def frames():
    """Several images an example, then the batch size in a Reshape."""
    x = relu(conv(mx.sym.Reshape(mx.sym.var("data"), shape=(-3, -2)), "conv0", 8), "relu0")
    x = mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg")
    x = mx.sym.mean(mx.sym.Reshape(x, shape=(2, 4, -1)), axis=1)
    return fill(fc(x), {"data": (2, 4, 3, 6, 6)})


def regions():
    """Regions name their image by its number in the batch."""
    x = conv(mx.sym.var("data"), "conv0", 8)
    x = mx.sym.contrib.ROIAlign(x, mx.sym.var("rois"), pooled_size=(3, 3), spatial_scale=1.0, name="align")
    return fill(fc(conv(x, "conv1", 6)), {"data": (2, 3, 12, 12), "rois": (6, 5)})


def some_regions(n, each):
    rois = np.abs(normal(n * each, 5)) + 1
    rois[:, 0], rois[:, 3:] = np.arange(n * each) // each, rois[:, 1:3] + 4
    return {"data": normal(n, 3, 12, 12), "rois": rois}


def siamese():
    """One template for all images."""
    weights = [mx.sym.var("weight"), mx.sym.var("bias")]
    a, b = (conv(mx.sym.var(n), f"conv_{n}", 8, weight=weights[0], bias=weights[1]) for n in ("image", "template"))
    x = mx.sym.broadcast_mul(a, mx.sym.Pooling(b, global_pool=True, kernel=(1, 1), pool_type="avg"))
    return fill(fc(x), {"image": (4, 3, 8, 8), "template": (1, 3, 8, 8)})


def pairs(n):
    return {"image": normal(n, 3, 8, 8), "template": normal(1, 3, 8, 8)}


def correlated():
    """The template's features are the weights of a convolution over one image."""
    x, y = conv(mx.sym.var("image"), "conv0", 4), conv(mx.sym.var("template"), "conv1", 4)
    y = mx.sym.Reshape(y, shape=(-1, 1, 3, 3))
    x = mx.sym.Convolution(x, weight=y, num_filter=4, kernel=(3, 3), num_group=4, no_bias=True, name="cross")
    return fill(conv(x, "conv2", 5), {"image": (1, 3, 8, 8), "template": (1, 3, 3, 3)})


#: Network, calibration data, data to compare on.
CASES = {
    "batches of one": lambda: (reshaped(1), [normal(1, 3, 6, 6) for _ in range(5)], images(1)),
    "one array for a network of one": lambda: (reshaped(1), normal(5, 3, 6, 6), images(1)),
    "batches of four": lambda: (reshaped(4), [normal(4, 3, 6, 6) for _ in range(3)], images(4)),
    "one array for a network of four": lambda: (reshaped(4), normal(10, 3, 6, 6), images(4)),
    "fewer than the network takes": lambda: (reshaped(4), normal(3, 3, 6, 6), images(4)),
    "a slice of the batch": lambda: (sliced(), [normal(1, 3, 6, 6) for _ in range(5)], images(1)),
    "a parameter with examples": lambda: (positions(), [normal(2, 3, 6, 6) for _ in range(3)], images(2)),
    "a parameter with examples, one array": lambda: (positions(), normal(7, 3, 6, 6), images(2)),
    "time first": lambda: (turned(), [normal(4, 6, 3) for _ in range(4)], {"data": normal(4, 6, 3)}),
    "frames": lambda: (frames(), [normal(2, 4, 3, 6, 6) for _ in range(3)], {"data": normal(2, 4, 3, 6, 6)}),
    "regions": lambda: (regions(), [some_regions(2, 3) for _ in range(5)], some_regions(2, 3)),
    "regions of one image": lambda: (regions(), [some_regions(1, 1) for _ in range(9)], some_regions(1, 4)),
    "one template": lambda: (siamese(), [pairs(4) for _ in range(4)], pairs(4)),
    "weights from data": lambda: (
        correlated(),
        [{"image": normal(1, 3, 8, 8), "template": normal(1, 3, 3, 3)} for _ in range(4)],
        {"image": normal(1, 3, 8, 8), "template": normal(1, 3, 3, 3)},
    ),
}


@parameterized.expand([(name,) for name in CASES])
def test_a_network_for_one_batch_size(name):
    RNG.seed(3)
    (sym, args, aux, _), calibration, data = CASES[name]()
    if isinstance(calibration, list):
        calibration.append(data)
    model = mxq.quantize_model(sym, (args, aux), calibration)
    assert model.report.count("int8") >= 2
    for exact, found in zip(forward((sym, args, aux), data), forward(model, data)):
        assert sqnr(exact, found) > 20
    mxq.preflight(sym, (args, aux), calibration)
    assert mxq.collect_statistics(sym, (args, aux), calibration, quantize_mode="full").num_examples >= 3
    explanation = mxq.explain(model, calibration, effect_examples=1)
    assert all(output.sqnr > 15 for output in explanation.outputs), explanation.outputs


def test_a_network_for_one_batch_size_is_evaluated():
    sym, args, aux, _ = reshaped(4)
    data = normal(10, 3, 6, 6)
    seen = []

    def rows(outputs, reference, batch):
        seen.append((batch.n_valid, len(outputs[0])))
        return 0.0

    mxq.quantize_model(sym, (args, aux), data, metric=rows, max_drop=1.0)
    assert set(seen) == {(4, 4), (2, 2)}, seen


def test_the_drop_in_runs_such_a_network():
    sym, args, aux, _ = reshaped(1)
    data = mx.io.NDArrayIter(normal(6, 3, 6, 6), batch_size=3)
    quantized = quantization.quantize_model(
        sym, args, aux, ctx=mx.cpu(), calib_mode="naive", calib_data=data, num_calib_examples=6
    )
    assert sqnr(forward((sym, args, aux), images(1))[0], forward(quantized, images(1))[0]) < 200


def test_statistics_are_those_of_batches_as_they_came():
    sym, args, aux, _ = reshaped(1)
    data = [normal(1, 3, 6, 6) for _ in range(5)]
    found = mxq.collect_statistics(sym, (args, aux), data)
    conv0 = sym.get_internals()["relu0_output"]
    ours = [forward((conv0, {n: args[n] for n in ("conv0_weight", "conv0_bias")}, {}), {"data": x})[0] for x in data]
    assert found["relu0"].count == sum(a.size for a in ours)
    assert np.isclose(found["relu0"].max, max(a.max() for a in ours), rtol=1e-6)


def test_every_frame_is_sampled():
    """The rows of a value belong to the examples in turn."""
    x = mx.sym.Reshape(mx.sym.var("data"), shape=(-3, -2), name="frames")
    x = mx.sym.Pooling(relu(conv(x, "conv0", 4), "relu0"), global_pool=True, kernel=(1, 1), pool_type="avg")
    sym, args, aux, _ = fill(fc(x), {"data": (2, 4, 3, 6, 6)})
    data = np.zeros((3, 4, 3, 6, 6), np.float32)
    data[:, 3] = 1.0  # the last frame of each example
    samples = mxq.collect_statistics(sym, (args, aux), data).samples
    rows = next(samples[source] for source in samples if source.startswith("frames")).rows()
    assert len(rows) == 3 * 4 * 16 and np.isclose((rows != 0).any(axis=(1, 2)).mean(), 0.25)


def test_one_example_that_changes_another_runs_with_it():
    """Shapes do not show a softmax over the examples."""
    x = mx.sym.softmax(conv(mx.sym.var("data"), "conv0", 4), axis=0)
    sym, args, aux, _ = fill(fc(x), {"data": (4, 3, 6, 6)})
    data = [normal(4, 3, 6, 6) for _ in range(3)]
    found = mxq.collect_statistics(sym, (args, aux), data)["softmax0"]
    conv0 = sym.get_internals()["softmax0_output"]
    exact = [forward((conv0, {n: args[n] for n in ("conv0_weight", "conv0_bias")}, {}), {"data": x})[0] for x in data]
    assert np.isclose(found.max, max(a.max() for a in exact), rtol=1e-6)
    assert np.isclose(found.sum, sum(a.sum() for a in exact), rtol=1e-5)


def test_a_network_that_takes_any_batch_is_not_restricted():
    for net in (conv, lambda x, *_: mx.sym.Reshape(conv(x, "conv0", 8), shape=(0, -1))):
        sym, args, aux, _ = fill(fc(net(mx.sym.var("data"), "conv0", 8)), {"data": (2, 3, 6, 6)})
        assert BatchSizes(Graph.from_symbol(sym, args, aux)).grows({"data": (5, 3, 6, 6)})


def test_anchors_do_not_restrict_a_detector():
    """They follow from the size of the feature map, and are the same for all examples."""
    x = conv(mx.sym.var("data"), "conv0", 8)
    anchors = mx.sym.contrib.MultiBoxPrior(x, sizes=(0.3,), ratios=(1,), name="anchors")
    boxes = mx.sym.Flatten(mx.sym.transpose(conv(x, "boxes", 4), axes=(0, 2, 3, 1)))
    scores = mx.sym.Reshape(mx.sym.transpose(conv(x, "scores", 2), axes=(0, 2, 3, 1)), shape=(0, -1, 2))
    scores = mx.sym.transpose(mx.sym.softmax(scores), axes=(0, 2, 1))
    sym, args, aux, _ = fill(mx.sym.contrib.MultiBoxDetection(scores, boxes, anchors), {"data": (2, 3, 6, 6)})
    assert BatchSizes(Graph.from_symbol(sym, args, aux)).grows({"data": (3, 3, 6, 6)})


def test_labels_are_cut_with_their_examples():
    sym, args, aux, _ = reshaped(4)
    batch = Batch({"data": mx.nd.array(normal(6, 3, 6, 6))}, 6).labelled((np.arange(6),))
    first, second = arranged([batch], BatchSizes(Graph.from_symbol(sym, args, aux)))
    assert first.whole and second.whole and (first.n_valid, second.n_valid) == (4, 2)
    assert first.labels[0].tolist() == [0, 1, 2, 3] and second.labels[0].tolist() == [4, 5]
    rows = second.arrays["data"].asnumpy()
    assert len(rows) == 4 and np.array_equal(rows[1], rows[3])
    assert second.valid(rows).shape[0] == 2 and second.valid(rows[:1]).shape[0] == 1


def test_regions_of_no_image_are_refused():
    sym, args, aux, _ = regions()
    data = {name: np.concatenate([array, array]) for name, array in some_regions(2, 1).items()}
    data["rois"][3, 0] = 4
    call = lambda: mxq.quantize_model(sym, (args, aux), data)  # noqa: E731
    refused(call, "'rois' of _contrib_ROIAlign 'align'", "image 4", "batch of 4", error=mxq.CalibrationError)


def test_data_that_fits_in_no_number_is_refused():
    sym, args, aux, _ = reshaped(4)
    refused(lambda: mxq.quantize_model(sym, (args, aux), normal(4, 2, 6, 6)), "conv0", error=mxq.MXQError)


# -- images of several sizes -------------------------------------------------------------------------------------------


def detector():
    """Fully convolutional."""
    x = relu(conv(mx.sym.var("data"), "conv0", 8, stride=(2, 2)), "relu0")
    return fill(conv(x, "conv1", 6), {"data": (1, 3, 16, 12)})


SIZES = [(1, 3, 16, 12), (2, 3, 10, 20), (1, 3, 16, 12), (1, 3, 7, 9)]


def test_images_of_several_sizes_are_one_data_set():
    sym, args, aux, _ = detector()
    data = [normal(*shape) for shape in SIZES]
    model = mxq.quantize_model(sym, (args, aux), data, equalize=False)  # statistics are those of the network as it is
    assert model.statistics.num_examples == 5
    exact = [forward((sym, args, aux), {"data": x})[0] for x in data]
    found = [forward(model, {"data": x})[0] for x in data]
    assert all(sqnr(a, b) > 25 for a, b in zip(exact, found))
    relu0 = sym.get_internals()["relu0_output"]
    params = {n: args[n] for n in ("conv0_weight", "conv0_bias")}
    values = [forward((relu0, params, {}), {"data": x})[0] for x in data]
    assert model.statistics["relu0"].count == sum(v.size for v in values)
    assert np.isclose(model.statistics["relu0"].max, max(v.max() for v in values), rtol=1e-6)
    mxq.preflight(sym, (args, aux), data)
    assert mxq.explain(model, data, effect_examples=2).examples == 5
    controlled = mxq.quantize_model(sym, (args, aux), data, metric="sqnr", min_metric=20.0)
    assert controlled.accuracy.final_metric > 20
    shuffled = mxq.quantize_model(sym, (args, aux), [data[i] for i in (3, 1, 0, 2)])
    assert shuffled.statistics["relu0"].count == model.statistics["relu0"].count


def test_a_size_that_the_network_does_not_take_is_named():
    sym, args, aux, _ = fill(fc(conv(mx.sym.var("data"), "conv0", 8)), {"data": (1, 3, 6, 6)})
    data = [normal(1, 3, 6, 6), normal(1, 3, 6, 7)]
    parts = ("calibration batch 1", "(1, 3, 6, 7)", "(3, 6, 6)", "fc")
    refused(lambda: mxq.quantize_model(sym, (args, aux), data), *parts, error=mxq.CalibrationError)


def test_sequences_of_several_lengths():
    x = mx.sym.Embedding(mx.sym.var("data"), input_dim=20, output_dim=6, name="embedding")
    sym, args, aux, _ = fill(fc(x, flatten=False), {"data": (1, 7)})
    data = [RNG.randint(0, 20, (2, n)).astype(np.float32) for n in (7, 4, 9)]
    assert mxq.quantize_model(sym, (args, aux), data).statistics.num_examples == 6
