"""MobileNet whose depthwise layers came out of training or folding with channels of very different scales."""

import json

import mxnet as mx
import numpy as np

import mxq

from . import realdata
from .networks import forward

NAME = "mobilenet0.75"


def _with_relu(symbol):
    """ReLU in place of ReLU6, so that a channel can be scaled and the next layer compensate."""
    graph = json.loads(symbol.tojson())
    for node in graph["nodes"]:
        if node["op"] == "clip":
            node["op"] = "relu"
            del node["attrs"]
    return mx.sym.load_json(json.dumps(graph))


def _scaled(args):
    args, rng = dict(args), np.random.RandomState(0)
    for k in range(1, 14):
        scale = mx.nd.array(10 ** rng.uniform(-2, 2, args[f"conv_dw_{k}_weight"].shape[0]))
        for name in ("gamma", "beta"):
            args[f"conv_dw_{k}_bn_{name}"] = args[f"conv_dw_{k}_bn_{name}"] * scale
        args[f"conv_pw_{k}_weight"] = args[f"conv_pw_{k}_weight"] / scale.reshape((1, -1, 1, 1))
    return args


def test_scales_between_layers_cost_nothing():
    realdata.need()
    symbol, args, aux = realdata.load(NAME)
    symbol = _with_relu(symbol)
    calibration = [batch for batch, _ in realdata.images(NAME, "calib", 32)]
    images = {"data": next(realdata.images(NAME, "val", 64, batch_size=64))[0]}
    reference = forward((symbol, args, aux), images)[0]
    noise = []
    for params in (args, _scaled(args)):
        np.testing.assert_allclose(forward((symbol, params, aux), images)[0], reference, rtol=1e-2, atol=1e-2)
        scores = forward(mxq.quantize_model(symbol, (params, aux), calibration), images)[0]
        noise.append(10 * np.log10(np.square(reference - scores).sum() / np.square(reference).sum()))
        assert (scores.argmax(1) == reference.argmax(1)).mean() > 0.9
    assert noise[1] < noise[0] + 1.5 and noise[1] < -15, noise
