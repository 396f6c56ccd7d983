"""Tensors that have one range and one form, because units between them only move values."""

from typing import Dict, List, Set

from ..network.graph import Graph, Value
from ..network.identity import tensor_key
from ..ops import SELECT
from ..passes.annotate import units


def moved_together(annotated: Graph, values: Dict[str, Value]) -> List[List[str]]:
    """The tensors in groups: those on both sides of a unit that only moves or selects values, or of a concat."""
    group: Dict[str, Set[str]] = {key: {key} for key in values}
    for unit in units(annotated):
        if unit.kind != SELECT and unit.spec.name != "concat":
            continue
        keys = [key for key in map(tensor_key, (*unit.inputs, *unit.outputs)) if key in values]
        together = set().union(*(group[key] for key in keys))
        for key in together:
            group[key] = together
    order = list(values)
    return [sorted(keys, key=order.index) for keys in {min(keys): keys for keys in group.values()}.values()]
