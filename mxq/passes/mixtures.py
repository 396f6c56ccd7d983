"""Tensors that hold several things, for which one scale will not do.

A detector joins classes, scores and corners of boxes along an axis: 8 bits for 0 to 416 pixels leave nothing of a score
between 0 and 1. With `quantize_mode='full'`, where such a concat would be int8 although no layer reads it, it is float,
and what only moves its result. What a layer reads is left alone: there the small part is small in the sum, too.
"""

from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from ..arithmetic.qmath import range_to_qparams
from ..network.graph import Graph, Value
from ..network.identity import tensor_key
from ..ops import COMPUTE, SELECT, Unit
from .annotate import leave_float, units

#: Of the 256 levels of the whole, so many must be left of each part.
LEVELS = 64
Key = Tuple[int, int]
Range = Tuple[float, float]


def without_mixtures(annotated: Graph, ranges: Mapping[str, Range], integers: Iterable[str], mode: str) -> Graph:
    """Returns the annotated graph without int8 concats of parts of very different ranges.

    Args:
        annotated: output of `annotate`.
        ranges: tensor key -> what is used of it.
        integers: inputs that are integers.
        mode: quantize_mode; with 'smart' nothing is done.
    """
    if mode != "full":
        return annotated
    found = units(annotated)
    readers: Dict[Key, List[Unit]] = {}
    for unit in found:
        for value in unit.inputs:
            readers.setdefault(_key(value), []).append(unit)
    left: Dict[str, str] = {}
    for unit in found:
        reason = _mixes(unit, ranges) if unit.spec.name == "concat" else None
        behind = None if reason is None else _only_moved(unit, readers)
        if behind is not None:
            left[unit.name] = reason
            left.update((other.name, f"it moves {unit.name!r}: {reason}") for other in behind)
    return leave_float(annotated, left, mode=mode, integer_inputs=integers) if left else annotated


def _key(value: Value) -> Key:
    return id(value.node), value.index


def _mixes(unit: Unit, ranges: Mapping[str, Range]) -> Optional[str]:
    """Why one scale will not do for the parts of a concat."""
    known = {tensor_key(v): ranges[tensor_key(v)] for v in unit.inputs if tensor_key(v) in ranges}
    if len(known) < 2:
        return None
    lo, hi = min(r[0] for r in known.values()), max(r[1] for r in known.values())
    step = range_to_qparams(lo, hi, "uint8" if lo >= 0 else "int8").scale
    levels = {key: (r[1] - r[0]) / step for key, r in known.items() if r[1] > r[0]}
    least = min(levels, key=levels.__getitem__, default=None)
    if least is None or levels[least] >= LEVELS:
        return None
    small, largest = known[least], max(known, key=lambda key: known[key][1] - known[key][0])
    return (
        f"one scale for {least!r} ({small[0]:.4g} to {small[1]:.4g}) and {largest!r} ({known[largest][0]:.4g} to "
        f"{known[largest][1]:.4g}) would leave the first {levels[least]:.3g} of 256 levels"
    )


def _only_moved(unit: Unit, readers: Mapping[Key, List[Unit]]) -> Optional[List[Unit]]:
    """The units that read the result, or what only moves it; None where a layer is among them."""
    found: List[Unit] = []
    stack = [unit]
    while stack:
        for value in stack.pop().outputs:
            for reader in readers.get(_key(value), ()):
                if reader.kind == COMPUTE:
                    return None
                if reader not in found:
                    found.append(reader)
                    if reader.kind == SELECT:
                        stack.append(reader)
    return found
