"""Data that does not fit what the first BatchNorm remembers, on images made up with a colour cast."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.network.bind import unfused
from mxq.report.preprocessing import _as_pixels, _candidates, _divergence, _Memory
from tests import realdata
from tests.networks import bn, conv, head, relu


def _pixels(n=64, seed=0):
    """Smooth images whose red is bright and whose blue is dark, (n, 3, 16, 16) in 0 to 255, RGB."""
    rng = np.random.RandomState(seed)
    coarse = rng.uniform(0, 1, (n, 3, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
    shared = rng.uniform(0, 1, (n, 1, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
    cast = np.float32([0.9, 0.6, 0.35]).reshape(3, 1, 1)
    return np.rint(255 * (0.3 * coarse + 0.7 * shared) * cast).astype(np.float32)


def _network(prepared, memory=None):
    """conv-bn-relu with a head; the BatchNorm has the moments of `prepared`, or those given."""
    x = conv(mx.sym.var("data"), "conv0", 8, no_bias=True)
    first = x
    symbol = head(relu(bn(x, "bn0"), "relu0"))
    rng = np.random.RandomState(1)
    shapes, _, aux_shapes = symbol.infer_shape(data=prepared.shape)
    args = {n: rng.normal(0, 0.4, s).astype("float32") for n, s in zip(symbol.list_arguments(), shapes) if n != "data"}
    args["bn0_gamma"][:], args["bn0_beta"][:] = 1, 0
    args = {name: mx.nd.array(array) for name, array in args.items()}
    with unfused():
        bound = first.bind(mx.cpu(), {"data": mx.nd.array(prepared), "conv0_weight": args["conv0_weight"]})
    values = bound.forward()[0].asnumpy()
    mean, var = memory or (values.mean((0, 2, 3)), values.var((0, 2, 3)))
    aux = {"bn0_moving_mean": mx.nd.array(mean), "bn0_moving_var": mx.nd.array(var)}
    return symbol, (args, aux)


def _along(*values):
    return np.float32(values).reshape(3, 1, 1)


TRAINED = {
    "unit": lambda p: p / 127.5 - 1,
    "imagenet": lambda p: (p - _along(123.675, 116.28, 103.53)) / _along(58.395, 57.12, 57.375),
    "raw": lambda p: p,
}
#: All ways in which findings can tell to prepare pixels, as they name them.
WAYS = {
    "pixels 0 to 255": TRAINED["raw"],
    "pixels / 255": lambda p: p / 255,
    "pixels / 127.5 - 1": TRAINED["unit"],
    "pixels / 255 - 0.5": lambda p: p / 255 - 0.5,
    "pixels minus the mean (123.68, 116.78, 103.94) for RGB order": lambda p: p - _along(123.68, 116.78, 103.94),
    "pixels minus the mean (123.68, 116.78, 103.94) for BGR order": lambda p: p - _along(103.94, 116.78, 123.68),
    "pixels minus (123.675, 116.28, 103.53), divided by (58.395, 57.12, 57.375) for RGB order": TRAINED["imagenet"],
    "pixels minus (123.675, 116.28, 103.53), divided by (58.395, 57.12, 57.375) for BGR order": lambda p: (
        (p - _along(103.53, 116.28, 123.675)) / _along(57.375, 57.12, 58.395)
    ),
}


def _found(network, data, **options):
    return [f for f in mxq.preflight(*network, data, **options) if f.check == "preprocessing"]


@parameterized.expand(sorted(TRAINED))
def test_the_right_preprocessing_is_not_reported(name):
    network = _network(TRAINED[name](_pixels()))
    for n in (4, 16, 64):
        assert not _found(network, TRAINED[name](_pixels(n, seed=2)))


@parameterized.expand(sorted(TRAINED))
def test_channels_in_the_wrong_order(name):
    prepare = TRAINED[name]
    network = _network(prepare(_pixels()))
    swapped = np.ascontiguousarray(prepare(_pixels(64, seed=2))[:, ::-1])
    (finding,) = _found(network, swapped)
    assert finding.severity == "warning" and finding.node == "data" and "reversed" in finding.advice
    assert "bn0" in finding.value


@parameterized.expand(
    [
        ("unit", lambda p: p, "pixels / 127.5 - 1"),
        ("unit", lambda p: p / 255, "pixels / 127.5 - 1"),
        ("imagenet", lambda p: p / 255, "divided by (58.395, 57.12, 57.375) for RGB order"),
        ("imagenet", lambda p: p / 127.5 - 1, "divided by (58.395, 57.12, 57.375) for RGB order"),
        ("raw", lambda p: p / 127.5 - 1, "pixels 0 to 255"),
    ]
)
def test_the_wrong_scale(trained, given, wanted):
    network = _network(TRAINED[trained](_pixels()))
    (finding,) = _found(network, given(_pixels(64, seed=2)))
    assert wanted in finding.advice and "reversed" not in finding.advice


@parameterized.expand(sorted(WAYS))
def test_every_way_is_what_its_name_says(name):
    """From data of each: taken back to pixels, and then prepared as told, with channels as they are or reversed."""
    pixels = np.random.RandomState(0).randint(0, 256, (2, 3, 16, 16)).astype(np.float32)
    data = WAYS[name](pixels)
    readings = list(_as_pixels(data, True))
    assert all(r.min() >= -2 and r.max() <= 257 and r.max() - r.min() > 64 for r in readings)
    found = {}
    for candidate in _candidates(data, everything=True):
        found.setdefault(candidate.told, []).append(candidate.data)
    reversed_too = ", with the order of its channels reversed"
    alone = found.pop("with the order of its channels reversed (RGB or BGR)")
    assert set(found) == {f"as {way}{end}" for way in WAYS for end in ("", reversed_too)}
    np.testing.assert_array_equal(alone[0], data[:, ::-1])
    for way, prepare in WAYS.items():
        for end, image in (("", pixels), (reversed_too, pixels[:, ::-1])):
            wanted = prepare(image)
            least = min(np.abs(given - wanted).max() for given in found[f"as {way}{end}"])
            assert least < 1e-5 * np.abs(wanted).max(), (way, end, least)


def test_nothing_like_the_training_data():
    network = _network(TRAINED["unit"](_pixels()))
    noise = np.random.RandomState(0).normal(0, 500, (16, 3, 16, 16)).astype(np.float32)
    (finding,) = _found(network, noise)
    assert "preprocessing of the training" in finding.advice


def test_a_folded_batchnorm_remembers_nothing():
    network = _network(TRAINED["unit"](_pixels()), memory=(np.zeros(8), np.ones(8)))
    assert not _found(network, _pixels())


def test_few_examples_tell_nothing():
    network = _network(TRAINED["unit"](_pixels()))
    assert not _found(network, _pixels(3))


def test_normalization_inside_the_network_counts():
    network = _network(TRAINED["unit"](_pixels()))
    pixels = _pixels(64, seed=2).astype(np.uint8)
    right = dict(mean=127.5, std=127.5, input_dtype="uint8")
    assert not _found(network, pixels, **right)
    (finding,) = _found(network, pixels, mean=0.0, std=255.0, input_dtype="uint8")
    assert "pixels / 127.5 - 1" in finding.advice


def test_a_batchnorm_on_the_data_itself():
    x = bn(mx.sym.var("data"), "bn_data", fix_gamma=True)
    symbol = head(conv(x, "conv0", 4))
    prepared = TRAINED["unit"](_pixels())
    shapes, _, _ = symbol.infer_shape(data=prepared.shape)
    args = {n: mx.nd.ones(s) for n, s in zip(symbol.list_arguments(), shapes) if n != "data"}
    aux = {
        "bn_data_moving_mean": mx.nd.array(prepared.mean((0, 2, 3))),
        "bn_data_moving_var": mx.nd.array(prepared.var((0, 2, 3))),
    }
    assert not _found((symbol, (args, aux)), TRAINED["unit"](_pixels(64, seed=3)))
    (finding,) = _found((symbol, (args, aux)), TRAINED["unit"](_pixels(64, seed=3))[:, ::-1])
    assert "reversed" in finding.advice


def test_a_network_made_for_one_batch_size():
    prepared = TRAINED["unit"](_pixels())
    network = _network(prepared)
    batches = [prepared[:8, ::-1], prepared[8:16, ::-1], prepared[16:24, ::-1]]
    (finding,) = _found(network, batches, sub_batch=None)
    assert "reversed" in finding.advice


def test_real_networks_fed_rightly_and_wrongly():
    realdata.need()
    wrong = {
        "reversed": lambda p: p[:, ::-1] / 127.5 - 1,
        "pixels / 127.5 - 1": lambda p: p / 255,
    }
    pixels = np.stack([image for image, _ in realdata.pixels("mobilenet0.75", "val", 64)]).astype(np.float32)
    network = realdata.load("mobilenet0.75")
    graph = mxq.network.graph.Graph.from_symbol(*network)
    from mxq.report.preprocessing import preprocessing

    assert not preprocessing(graph, "data", pixels / 127.5 - 1, at_once=16)
    for advice, prepare in wrong.items():
        (finding,) = preprocessing(graph, "data", prepare(pixels), at_once=16)
        assert advice in finding.advice


def test_the_divergence_is_that_of_normal_distributions():
    """KL(N(m, v) || N(0, 1)) = (v + m^2 - 1 - ln v) / 2, the mean over channels; epsilon counts on both sides."""
    for eps in (0.0, 0.5):
        memory = _Memory(None, np.zeros(3), np.full(3, 1 - eps), eps)
        mean, var = np.float64([0, 1, -2]), np.float64([1, 2, 0.5]) - eps
        found = _divergence(memory, np.stack([mean, var + mean**2]))
        np.testing.assert_allclose(found, (0 + (2 - np.log(2)) / 2 + (3.5 + np.log(2)) / 2) / 3, rtol=1e-12)
