"""Joins int8 operators into regions: MXNet dispatches one node where there were dozens.

A region is a set of mxq operators that are connected, with no way out of it and back in: then it can run as one node.
Each one made here is as large as it can be. Levels give a first division that is right in any network: operators of a
level are those with equally many changes from float to int8 behind them, so no float operator lies between two of them.
Neighbouring regions are then joined where that leaves no cycle.

Outputs of the network keep their names: a region with one output takes the name of the operator that computes it; one
with several passes the network's outputs on through identity nodes of these names. Names of tensors inside a region
are not outputs of the symbol's internals any more; `expand_regions` gives them back.

The parameters of a region become one, because Gluon looks up and checks every parameter array at every call.
"""

from typing import Dict, List, Set, Tuple

from ..network.graph import Graph, Node, Value
from ..network.regions import OUTPUT, PACKED_DTYPES, REGION, digest_of, encode, pack
from ..network.verify import PREFIX

Group = List[Node]


def form_regions(graph: Graph) -> Graph:
    """Returns the lowered graph with every region of two operators or more as one node."""
    graph = graph.copy()
    for group in regions(graph):
        _replace(graph, group)
    graph.sort()
    return graph


def regions(graph: Graph) -> List[Group]:
    """The groups of operators that become one node each, in topological order."""
    groups = _components(graph, _levels(graph))
    return [group for group in _joined(graph, groups) if len(group) > 1]


def _is_native(node: Node) -> bool:
    return node.op.startswith(PREFIX) and node.op != REGION


def _levels(graph: Graph) -> Dict[int, int]:
    """Node id -> how many times a way to it changes from float operators to mxq's, at most."""
    level: Dict[int, int] = {}
    for node in graph.nodes:
        before = [
            level[id(v.node)] + (_is_native(node) and not _is_native(v.node) and not v.node.is_variable)
            for v in node.inputs
        ]
        level[id(node)] = max(before, default=0)
    return level


def _components(graph: Graph, level: Dict[int, int]) -> List[Group]:
    """mxq operators of the same level that read each other."""
    parent = {id(n): id(n) for n in graph.nodes if _is_native(n)}

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for node in graph.nodes:
        for value in node.inputs:
            if id(node) in parent and id(value.node) in parent and level[id(node)] == level[id(value.node)]:
                parent[root(id(node))] = root(id(value.node))
    groups: Dict[int, Group] = {}
    for node in graph.nodes:
        if id(node) in parent:
            groups.setdefault(root(id(node)), []).append(node)
    return list(groups.values())


def _joined(graph: Graph, groups: List[Group]) -> List[Group]:
    """Joins groups that read each other while no way leads out of them and back."""
    order = {id(n): i for i, n in enumerate(graph.nodes)}
    while True:
        pair = _joinable(graph, groups)
        if pair is None:
            return groups
        first, second = pair
        both = sorted(groups[first] + groups[second], key=lambda n: order[id(n)])
        groups = [both if i == first else g for i, g in enumerate(groups) if i != second]


def _joinable(graph: Graph, groups: List[Group]):
    owner = {id(n): i for i, group in enumerate(groups) for n in group}
    reads: Dict[object, Set[object]] = {}  # the graph with every group as one node
    for node in graph.nodes:
        me = owner.get(id(node), id(node))
        sources = {owner.get(id(v.node), id(v.node)) for v in node.inputs}
        reads.setdefault(me, set()).update(sources - {me})
    for me in range(len(groups)):
        for other in sorted(k for k in reads[me] if k < len(groups) and k in reads):
            if not _reaches(reads, me, other, skip_direct=True):
                return (min(me, other), max(me, other))
    return None


def _reaches(reads: Dict[object, Set[object]], start: object, goal: object, skip_direct: bool) -> bool:
    """Whether a way of two steps or more leads from `start` back to `goal`."""
    stack = [k for k in reads[start] if k != goal] if skip_direct else list(reads[start])
    seen = set()
    while stack:
        at = stack.pop()
        if at == goal:
            return True
        if at not in seen:
            seen.add(at)
            stack.extend(reads[at])
    return False


def _replace(graph: Graph, group: Group) -> None:
    members = {id(n) for n in group}
    inputs: Dict[Tuple[int, int], Value] = {}
    for node in group:
        for value in node.inputs:
            if id(value.node) not in members:
                inputs[id(value.node), value.index] = value
    uses = graph.uses()
    own = [v for v in inputs.values() if _is_packed(graph, v, uses, members)]
    # Data first, as MXNet lists the arguments of a symbol in the order in which nodes read them.
    given = sorted((v for v in inputs.values() if v not in own), key=lambda v: graph.param_of(v) is not None)
    outputs = []  # values that somebody outside reads
    for node in group:
        found = [key for key in uses if key[0] == id(node) and any(_outside(u.node, members) for u in uses[key])]
        outputs += [node.out(index) for _, index in sorted(found, key=lambda key: key[1])]
    name = outputs[0].node.name if len(outputs) == 1 else graph.unique_name("region")
    vector, places = pack({v.node.name: graph.params[v.node.name] for v in own})
    attrs = encode(group, given, outputs, list(zip(own, places)), digest_of(vector) if own else "")
    if own:
        given.append(graph.add_param(f"{name}_params", vector))
    region = Node(REGION, name, {"node": name, **attrs}, given)
    graph.nodes = [n for n in graph.nodes if id(n) not in members] + [region]
    for k, value in enumerate(outputs):
        outside = [u for u in uses[id(value.node), value.index] if _outside(u.node, members)]
        new = region.out(k)
        if len(outputs) > 1 and any(u.node is None for u in outside):
            named = Node("_copy", value.node.name, {OUTPUT: "1"}, [new])
            graph.nodes.append(named)
            graph.replace(value, named.out(), only=[u for u in outside if u.node is None])
            outside = [u for u in outside if u.node is not None]
        graph.replace(value, new, only=outside)
    graph.sort()
    graph.prune()


def _is_packed(graph: Graph, value: Value, uses, members: Set[int]) -> bool:
    """Whether it is a parameter that nobody but the region reads."""
    array = graph.param_of(value)
    if array is None or array.dtype.name not in PACKED_DTYPES or not array.size or not array.ndim:
        return False
    return not any(_outside(use.node, members) for use in uses[id(value.node), value.index])


def _outside(node, members: Set[int]) -> bool:
    return node is None or id(node) not in members
