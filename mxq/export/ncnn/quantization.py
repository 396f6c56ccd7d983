"""Explicit quantization: ncnn rounds in front of layers with weights only; a pair elsewhere leaves its value float.

A tensor of 11 bits is read as float: the layer that reads it is float there.
"""

import numpy as np

from ...network.graph import Node
from ...passes.quantize_params import in_qparams
from .builder import Builder, Integers
from .table import Refused, emits


@emits("mxq_quantize_v2", folds=False, out_type="int8", min_calib_range=0.0, max_calib_range=0.0, fine_steps=1)
def quantize(b: Builder, node: Node, a) -> str:
    return b.read(node.inputs[0])


@emits(
    "mxq_dequantize", folds=False, ranges="none", axis=0, min_calib_range=0.0, max_calib_range=0.0, fine_steps=1,
)  # fmt: skip
def dequantize(b: Builder, node: Node, a):
    if a.ranges == "channel":
        q, scale = (b.parameter(value, "input") for value in node.inputs)
        b.integers[node.name, 0] = Integers(q, scale)
        along = scale.reshape((-1,) + (1,) * (q.ndim - 1))
        b.arrays[node.name, 0] = q.astype(np.float32) * along
        return None
    given = in_qparams(node)
    if given is None:
        raise Refused("its range is found at run time: calibrate the network")
    if a.fine_steps == 1:
        b.scales[node.name, 0] = given
    return b.read(node.inputs[0])
