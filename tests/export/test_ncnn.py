"""Networks as ncnn's files, run by ncnn beside MXNet: right or refused; each layer of integers is checked alone."""

import os
import tempfile
import unittest
import zlib

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq
from mxq.errors import GraphError
from mxq.export.constants import evaluate
from mxq.export.layers import padding_in_front
from mxq.export.ncnn import write_ncnn
from mxq.export.ncnn.net import Layer, with_splits
from mxq.network.graph import Graph
from mxq.passes.quantize_params import in_qparams
from tests.export.operators import CASES
from tests.export.running import assert_close
from tests.networks import NETWORKS, batch, forward
from tests.refusals import refused

try:
    import ncnn
except ImportError:
    ncnn = None

#: Networks drawn for each case.
EXAMPLES = 6


def run(graph, data, **options):
    """Outputs of ncnn for data of one example, and the network."""
    from mxq.export.ncnn.file import NcnnFile

    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "net")
        net = write_ncnn(graph, prefix, {name: array.shape for name, array in data.items()})
        found = NcnnFile(prefix, options).run({name: data[name] for name in net.inputs}, net.outputs)
    return [found[name] for name in net.outputs], net


def need():
    if ncnn is None:
        raise unittest.SkipTest("no package ncnn here")


@parameterized.expand([(name,) for name in CASES])
def test_right_or_refused(name):
    need()

    @seed(zlib.crc32(name.encode()))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def compare(source):
        symbol, data, params = CASES[name](source.draw)
        data = {key: array[:1] for key, array in data.items()}
        auxiliary = set(symbol.list_auxiliary_states())
        arrays = {key: mx.nd.array(array) for key, array in params.items()}
        args = {key: array for key, array in arrays.items() if key not in auxiliary}
        try:
            expected = forward((symbol, args, {key: arrays[key] for key in auxiliary}), data)
        except (RuntimeError, IndexError):
            return  # it needs the examples that it was drawn with
        try:
            got, _ = run(Graph.from_symbol(symbol, arrays, {}), data)
        except GraphError as error:
            assert "no exact ncnn form" in str(error), error
            return
        assert_close(got, expected, tolerance=1e-4)

    compare()


#: Cases of which ncnn must have some; others may be refused.
_RIGHT = {
    "convolution": lambda x: mx.sym.Convolution(x, kernel=(3, 2), num_filter=4, pad=(1, 0), stride=(2, 1), name="c"),
    "grouped": lambda x: mx.sym.Convolution(x, kernel=(3, 3), num_filter=6, num_group=2, dilate=(1, 2), name="c"),
    "deconvolution": lambda x: mx.sym.Deconvolution(
        x, kernel=(4, 3), num_filter=6, num_group=2, stride=(2, 3), pad=(1, 0), adj=(1, 2), no_bias=False, name="c"
    ),
    "leaky": lambda x: mx.sym.LeakyReLU(mx.sym.Convolution(x, kernel=(1, 1), num_filter=4, name="c"), slope=0.1),
    "prelu": lambda x: mx.sym.LeakyReLU(x, mx.sym.var("slope"), act_type="prelu"),
    "clip": lambda x: mx.sym.clip(mx.sym.Convolution(x, kernel=(1, 1), num_filter=4, name="c"), -0.5, 0.5),
    "full": lambda x: mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pooling_convention="full"),
    "average": lambda x: mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg"),
    "excluded": lambda x: mx.sym.Pooling(
        x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", count_include_pad=False
    ),
    "gate": lambda x: mx.sym.broadcast_mul(
        x, mx.sym.sigmoid(mx.sym.Convolution(mx.sym.mean(x, axis=(2, 3), keepdims=True), kernel=(1, 1), num_filter=4))
    ),
    "lrn": lambda x: mx.sym.LRN(x, nsize=3, alpha=0.1, knorm=1.5),
    "normalized": lambda x: mx.sym.L2Normalization(x, mode="channel"),
    "normalized_whole": lambda x: mx.sym.L2Normalization(mx.sym.Flatten(x)),
    "softmax": lambda x: mx.sym.softmax(x, axis=1),
    "bilinear": lambda x: mx.sym.contrib.BilinearResize2D(x, height=11, width=5),
    "nearest": lambda x: mx.sym.UpSampling(x, scale=2, sample_type="nearest"),
    "split": lambda x: mx.sym.Group(list(mx.sym.SliceChannel(x, num_outputs=2))),
    "cut": lambda x: mx.sym.slice_axis(x, axis=2, begin=-3, end=None),
    "constant": lambda x: mx.sym.broadcast_add(x, mx.sym.var("slope", shape=(4,)).reshape((1, 4, 1, 1))),
    "moved": lambda x: mx.sym.Reshape(mx.sym.transpose(x, axes=(0, 2, 3, 1)), shape=(1, -1, 2)),
    "padded": lambda x: mx.sym.Pad(x, mode="reflect", pad_width=(0, 0, 0, 0, 1, 2, 0, 1)),
    "mean": lambda x: mx.sym.mean(x, axis=(2, 3)),
    "twice": lambda x: mx.sym.Group([x + x * 2, mx.sym.identity(x), mx.sym.BlockGrad(x)]),
}  # fmt: skip


@parameterized.expand([(name,) for name in _RIGHT])
def test_right(name):
    need()
    symbol = _RIGHT[name](mx.sym.var("data"))
    symbol = mx.sym.Group([symbol]) if len(symbol.list_outputs()) == 1 else symbol
    rng = np.random.RandomState(3)
    data = {"data": rng.uniform(-2, 2, (1, 4, 9, 7)).astype(np.float32)}
    shapes = symbol.infer_shape_partial(data=(1, 4, 9, 7))[0]
    shapes = {key: shape if shape and all(shape) else (4,) for key, shape in zip(symbol.list_arguments(), shapes)}
    shapes = {key: (4,) if key == "slope" else shape for key, shape in shapes.items()}
    params = {key: mx.nd.array(rng.uniform(-1, 1, s)) for key, s in shapes.items() if key != "data"}
    got, _ = run(Graph.from_symbol(symbol, params, {}), data)
    assert_close(got, forward((symbol, params, {}), data), tolerance=1e-4)


def quantized(name, **options):
    net = NETWORKS[name]()
    data = {key: batch({key: (16, *shape[1:])}, i)[key] for i, (key, shape) in enumerate(net[3].items())}
    options = {
        "quantized_dtype": "int8", "precision_budget": 0, "verify": False, "preflight": False, **options
    }  # fmt: skip
    return mxq.quantize_model(net[0], net[1:3], data, **options), data


def with_ncnn_pairs_only(qdq):
    """The network as ncnn computes it: values are rounded in front of layers with weights."""
    graph = qdq.copy()
    layers = ("Convolution", "FullyConnected")
    for node in list(graph.nodes):
        if node.op != "mxq_dequantize" or node.inputs[0].node.op != "mxq_quantize_v2":
            continue
        for use in graph.uses_of(node.out()):
            behind = [use.node]
            if use.node is not None and use.node.op in ("Pad", "pad"):
                behind = [other.node for other in graph.uses_of(use.node.out())]
            if not all(other is not None and other.op in layers for other in behind):
                graph.replace(node.out(), node.inputs[0].node.inputs[0], only=[use])
    graph.prune()
    return graph


@parameterized.expand([(name,) for name in NETWORKS])
def test_networks(name):
    """Float and int8. Of integers, a tie that is rounded the other way changes a level: the noise is that of few."""
    need()
    for model, data in (_float(name), quantized(name)):
        one = {key: array[:1] for key, array in data.items()}
        whole = isinstance(model, tuple) and not hasattr(model, "qdq")
        graph = Graph.from_symbol(*model[:3]) if whole else model.qdq
        try:
            got, net = run(graph, one)
        except GraphError as error:
            assert "no exact ncnn form" in str(error)
            continue
        if whole:
            assert_close(got, forward(model, one), tolerance=1e-4)
            continue
        for a, b in zip(got, forward(with_ncnn_pairs_only(graph), one)):
            assert a.shape == b.shape
            assert ((a - b) ** 2).sum() <= 1e-3 * (b**2).sum(), name
        layers = [node for node in graph.nodes if node.op in ("Convolution", "FullyConnected")]
        integers = [node for node in layers if node.inputs[1].node.op == "mxq_dequantize"]
        assert len(net.int8) + len(net.left_float) == len(integers), (net.int8, net.left_float)


def _float(name):
    net = NETWORKS[name]()
    return net[:3], batch(net[3])


@parameterized.expand([("depthwise",), ("inception",), ("residual",)])
def test_layers_of_integers_one_by_one(name):
    """From the same input the same results, and the same integers where a layer hands these on."""
    need()
    from mxq.export.ncnn.file import NcnnFile

    model, data = quantized(name, equalize=False)
    nodes = {node.name: node for node in model.qdq.nodes}
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "net")
        net = model.export_ncnn(prefix)
        layers = [layer for layer in net.layers if layer.name in net.int8 and layer.type != "InnerProduct"]
        blobs = sorted({blob for layer in layers for blob in (layer.inputs[0], layer.outputs[0])})
        values = NcnnFile(prefix).run({key: array[:1] for key, array in data.items()}, blobs)
    handed = set()
    for layer in net.layers:
        if layer.params.get(8, 0) > 100 or (layer.type == "Split" and layer.inputs[0] in handed):
            handed.update(layer.outputs)
    for layer in layers:
        node = nodes[layer.name]
        source = padding_in_front(node)[0] if padding_in_front(node) else node.inputs[0]
        given, x = in_qparams(source.node), values[layer.inputs[0]]
        q = x if layer.inputs[0] in handed else np.clip(_half_away(x / np.float32(given.scale)), -127, 127)
        if source is not node.inputs[0]:
            q = evaluate(node.inputs[0].node, [q], 1)[0]
        parameters = [_dequantized(model.qdq, value) for value in node.inputs[1:]]
        expected = evaluate(node, [q * np.float32(given.scale), *parameters], 1)[0]
        for user in [use.node for use in model.qdq.uses_of(node.out())]:
            if 9 in layer.params:
                expected = evaluate(user, [expected], 1)[0]
        if layer.outputs[0] not in handed:
            assert_close([values[layer.outputs[0]]], [expected], tolerance=1e-4)
            continue
        wanted = np.clip(_half_away(expected * layer_scale_behind(model.qdq, node)), -127, 127)
        difference = np.abs(values[layer.outputs[0]] - wanted)
        assert difference.max() <= 1 and (difference > 0).mean() < 0.01, layer.name
    terms = {layer.params[8] for layer in layers}
    assert terms == {"depthwise": {2, 101, 102}, "inception": {2, 102}, "residual": {2, 102}}[name], terms


def _half_away(x):
    return np.sign(x) * np.floor(np.abs(x) + np.float32(0.5))


def _dequantized(graph, value):
    q, scale = (graph.param_of(source) for source in value.node.inputs)
    return q.astype(np.float32) * scale.reshape((-1,) + (1,) * (q.ndim - 1))


def test_scales_and_weights_in_the_file():
    """The .bin file by the format's own description: tag, int8 weights to a multiple of 4, bias, reciprocal scales."""
    model, _ = quantized("plain")
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "net")
        net = model.export_ncnn(prefix)
        with open(f"{prefix}.bin", "rb") as file:
            content = file.read()
        with open(f"{prefix}.param") as file:
            lines = file.read().splitlines()
    assert lines[0] == "7767517" and lines[1] == f"{len(net.layers)} {sum(len(x.outputs) for x in net.layers)}"
    nodes = {node.name: node for node in model.qdq.nodes}
    for layer in net.layers:
        if layer.name not in net.int8:
            assert not layer.weights
            continue
        node = nodes[layer.name]
        q, scale = (model.qdq.param_of(value) for value in node.inputs[1].node.inputs)
        assert content[:4] == bytes.fromhex("384b0d00")
        size = -(-q.size // 4) * 4
        assert np.array_equal(np.frombuffer(content[4 : 4 + q.size], np.int8), q.reshape(-1))
        content = content[4 + size :]
        bias_q, bias_scale = (model.qdq.param_of(value) for value in node.inputs[2].node.inputs)
        expected = [bias_q * bias_scale, 1 / scale, [1 / in_qparams(node.inputs[0].node).scale]]
        if layer.params[8] > 100:
            expected.append([layer_scale_behind(model.qdq, node)])
        for numbers in expected:
            np.testing.assert_allclose(np.frombuffer(content[: 4 * len(numbers)], "<f4"), numbers, rtol=1e-6)
            content = content[4 * len(numbers) :]
    assert content == b""


def layer_scale_behind(qdq, node):
    """Reciprocal scale of what reads the layer."""
    users = [use.node for use in qdq.uses_of(node.out())]
    while users[0].op != "mxq_quantize_v2":
        users = [use.node for use in qdq.uses_of(users[0].out())]
    return 1 / in_qparams(users[0]).scale


def test_every_blob_has_one_reader():
    layers = [
        Layer("Input", "x", [], ["x"], {}, []),
        Layer("ReLU", "a", ["x"], ["a"], {}, []),
        Layer("Eltwise", "b", ["x", "a"], ["b"], {}, []),
    ]
    found = with_splits(layers, ["a", "b"])
    assert [(layer.type, layer.inputs, layer.outputs) for layer in found] == [
        ("Input", [], ["x"]),
        ("Split", ["x"], ["x_splitncnn_0", "x_splitncnn_1"]),
        ("ReLU", ["x_splitncnn_0"], ["a_whole"]),
        ("Split", ["a_whole"], ["a", "a_splitncnn_0"]),
        ("Eltwise", ["x_splitncnn_1", "a_splitncnn_0"], ["b"]),
    ]


def test_what_ncnn_has_not():
    data = mx.sym.var("data")
    cases = [
        (mx.sym.Convolution(data, kernel=(1,), num_filter=1, name="c"), (1, 2, 5), "1 spatial axes"),
        (mx.sym.sort(data, name="s"), (1, 5), "sort 's': the operator has no emitter"),
        (mx.sym.softmax(data, axis=0, name="s"), (1, 5), "the axis of examples"),
        (mx.sym.relu(data, name="r"), (2, 5), "ncnn has one example"),
        (mx.sym.Reshape(data, shape=(-1, 5), name="r"), (1, 3, 5), "the first axis is that of examples"),
    ]
    for symbol, shape, reason in cases:
        arguments = dict(zip(symbol.list_arguments(), symbol.infer_shape(data=shape)[0]))
        params = {name: np.zeros(s, np.float32) for name, s in arguments.items() if name != "data"}
        graph = Graph.from_symbol(symbol, params, {})
        refused(lambda g=graph, s=shape: write_ncnn(g, "net", {"data": s}), "no exact ncnn form", reason)


def test_integers_that_ncnn_has_not():
    model, _ = quantized("plain", quantized_dtype="auto")
    refused(lambda: model.export_ncnn("net"), "Convolution 'conv1'", "quantize with quantized_dtype='int8'")


def test_what_reads_eleven_bits_is_float():
    """As the integers of mxq's own layers are finer than ncnn's, and no layer in front writes integers for it."""
    with tempfile.TemporaryDirectory() as folder:
        model, data = quantized("plain")
        finer = model.qdq.copy()
        for node in finer.nodes:
            if node.name in ("pool_quantize", "pool_dequantize"):
                node.attrs["fine_steps"] = "8"
        shapes = {key: (1, *array.shape[1:]) for key, array in data.items()}
        found = {}
        for graph in (model.qdq, finer):
            net = write_ncnn(graph, os.path.join(folder, "net"), shapes)
            found[len(net.left_float)] = net
        assert found[1].left_float == {"conv2": "its input has 11 bits, which ncnn has not"}
        assert set(found[0].int8) - set(found[1].int8) == {"conv2"}


def test_groups_stay_float():
    symbol = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=6, num_group=2, name="c")
    rng = np.random.RandomState(0)
    params = {"c_weight": rng.normal(0, 1, (6, 2, 3, 3)), "c_bias": rng.normal(0, 1, 6)}
    model = mxq.quantize_model(
        symbol,
        {key: mx.nd.array(array) for key, array in params.items()},
        rng.normal(0, 1, (8, 4, 9, 7)).astype(np.float32),
        quantized_dtype="int8",
        precision_budget=0,
        verify=False,
        preflight=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        net = model.export_ncnn(os.path.join(folder, "net"))
    assert "2 groups" in net.left_float["c"] and not net.int8
