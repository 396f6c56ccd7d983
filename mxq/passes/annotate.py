"""Decides which nodes become int8 together, and records why the others stay float.

Int8 nodes get the attribute ``__mxq_unit__`` with the name of their unit's head; float ones a line in ``graph.notes``.
No range is needed here: calibration comes after, and looks only at what was chosen.

A unit that multiplies (COMPUTE) is always int8. Units that move, combine or look up values are int8 where it pays:
mode 'smart' wants int8 neighbours on both sides (so that no value is quantized just for them), mode 'full' takes every
one that has an int8 form.
"""

from typing import Dict, Iterable, List, Mapping, Optional, Set, Tuple

from ..network.graph import Graph, Node, Value
from ..ops import COMPUTE, REDUCE, SELECT, UNIT, Unit, lookup
from ..ops.affine import AFFINE_SPEC, has_slopes
from ..ops.unary import UNARY_SPEC, find_cones, is_cone
from .drop_noops import is_noop
from .indices import indices
from .shape_states import open_shapes

Key = Tuple[int, int]


def annotate(
    graph: Graph,
    *,
    excluded: Mapping[str, str] = None,
    mode: str = "smart",
    calibrated: bool = True,
    integer_inputs: Iterable[str] = (),
) -> Graph:
    """Returns a copy of `graph` with units marked.

    Args:
        graph: simplified float graph; its `shapes` help with broadcasting operators.
        excluded: node name -> reason for nodes that must stay float.
        mode: 'smart' or 'full'.
        calibrated: False leaves out what needs a calibrated range.
        integer_inputs: data variables that arrive as integers already.
    """
    graph = graph.copy()
    excluded = {**indices(graph), **_of_open_shape(graph), **(excluded or {})}
    reasons = _refusals(graph, excluded, calibrated)
    candidates = _candidates(graph, reasons, set(excluded), calibrated)
    chosen = _choose(graph, candidates, mode, reasons, set(integer_inputs))
    for unit in chosen:
        for node in unit.nodes:
            node.attrs[UNIT] = unit.name
            reasons.pop(node.name, None)
    graph.notes.update(reasons)
    return graph


def leave_float(
    graph: Graph, left: Mapping[str, str], *, mode: str = "smart", integer_inputs: Iterable[str] = ()
) -> Graph:
    """Returns a copy of the annotated `graph` without the units in `left`, and in mode 'smart' without those that no
    longer pay next to them. Whatever stays int8 was int8 before, so a calibration of `graph` serves the result.

    Args:
        left: unit name -> why it stays float.
        mode, integer_inputs: as for `annotate`.
    """
    graph = graph.copy()
    reasons: Dict[str, str] = {}
    kept = []
    for unit in units(graph):
        for node in unit.nodes:
            del node.attrs[UNIT]
        if unit.name not in left:
            kept.append(unit)
            continue
        reasons.update((node.name, f"part of {unit.name!r}, which stays float") for node in unit.nodes)
        reasons[unit.name] = left[unit.name]
    for unit in _choose(graph, kept, mode, reasons, set(integer_inputs)):
        for node in unit.nodes:
            node.attrs[UNIT] = unit.name
    graph.notes.update(reasons)
    return graph


def units(graph: Graph) -> List[Unit]:
    """The units that `annotate` marked, in topological order of their outputs."""
    groups: Dict[str, List[Node]] = {}
    for node in graph.nodes:
        if UNIT in node.attrs:
            groups.setdefault(node.attrs[UNIT], []).append(node)
    position = {id(n): i for i, n in enumerate(graph.nodes)}
    found = [_unit(nodes, next(n for n in nodes if n.name == name), graph) for name, nodes in groups.items()]
    return sorted(found, key=lambda u: position[id(u.output.node)])


def _unit(nodes: List[Node], head: Node, graph: Graph) -> Unit:
    spec = lookup(head)
    if is_cone(nodes, graph):
        spec = AFFINE_SPEC if has_slopes(nodes, graph) else UNARY_SPEC
    return Unit(spec, tuple(nodes), head, tuple(spec.inputs(nodes, graph)), nodes[-1].out())


def _of_open_shape(graph: Graph) -> Dict[str, str]:
    """What cannot be int8, because the shape of something that it reads is inferred backwards."""
    found = open_shapes(graph)
    reasons = {}
    for node in graph.nodes:
        for value in node.inputs:
            if value.node.name in found and lookup(node) is not None:
                reasons[node.name] = (
                    f"the shape of its input {value.node.name!r} does not follow from the data: "
                    f"{found[value.node.name]!r} leaves it open; give that its shape, or data_shapes"
                )
    return reasons


def _refusals(graph: Graph, excluded: Mapping[str, str], calibrated: bool) -> Dict[str, str]:
    reasons: Dict[str, str] = {}
    for node in graph.nodes:
        if node.is_variable:
            continue
        spec = lookup(node)
        if node.name in excluded:
            reasons[node.name] = excluded[node.name]
        elif spec is None:
            kept = graph.notes.get(node.name) if is_noop(node) else None  # what is left of a node that was folded
            reasons[node.name] = kept or f"{node.op} has no int8 form"
        elif not calibrated and not spec.runtime_range:
            reasons[node.name] = f"{node.op} needs a calibrated range"
        else:
            reason = spec.refuse(node, graph)
            if reason is not None:
                reasons[node.name] = reason
    return reasons


def _candidates(graph: Graph, reasons: Dict[str, str], excluded: Set[str], calibrated: bool) -> List[Unit]:
    uses = graph.uses()
    # A node with a reason can head no unit, yet may be part of one: `x / y` has no int8 form, `x / (1 + exp(-x))` has.
    taken: Set[str] = set(excluded)
    found: List[Unit] = []

    def take(nodes: List[Node], head: Node) -> None:
        taken.update(n.name for n in nodes)
        found.append(_unit(nodes, head, graph))

    # Multiplying operators choose their followers first. Of two that could take the same sum, the later one does:
    # by then the other operand is there.
    for node in reversed(graph.nodes):
        spec = lookup(node)
        if spec is not None and node.name not in taken and node.name not in reasons and spec.kind_of(node) == COMPUTE:
            take(_keep(spec.grow(node, graph, uses, taken), node, calibrated), node)
    if calibrated:
        for cone in find_cones(graph, uses, taken):
            take(cone, cone[0])
    for node in graph.nodes:
        spec = lookup(node)
        if spec not in (None, UNARY_SPEC) and node.name not in taken and node.name not in reasons:
            take(spec.grow(node, graph, uses, taken), node)
    return found


def _keep(nodes: List[Node], head: Node, calibrated: bool) -> List[Node]:
    """Without calibration only a ReLU right behind the head fuses: the rest is rescaled by known ranges."""
    if calibrated:
        return nodes
    kept = [head]
    follower = nodes[nodes.index(head) + 1 : nodes.index(head) + 2]
    if follower and follower[0].op in ("Activation", "relu"):
        kept.append(follower[0])
    return kept


def _choose(
    graph: Graph, candidates: List[Unit], mode: str, reasons: Dict[str, str], integer_inputs: Set[str]
) -> List[Unit]:
    chosen = {unit.name: unit for unit in candidates}
    if mode == "full":
        return list(chosen.values())
    changed = True
    while changed:
        changed = False
        produced = {(id(v.node), v.index) for u in chosen.values() for v in u.outputs}
        produced |= {(id(n), 0) for n in graph.inputs if n.name in integer_inputs}
        computed = {(id(u.output.node), u.output.index) for u in chosen.values() if u.kind == COMPUTE}
        movers, consumed = _in_float(chosen.values())
        # What a multiplying unit reads is quantized in any case.
        produced |= {(id(v.node), v.index) for u in chosen.values() if u.kind == COMPUTE for v in u.inputs}
        for unit in list(chosen.values()):
            if unit.name in movers:
                reason = _not_worth_moving(unit, computed | consumed)
            else:
                reason = _not_worth_it(unit, produced, consumed)
            if reason is not None:
                del chosen[unit.name]
                for node in unit.nodes:
                    reasons.setdefault(node.name, reason)
                changed = True
    return list(chosen.values())


def _not_worth_it(unit: Unit, integers: Set[Key], consumed: Set[Key]) -> Optional[str]:
    if unit.kind == COMPUTE:
        return None
    feeds_int8 = _feeds(unit, consumed)
    pools = unit.kind == REDUCE or (unit.kind == SELECT and unit.head.op == "Pooling")
    if any((id(v.node), v.index) not in integers for v in unit.inputs):
        # The largest of some values is the same before and after quantization, and quicker to find after it.
        if unit.kind == SELECT and pools and feeds_int8:
            return None
        raw = any(v.node.is_variable for v in unit.inputs)
        hint = "; with input_dtype='uint8' or 'int8' it is int8, if the data are such integers" if raw else ""
        return f"an input is float, and quantizing it just for this operator would only cost{hint}"
    # Pooling leaves less to convert, so it pays at the border too.
    if not pools and not feeds_int8:
        return "its users are float, and a float result is closer to the original"
    return None


def _not_worth_moving(unit: Unit, known: Set[Key]) -> Optional[str]:
    """Of a unit that would move float values: it pays where a layer computes them or their integers are known."""
    if all((id(v.node), v.index) in known for v in unit.inputs):
        return None
    return "its input and its users are float"


def _in_float(chosen: Iterable[Unit]) -> Tuple[Set[str], Set[Key]]:
    """Names of the units that move float values, as no reader of integers follows; and what the others read."""
    chosen, movers = list(chosen), None
    while True:
        read = {(id(v.node), v.index) for u in chosen if not movers or u.name not in movers for v in u.inputs}
        found = {u.name for u in chosen if u.kind == SELECT and u.spec.reads_float and not _feeds(u, read)}
        if found == movers:
            return found, read
        movers = found


def _feeds(unit: Unit, read: Set[Key]) -> bool:
    return any((id(v.node), v.index) in read for v in unit.outputs)


def read_values(graph: Graph) -> List[Value]:
    """Every activation that a unit reads: what holds integers for this selection of units or for a smaller one."""
    found = {(id(value.node), value.index): value for unit in units(graph) for value in unit.inputs}
    return list(found.values())


def quantized_values(graph: Graph) -> List[Value]:
    """The values that hold integers: nearly every activation that a unit reads. Each needs a range."""
    seen: Dict[Key, Value] = {}
    found = units(graph)
    computed = {(id(u.output.node), u.output.index) for u in found if u.kind == COMPUTE}
    movers, _ = _in_float(found)
    for unit in found:
        # A multiplying unit writes float as readily. What moves values to a reader of integers moves fewer bytes so.
        reads_float = unit.spec.reads_float and unit.kind != SELECT
        for value in unit.inputs if unit.name not in movers else ():
            if not (reads_float and (id(value.node), value.index) in computed):
                seen.setdefault((id(value.node), value.index), value)
    return list(seen.values())
