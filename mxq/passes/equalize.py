"""Gives the channels of a tensor similar ranges, so that one scale serves them all. Float to float, equal outputs.

Between two layers with at most ReLU, pooling and concat between them, ``W2 relu(W1 x + b)`` equals
``(W2 s) relu((W1 x + b) / s)`` for any positive s per channel. The division costs nothing in int8, where every output
channel has a weight scale of its own. With ``s = r ** STRENGTH * w ** (1 - STRENGTH)``, r the channel's largest
magnitude and w what its weights and bias could give (the sum of their magnitudes), small channels use more of the 256
levels; with r alone at full strength the columns of the next layer's weights become as uneven as the channels were.
From 0.5 to 0.7 the ImageNet networks tried differ by a few tenths of a decibel; 0.6 is taken.

A channel that was multiplied by f, and its readers by 1 / f, gets f times the factor: the equalized network is the
same, whatever scales training, folding or conversion left between two layers.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019; measured ranges as
in Xiao et al., "SmoothQuant", 2022.
"""

from typing import Dict, List, Mapping, NamedTuple, Optional

import numpy as np

from ..errors import CalibrationError
from ..network.graph import Graph, Node, Value
from ..network.identity import tensor_key
from ..ops import COMPUTE, lookup
from ..ops.fuse import is_relu
from ..ops.spec import sole_user

STRENGTH = 0.6
#: A channel counts as at least one part in so many of what channels with such weights reach: what calibration hardly
#: saw may still come.
LARGEST_GAIN = 32.0


class Reader(NamedTuple):
    """A layer that reads the channels from `offset` on, each as `repeat` columns of its weight."""

    layer: Node
    offset: int
    repeat: int


def channel_factors(graph: Graph, channel_max: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Layer name -> float32 factor s per output channel, for the layers whose output can be equalized.

    Args:
        graph: a simplified float graph with shapes.
        channel_max: tensor key -> largest magnitude per channel (axis 1) of the tensor before its readers.
    """
    uses = graph.uses()
    factors = {}
    for layer in graph.nodes:
        if not _is_layer(layer, graph) or _shares_parameters(layer, uses) or not layer.get("flatten", True):
            continue  # without flatten the channels are the last axis
        value = _behind_relu(layer, uses)
        largest = channel_max.get(tensor_key(value))
        readers = _readers(graph, layer.out(), uses)
        if largest is None or not readers or not largest.max() > 0:
            continue
        factors[layer.name] = _factor(np.asarray(largest, np.float64), _reach(graph, layer))
    return factors


def _reach(graph: Graph, layer: Node) -> np.ndarray:
    """Sum of the magnitudes of each output channel's weights and bias; inputs of similar size reach no further."""
    weight, *bias = (np.abs(np.asarray(graph.params[v.node.name], np.float64)) for v in layer.inputs[1:])
    return weight.reshape(len(weight), -1).sum(axis=1) + sum(bias)


def _factor(largest: np.ndarray, reach: np.ndarray) -> np.ndarray:
    used = (largest > 0) & (reach > 0)
    typical = np.median(largest[used] / reach[used]) if used.any() else 1.0
    reach = np.where(reach > 0, reach, reach[used].min() if used.any() else 1.0)
    factor = np.maximum(largest, typical * reach / LARGEST_GAIN) ** STRENGTH * (typical * reach) ** (1 - STRENGTH)
    return np.maximum(factor / factor.max(), np.finfo(np.float32).tiny).astype(np.float32)


def equalize(graph: Graph, factors: Mapping[str, np.ndarray]) -> Graph:
    """Returns a copy of `graph` with each named layer's channels divided by its factors and its readers multiplied."""
    graph = graph.copy()
    uses = graph.uses()
    arrays = {}

    def array_of(value: Value) -> np.ndarray:
        name = value.node.name
        if name not in arrays:
            arrays[name] = np.array(graph.params[name], np.float64)
        return arrays[name]

    for layer in list(graph.nodes):
        if layer.name not in factors:
            continue
        factor = np.asarray(factors[layer.name], np.float64)
        weight = array_of(layer.inputs[1])
        if factor.size != len(weight):
            raise CalibrationError(
                f"the calibration table has {factor.size} channel factors for {layer.name!r}, which has {len(weight)} "
                "channels; calibrate again"
            )
        weight /= factor.reshape((-1,) + (1,) * (weight.ndim - 1))
        if len(layer.inputs) > 2:
            bias = array_of(layer.inputs[2])
            bias /= factor
        for reader in _readers(graph, layer.out(), uses):
            _scale_columns(array_of(reader.layer.inputs[1]), reader, factor)
    graph.params.update((name, array.astype(np.float32)) for name, array in arrays.items())
    return graph


def channel_scales(graph: Graph, factors: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """What `equalize` multiplies the values of tensors by: tensor key -> float64 per channel (axis 1).

    Args:
        graph: the graph before it is equalized.
        factors: see equalize.
    """
    uses = graph.uses()
    scales: Dict[str, np.ndarray] = {}

    def follow(value: Value, scale: np.ndarray, offset: int) -> None:
        key = tensor_key(value)
        channels = graph.shapes[value.node.name, value.index][1]
        scales.setdefault(key, np.ones(channels))[offset : offset + len(scale)] *= scale
        for node in {id(use.node): use.node for use in uses.get((id(value.node), value.index), [])}.values():
            if _is_layer(node, graph):
                continue
            positions = int(np.prod(graph.shapes[value.node.name, value.index][2:])) if node.op == "Flatten" else 1
            before = _channels_before(graph, node, value) if node.op == "Concat" else 0
            follow(node.out(), np.repeat(scale, positions), (offset + before) * positions)

    for layer in graph.nodes:
        if layer.name in factors:
            follow(layer.out(), 1 / np.asarray(factors[layer.name], np.float64), 0)
    return scales


def _is_layer(node: Node, graph: Graph) -> bool:
    spec = lookup(node)
    return (
        spec is not None
        and spec.kind_of(node) == COMPUTE
        and all(graph.param_of(v) is not None and graph.param_of(v).dtype == np.float32 for v in node.inputs[1:])
    )


def _shares_parameters(layer: Node, uses: Dict) -> bool:
    return any(len(uses[id(v.node), 0]) > 1 for v in layer.inputs[1:])


def _pads_in_scale(node: Node) -> bool:
    """Whether a Pad writes nothing that would have to be scaled too."""
    return node.op in ("Pad", "pad") and (node.get("mode") != "constant" or float(node.get("constant_value", 0)) == 0)


def _behind_relu(layer: Node, uses: Dict) -> Value:
    user = sole_user(layer.out(), uses)
    return user.out() if user is not None and is_relu(user) else layer.out()


def _readers(graph: Graph, value: Value, uses: Dict, offset: int = 0, repeat: int = 1) -> Optional[List[Reader]]:
    """Every layer that reads the value; None where somebody else does, whom a changed scale would disturb."""
    found: List[Reader] = []
    for use in uses.get((id(value.node), value.index), []):
        node = use.node
        if node is None:
            return None
        if _is_layer(node, graph) and use.index == 0:
            if _shares_parameters(node, uses) or not node.get("flatten", True):
                return None
            found.append(Reader(node, offset, _columns_per_channel(graph, node, repeat)))
            continue
        if is_relu(node) or node.op == "Pooling" or _pads_in_scale(node):
            rest = _readers(graph, node.out(), uses, offset, repeat)
        elif node.op == "Flatten":
            shape = graph.shapes.get((node.inputs[0].node.name, node.inputs[0].index))
            rest = shape and _readers(graph, node.out(), uses, offset, int(np.prod(shape[2:])))
        elif node.op == "Concat" and int(node.get("dim", 1)) == 1:
            before = _channels_before(graph, node, value)
            rest = None if before is None else _readers(graph, node.out(), uses, offset + before, repeat)
        else:
            return None
        if not rest:
            return None
        found += rest
    return found


def _columns_per_channel(graph: Graph, node: Node, repeat: int) -> int:
    shape = graph.shapes.get((node.inputs[0].node.name, node.inputs[0].index), ())
    return int(np.prod(shape[2:])) if node.op == "FullyConnected" and len(shape) > 2 else repeat


def _channels_before(graph: Graph, concat: Node, value: Value) -> Optional[int]:
    if concat.inputs.count(value) != 1:
        return None
    shapes = [graph.shapes.get((v.node.name, v.index)) for v in concat.inputs]
    if any(s is None or len(s) < 3 for s in shapes):
        return None
    return sum(s[1] for s in shapes[: concat.inputs.index(value)])


def _scale_columns(weight: np.ndarray, reader: Reader, factor: np.ndarray) -> None:
    if reader.layer.op == "FullyConnected":
        first = reader.offset * reader.repeat
        weight[:, first : first + factor.size * reader.repeat] *= np.repeat(factor, reader.repeat)
        return
    groups = int(reader.layer.get("num_group", 1))
    per_group = weight.shape[1]
    by_group = weight.reshape((groups, weight.shape[0] // groups) + weight.shape[1:])  # a view
    for channel, f in enumerate(factor, reader.offset):
        by_group[channel // per_group, :, channel % per_group] *= f
