import mxnet as mx
import numpy as np

import mxq
from mxq.network.graph import Graph
from mxq.passes import run
from mxq.passes.join_floats import join_floats
from tests.networks import batch, fill, forward

AXES = (0, 2, 3, 1)


def _head(x, name, filters):
    return mx.sym.transpose(mx.sym.Convolution(x, kernel=(3, 3), num_filter=filters, name=name), axes=AXES)


def _detector():
    """Three heads, flattened and joined, and a fourth that is read twice."""
    x = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=8, name="c")
    x = mx.sym.Activation(x, act_type="relu")
    flat = [mx.sym.Flatten(_head(x, f"head{n}", n), name=f"flat{n}") for n in (3, 6, 9)]
    joined = mx.sym.Reshape(mx.sym.Concat(*flat, dim=1, name="joined"), shape=(0, -1, 3), name="boxes")
    twice = mx.sym.Flatten(_head(x, "head12", 12), name="flat12")
    return fill(mx.sym.Group([joined, mx.sym.Concat(twice, twice, dim=1, name="twice")]), {"data": (2, 3, 9, 7)}, 0)


def _operators(graph):
    return {node.name: node.op for node in graph.nodes if not node.is_variable}


def test_heads_are_joined_inside_the_region():
    net = _detector()
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, progress=False, preflight=False, data_names=["data"])
    ops = _operators(model.operators)
    assert ops["joined"] == "mxq_concat" and {ops[f"flat{n}"] for n in (3, 6, 9)} == {"mxq_flatten"}, ops
    assert ops["twice"] == "Concat" and ops["flat12"] == "Flatten", ops
    left = [n.op for n in Graph.from_symbol(*model).nodes if n.op in ("Concat", "Flatten")]
    assert left == ["Flatten", "Concat"]  # `twice`
    for expected, one_by_one, found in zip(forward(net, data), forward(model.operators, data), forward(model, data)):
        np.testing.assert_array_equal(one_by_one, found)
        assert expected.shape == found.shape and np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.999


def test_what_others_compute_stays():
    x, y = mx.sym.var("data"), mx.sym.mxq_dequantize(mx.sym.var("q"), min_calib_range=-1, max_calib_range=1)
    graph = Graph.from_symbol(mx.sym.Concat(mx.sym.Flatten(y), mx.sym.Flatten(x), dim=1, name="joined"), {}, {})
    assert _operators(run(graph, [join_floats], stage="int8")) == _operators(graph)
    assert graph.node("joined").op == "Concat"
