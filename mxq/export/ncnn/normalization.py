"""Normalizations, and softmax in all its names."""

import numpy as np

from ...network.graph import Node
from .builder import Builder
from .net import numbers
from .table import Refused, emits


@emits(
    "BatchNorm", "BatchNorm_v1", "_contrib_SyncBatchNorm", eps=1e-3, momentum=0.9, fix_gamma=True,
    use_global_stats=False, output_mean_var=False, axis=1, min_calib_range=None, max_calib_range=None, ndev=1, key="",
)  # fmt: skip
def batch_norm(b: Builder, node: Node, a) -> str:
    if a.output_mean_var or b.axis(a.axis, node.inputs[0]) != 0:
        raise Refused("it normalizes another axis than 1, or has its mean and variance as outputs")
    gamma, beta, mean, var = (b.parameter(value, "parameter") for value in node.inputs[1:])
    if a.fix_gamma:  # whatever the file holds
        gamma = np.ones_like(gamma)
    parts = [numbers(array) for array in (gamma, mean, var, beta)]
    return b("BatchNorm", [b.read(node.inputs[0])], {0: int(gamma.size), 1: float(a.eps)}, parts)


@emits("LRN", nsize=0, alpha=1e-4, beta=0.75, knorm=2.0)
def lrn(b: Builder, node: Node, a) -> str:
    if a.nsize % 2 == 0:
        raise Refused(f"its nsize is {a.nsize}; odd numbers have an ncnn form")
    params = {0: 0, 1: a.nsize, 2: float(a.alpha), 3: float(a.beta), 4: float(a.knorm)}
    return b("LRN", [b.read(node.inputs[0])], params)


@emits("L2Normalization", eps=1e-10, mode="instance")
def l2_normalization(b: Builder, node: Node, a) -> str:
    """Over all axes, as one of channels; or over the channels of each pixel."""
    shape = b.shape(node.inputs[0])[1:]
    if a.mode == "spatial" or (a.mode == "channel" and len(shape) != 3):
        raise Refused(
            f"its mode is {a.mode} with {len(shape)} axes; instance, and channel of images, have an ncnn form"
        )
    x = b.read(node.inputs[0])
    if a.mode == "instance":
        x = b.reshape(x, (int(np.prod(shape)), 1, 1))
    params = {0: 0, 4: 1, 1: 1, 2: float(a.eps), 3: 1, 9: 0}
    y = b("Normalize", [x], params, [numbers(np.ones(1))])
    return y if a.mode == "channel" else b.reshape(y, shape)


@emits("softmax", axis=-1, temperature=1.0, dtype="", use_length=False)
def softmax(b: Builder, node: Node, a) -> str:
    if a.use_length or a.dtype not in ("", "float32"):
        raise Refused("its use_length is True or its dtype is not float32")
    x = b.read(node.inputs[0])
    if a.temperature != 1.0:
        x = b("BinaryOp", [x], {0: 3, 1: 1, 2: float(a.temperature)})
    return b("Softmax", [x], {0: b.axis(a.axis, node.inputs[0]), 1: 1})


@emits("SoftmaxActivation", mode="instance")
def softmax_activation(b: Builder, node: Node, a) -> str:
    axis = 1 if a.mode == "channel" else -1
    return b("Softmax", b.inputs(node), {0: b.axis(axis, node.inputs[0]), 1: 1})


@emits(
    "SoftmaxOutput", "Softmax", grad_scale=1.0, ignore_label=-1.0, multi_output=False, use_ignore=False,
    preserve_shape=False, normalization="null", out_grad=False, smooth_alpha=0.0,
)  # fmt: skip
def softmax_output(b: Builder, node: Node, a) -> str:
    rank = b.rank(node.inputs[0])
    if rank > 1 and not (a.multi_output or a.preserve_shape):
        raise Refused(f"what it computes of {rank + 1} axes depends on the device: set multi_output or preserve_shape")
    axis = -1 if a.preserve_shape and not a.multi_output else 1
    return b("Softmax", [b.read(node.inputs[0])], {0: b.axis(axis, node.inputs[0]), 1: 1})
