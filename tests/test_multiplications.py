"""How many multiplications operators take, and the share of them that is int8."""

import mxnet as mx
import numpy as np

import mxq
from mxq.evaluation import int8_share
from mxq.network.graph import Graph
from mxq.network.shapes import infer_shapes
from mxq.ops.multiplications import multiplications
from tests.networks import conv, fill


def test_by_hand():
    data = mx.sym.var("data")
    x = mx.sym.Convolution(data, name="grouped", num_filter=6, kernel=(3, 2), num_group=3, stride=(2, 2))
    x = mx.sym.Deconvolution(x, name="up", num_filter=4, kernel=(2, 2), stride=(2, 2))
    rows = mx.sym.FullyConnected(x, name="rows", num_hidden=5, flatten=False)
    products = mx.sym.batch_dot(mx.sym.Reshape(rows, shape=(-3, 0, 0)), mx.sym.Reshape(rows, shape=(-3, 0, 0)),
                                transpose_b=True, name="products")  # fmt: skip
    out = mx.sym.FullyConnected(products, name="fc", num_hidden=7)
    symbol, args, aux, shapes = fill(out, {"data": (2, 3, 9, 8)})
    graph = Graph.from_symbol(symbol, args, aux)
    graph.shapes = infer_shapes(graph, shapes)
    counts = {node.name: multiplications(node, graph) for node in graph.nodes if not node.is_variable}
    # (2, 6, 4, 4) of 1x3x2 weights each; (2, 4, 8, 8) from 4x4 inputs; rows of 8; (8, 8, 5) by (8, 5, 8); 8 rows of 64.
    assert counts["grouped"] == 2 * 6 * 4 * 4 * 6
    assert counts["up"] == 2 * 4 * 4 * 6 * 4 * 4
    assert counts["rows"] == 2 * 4 * 8 * 8 * 5
    assert counts["products"] == 8 * 8 * 8 * 5
    assert counts["fc"] == 8 * 64 * 7
    assert {count for name, count in counts.items() if name not in ("grouped", "up", "rows", "products", "fc")} == {0}
    graph.shapes = {}
    assert multiplications(next(node for node in graph.nodes if node.name == "up"), graph) is None


def test_the_share_of_one_example():
    x = conv(mx.sym.Activation(conv(mx.sym.var("data"), "a", 4), act_type="relu", name="r"), "b", 6)
    symbol, args, aux, _ = fill(x, {"data": (4, 3, 5, 5)})
    data = np.random.RandomState(0).normal(0, 1, (8, 3, 5, 5)).astype(np.float32)
    model = mxq.quantize_model(symbol, (args, aux), data, excluded_sym_names=["a"])
    share = int8_share(model)
    assert share == (25 * 9 * 4 * 6, 25 * 9 * (3 * 4 + 4 * 6), 0)
    assert np.isclose(share.percent, 100 * 24 / 36)
