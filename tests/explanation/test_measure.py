"""Every number of an explanation beside the same computed directly on the whole network."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.network.graph import Graph
from mxq.network.identity import tensor_key
from mxq.ops import COMPUTE
from mxq.passes.annotate import units
from tests.explanation.models import quantized
from tests.networks import NETWORKS, bn, conv, fill, forward, head, relu
from tests.refusals import refused


def _db(exact, approximate):
    error = np.float64(exact) - np.float64(approximate)
    return 10 * np.log10((np.float64(exact) ** 2).sum() / (error**2).sum()) if error.any() else np.inf


def _source(value):
    """What a unit reads: behind a pair, or (some units, and 11 bits) float."""
    paired = value.node.op == "mxq_dequantize" and value.node.inputs[0].node.op == "mxq_quantize_v2"
    return value.node.inputs[0].node.inputs[0] if paired else value


def _only(model, name, *, inputs=True, weights=True):
    """The float network with integers in one unit only, made from the graph with explicit quantization."""
    graph = model.qdq.copy()
    floats = {node.name: node for node in model.floats.nodes}
    heads = {unit.name: unit for unit in units(graph)}
    for unit in heads.values():
        mine = unit.name == name
        for node in unit.nodes:
            for i, value in enumerate(node.inputs):
                if value in unit.inputs and not (mine and inputs):
                    node.inputs[i] = _source(value)
        if unit.kind == COMPUTE and not (mine and weights):
            named = [value.node.name for value in floats[unit.name].inputs[1:]]
            del unit.head.inputs[1:]
            unit.head.attrs["no_bias"] = str(len(named) < 2)
            for param in named:
                unit.head.inputs.append(graph.add_param(f"float_{param}", model.floats.params[param]))
    output = heads[name].output
    graph.sort()
    graph.prune()
    return graph, output


def _values(graph, values, data):
    graph = graph.copy()
    by_name = {node.name: node for node in graph.nodes}
    graph.outputs = [by_name[value.node.name].out(value.index) for value in values]
    graph.prune()
    return forward(graph, data)


@parameterized.expand(
    [
        ("plain", "default"),
        ("residual", "default"),
        ("inception", "default"),
        ("depthwise", "default"),
        ("squeeze_excite", "default"),
        ("normalized", "default"),
        ("residual", "best"),
        ("inception", "best"),
        ("depthwise", "best"),
    ]
)
def test_layers_equal_the_whole_network_with_one_layer_in_int8(name, preset):
    model, data = quantized(name, preset=preset)
    explanation = mxq.explain(model, data, sub_batch=4)
    found = {layer.name: layer for layer in explanation.layers}
    exact = forward(model.floats, data)
    float_nodes = {node.name: node for node in model.floats.nodes}
    ratios = {}
    assert [unit.name for unit in units(model.qdq)] == list(found)
    for unit in units(model.qdq):
        layer = found[unit.name]
        graph, output = _only(model, unit.name)
        own = _values(model.floats, [float_nodes[output.node.name].out(output.index)], data)[0]
        changed = forward(graph, data)
        assert np.isclose(layer.effect, _db(exact[0], changed[0]), atol=0.05), (unit.name, layer.effect)
        assert np.isclose(layer.local, _db(own, _values(graph, [output], data)[0]), atol=0.05)
        inputs, output = _only(model, unit.name, weights=False)
        assert np.isclose(layer.local_inputs, _db(own, _values(inputs, [output], data)[0]), atol=0.05)
        if unit.kind == COMPUTE:
            weights, output = _only(model, unit.name, inputs=False)
            assert np.isclose(layer.local_weights, _db(own, _values(weights, [output], data)[0]), atol=0.05)
        else:
            assert layer.local_weights is None
        ratios[unit.name] = 10 ** (-_db(exact[0], changed[0]) / 10)
    assert np.isclose(explanation.summed, -10 * np.log10(sum(ratios.values())), atol=0.05)
    for layer_name, ratio in ratios.items():
        assert np.isclose(found[layer_name].share, ratio / sum(ratios.values()), atol=0.01)


@parameterized.expand([("plain",), ("residual",), ("inception",)])
def test_accumulated_is_the_network_with_explicit_quantization(name):
    model, data = quantized(name)
    found = {layer.name: layer for layer in mxq.explain(model, data, effect_examples=0).layers}
    pairs = {
        _source(n.out()): n.out() for n in model.qdq.nodes if n.inputs and n.inputs[0].node.op == "mxq_quantize_v2"
    }
    float_nodes = {node.name: node for node in model.floats.nodes}
    for unit in units(model.qdq):
        exact = _values(model.floats, [float_nodes[unit.output.node.name].out()], data)[0]
        int8 = _values(model.qdq, [pairs.get(unit.output, unit.output)], data)[0]
        assert np.isclose(found[unit.name].accumulated, _db(exact, int8), atol=0.05)
        assert found[unit.name].effect is None and found[unit.name].share is None


def test_outputs_and_classes_equal_those_of_both_networks():
    symbol, args, aux, shapes = NETWORKS["residual"]()
    model, data = quantized("residual")
    exact, int8 = forward((symbol, args, aux), data)[0], forward(model, data)[0]
    labels = np.array([0, 1, 2, 3, 4, 0])
    found = mxq.explain(model, data, labels=labels, effect_examples=0, sub_batch=4)
    assert found.examples == 6 and found.layer_examples == 6
    assert np.isclose(found.outputs[0].sqnr, _db(exact, int8), atol=0.01)
    assert np.isclose(found.outputs[0].max_error, np.abs(exact - int8).max(), rtol=1e-3)
    a, b = exact.argmax(1), int8.argmax(1)
    assert found.classes.flips == (a != b).sum() and found.classes.agreement == (a == b).mean()
    assert np.isclose(found.classes.correct_float, (a == labels).mean())
    assert np.isclose(found.classes.correct_int8, (b == labels).mean())
    assert found.classes.lost == ((a == labels) & (b != labels)).sum()


def test_tensors_are_counted_on_float_values():
    model, data = quantized("plain")
    wide = {"data": data["data"] * 3}
    found = mxq.explain(model, wide, effect_examples=0).tensor("data")
    lo, hi = found.used
    assert found.seen == (wide["data"].min(), wide["data"].max())
    beyond = (wide["data"] < lo - found.scale / 2) | (wide["data"] > hi + found.scale / 2)
    assert beyond.any() and found.saturated == beyond.mean()
    assert found.readers == ("conv0",)
    assert sum(found.histogram.counts) == wide["data"].size
    rounded = np.clip(np.rint(wide["data"] / found.scale) + found.zero_point, *((-128, 127), (0, 255))[lo == 0])
    assert np.isclose(found.sqnr, _db(wide["data"], (rounded - found.zero_point) * found.scale), atol=0.05)


def test_a_bin_begins_at_zero_and_counts_what_lies_in_it():
    model, data = quantized("plain")
    tensor = mxq.explain(model, data, effect_examples=0).tensor("data")
    lo, hi, counts = tensor.histogram
    edges = np.linspace(lo, hi, len(counts) + 1)
    assert np.isclose(edges, 0, atol=1e-9).any() and 64 < len(counts) <= 128
    assert np.abs(np.histogram(data["data"], edges)[0] - np.array(counts)).max() <= 2  # values on an edge


@parameterized.expand(sorted(NETWORKS))
def test_every_small_network_is_explained(name):
    model, data = quantized(name)
    found = mxq.explain(model, data, sub_batch=None)
    int8 = {node.node for node in found.nodes if node.precision == "int8"}
    assert int8 == {node for layer in found.layers for node in layer.nodes}
    assert all(layer.local > 10 for layer in found.layers), str(found)
    assert str(found) and found.to_html()


def test_tensors_of_11_bits():
    default, data = quantized("residual")
    best, _ = quantized("residual", preset="best")
    found = {tensor.name: tensor for tensor in mxq.explain(best, data, effect_examples=0).tensors}
    assert {tensor.bits for tensor in found.values()} == {11}
    for tensor in mxq.explain(default, data, effect_examples=0).tensors:
        assert tensor.bits == 8
        if tensor.name in found:
            assert found[tensor.name].sqnr > tensor.sqnr + 10
    assert "11 bits" in mxq.explain(best, data, effect_examples=0).to_html()


def test_ranges_at_run_time():
    model, data = quantized("residual", calib_mode="none")
    found = mxq.explain(model, data)
    assert found.layers and all(tensor.used is None and tensor.saturated == 0 for tensor in found.tensors)
    assert "at run time" in str(found) and "at run time" in found.to_html()


def test_a_gluon_network_and_labels_in_the_loader():
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(6, 3, activation="relu"), mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Dense(4))
    net.initialize(mx.init.Xavier())
    images = np.random.RandomState(0).normal(0, 1, (7, 3, 9, 9)).astype(np.float32)
    block = mxq.quantize_net(net, images)
    loader = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(images, np.zeros(7)), batch_size=4)
    found = mxq.explain(block, loader)
    exact = net(mx.nd.array(images)).asnumpy()
    assert found.examples == 7
    assert np.isclose(found.outputs[0].sqnr, _db(exact, block(mx.nd.array(images)).asnumpy()), atol=0.01)


def test_raw_pixels_with_the_normalization_inside():
    x = mx.sym.var("data")
    symbol, args, aux, _ = fill(head(relu(bn(conv(x, "conv0", 6), "bn0"), "relu0")), {"data": (4, 3, 8, 8)})
    pixels = np.random.RandomState(0).randint(0, 256, (4, 3, 8, 8)).astype(np.uint8)
    model = mxq.quantize_model(symbol, (args, aux), pixels, mean=[128.0] * 3, std=[64.0] * 3, input_dtype="uint8")
    found = mxq.explain(model, pixels)
    assert found.tensor("data").scale == 1.0 and found.tensor("data").sqnr == np.inf
    assert found.outputs[0].sqnr > 20


def test_the_examples_that_differ_come_first():
    model, data = quantized("residual")
    exact, int8 = forward(model.floats, data)[0], forward(model, data)[0]
    found = mxq.explain(model, data, class_names=["a", "b", "c", "d", "e"], effect_examples=0).predictions
    flips = np.flatnonzero(exact.argmax(1) != int8.argmax(1))
    assert {p.example for p in found[: len(flips)]} == set(flips) and len(found) == 6
    for p in found:
        assert p.float_class == "abcde"[exact[p.example].argmax()] and p.int8_class == "abcde"[int8[p.example].argmax()]
        best = np.sort(exact[p.example])
        assert np.isclose(p.margin, best[-1] - best[-2], atol=1e-5)
        assert p.picture.startswith("data:image/png;base64,")
    calm = [p.margin for p in found[len(flips) :]]
    assert calm == sorted(calm)


@parameterized.expand(
    [
        ({"labels": [0, 1]}, "labels"),
        ({"labels": [0] * 7}, "labels"),
        ({"labels": [[0]] * 6}, "labels"),
        ({"images": []}, "images"),
        ({"layer_examples": 0}, "layer_examples"),
        ({"sub_batch": "x"}, "sub_batch"),
        ({"batch_size": 0}, "batch_size"),
    ]
)
def test_refused_arguments(options, name):
    model, data = quantized("residual")
    refused(lambda: mxq.explain(model, data, effect_examples=0, **options), name, error=mxq.ConfigError)


def test_data_that_does_not_fit():
    model, data = quantized("residual")
    refused(lambda: mxq.explain(model, data["data"][:, :2]), "conv0", error=mxq.GraphError)
    refused(lambda: mxq.explain(model, data, data_names=["date"]), "date", "data", error=mxq.GraphError)
    refused(lambda: mxq.explain(model, []), "empty", error=mxq.CalibrationError)


def test_what_is_no_model_and_a_model_without_its_float_half():
    model, data = quantized("residual")
    refused(lambda: mxq.explain(tuple(model), data), "quantize_model", error=mxq.ConfigError)
    twin = mxq.QuantizedModel(*model)
    twin.floats, twin.qdq, twin.report = None, model.qdq, model.report
    refused(lambda: mxq.explain(twin, data), "floats", error=mxq.ConfigError)


def test_keys_of_tensors_are_values_of_the_float_graph():
    model, _ = quantized("inception")
    names = {tensor_key(node.out()) for node in model.floats.nodes}
    assert isinstance(model.floats, Graph)
    for unit in units(model.qdq):
        assert tensor_key(unit.output) in names
