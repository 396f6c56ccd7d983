import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.passes import run
from mxq.passes.resize_one_pixel import resize_one_pixel
from tests.networks import batch, bn, conv, fill, forward, graph_of, relu


def _network():
    """Two branches of a segmentation head, one of which sees the whole image."""
    features = relu(conv(mx.sym.var("data"), "features", 10), "features_relu")
    x = mx.sym.Pooling(features, global_pool=True, pool_type="avg", kernel=(1, 1), name="pool")
    x = relu(bn(conv(x, "whole", 5, kernel=(1, 1), pad=(0, 0)), "whole_bn"), "whole_relu")
    x = mx.sym.contrib.BilinearResize2D(x, height=7, width=7, name="resize")
    joined = mx.sym.Concat(x, relu(conv(features, "part", 6), "part_relu"), dim=1, name="joined")
    return fill(conv(joined, "last", 4), {"data": (2, 3, 7, 7)})


def test_one_pixel_is_repeated():
    net = _network()
    graph = run(graph_of(net), [resize_one_pixel])
    node = graph.node("resize")
    assert node.op == "UpSampling" and node.get("scale") == 7 and "one pixel" in graph.notes["resize"]
    data = batch(net[3])
    for x, y in zip(forward(net, data), forward(graph, data)):
        assert np.abs(x - y).max() <= 1e-6 * np.abs(x).max()


@parameterized.expand(
    [
        ("an_image", {"height": 3, "width": 3}, False, "more than one pixel"),
        ("by_scale", {"mode": "odd_scale", "scale_height": 3, "scale_width": 3}, True, "fixed size"),
        ("by_scale_in_mode_size", {"scale_height": 3, "scale_width": 3}, True, "fixed size"),
        ("not_square", {"height": 3, "width": 4}, True, "3x4"),
        ("huge", {"height": 1001, "width": 1001}, True, "1000"),
    ]
)
def test_what_stays(_, attrs, pooled, reason):
    x = mx.sym.Pooling(mx.sym.var("data"), global_pool=pooled, pool_type="avg", kernel=(2, 2), name="pool")
    net = fill(mx.sym.contrib.BilinearResize2D(x, name="resize", **attrs), {"data": (2, 3, 7, 7)})
    graph = run(graph_of(net), [resize_one_pixel])
    assert graph.node("resize").op == "_contrib_BilinearResize2D" and reason in graph.notes["resize"]


def test_the_branches_are_joined_as_integers():
    net = _network()
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, progress=False, preflight=False, data_names=["data"])
    operators = [node.op for node in model.operators.nodes if not node.is_variable]
    assert "mxq_concat" in operators and "mxq_upsampling" in operators, operators
    expected, found = forward(net, data)[0], forward(model, data)[0]
    assert np.corrcoef(expected.reshape(-1), found.reshape(-1))[0, 1] > 0.99
