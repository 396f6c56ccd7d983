"""The op table: what mxq knows about each MXNet operator, as plain data.

Passes read it instead of asking for operator names. One file per operator family registers its rows here.
"""

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple, Union

from ..network.graph import Graph, Node, Value

#: Kinds of unit, by what int8 means for them.
COMPUTE = "compute"  # multiplies: what int8 is for. Always worth quantizing its inputs.
SELECT = "select"  # moves or selects values: output has the scale of the input.
MERGE = "merge"  # combines int8 tensors with rescaling; worth it between int8 neighbours.
REDUCE = "reduce"  # averages: reads int8, writes int8 or float; worth it wherever its input is int8.
UNARY = "unary"  # a function of one number (per channel): a table of 256 entries; worth it between int8 neighbours.

#: Node attribute that names the unit (by its first node) a float node belongs to.
UNIT = "__mxq_unit__"


@dataclass(frozen=True)
class Unit:
    """Float nodes that become one int8 operator.

    Attributes:
        spec: row of the op table of the head.
        nodes: in topological order.
        head: the node that gives the unit its name.
        inputs: activations read from outside, in the order the native operator wants them.
        output: the value others read; the first of several.
    """

    spec: "OpSpec"
    nodes: Tuple[Node, ...]
    head: Node
    inputs: Tuple[Value, ...]
    output: Value

    @property
    def name(self) -> str:
        return self.head.name

    @property
    def kind(self) -> str:
        return self.spec.kind_of(self.head)

    @property
    def outputs(self) -> Tuple[Value, ...]:
        node = self.output.node
        return tuple(node.out(i) for i in range(self.spec.outputs(node) if node is self.head else 1))


@dataclass(frozen=True)
class OpSpec:
    """One row: an operator family.

    Attributes:
        name: of the family, for people.
        mx_names: MXNet operators it covers.
        kind: one of the kinds above, or a function ``node -> kind`` where an attribute decides.
        native: the mxq operators it lowers to.
        refuse: ``(node, graph) -> reason`` why this node must stay float, or None.
        grow: ``(node, graph, uses, taken) -> nodes`` that fuse with the head, the head included.
        inputs: ``(nodes, graph) -> values`` the activations in native order.
        lower: ``(lowering, unit)`` emits the native operator.
        runtime_range: whether it also works without calibration.
        outputs: ``node -> how many outputs`` it has.
        reads_float: whether it reads a float value as well, so that what a multiplying unit computes is not rounded
            just for it. Such a SELECT is float where nobody reads integers from it, and pays behind a layer.
        note: one line for the support table.
    """

    name: str
    mx_names: Tuple[str, ...]
    kind: Union[str, Callable[[Node], str]]
    native: Tuple[str, ...]
    refuse: Callable[[Node, Graph], Optional[str]]
    grow: Callable[[Node, Graph, Dict, set], List[Node]]
    inputs: Callable[[List[Node], Graph], List[Value]]
    lower: Callable
    runtime_range: bool = False
    outputs: Callable[[Node], int] = lambda node: 1
    reads_float: bool = False
    note: str = ""

    def kind_of(self, node: Node) -> str:
        return self.kind if isinstance(self.kind, str) else self.kind(node)


TABLE: List[OpSpec] = []
_BY_NAME: Dict[str, OpSpec] = {}


def register(spec: OpSpec) -> OpSpec:
    TABLE.append(spec)
    for name in spec.mx_names:
        assert name not in _BY_NAME, f"{name} is in the op table twice"
        _BY_NAME[name] = spec
    return spec


def lookup(node: Node) -> Optional[OpSpec]:
    """The row of a node's operator, or None where mxq has no int8 form of it."""
    return _BY_NAME.get(node.op)


def alone(node: Node, graph: Graph, uses: Dict, taken: set) -> List[Node]:
    """`grow` of operators that fuse with nothing."""
    return [node]


def activations(nodes: List[Node], graph: Graph) -> List[Value]:
    """`inputs` of most operators: what the unit reads from outside, parameters left out, duplicates kept."""
    members = {id(n) for n in nodes}
    return [v for n in nodes for v in n.inputs if id(v.node) not in members and graph.param_of(v) is None]


def sole_user(value: Value, uses: Dict) -> Optional[Node]:
    """The node that alone reads `value` once; None when there are more, or when it is a graph output."""
    found = uses.get((id(value.node), value.index), [])
    return found[0].node if len(found) == 1 else None
