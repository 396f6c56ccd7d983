"""Does the data look like what the network was trained on?

The first BatchNorm that the data reaches remembers mean and variance of its input in training. The same moments on the
data given are compared with them, as the divergence of two normal distributions per channel. Where they differ, other
ways to prepare the same pixels (channel order, mean, scale) are tried: one that fits much better, whichever of the
examples are looked at (bootstrap), is named. Networks whose BatchNorms were folded remember nothing: nothing is said.
"""

import itertools
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..network.graph import Graph, Node
from ..network.part import Part, Runner
from ..passes.fold_batchnorm import BATCHNORMS
from .finding import Finding

#: Examples that tell the order of channels, those that tell scales, and those without which nothing is said.
EXAMPLES, SOME, FEWEST = 64, 16, 4
#: Mean divergence above which other scales are tried, and that which is wrong whatever else fits. On the right data it
#: is about 0.03, with channels swapped 0.06, with another scale 0.2 and more.
SUSPICIOUS, HOPELESS = 0.15, 1.0
#: How much better another way must fit, with channels swapped alone and else.
BETTER_SWAPPED, BETTER = 1.5, 3.0
_LARGEST = 10.0  # divergence of one channel: the mean is not left to a single one
_RESAMPLES = 200


class Form(NamedTuple):
    """A way to prepare pixels 0 to 255: ``(pixel - mean) / std``, means and stds in RGB order."""

    name: str
    mean: Tuple[float, ...]
    std: Tuple[float, ...]


FORMS = (
    Form("pixels 0 to 255", (0.0,), (1.0,)),
    Form("pixels / 255", (0.0,), (255.0,)),
    Form("pixels / 127.5 - 1", (127.5,), (127.5,)),
    Form("pixels / 255 - 0.5", (127.5,), (255.0,)),
    Form("pixels minus the mean (123.68, 116.78, 103.94)", (123.68, 116.78, 103.94), (1.0,)),
    Form(
        "pixels minus (123.675, 116.28, 103.53), divided by (58.395, 57.12, 57.375)",
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
    ),
)


class _Candidate(NamedTuple):
    """What to do with the data instead."""

    told: str
    data: np.ndarray


class _Memory(NamedTuple):
    """What a BatchNorm remembers."""

    node: Node
    mean: np.ndarray
    var: np.ndarray
    eps: float


def preprocessing(graph: Graph, data_name: str, data: np.ndarray, *, at_once: int) -> List[Finding]:
    """A finding if the data does not fit the network's first BatchNorm.

    Args:
        graph: the float network as it came, before BatchNorms are folded.
        data_name: the input.
        data: examples, as the graph takes them; float32, channels in axis 1.
        at_once: how many of them run at once.
    """
    memory = first_memory(graph, data_name)
    if memory is None or len(data) < FEWEST:
        return []
    value = memory.node.inputs[0]
    part = None if value.node.is_variable else Runner([graph]).part(graph, {}, [value])
    given = _moments(part, memory, data_name, data, at_once)
    distance = float(_divergence(memory, given.mean(axis=1)))
    if distance > SUSPICIOUS:  # that shows on fewer
        data = data[: max(SOME // at_once, 1) * at_once]
        given = given[:, : len(data)]
        distance = float(_divergence(memory, given.mean(axis=1)))
    best, best_distance, sure = None, distance, False
    for candidate in _candidates(data, everything=distance > SUSPICIOUS):
        moments = _moments(part, memory, data_name, candidate.data, at_once)
        other = float(_divergence(memory, moments.mean(axis=1)))
        if other < best_distance:
            best, best_distance, sure = candidate, other, _surely_better(memory, moments, given)
    times = BETTER if distance > SUSPICIOUS else BETTER_SWAPPED
    where = f"mean and variance before {memory.node.name!r} are not those it was trained with"
    if best is not None and sure and distance > times * best_distance and best_distance < SUSPICIOUS:
        told = f"divergence {distance:.2g}, {best_distance:.2g} {best.told}"
        return [Finding("warning", "preprocessing", data_name, f"{where}: {told}", f"prepare the data {best.told}")]
    if distance > HOPELESS:
        advice = "use the preprocessing of the training: order of channels, mean, scale"
        return [Finding("warning", "preprocessing", data_name, f"{where}: divergence {distance:.2g}", advice)]
    return []


def unchecked(graph: Graph, data_name: str, examples: int) -> Optional[str]:
    """Why nothing is said about how the data was prepared; None where something would be."""
    what = f"order of channels, mean and scale of {data_name!r}"
    if first_memory(graph, data_name) is None:
        return f"{what}: no BatchNorm of the network remembers its training (folded, or there is none)"
    if examples < FEWEST:
        return f"{what}: {examples} example{'s' * (examples != 1)} say little, {FEWEST} are needed"
    return None


def first_memory(graph: Graph, data_name: str) -> Optional[_Memory]:
    """The first BatchNorm that `data_name` and no other input reaches, if it remembers anything."""
    from_data: Dict[int, set] = {}
    inputs = {node.name for node in graph.inputs}
    graph.sort()
    for node in graph.nodes:
        reached = {node.name} & inputs if node.is_variable else set()
        for value in node.inputs:
            reached |= from_data[id(value.node)]
        from_data[id(node)] = reached
        if node.op in BATCHNORMS and reached == {data_name}:
            arrays = [graph.param_of(value) for value in node.inputs[1:5]]
            if len(arrays) != 4 or any(array is None for array in arrays):
                return None
            mean, var = (np.asarray(array, np.float64) for array in arrays[2:])
            folded = np.allclose(mean, 0, atol=1e-6) and np.allclose(var, 1, atol=1e-6)
            if folded or not np.isfinite(mean).all() or not (np.isfinite(var).all() and (var >= 0).all()):
                return None
            return _Memory(node, mean, var, float(node.get("eps", 1e-3)))
    return None


def _moments(part: Optional[Part], memory: _Memory, name: str, data: np.ndarray, at_once: int) -> np.ndarray:
    """First and second moments before the BatchNorm: (2, examples, channels)."""
    import mxnet as mx

    found = []
    for start in range(0, len(data), at_once):
        batch = data[start : start + at_once]
        values = batch if part is None else part.run({name: mx.nd.array(batch)})[0].asnumpy()
        values = np.moveaxis(values, int(memory.node.get("axis", 1)), 1)
        rows = values.reshape(*values.shape[:2], -1).astype(np.float64)
        found.append(np.stack([rows.mean(axis=2), (rows**2).mean(axis=2)]))
    return np.concatenate(found, axis=1)


def _divergence(memory: _Memory, moments: np.ndarray) -> np.ndarray:
    """Mean over channels of the Kullback-Leibler divergence of normal distributions; moments (2, ..., channels)."""
    mean, var = moments[0], moments[1] - moments[0] ** 2
    ratio = (np.maximum(var, 0) + memory.eps) / (memory.var + memory.eps)
    distance = (mean - memory.mean) ** 2 / (memory.var + memory.eps)
    return np.minimum(0.5 * (ratio + distance - 1 - np.log(ratio)), _LARGEST).mean(axis=-1)


def _surely_better(memory: _Memory, moments: np.ndarray, given: np.ndarray) -> bool:
    """Whether `moments` fit better than `given` on (nearly) every sample of the examples."""
    n = given.shape[1]
    chosen = np.random.RandomState(0).randint(0, n, (_RESAMPLES, n))
    weights = np.stack([np.bincount(row, minlength=n) for row in chosen]) / n
    ours, theirs = (_divergence(memory, np.einsum("sn,mnc->msc", weights, m)) for m in (moments, given))
    return bool(np.quantile(theirs - ours, 0.01) > 0)


def _candidates(data: np.ndarray, *, everything: bool) -> Iterator[_Candidate]:
    colour = data.ndim == 4 and data.shape[1] == 3
    if colour:
        yield _Candidate("with the order of its channels reversed (RGB or BGR)", data[:, ::-1])
    if not everything or data.ndim < 2:
        return
    for pixels in _as_pixels(data, colour):
        for form, swapped in itertools.product(FORMS, (False, True) if colour else (False,)):
            if not colour and len(form.mean) > 1:
                continue
            image = pixels[:, ::-1] if swapped else pixels
            for order in ("RGB", "BGR") if len(form.mean) > 1 else ("",):
                step = -1 if order == "BGR" else 1
                mean, std = (_along(values[::step], data.ndim) for values in (form.mean, form.std))
                told = f"as {form.name}" + (f" for {order} order" if order else "")
                told += ", with the order of its channels reversed" if swapped else ""
                yield _Candidate(told, ((image - mean) / std).astype(np.float32))


def _as_pixels(data: np.ndarray, colour: bool) -> Iterator[np.ndarray]:
    """The data taken back to pixels 0 to 255, in every way that gives such."""
    for form in FORMS:
        for step in (1, -1) if len(form.mean) > 1 else (1,):
            if len(form.mean) > 1 and not colour:
                continue
            mean, std = (_along(values[::step], data.ndim) for values in (form.mean, form.std))
            pixels = data * std + mean
            if -2 <= pixels.min() and pixels.max() <= 257 and pixels.max() - pixels.min() > 64:
                yield pixels


def _along(values: Sequence[float], ndim: int) -> np.ndarray:
    """The numbers along axis 1."""
    return np.float32(values).reshape((1, -1) + (1,) * (ndim - 2))
