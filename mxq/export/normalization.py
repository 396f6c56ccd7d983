"""Normalizations: batch, layer, instance, group, L2, and local response."""

from typing import Sequence

import numpy as np

from ..network.graph import Node, Value
from .builder import Builder
from .table import Refused, emits


@emits(
    "BatchNorm", "BatchNorm_v1", "_contrib_SyncBatchNorm", eps=1e-3, momentum=0.9, fix_gamma=True,
    use_global_stats=False, output_mean_var=False, axis=1, min_calib_range=None, max_calib_range=None, ndev=1, key="",
)  # fmt: skip
def batch_norm(b: Builder, node: Node, a) -> str:
    if a.output_mean_var:
        raise Refused("its output_mean_var is True; False has an ONNX form")
    x, gamma, beta, mean, var = b.inputs(node)
    rank = len(b.shape(node.inputs[0]))
    axis = a.axis % rank
    channels = b.shape(node.inputs[0])[axis]
    if a.fix_gamma:  # whatever the file holds
        gamma = b.constant(np.ones(channels), name=f"{node.name}_ones")
    if axis == 1:
        return b("BatchNormalization", [x, gamma, beta, mean, var], epsilon=a.eps)
    axes = [axis] + [i for i in range(rank) if i != axis]
    axes[0], axes[1] = axes[1], axes[0]
    if rank == 1:
        raise Refused("it normalizes the only axis; two axes have an ONNX form")
    y = b("BatchNormalization", [b.transpose(x, axes), gamma, beta, mean, var], epsilon=a.eps)
    return b.transpose(y, list(np.argsort(axes)))


@emits("LRN", nsize=0, alpha=1e-4, beta=0.75, knorm=2.0)
def lrn(b: Builder, node: Node, a) -> str:
    if a.nsize % 2 == 0:
        raise Refused(f"its nsize is {a.nsize}; odd numbers have an ONNX form")
    return b("LRN", b.inputs(node), size=a.nsize, alpha=a.alpha, beta=a.beta, bias=a.knorm)


def _along(b: Builder, value: Value, shape: Sequence[int]) -> str:
    """A vector of parameters, to be broadcast."""
    array = b.array(value)
    name = b.read(value)
    return b.reshape(name, shape) if array is None else b.constant(array.reshape(shape), name=f"{name}_along")


@emits("LayerNorm", axis=-1, eps=1e-5, output_mean_var=False)
def layer_norm(b: Builder, node: Node, a) -> str:
    if a.output_mean_var:
        raise Refused("its output_mean_var is True; False has an ONNX form")
    shape = b.shape(node.inputs[0])
    axis = a.axis % len(shape)
    x = b.read(node.inputs[0])
    along = [1] * len(shape)
    along[axis] = shape[axis]
    if axis == len(shape) - 1:  # the shape that runtimes recognize
        along = [shape[axis]]
    gamma, beta = (_along(b, value, along) for value in node.inputs[1:])
    centred = b("Sub", [x, b.reduce("ReduceMean", x, [axis])])
    variance = b.reduce("ReduceMean", b("Pow", [centred, b.constant(2.0)]), [axis])
    y = b("Div", [centred, b("Sqrt", [b("Add", [variance, b.constant(a.eps)])])])
    return b("Add", [b("Mul", [y, gamma]), beta])


@emits("InstanceNorm", eps=1e-3)
def instance_norm(b: Builder, node: Node, a) -> str:
    if len(b.shape(node.inputs[0])) < 3:
        raise Refused("its input has no spatial axis")
    return b("InstanceNormalization", b.inputs(node), epsilon=a.eps)


@emits("GroupNorm", num_groups=1, eps=1e-5, output_mean_var=False)
def group_norm(b: Builder, node: Node, a) -> str:
    """As InstanceNormalization of groups; MXNet 1.9.1 has a gamma and a beta for each group, later ones by channel."""
    if a.output_mean_var:
        raise Refused("its output_mean_var is True; False has an ONNX form")
    shape, groups = b.shape(node.inputs[0]), a.num_groups
    sizes = [b.shape(value)[0] for value in node.inputs[1:]]
    x = b.reshape(b.read(node.inputs[0]), (shape[0], groups, -1))
    if sizes == [groups, groups]:
        y = b("InstanceNormalization", [x, *b.inputs(node)[1:]], epsilon=a.eps)
        return b.reshape(y, shape)
    ones, zeros = b.constant(np.ones(groups)), b.constant(np.zeros(groups))
    y = b.reshape(b("InstanceNormalization", [x, ones, zeros], epsilon=a.eps), shape)
    gamma, beta = (_along(b, v, (size,) + (1,) * (len(shape) - 2)) for v, size in zip(node.inputs[1:], sizes))
    return b("Add", [b("Mul", [y, gamma]), beta])


@emits("L2Normalization", eps=1e-10, mode="instance")
def l2_normalization(b: Builder, node: Node, a) -> str:
    rank = len(b.shape(node.inputs[0]))
    axes = {"instance": range(1, rank), "channel": [1], "spatial": range(2, rank)}.get(a.mode)
    if not axes:
        raise Refused(f"its mode {a.mode} normalizes no axis of {rank}")
    x = b.read(node.inputs[0])
    squares = b.reduce("ReduceSum", b("Mul", [x, x]), list(axes))
    return b("Div", [x, b("Sqrt", [b("Add", [squares, b.constant(a.eps)])])])
