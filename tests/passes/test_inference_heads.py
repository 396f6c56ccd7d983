"""Heads that train compute at inference what they did, and ask for no label."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.network.shapes import infer_shapes
from mxq.passes.inference_heads import REPLACED, inference_heads

from ..networks import batch, conv, fill, forward, graph_of


def rows():
    return mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=5, name="fc"), {"data": (3, 4)}


def maps():
    return conv(mx.sym.var("data"), "conv", 4), {"data": (2, 3, 5, 6)}


def sequences():
    return mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=5, flatten=False, name="fc"), {"data": (3, 4, 6)}


HEADS = {
    "softmax": (rows, mx.sym.SoftmaxOutput, {}, ["softmax"]),
    "old_name": (rows, mx.sym.Softmax, {"grad_scale": 0.5, "use_ignore": True}, ["softmax"]),
    "pixels": (maps, mx.sym.SoftmaxOutput, {"multi_output": True, "ignore_label": 255}, ["softmax"]),
    "last_axis": (maps, mx.sym.SoftmaxOutput, {"preserve_shape": True}, ["softmax"]),
    "together": (sequences, mx.sym.SoftmaxOutput, {}, ["Reshape", "softmax", "reshape_like"]),
    "as_onednn": (maps, mx.sym.SoftmaxOutput, {}, ["softmax"]),
    "linear": (rows, mx.sym.LinearRegressionOutput, {"grad_scale": 2.0}, ["_copy"]),
    "absolute": (maps, mx.sym.MAERegressionOutput, {}, ["_copy"]),
    "logistic": (rows, mx.sym.LogisticRegressionOutput, {}, ["sigmoid"]),
    "margin": (rows, mx.sym.SVMOutput, {"margin": 0.3}, ["_copy"]),
}


@parameterized.expand(list(HEADS))
def test_equal_outputs_without_a_label(name):
    body, head, attrs, ops = HEADS[name]
    layer, shapes = body()
    net = fill(head(layer, name="out", **attrs), shapes)
    before = graph_of(net)
    after = inference_heads(before, shapes=infer_shapes(before, shapes))
    data = batch(shapes)
    (wanted,), (found,) = forward(net, {**data}), forward(after, data)
    assert found.shape == wanted.shape and np.abs(found - wanted).max() < 1e-6  # two softmax kernels
    assert [node.op for node in after.nodes if not node.is_variable][1:] == ops
    assert [node.name for node in after.inputs] == ["data"] and after.symbol().list_outputs() == ["out_output"]
    assert after.notes["out"] == REPLACED and len(before.inputs) == 2


def test_without_shapes_only_what_is_surely_the_same_is_replaced():
    for body, stays in ((rows, False), (maps, True), (sequences, True)):
        layer, shapes = body()
        after = inference_heads(graph_of(fill(mx.sym.SoftmaxOutput(layer, name="out"), shapes)))
        assert ("out_label" in [node.name for node in after.inputs]) == stays
        assert ("give data_shapes" in after.notes["out"]) == stays


def test_a_label_that_is_read_elsewhere_stays():
    label = mx.sym.var("label")
    layer, shapes = rows()
    out = mx.sym.SoftmaxOutput(layer, label, name="out")
    loss = mx.sym.MakeLoss(mx.sym.pick(mx.sym.log(out), label), name="loss")
    sym, args, aux, _ = fill(mx.sym.Group([out, loss]), {**shapes, "label": (3,)})
    after = inference_heads(graph_of((sym, args, aux)))
    assert {node.name for node in after.inputs} == {"data", "label"}
