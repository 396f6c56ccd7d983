"""Equalization changes no output, and evens out what it may."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.errors import CalibrationError
from mxq.network.graph import Graph
from mxq.network.identity import tensor_key
from mxq.network.shapes import infer_shapes
from mxq.passes import run
from mxq.passes.drop_noops import drop_noops
from mxq.passes.equalize import LARGEST_GAIN, STRENGTH, channel_factors, equalize
from mxq.passes.fold_batchnorm import fold_batchnorm

from ..networks import NETWORKS, batch, fill, forward, graph_of
from ..refusals import refused


def _simplified(net):
    graph = run(graph_of(net), [drop_noops, fold_batchnorm])
    graph.shapes = infer_shapes(graph, net[3])
    return graph


def _channel_max(graph, data):
    """Largest magnitude per channel of every value that has channels."""
    found = {}
    for node in [n for n in graph.nodes if not n.is_variable]:
        probe = graph.copy()
        probe.outputs = [probe.node(node.name).out()]
        probe.prune()
        y = np.abs(forward(probe, data)[0])
        if y.ndim > 1:
            found[tensor_key(node.out())] = y.reshape(*y.shape[:2], -1).max(axis=(0, 2))
    return found


@parameterized.expand([(name,) for name in NETWORKS])
def test_outputs_are_equal_on_every_kind_of_network(name):
    net = NETWORKS[name]()
    data = batch(net[3])
    graph = _simplified(net)
    factors = channel_factors(graph, _channel_max(graph, data))
    for before, after in zip(forward(graph, data), forward(equalize(graph, factors), data)):
        # Two factors that cancel, each rounded in float32.
        np.testing.assert_allclose(after, before, rtol=2e-5, atol=2e-5 * np.abs(before).max())


def _relu(x, name):
    return mx.sym.Activation(x, act_type="relu", name=name)


def _conv(x, name, channels, **kwargs):
    return mx.sym.Convolution(x, num_filter=channels, kernel=kwargs.pop("kernel", (1, 1)), name=name, **kwargs)


def test_through_concat_pooling_grouped_and_fully_connected_readers():
    x = mx.sym.var("data")
    a, b = _relu(_conv(x, "a", 4), "ra"), _relu(_conv(x, "b", 2), "rb")
    cat = mx.sym.Pooling(mx.sym.Concat(a, b), kernel=(2, 2), pool_type="max")
    c = _relu(_conv(cat, "c", 6, num_group=3), "rc")
    net = fill(mx.sym.FullyConnected(c, num_hidden=3, name="fc"), {"data": (2, 3, 4, 4)})
    data = batch(net[3])
    graph = _simplified(net)
    factors = channel_factors(graph, _channel_max(graph, data))
    assert set(factors) == {"a", "b", "c"}
    after = equalize(graph, factors)
    np.testing.assert_allclose(forward(after, data)[0], forward(graph, data)[0], rtol=1e-4, atol=1e-5)
    assert not np.array_equal(after.params["fc_weight"], graph.params["fc_weight"])
    maxima = _channel_max(after, data)["ra"]
    before = _channel_max(graph, data)["ra"]
    assert maxima.max() / maxima.min() < before.max() / before.min()


def test_who_must_not_be_touched():
    x = mx.sym.var("data")
    a = _relu(_conv(x, "a", 3), "ra")  # also read by a sum
    b = mx.sym.sigmoid(_conv(a, "b", 3), name="sigmoid")  # read by no layer
    c = _conv(b + a, "c", 3)  # an output of the network
    net = fill(c, {"data": (2, 3, 4, 4)})
    graph = _simplified(net)
    assert channel_factors(graph, _channel_max(graph, batch(net[3]))) == {}


def test_rows_have_their_channels_last():
    """flatten=False: axis 1 counts rows, here as many as there are channels, so that a mistake fits."""
    x = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=6, flatten=False, name="rows")
    net = fill(mx.sym.FullyConnected(_relu(x, "r"), num_hidden=4, name="fc"), {"data": (4, 6, 6)})
    graph = _simplified(net)
    assert channel_factors(graph, _channel_max(graph, batch(net[3]))) == {}


@parameterized.expand(
    [("zeros", "constant", 0.0, {"a"}), ("ones", "constant", 1.0, set()), ("edge", "edge", 0.0, {"a"})]
)
def test_padding_with_a_value_is_not_scaled(_, mode, value, expected):
    x = _relu(_conv(mx.sym.var("data"), "a", 3), "r")
    x = mx.sym.Pad(x, mode=mode, pad_width=(0, 0, 0, 0, 1, 1, 1, 1), constant_value=value, name="pad")
    net = fill(_conv(x, "b", 2, kernel=(3, 3)), {"data": (2, 3, 4, 4)})
    data = batch(net[3])
    graph = _simplified(net)
    factors = channel_factors(graph, {"r": np.float32([0.1, 1.0, 4.0])})
    assert set(factors) == expected
    np.testing.assert_allclose(
        forward(equalize(graph, factors), data)[0], forward(graph, data)[0], rtol=1e-4, atol=1e-5
    )


def test_factors_of_another_number_of_channels_are_refused():
    net = fill(_conv(_relu(_conv(mx.sym.var("data"), "a", 3), "r"), "b", 2), {"data": (1, 3, 4, 4)})
    parts = ("2 channel factors", "'a'", "3 channels")
    refused(lambda: equalize(_simplified(net), {"a": np.ones(2)}), *parts, error=CalibrationError)


def test_shared_weights_are_left_alone():
    x, w = mx.sym.var("data"), mx.sym.var("w")
    a = mx.sym.Convolution(x, weight=w, no_bias=True, num_filter=3, kernel=(1, 1), name="a")
    sym = mx.sym.Convolution(_relu(a, "r"), weight=w, no_bias=True, num_filter=3, kernel=(1, 1), name="b")
    graph = Graph.from_symbol(sym, {"w": np.float32(np.random.RandomState(0).randn(3, 3, 1, 1))})
    assert channel_factors(graph, {"r": np.float32([1, 2, 3])}) == {}


def test_factors_are_bounded():
    x = mx.sym.var("data")
    net = fill(_conv(_relu(_conv(x, "a", 3), "r"), "b", 2), {"data": (1, 3, 4, 4)})
    graph = _simplified(net)
    factor = channel_factors(graph, {"r": np.float32([0.0, 1e-6, 4.0])})["a"]
    assert factor.max() == 1 and factor.min() > LARGEST_GAIN**-STRENGTH / 10, factor
    assert channel_factors(graph, {"r": np.zeros(3, np.float32)}) == {}


def test_bad_scales_between_layers_do_not_matter():
    x = mx.sym.var("data")
    x = _relu(_conv(x, "a", 16), "ra")
    x = _relu(_conv(x, "b", 16, kernel=(3, 3), num_group=16), "rb")
    net = fill(_conv(x, "c", 5), {"data": (2, 3, 9, 9)})
    data = batch(net[3])
    good, bad = _simplified(net), _simplified(net)
    scale = 10 ** np.random.RandomState(0).uniform(-2, 2, 16)
    for name, axes in (("b_weight", (-1, 1, 1, 1)), ("b_bias", (-1,))):
        bad.params[name] = (bad.params[name] * scale.reshape(axes)).astype(np.float32)
    bad.params["c_weight"] = (bad.params["c_weight"] / scale.reshape(1, -1, 1, 1)).astype(np.float32)
    after = [equalize(graph, channel_factors(graph, _channel_max(graph, data))) for graph in (good, bad)]
    for name in ("b_weight", "b_bias", "c_weight"):
        ratio = after[1].params[name] / after[0].params[name]
        np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-4)  # one factor for the whole tensor
