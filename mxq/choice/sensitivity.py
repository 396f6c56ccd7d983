"""How much each layer hurts: the noise it makes when it alone is int8.

Noise is measured where it counts and where it can be compared as numbers: in the results of the last layers that
multiply, before softmax, non-maximum suppression or argmax. Alone, because noise of independent layers adds up: what a
layer contributes to the whole network is what it does alone, while the difference that it makes among fifty others
drowns in theirs.
"""

from typing import Callable, Dict, List, Mapping, Sequence

import numpy as np

from ..arithmetic.noise import Noise, mean_ratio
from ..data.batches import Batch
from ..data.progress import Progress
from ..network.graph import Graph, Node, Value, upstream
from ..network.identity import tensor_key
from ..ops import COMPUTE, SELECT, lookup
from ..passes.annotate import leave_float, units
from .running import Runner


def layers_of(annotated: Graph, mode: str) -> List[str]:
    """The units that can make noise, by name. What only moves or selects values follows its neighbours in 'smart'."""
    return [unit.name for unit in units(annotated) if mode == "full" or unit.kind != SELECT]


def last_results(graph: Graph) -> List[Value]:
    """What each output is computed from by nothing that multiplies: results of layers, or else the outputs."""

    def multiplies(node: Node) -> bool:
        spec = lookup(node)
        return spec is not None and spec.kind_of(node) == COMPUTE

    last = {id(node) for node in upstream((v.node for v in graph.outputs), multiplies) if multiplies(node)}
    return [node.out() for node in graph.nodes if id(node) in last] or list(graph.outputs)


def measure(
    floats: Graph,
    annotated: Graph,
    layers: Sequence[str],
    batches: Sequence[Batch],
    quantized: Callable[[Graph], Graph],
    *,
    known: Dict[str, float],
    save: Callable[[], None],
    show: bool = None,
) -> Mapping[str, float]:
    """Noise-to-signal ratio of the last results with one layer int8, for every layer.

    Args:
        floats, annotated: the network that calibration ran, and the same with units marked.
        layers: names of units.
        batches: a few examples.
        quantized: from an annotated graph to one that runs with its units quantized.
        known: what was measured before; new results are added.
        save: called after each measurement.

    Returns:
        `known`.
    """
    watched = [tensor_key(value) for value in last_results(floats)]
    missing = [layer for layer in layers if layer not in known]
    if not missing:
        return known
    wanted = _run(floats, watched, batches)
    every = {unit.name: "" for unit in units(annotated)}
    with Progress(len(missing), "noise of each layer", show=show, unit="layer") as bar:
        for layer in missing:
            others = {name: why for name, why in every.items() if name != layer}
            alone = quantized(leave_float(annotated, others, mode="full"))
            known[layer] = _noise(_run(alone, watched, batches), wanted)
            save()
            bar.step()
    return known


def _run(graph: Graph, watched: Sequence[str], batches: Sequence[Batch]) -> List[List[np.ndarray]]:
    graph = graph.copy()
    by_key = {tensor_key(value): value for node in graph.nodes for value in _outputs(node, graph)}
    graph.outputs = [by_key[key] for key in watched]
    graph.prune()
    run = Runner(*graph.to_symbol())
    return [run(batch) for batch in batches]


def _outputs(node, graph: Graph) -> List[Value]:
    """Output 0 of a node, and those others that the network returns."""
    return [node.out()] + [value for value in graph.outputs if value.node is node and value.index]


def _noise(found: List[List[np.ndarray]], wanted: List[List[np.ndarray]]) -> float:
    """Mean over the watched values of noise over signal."""
    noises = [Noise() for _ in wanted[0]]
    for results, exact in zip(found, wanted):
        for noise, a, b in zip(noises, exact, results):
            noise.add(a, b)
    ratio = mean_ratio([noise for noise in noises if noise.signal])
    return ratio if ratio == ratio else float("inf")  # NaN hurts most
