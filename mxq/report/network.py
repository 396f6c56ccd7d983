"""The checks of a plan before it is calibrated: of folding and of preprocessing."""

from typing import Dict, Iterable, List, Optional, Tuple

import numpy as np

from ..data.batches import first_examples
from ..network.graph import Graph
from .finding import Finding
from .parameters import unfolded
from .preprocessing import EXAMPLES, preprocessing


def before_calibration(graph: Graph, plan, options) -> Tuple[List[Finding], Optional[Iterable]]:
    """Findings, and the plan's examples with those that were looked at.

    Args:
        graph: the network that the plan was made for.
        plan: mxq.flow.Plan.
        options: mxq.options.Options.
    """
    found = unfolded(plan.floats)
    if plan.examples is None:
        return found, None
    first, examples = first_examples(plan.examples, EXAMPLES, whole=True)
    for name in first[0].arrays:
        parts = [batch.arrays[name].asnumpy() for batch in first]
        if parts[0].dtype.kind not in "fiu" or any(part.shape[1:] != parts[0].shape[1:] for part in parts):
            continue
        at_once = len(parts[0]) if first[0].whole else options.sub_batch or len(parts[0])
        if first[0].whole and any(len(part) != at_once for part in parts):
            continue
        data = np.concatenate(parts)[: max(EXAMPLES, at_once)].astype(np.float32)
        data = data[: len(data) // min(at_once, len(data)) * at_once]
        if name == next(iter(first[0].arrays)):
            data = _normalized(data, options)
        found += preprocessing(graph, name, data, at_once=at_once)
    return found, examples


def _normalized(data: np.ndarray, options) -> np.ndarray:
    """What the network without its own normalization gets."""
    given: Dict[str, np.ndarray] = {}
    for name, neutral in (("mean", 0.0), ("std", 1.0)):
        value = getattr(options, name)
        array = np.float32(neutral if value is None else value).reshape(-1)
        given[name] = array if array.size == 1 else array.reshape((1, -1) + (1,) * (data.ndim - 2))
    return (data - given["mean"]) / given["std"]
