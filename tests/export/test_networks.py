"""Whole networks, float and int8, in ONNX Runtime."""

import collections
import os
import tempfile

import mxnet as mx
import numpy as np
import onnx
import onnxruntime
from parameterized import parameterized

import mxq
from mxq.errors import GraphError
from mxq.export.targets import TARGETS
from mxq.export.write import build_onnx
from mxq.network.graph import Graph
from tests.export.running import assert_close, exported, run
from tests.networks import NETWORKS, batch, forward, graph_of


def quantized(name, **options):
    """A network of tests/networks.py in int8, and its calibration data."""
    net = NETWORKS[name]()
    data = {key: batch({key: (16, *shape[1:])}, seed)[key] for seed, (key, shape) in enumerate(net[3].items())}
    options = {"quantize_mode": "full", "verify": False, "preflight": False, **options}
    return mxq.quantize_model(net[0], net[1:3], data, **options), data


@parameterized.expand([(name,) for name in NETWORKS])
def test_float_networks(name):
    net = NETWORKS[name]()
    data = batch(net[3])
    assert_close(exported(graph_of(net), data), forward(net, data))


#: Networks that are made for one number of examples.
_FIXED = {"segmented"}


@parameterized.expand([(name,) for name in NETWORKS])
def test_any_number_of_examples(name):
    """In float and int8."""
    net = NETWORKS[name]()
    shapes = {key: (0, *shape[1:]) for key, shape in net[3].items()}
    try:
        built, _ = build_onnx(graph_of(net), shapes)
    except GraphError as error:
        assert name in _FIXED and "the number of examples cannot stay open" in str(error), error
        return
    assert name not in _FIXED
    for number in (1, 3):
        data = batch({key: (number, *shape[1:]) for key, shape in net[3].items()})
        assert_close(run(built, data), forward(net, data))
    model, _ = quantized(name)
    built, _ = build_onnx(model.qdq, shapes)
    for port in built.graph.input:
        assert port.type.tensor_type.shape.dim[0].dim_param == "N"
    assert_close(run(built, data), forward(model.qdq, data), tolerance=2e-4)


def test_a_number_of_examples_in_another_axis():
    graph = Graph.from_symbol(mx.sym.Reshape(mx.sym.var("data"), shape=(3, -1), name="rows") * 2, {}, {})
    built, _ = build_onnx(graph, {"data": (0, 6)})
    data = {"data": np.arange(30, dtype=np.float32).reshape(5, 6)}
    np.testing.assert_array_equal(run(built, data)[0], data["data"].reshape(3, -1) * 2)


@parameterized.expand([(name,) for name in NETWORKS])
def test_every_integer_in_onnx_runtime(name):
    """As ONNX Runtime computes it, with its int8 layers: from the same integers the same integers."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized(name)
        model.export_onnx(path, target="onnxruntime", calib_data=data)
        found = model.check_onnx(path, data)
        assert found.ok, str(found)
        assert sum(value.levels for value in found.compared) == len(_types(onnx.load(path))["QuantizeLinear"])
        layers = [node for node in model.qdq.nodes if node.op == "Convolution"]
        assert len(_types(_optimized(path, folder))["QLinearConv"]) == len(layers)


@parameterized.expand(
    [(name, target) for name in ("residual", "inception", "upsampled", "fully_connected") for target in TARGETS]
)
def test_every_integer_in_files_for_others(name, target):
    """The standard's meaning of each file: ONNX Runtime without optimization."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized(name, quantized_dtype="int8" if target == "tensorrt" else "auto")
        model.export_onnx(path, target=target, calib_data=data)
        found = model.check_onnx(path, data, optimize=False)
        assert found.ok, str(found)


def _noise(path, model, data):
    """The noise of a file in a runtime that computes what the standard says, as a share of the signal."""
    found, exact = run(onnx.load(path), data), forward(model.floats, data)
    return sum(((a - b) ** 2).sum() for a, b in zip(found, exact)) / sum((b**2).sum() for b in exact)


@parameterized.expand(
    [(name, 2) for name in ("plain", "residual", "depthwise", "inception", "shared", "padded")]
    + [("fully_connected", 1)]  # where weights make the noise
)
def test_eleven_bits_in_two_parts(name, times):
    """Each integer, and as exact as mxq: layers read twice the channels, as integers."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized(name, activation_bits=11)
        shapes = {key: array.shape for key, array in data.items()}
        model.export_onnx(path, target="openvino", data_shapes=shapes)
        found = model.check_onnx(path, data, optimize=False)
        assert found.ok, str(found)
        mine = sum(((a - b) ** 2).sum() for a, b in zip(forward(model, data), forward(model.floats, data)))
        mine /= sum((b**2).sum() for b in forward(model.floats, data))
        assert _noise(path, model, data) < 1.2 * mine
        coarse, _ = quantized(name, precision_budget=0)
        coarse.export_onnx(path, target="openvino", data_shapes=shapes, calib_data=data)
        assert times * mine < _noise(path, coarse, data)


def test_layers_that_read_parts():
    """Those without groups read both parts; weights that two of them share are one array."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        for name, groups in (("shared", False), ("depthwise", True)):
            model, data = quantized(name, activation_bits=11)
            model.export_onnx(path, target="openvino")
            file = onnx.load(path)
            makers = {output: node for node in file.graph.node for output in node.output}
            convolutions = _types(file)["Conv"]
            read = [makers[node.input[0]].op_type for node in convolutions]
            grouped = [next(a.i for a in node.attribute if a.name == "group") > 1 for node in convolutions]
            assert any(grouped) == groups
            assert read == ["Add" if several else "DequantizeLinear" for several in grouped]


def test_limits_by_channel_end_where_the_integers_do():
    """What equalization makes of a ReLU6 is part of quantizing: nothing is rounded twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized("depthwise", precision_budget=0)
        assert any(node.op == "broadcast_minimum" for node in model.qdq.nodes)
        model.export_onnx(path, target="onnxruntime", calib_data=data)
        types = _types(onnx.load(path))
        assert not types["Min"] and not types["Relu"] and len(types["QuantizeLinear"]) == 8
        expected = forward(model, {key: array[:1] for key, array in data.items()})
        got = onnxruntime.InferenceSession(path).run(None, {key: array[:1] for key, array in data.items()})
        for a, b in zip(got, expected):
            assert ((a - b) ** 2).sum() < 1e-3 * (b**2).sum()


def test_integers_of_the_int8_network():
    """Where the target puts no pair between, its outputs are those of mxq's own operators."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized("inception")
        model.export_onnx(path, calib_data=data)
        expected = forward(model, {key: array[:1] for key, array in data.items()})
        session = onnxruntime.InferenceSession(path)
        assert_close(session.run(None, {key: array[:1] for key, array in data.items()}), expected)


@parameterized.expand([("residual",), ("depthwise",), ("inception",), ("upsampled",)])
def test_out_and_in_again(name):
    """What mxq.load makes of an exported network has the same integers as the network."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        model, data = quantized(name)
        shapes = {key: array.shape for key, array in data.items()}
        model.export_onnx(path, target="generic", data_shapes=shapes)
        again = mxq.load(path)
        for got, expected in zip(forward(again, data), forward(model, data)):
            np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_pixels_are_declared_as_integers():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        net = NETWORKS["plain"]()
        pixels = np.random.RandomState(0).randint(0, 256, (16, 3, 13, 11)).astype(np.uint8)
        model = mxq.quantize_model(net[0], net[1:3], pixels, input_dtype="uint8", verify=False, preflight=False)
        model.export_onnx(path, calib_data=pixels)
        file = onnx.load(path)
        assert file.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
        found = model.check_onnx(path, pixels)
        assert found.ok, str(found)


def _types(model):
    found = collections.defaultdict(list)
    for node in model.graph.node:
        found[node.op_type].append(node)
    return found


def _optimized(path, folder):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = os.path.join(folder, "optimized.onnx")
    onnxruntime.InferenceSession(path, options)
    return onnx.load(options.optimized_model_filepath)
