"""Checks that need parameters alone."""

from typing import Iterator, List

import numpy as np

from ..network.graph import Graph, Node
from ..passes.fold_batchnorm import BATCHNORMS
from ..passes.linear import LINEAR
from .finding import Finding

_TINY = float(np.finfo(np.float32).tiny)
#: A channel whose largest weight is so small beside the largest of its layer computes nothing.
DEAD_BELOW = 1e-6
#: From this share of dead channels on it looks like an accident.
MANY_DEAD = 0.75


def parameters(graph: Graph) -> List[Finding]:
    """NaN and infinity, denormal numbers, constant weights, dead channels.

    Args:
        graph: the float network as it came.
    """
    found = [finding for name, array in graph.params.items() for finding in _array(name, array)]
    seen = set()
    for node in graph.nodes:
        if node.op in LINEAR and len(node.inputs) > 1 and node.inputs[1].node.name not in seen:
            weight = graph.param_of(node.inputs[1])
            if weight is not None and weight.size:
                seen.add(node.inputs[1].node.name)
                found += _weight(node, node.inputs[1].node.name, weight)
    return found


def unfolded(floats: Graph) -> List[Finding]:
    """BatchNorms that are left after folding.

    Args:
        floats: the simplified network.
    """
    return [
        Finding(
            "warning",
            "batchnorm",
            node.name,
            f"this {node.op} could not fold: {floats.notes.get(node.name, 'no reason was noted')}",
            "it becomes an operator of its own, with a rounding of its own; where you can, put it right behind a "
            "convolution or fully connected layer that nothing else reads",
        )
        for node in floats.nodes
        if node.op in BATCHNORMS
    ]


def _array(name: str, array: np.ndarray) -> Iterator[Finding]:
    if array.dtype.kind != "f" or not array.size:
        return
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        first = array[~np.isfinite(array)].flat[0]
        yield Finding(
            "error",
            "nonfinite",
            name,
            f"{bad} of {array.size} values are not finite, the first is {first}",
            "training diverged or the file is damaged: use another checkpoint",
        )
    size = np.abs(array)
    denormal = int(np.count_nonzero((size < _TINY) & (size > 0)))
    if denormal:
        yield Finding(
            "warning",
            "denormal",
            name,
            f"{denormal} of {array.size} values are denormal (below {_TINY:.3g})",
            "float runs slowly on them and they carry nothing: set them to zero",
        )


def _weight(node: Node, name: str, weight: np.ndarray) -> Iterator[Finding]:
    if weight.size > 1 and np.isfinite(weight).all() and weight.max() == weight.min():
        yield Finding(
            "warning",
            "constant",
            name,
            f"all {weight.size} weights of {node.op} {node.name!r} are {weight.flat[0]:.6g}",
            "it was not trained, or not loaded: look at how the parameters were saved",
        )
        return
    axis = 1 if node.op == "Deconvolution" and int(node.get("num_group", 1)) == 1 else 0
    with np.errstate(invalid="ignore"):
        largest = np.abs(np.moveaxis(weight, axis, 0)).reshape(weight.shape[axis], -1).max(axis=1)
    dead = int((largest <= DEAD_BELOW * largest.max()).sum())
    if dead:
        yield dead_channels(name, dead, len(largest), f"of {node.op} {node.name!r} without weights to speak of")


def dead_channels(name: str, dead: int, channels: int, told: str) -> Finding:
    """A finding about channels that compute nothing."""
    many = dead >= MANY_DEAD * channels
    return Finding(
        "warning" if many else "info",
        "dead",
        name,
        f"{dead} of {channels} channels {told}",
        "look at how the network was trained and saved" if many else "they cost time and nothing else",
    )
