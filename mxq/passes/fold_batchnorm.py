"""Folds BatchNorm into the convolution, deconvolution or fully connected layer before it, or after it.

At inference ``BN(y) = s * y + t`` per channel, ``s = gamma / sqrt(var + eps)`` and ``t = beta - mean * s``, with gamma
taken as 1 where ``fix_gamma`` holds (MXNet's default). Computed in float64, stored as float32.

* ``BN(W x + b) = (s W) x + (s b + t)``: always exact, if nothing but the BN reads the convolution.
* ``W BN(x) + b = (W s) x + (b + W t)``: exact without zero padding between (padding stands for
  ``BN(x) = 0``), with padding only if ``t`` is zero.

The layer keeps its name; its attribute ``__mxq_folded__`` lists the BatchNorms it took in.
A weight that others use as well is copied under a new name; layers that fold to the same numbers share the copy.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ..network.graph import Graph, Node, Use, Value
from .folded import record_fold
from .linear import LINEAR

#: BatchNorm operators, and the Activation each ends with. What they do at inference is the same.
BATCHNORMS: Dict[str, Optional[str]] = {
    "BatchNorm": None,
    "BatchNorm_v1": None,
    "_contrib_SyncBatchNorm": None,
    "_contrib_BatchNormWithReLU": "relu",
}


class _Refused(Exception):
    """Why a BatchNorm stays."""


class _Job(NamedTuple):
    """New arrays for a layer; jobs with equal keys compute the same arrays. `bias` None: the layer needs none."""

    layer: Node
    key: tuple
    weight: np.ndarray
    bias: Optional[np.ndarray]


def fold_batchnorm(graph: Graph) -> Graph:
    """Returns a graph where BatchNorms are part of the layers next to them, as far as that is exact.

    Args:
        graph: a float graph with parameters; stays as it is.

    Returns:
        the graph with equal outputs under equal names. ``notes`` says for each BatchNorm where it went or why it stays.
    """
    graph = graph.copy()
    while _fold_into_producers(graph):  # again for a BN behind a BN
        graph.prune()
    _fold_into_consumers(graph)
    graph.prune()
    graph.sort()
    return graph


def _fold_into_producers(graph: Graph) -> bool:
    uses = graph.uses()
    jobs, folds = [], []
    for bn in _batchnorms(graph):
        try:
            scale, shift = _affine(graph, bn, uses)
            layer = _producer(graph, bn, uses, scale)
            jobs.append(_output_side(graph, layer, scale, shift))
        except _Refused as reason:
            graph.notes[bn.name] = str(reason)
            continue
        folds.append((bn, layer))
    _apply(graph, jobs)
    for bn, layer in folds:
        _bypass(graph, bn, layer.out())
        record_fold(graph, bn, [layer])
    return bool(folds)


def _fold_into_consumers(graph: Graph) -> None:
    for bn in _batchnorms(graph):
        before = graph.notes.get(bn.name, "")
        try:
            uses = graph.uses()
            scale, shift = _affine(graph, bn, uses)
            layers = _consumers(graph, bn, uses)
            jobs = [_input_side(graph, bn, layer, scale, shift) for layer in layers]
        except _Refused as reason:
            if str(reason) != before:
                graph.notes[bn.name] = f"{before}; {reason}"
            continue
        _apply(graph, jobs)
        for layer in layers:
            layer.inputs[0] = bn.inputs[0]
        record_fold(graph, bn, layers)


# -- what fits -----------------------------------------------------------------------------------------------------


def _batchnorms(graph: Graph) -> List[Node]:
    return [node for node in graph.nodes if node.op in BATCHNORMS]


def _affine(graph: Graph, bn: Node, uses: Dict[tuple, List[Use]]) -> Tuple[np.ndarray, np.ndarray]:
    """Scale and shift per channel, float64."""
    if any((id(bn), index) in uses for index in (1, 2)):
        raise _Refused("its mean or variance output is used")
    arrays = [graph.param_of(value) for value in bn.inputs[1:]]
    missing = [value.node.name for value, array in zip(bn.inputs[1:], arrays) if array is None]
    if missing or len(arrays) != 4:
        raise _Refused(f"not a parameter: {', '.join(missing) or 'fewer than four statistics'}")
    gamma, beta, mean, var = (np.asarray(array, np.float64).reshape(-1) for array in arrays)
    if bn.get("fix_gamma", True):
        gamma = np.ones_like(gamma)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(var + float(bn.get("eps", 1e-3)))
        shift = beta - mean * scale
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        raise _Refused("its statistics do not give finite numbers (negative variance?)")
    return scale, shift


def _producer(graph: Graph, bn: Node, uses: Dict[tuple, List[Use]], scale: np.ndarray) -> Node:
    value = bn.inputs[0]
    layer = value.node
    if layer.op not in LINEAR or value.index != 0:
        raise _Refused(f"its input comes from {layer.op} {layer.name!r}, which it cannot fold into")
    others = [use for use in uses[id(layer), 0] if use.node is not bn]
    if others:
        names = ", ".join("the graph output" if use.node is None else repr(use.node.name) for use in others)
        raise _Refused(f"{layer.name!r} before it is also read by {names}")
    axis = int(bn.get("axis", 1))
    if not LINEAR[layer.op].is_channel_axis(layer, axis, len(graph.shapes.get((layer.name, 0), ())) or None):
        raise _Refused(f"its axis {axis} is not surely the channel axis of {layer.name!r}")
    if len(scale) != int(layer.get(LINEAR[layer.op].channels)):
        raise _Refused(f"it has {len(scale)} channels, {layer.name!r} has {layer.get(LINEAR[layer.op].channels)}")
    return layer


def _consumers(graph: Graph, bn: Node, uses: Dict[tuple, List[Use]]) -> List[Node]:
    if BATCHNORMS[bn.op]:
        raise _Refused(f"its {BATCHNORMS[bn.op]} lies between it and what follows")
    users = uses.get((id(bn), 0), [])
    for use in users:
        if use.node is None:
            raise _Refused("it is a graph output")
        if use.node.op not in LINEAR or use.index != 0:
            raise _Refused(f"{use.node.op} {use.node.name!r} reads it, which it cannot fold into")
    return [use.node for use in users]


def _layer_arrays(graph: Graph, layer: Node) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    arrays = [graph.param_of(value) for value in layer.inputs[1:]]
    for value, array in zip(layer.inputs[1:], arrays):
        if array is None:
            raise _Refused(f"{value.node.name!r} of {layer.name!r} is not a parameter")
        if array.dtype != np.float32:
            raise _Refused(f"{value.node.name!r} of {layer.name!r} is {array.dtype}, not float32")
    return arrays[0], arrays[1] if len(arrays) > 1 else None


# -- the arithmetic ------------------------------------------------------------------------------------------------


def _output_side(graph: Graph, layer: Node, scale: np.ndarray, shift: np.ndarray) -> _Job:
    weight, bias = _layer_arrays(graph, layer)
    groups = int(layer.get("num_group", 1))
    with np.errstate(all="ignore"):
        new_weight = _float32(LINEAR[layer.op].scale_outputs(weight.astype(np.float64), scale, groups), layer)
        new_bias = _float32(shift if bias is None else bias.astype(np.float64) * scale + shift, layer)
    return _Job(layer, _key("out", layer, groups, scale, shift), new_weight, new_bias)


def _input_side(graph: Graph, bn: Node, layer: Node, scale: np.ndarray, shift: np.ndarray) -> _Job:
    spec = LINEAR[layer.op]
    weight, bias = _layer_arrays(graph, layer)
    groups = int(layer.get("num_group", 1))
    reason = spec.refuses_input_side(layer, weight, int(bn.get("axis", 1)), len(scale), bool(shift.any()))
    if reason:
        raise _Refused(f"into {layer.name!r} after it: {reason}")
    wide = weight.astype(np.float64)
    with np.errstate(all="ignore"):
        new_weight = _float32(spec.scale_inputs(layer, wide, scale, groups), layer)
        new_bias = bias
        if shift.any():
            added = spec.sum_inputs(layer, wide, shift, groups)
            new_bias = _float32(added if bias is None else bias.astype(np.float64) + added, layer)
    return _Job(layer, _key("in", layer, groups, scale, shift), new_weight, new_bias)


def _float32(array: np.ndarray, layer: Node) -> np.ndarray:
    result = array.astype(np.float32)
    if not np.isfinite(result).all():
        raise _Refused(f"folded into {layer.name!r} its numbers would overflow float32")
    return result


def _key(side: str, layer: Node, groups: int, scale: np.ndarray, shift: np.ndarray) -> tuple:
    params = tuple(id(value.node) for value in layer.inputs[1:])
    layout = (str(layer.get("layout")), str(layer.get("kernel")))
    return (side, layer.op, groups, layout, params, scale.tobytes(), shift.tobytes())


# -- the change ----------------------------------------------------------------------------------------------------


def _apply(graph: Graph, jobs: List[_Job]) -> None:
    """Gives each layer its new arrays, in place where nobody else reads the old ones."""
    by_key: Dict[tuple, List[_Job]] = {}
    for job in jobs:
        by_key.setdefault(job.key, []).append(job)
    uses = graph.uses()
    for group in by_key.values():
        first = group[0]
        layers = {id(job.layer) for job in group}
        weight = _store(graph, uses, first.layer.inputs[1], first.weight, layers)
        bias = None
        if first.bias is not None and len(first.layer.inputs) > 2:
            bias = _store(graph, uses, first.layer.inputs[2], first.bias, layers)
        elif first.bias is not None:
            bias = graph.add_param(f"{first.layer.name}_bias", first.bias)
        for job in group:
            job.layer.inputs[1:] = [weight] + ([bias] if bias is not None else [])
            job.layer.attrs["no_bias"] = str(bias is None)


def _store(graph: Graph, uses: Dict[tuple, List[Use]], old: Value, array: np.ndarray, layers: set) -> Value:
    if all(use.node is not None and id(use.node) in layers for use in uses[id(old.node), 0]):
        graph.params[old.node.name] = array
        return old
    return graph.add_param(old.node.name, array)


def _bypass(graph: Graph, bn: Node, value: Value) -> None:
    """Takes `bn` out; what must stay of it (its activation, the name of a graph output) takes over its name."""
    activation = BATCHNORMS[bn.op]
    users = graph.uses().get((id(bn), 0), [])
    if activation:
        bn.op, bn.attrs, bn.inputs = "Activation", {"act_type": activation}, [value]
        return
    graph.replace(bn.out(), value, only=[use for use in users if use.node is not None])
    bn.op, bn.attrs, bn.inputs = "_copy", {}, [value]  # without a graph output it is pruned
