import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.errors import ConfigError, GraphError
from mxq.network.graph import Graph
from mxq.passes import run
from mxq.passes.prepend_normalization import prepend_normalization
from tests import networks, realdata
from tests.networks import conv, fill, forward, graph_of

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def raw(shape, dtype, seed=0):
    low, high = {"uint8": (0, 256), "int8": (-128, 128), "float32": (0, 256)}[dtype]
    return np.random.RandomState(seed).randint(low, high, shape).astype(dtype)


def normalized(pixels, mean, std):
    def column(numbers):
        return np.asarray(numbers, np.float32).reshape(-1, 1, 1)

    return (pixels.astype(np.float32) - column(mean)) / column(std)


@parameterized.expand(
    [
        ("uint8", MEAN, STD),
        ("int8", (0.675, -0.72, 0.53), STD),
        ("float32", MEAN, STD),
        ("uint8", 127.5, 127.5),
        ("uint8", MEAN, 1.0),
        ("uint8", 0, 255.0),
        ("uint8", (104.0, 117.0, 123.0), (1, 1, 1)),
        ("uint8", 0, 1),
    ]
)
def test_equals_preprocessing_in_float_bit_for_bit(dtype, mean, std):
    net = networks.plain()
    graph = run(graph_of(net), [lambda g: prepend_normalization(g, "data", mean, std, dtype)])
    pixels = raw(net[3]["data"], dtype)
    feed = normalized(pixels, mean, std)
    inner = Graph.from_symbol(*graph.to_symbol())
    inner.outputs = [inner.node("conv0").inputs[0]]
    inner.prune()
    assert np.array_equal(forward(inner, {"data": pixels})[0], feed)
    assert np.array_equal(forward(graph, {"data": pixels})[0], forward(net, {"data": feed})[0])


def test_padding_borders_are_zeros_of_the_normalized_image():
    net = fill(conv(mx.sym.var("data"), "conv", 4, (5, 5), pad=(2, 2)), {"data": (1, 3, 6, 6)})
    graph = prepend_normalization(graph_of(net), "data", MEAN, STD)
    pixels = raw((1, 3, 6, 6), "uint8")
    assert np.array_equal(forward(graph, {"data": pixels})[0], forward(net, {"data": normalized(pixels, MEAN, STD)})[0])


def test_names_and_type_of_the_input():
    graph = prepend_normalization(graph_of(networks.plain()), "data", MEAN, STD)
    chain = [n.name for n in graph.nodes if n.name.startswith("data")]
    assert [n for n in chain if n not in ("data_mean", "data_std")] == [
        "data",
        "data_cast",
        "data_centered",
        "data_normalized",
    ]
    assert graph.params["data_mean"].shape == (1, 3, 1, 1) and graph.params["data_mean"].dtype == np.float32
    sym, args, _ = graph.to_symbol()
    executor = sym.simple_bind(mx.cpu(), grad_req="null", data=(1, 3, 13, 11))
    assert executor.arg_dict["data"].dtype == np.uint8  # without being told
    assert "data" not in args
    assert sym.list_outputs() == ["softmax_output"]


def test_steps_that_do_nothing_are_left_out():
    graph = graph_of(networks.plain())
    before = len(graph.nodes)
    assert len(prepend_normalization(graph, "data", 0, 1, "float32").nodes) == before
    assert len(prepend_normalization(graph, "data", 0, 1, "uint8").nodes) == before + 1
    assert len(graph.nodes) == before and "__dtype__" not in graph.node("data").attrs


def test_taken_names_get_a_number():
    x = conv(mx.sym.var("data"), "data_cast", 4)
    graph = prepend_normalization(graph_of(fill(x, {"data": (1, 3, 6, 6)})), "data", MEAN, STD)
    assert graph.node("data_cast").op == "Convolution" and graph.node("data_cast_1").op == "Cast"


def test_one_of_several_inputs():
    net = networks.multi_input()
    graph = run(graph_of(net), [lambda g: prepend_normalization(g, "right", 127.5, 64.0)])
    data = networks.batch(net[3])
    pixels = raw(net[3]["right"], "uint8")
    expected = forward(net, dict(data, right=(pixels.astype(np.float32) - np.float32(127.5)) / np.float32(64)))
    assert np.array_equal(forward(graph, dict(data, right=pixels))[0], expected[0])


def test_input_with_two_readers_and_another_rank():
    x = mx.sym.var("data")
    net = fill(mx.sym.Concat(conv(x, "a", 4, (3,)), conv(x, "b", 3, (1,)), dim=1), {"data": (2, 4, 9)})
    graph = prepend_normalization(graph_of(net), "data", (1, 2, 3, 4), (4, 3, 2, 1), "int8", ndim=3)
    values = raw((2, 4, 9), "int8")
    feed = values.astype(np.float32) - np.float32([1, 2, 3, 4]).reshape(-1, 1)
    feed /= np.float32([4, 3, 2, 1]).reshape(-1, 1)
    assert np.array_equal(forward(graph, {"data": values})[0], forward(net, {"data": feed})[0])


@parameterized.expand(
    [
        ("std_zero", dict(std=0), ConfigError, "positive"),
        ("std_negative", dict(std=(1, 1, -1)), ConfigError, "positive"),
        ("nan", dict(mean=float("nan")), ConfigError, "finite"),
        ("text", dict(mean="imagenet"), ConfigError, "imagenet"),
        ("empty", dict(mean=()), ConfigError, "mean"),
        ("lengths", dict(mean=(1, 2), std=(1, 2, 3)), ConfigError, "2 values and std has 3"),
        ("dtype", dict(dtype="float16"), ConfigError, "'float16'"),
        ("axis", dict(axis=4), ConfigError, "axis 4"),
        ("name", dict(data_name="dat"), GraphError, "nearest: data"),
        ("parameter", dict(data_name="conv0_weight"), GraphError, "'conv0_weight'"),
    ]
)
def test_bad_arguments(_, change, kind, words):
    arguments = dict({"data_name": "data", "mean": MEAN, "std": STD}, **change)
    try:
        prepend_normalization(graph_of(networks.plain()), **arguments)
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError("no error")


@parameterized.expand(sorted(realdata.NETWORKS))
def test_real_networks_on_raw_pixels(name):
    realdata.need()
    net = realdata.load(name)
    prep = realdata.NETWORKS[name]
    pixels, _ = next(realdata.images(name, "calib", 2, batch_size=2, dtype="uint8"))
    data, _ = next(realdata.images(name, "calib", 2, batch_size=2))
    graph = prepend_normalization(graph_of(net), "data", prep.mean, prep.std)
    assert np.array_equal(forward(graph, {"data": pixels})[0], forward(net, {"data": data})[0])
