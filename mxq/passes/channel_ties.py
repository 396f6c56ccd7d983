"""Which channels of a network must be scaled by one factor, and which cannot be scaled at all.

Every channel of every value belongs to a *tie*, a number. A layer's output begins ties of its own; what scaling
commutes with (channel_rules) hands them on; operands of a sum share theirs. Whoever must see a value as it is makes its
ties FIXED: a function like sigmoid, an output of the network, a layer whose parameters others use as well.
"""

from typing import Dict, List, Optional

import numpy as np

from ..network.graph import Graph, Node, Value
from ..network.identity import tensor_key
from .channel_rules import Passage, Product, passages, shape_of
from .linear import LINEAR, channel_axis

FIXED = 0
#: BatchNorm operators that take the scales of their input and output into their parameters, as a layer does.
NORMS = ("BatchNorm", "BatchNorm_v1")


class Ties:
    """The ties of a float graph with shapes.

    Attributes:
        count: how many there are, FIXED included; their numbers are below.
        producers: the nodes whose outputs begin ties, in the graph's order.
        absorbers: names of the nodes that take the scale of their input into their parameters.
    """

    def __init__(self, graph: Graph):
        self._graph, self._uses = graph, graph.uses()
        self._parent: List[int] = [FIXED]
        self._fixed: Dict[int, str] = {FIXED: ""}  # root -> who must see it as it is
        self._ids: Dict[str, np.ndarray] = {}
        self.producers: List[Node] = []
        self.absorbers = set()
        products = [node for node in graph.nodes if not node.is_variable and self._meet(node)]
        for value in graph.outputs:
            self._fix(value, "the network's output")
        for node in products:
            self._meet_product(node)
        roots = [self._find(i) for i in range(len(self._parent))]
        _, self._numbers = np.unique([FIXED if r in self._fixed else r for r in roots], return_inverse=True)
        self.count = int(self._numbers.max()) + 1

    def of(self, value: Value) -> Optional[np.ndarray]:
        """The tie of each channel of a value, int64; None for a value whose scale is fixed."""
        return self.of_key(tensor_key(value))

    def of_key(self, key: str) -> Optional[np.ndarray]:
        """The same for a tensor key."""
        return self._numbers[self._ids[key]] if key in self._ids else None

    def fixed_by(self, value: Value) -> List[str]:
        """Who must see channels of this value as they are, without repetition."""
        roots = {self._find(int(i)) for i in self._ids.get(tensor_key(value), ())}
        return sorted({self._fixed[root] for root in roots if root in self._fixed})

    # -- walking the graph -------------------------------------------------------------------------------------------

    def _meet(self, node: Node) -> bool:
        """Ties of the node's outputs. Returns whether it is a product, which is for later."""
        shape = self._graph.shapes.get((node.name, 0), ())
        if len(shape) > 1 and _absorbs(node, self._graph, self._uses):
            self._ids[tensor_key(node.out())] = self._new(shape[1])
            self.producers.append(node)
            self.absorbers.add(node.name)
            return False
        found = passages(node, self._graph)
        if isinstance(found, Product):
            self._ids[tensor_key(node.out())] = self._new(shape[1])
            return True
        if found is None:
            for value in node.inputs:
                self._fix(value, f"{node.op} {node.name!r}")
            return False
        for passage in found:
            self._pass_on(node, passage)
        return False

    def _pass_on(self, node: Node, passage: Passage) -> None:
        together = np.concatenate([self._of_input(node, i) for i in passage.inputs])
        for index, pick in enumerate(passage.picks):
            key = tensor_key(node.out(index))
            if key in self._ids:
                self._tie(self._ids[key], together[pick])
            else:
                self._ids[key] = together[pick]

    def _meet_product(self, node: Node) -> None:
        """One factor's scale is the output's, the rest stays as it is: a gate in favour of what it opens."""
        factors = [factor.inputs[0] for factor in passages(node, self._graph).factors]
        size = [int(np.prod(shape_of(self._graph, node, i))) for i in factors]
        free = [any(self._find(int(t)) not in self._fixed for t in self._of_input(node, i)) for i in factors]
        chosen = max(range(len(factors)), key=lambda i: (free[i], size[i], -i))
        own = self._of_input(node, factors[chosen])
        self._tie(self._ids[tensor_key(node.out())], own)
        for index, value in enumerate(node.inputs):
            if index != factors[chosen]:
                self._fix(value, f"{node.op} {node.name!r}")

    # -- sets of channels --------------------------------------------------------------------------------------------

    def _of_input(self, node: Node, index: int) -> np.ndarray:
        value = node.inputs[index]
        key = tensor_key(value)
        if key not in self._ids:
            self._ids[key] = self._new(shape_of(self._graph, node, index)[1])
            what = "the input" if value.node.is_variable else value.node.op
            self._fix(value, f"{what} {value.node.name!r}")
        return self._ids[key]

    def _new(self, channels: int) -> np.ndarray:
        first = len(self._parent)
        self._parent.extend(range(first, first + channels))
        return np.arange(first, first + channels)

    def _find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def _tie(self, a: np.ndarray, b: np.ndarray) -> None:
        for i, j in zip(a.tolist(), b.tolist()):
            low, high = sorted((self._find(i), self._find(j)))
            self._parent[high] = low
            if high in self._fixed:
                self._fixed.setdefault(low, self._fixed[high])

    def _fix(self, value: Value, reason: str) -> None:
        for i in np.unique(self._ids.get(tensor_key(value), ())).tolist():
            self._fixed.setdefault(self._find(int(i)), reason)


def _absorbs(node: Node, graph: Graph, uses: Dict) -> bool:
    """Whether a node can take any positive factors of its input's and output's channels into its parameters."""
    params = [graph.param_of(v) for v in node.inputs[1:]]
    if not params or any(p is None or p.dtype != np.float32 for p in params):
        return False
    if any(len(uses[id(v.node), 0]) > 1 for v in node.inputs[1:]):
        return False
    shape = graph.shapes.get((node.inputs[0].node.name, node.inputs[0].index), ())
    if node.op in NORMS:
        return int(node.get("axis", 1)) == 1 and not any((id(node), i) in uses for i in (1, 2)) and len(params) == 4
    return node.op in LINEAR and channel_axis(node) == 1 and (bool(node.get("flatten", True)) or len(shape) == 2)
