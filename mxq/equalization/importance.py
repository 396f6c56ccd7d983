"""How much noise in each channel of each tensor comes to at the network's outputs, as far as weights tell.

Noise power goes backwards through the graph: through a layer by its squared weights, through what scales with its input
unchanged, through an average divided by its size. Noise of different values counts as independent. Every output has the
same share: its noise is relative to its power. An estimate without running anything; good for comparing the channels
of a tensor, and roughly for comparing tensors.
"""

from typing import Dict, Mapping, Optional

import numpy as np

from ..network.graph import Graph, Node, Value, upstream
from ..network.identity import tensor_key
from ..passes.channel_rules import Product, passages, shape_of
from ..passes.channel_ties import NORMS
from ..passes.linear import LINEAR, channel_axis


def importance(graph: Graph, powers: Mapping[str, float]) -> Dict[str, np.ndarray]:
    """Tensor key -> float64 per channel: relative noise power at the outputs per noise power of each element.

    Args:
        graph: a float graph with shapes.
        powers: layer name -> mean power of its output, where known.
    """
    found: Dict[str, np.ndarray] = {}

    def add(value: Value, amount) -> None:
        shape = graph.shapes.get((value.node.name, value.index), ())
        if len(shape) > 1 and graph.param_of(value) is None:
            key = tensor_key(value)
            found[key] = found.get(key, 0.0) + np.broadcast_to(np.asarray(amount, np.float64), (shape[1],))

    for value in graph.outputs:
        add(value, 1.0 / _power(value, powers))
    for node in reversed(graph.nodes):
        outputs = 1
        while (node.name, outputs) in graph.shapes:
            outputs += 1
        amounts = [found.get(tensor_key(node.out(i))) for i in range(outputs)]
        if node.is_variable or all(amount is None for amount in amounts):
            continue
        squares = squared_gain(node, graph)
        if squares is not None:
            add(node.inputs[0], squares if amounts[0] is None else _through(squares, amounts[0], node, graph))
            continue
        meeting = passages(node, graph)
        for passage in (meeting.factors if isinstance(meeting, Product) else meeting) or ():
            sizes = [shape_of(graph, node, i)[1] for i in passage.inputs]
            together = np.zeros(sum(sizes))
            for pick, amount in zip(passage.picks, amounts):
                if amount is not None:
                    together += np.bincount(pick, amount, len(together))
            for i, part in zip(passage.inputs, np.split(together, np.cumsum(sizes)[:-1])):
                add(node.inputs[i], part * passage.gain)
        if meeting is None:
            mean = float(np.mean(np.concatenate([a for a in amounts if a is not None])))
            for i, value in enumerate(node.inputs):
                shape = shape_of(graph, node, i)
                alike = amounts[0] is not None and shape is not None and shape[1] == len(amounts[0])
                add(value, amounts[0] if alike else mean)
    return found


def squared_gain(node: Node, graph: Graph) -> Optional[np.ndarray]:
    """Noise power of each output channel (axis 0) per that of each input: (O, I / groups) of a layer, (C,) of a
    BatchNorm; None for other operators."""
    params = [graph.param_of(v) for v in node.inputs[1:]]
    if not params or any(p is None for p in params):
        return None
    if node.op in NORMS and len(params) == 4 and int(node.get("axis", 1)) == 1:
        gamma = np.ones_like(params[0]) if node.get("fix_gamma", True) else params[0]
        return np.asarray(gamma, np.float64) ** 2 / (np.asarray(params[3], np.float64) + float(node.get("eps", 1e-3)))
    if node.op not in LINEAR or channel_axis(node) != 1:
        return None
    weight = np.square(params[0], dtype=np.float64)
    return weight.reshape(*weight.shape[:2], -1).sum(axis=2)


def _through(squares: np.ndarray, amount: np.ndarray, node: Node, graph: Graph):
    """Importance of a layer's input channels, given that of its output channels."""
    if squares.ndim == 1:
        return squares * amount
    shape = shape_of(graph, node, 0)
    groups = int(node.get("num_group", 1))
    if node.op == "FullyConnected":
        columns = amount @ squares if len(amount) == len(squares) else np.full(squares.shape[1], amount.mean())
        return columns.reshape(shape[1], -1).sum(axis=1) if columns.size % shape[1] == 0 else columns.mean()
    if node.op == "Deconvolution":
        by_group = squares.reshape(groups, -1, squares.shape[1])
        return np.einsum("gio,go->gi", by_group, amount.reshape(groups, -1)).reshape(-1)
    by_group = squares.reshape(groups, -1, squares.shape[1])
    return np.einsum("goi,go->gi", by_group, amount.reshape(groups, -1)).reshape(-1)


def _power(value: Value, powers: Mapping[str, float]) -> float:
    """Mean power of the layers that an output comes from; 1 if none is known."""
    layers = upstream([value.node], lambda node: node.name in powers)
    known = [powers[node.name] for node in layers if node.name in powers]
    found = float(np.mean(known)) if known else 1.0
    return found if np.isfinite(found) and found > 0 else 1.0
