"""Numbers taken from pixels and multiplied with them go into the quantize node, and change no integer."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.network.graph import Graph
from mxq.passes.fuse_scalars import fuse_scalars

from ..networks import conv, fill, forward

NORMALIZED = {
    "minus_times": (lambda x: (x - 127.5) * 0.0078125, "-127.5 *0.0078125"),
    "divided": (lambda x: x / 255.0 - 0.5, "/255.0 -0.5"),
    "plus_minus": (lambda x: (x + 3) * 0.3 - 1.1, "+3.0 *0.3 -1.1"),
    "the_last_four": (lambda x: ((((x - 1) * 0.5) - 2) / 3.7) + 4.0, "*0.5 -2.0 /3.7 +4.0"),
}


def _network(function, **attrs):
    x = function(mx.sym.var("data", **attrs))
    return fill(conv(mx.sym.relu(conv(x, "first", 6)), "second", 4), {"data": (4, 3, 12, 11)})


def _pixels():
    return np.random.RandomState(0).uniform(0, 255, (4, 3, 12, 11)).astype(np.float32)


@parameterized.expand([(name, bits) for name in NORMALIZED for bits in (8, 11)])
def test_equals_the_float_operators(name, bits):
    function, text = NORMALIZED[name]
    net, data = _network(function), _pixels()
    model = mxq.quantize_model(net[0], net[1:3], data, calib_mode="minmax", activation_bits=bits)
    (node,) = [n for n in model.operators.nodes if "scalars" in n.attrs]
    assert node.get("scalars") == text and node.op == "mxq_quantize_v2"
    # The same graph with MXNet's operators: attributes taken away, operators put in front again.
    symbol, args, aux = model.operators.to_symbol()
    plain = Graph.from_symbol(symbol, args, aux)
    (node,) = [n for n in plain.nodes if "scalars" in n.attrs]
    value = node.inputs[0]
    spelled = {"-": "_minus_scalar", "+": "_plus_scalar", "*": "_mul_scalar", "/": "_div_scalar"}
    for i, word in enumerate(node.attrs.pop("scalars").split()):
        value = plain.add(spelled[word[0]], f"scalar{i}", [value], {"scalar": word[1:]}).out()
    node.inputs[0] = value
    plain.sort()
    (fused,), (expected,) = forward(model, {"data": data}), forward(plain, {"data": data})
    np.testing.assert_array_equal(fused, expected)
    assert [n.get("scalars") for n in fuse_scalars(plain).nodes if "scalars" in n.attrs] == [text]


def test_what_others_read_stays():
    graph = Graph.from_symbol(*_network(lambda x: (x - 100) * 2)[:3])
    times = next(n for n in graph.nodes if n.op == "_mul_scalar")
    attrs = {"min_calib_range": -1.0, "max_calib_range": 1.0}
    quantize = graph.add("mxq_quantize_v2", "quantize", [times.out()], attrs)
    for outputs, expected in (([times.inputs[0]], "*2.0"), ([times.out()], None), ([], "-100.0 *2.0")):
        graph.outputs = [quantize.out(), *outputs]
        read = graph.copy()
        read.prune()
        (found,) = [n for n in fuse_scalars(read).nodes if n.name == "quantize"]
        assert found.get("scalars") == expected, (outputs, found.attrs)


def test_arithmetic_of_integers_stays():
    graph = Graph.from_symbol(*_network(lambda x: x - 100, dtype="uint8")[:3])
    value = next(n for n in graph.nodes if n.op == "_minus_scalar").out()
    attrs = {"min_calib_range": -1.0, "max_calib_range": 1.0}
    graph.outputs = [graph.add("mxq_quantize_v2", "quantize", [value], attrs).out()]
    assert [n.op for n in fuse_scalars(graph).nodes if not n.is_variable] == ["_minus_scalar", "mxq_quantize_v2"]
