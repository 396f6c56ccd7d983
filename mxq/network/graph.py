"""The graph that passes work on: an MXNet symbol and its parameters as plain Python objects.

>>> import mxnet as mx, numpy as np
>>> sym = mx.sym.Activation(mx.sym.var("data"), act_type="relu", name="relu")
>>> graph = Graph.from_symbol(sym, {})
>>> [(node.op, node.name) for node in graph.nodes]
[('null', 'data'), ('Activation', 'relu')]

Only MXNet's public API is used: ``sym.tojson()`` and ``mx.sym.load_json``.
"""

import json
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import GraphError
from .attributes import attr_text, attr_value
from .names import unused
from .symbol_json import symbol_of

VARIABLE = "null"


class Value(NamedTuple):
    """One output of a node."""

    node: "Node"
    index: int = 0

    def __repr__(self) -> str:
        return f"{self.node.name}[{self.index}]"


class Node:
    """An operator or a variable (``op == 'null'``). Attributes are strings, as in MXNet's JSON.

    Compared and hashed by identity.
    """

    __slots__ = ("op", "name", "attrs", "inputs", "subgraphs")

    def __init__(
        self, op: str, name: str, attrs: Mapping[str, str] = None, inputs: Sequence[Value] = (), subgraphs=None
    ):
        self.op = op
        self.name = name
        self.attrs: Dict[str, str] = dict(attrs or {})
        self.inputs: List[Value] = list(inputs)
        self.subgraphs = subgraphs

    @property
    def is_variable(self) -> bool:
        return self.op == VARIABLE

    def out(self, index: int = 0) -> Value:
        return Value(self, index)

    def get(self, key: str, default=None):
        """The attribute as a Python value: number, bool, tuple, None; a string that is no literal stays one."""
        text = self.attrs.get(key)
        return default if text is None else attr_value(text)

    def __repr__(self) -> str:
        return f"<{self.op} {self.name}>"


class Use(NamedTuple):
    """Where a value is consumed: input `index` of `node`; for a graph output `node` is None."""

    node: Optional[Node]
    index: int


class Graph:
    """Nodes in topological order, outputs, and parameter arrays by variable name.

    Attributes:
        nodes: every node, inputs before users. Kept sorted by the methods below.
        outputs: the values the symbol returns, in order.
        params: variable name -> numpy array, arguments and auxiliary states together.
        aux: names of the auxiliary states among `params`.
        notes: node name -> why a pass left it as it is; read by the report.
        shapes: ``(node name, output index) -> shape`` where known; passes that can do without treat it as a hint.
    """

    def __init__(self, nodes: List[Node], outputs: List[Value], params: Dict[str, np.ndarray], aux: Iterable[str] = ()):
        self.nodes = nodes
        self.outputs = outputs
        self.params = params
        self.aux = set(aux)
        self.notes: Dict[str, str] = {}
        self.shapes: Dict[Tuple[str, int], Tuple[int, ...]] = {}

    # -- in and out ------------------------------------------------------------------------------------------------

    @classmethod
    def from_symbol(cls, sym, arg_params: Mapping, aux_params: Mapping = None) -> "Graph":
        """Reads a symbol. Parameters are NDArrays or numpy arrays; those without a variable are dropped.

        Operators that share a name (a Gluon block called twice) get a number behind it; variables keep theirs, since
        parameters and data go by them. Raises GraphError where two variables share a name.
        """
        raw = json.loads(sym.tojson())
        nodes: List[Node] = []
        taken = {item["name"] for item in raw["nodes"]}
        variable_names = {item["name"] for item in raw["nodes"] if item["op"] == VARIABLE}
        claimed = set()  # variables met so far
        seen = set(variable_names)  # names that an operator must not take
        for item in raw["nodes"]:
            attrs = item.get("attrs") or item.get("attr") or item.get("param") or {}
            inputs = [Value(nodes[i[0]], i[1]) for i in item["inputs"]]
            node = Node(item["op"], item["name"], attrs, inputs, item.get("subgraphs"))
            if node.is_variable:
                if node.name in claimed:
                    raise GraphError(f"two variables are named {node.name!r}; give each its own name")
                claimed.add(node.name)
            elif node.name in seen:
                node.name = unused(node.name, taken)
            seen.add(node.name)
            taken.add(node.name)
            nodes.append(node)
        outputs = [Value(nodes[h[0]], h[1]) for h in raw["heads"]]
        aux_names = set(sym.list_auxiliary_states())
        params = {}
        for name, array in list((arg_params or {}).items()) + list((aux_params or {}).items()):
            if name in variable_names:
                params[name] = array.asnumpy() if hasattr(array, "asnumpy") else np.asarray(array)
        return cls(nodes, outputs, params, aux_names & variable_names)

    def to_symbol(self):
        """Returns ``(symbol, arg_params, aux_params)`` with NDArray parameters.

        Every parameter variable carries ``__shape__`` and ``__dtype__``: an extension operator must never see an
        unknown input.
        """
        import mxnet as mx

        sym = self.symbol()
        args, aux = {}, {}
        aux_names = set(sym.list_auxiliary_states())
        for name, array in self.params.items():
            (aux if name in aux_names else args)[name] = mx.nd.array(array, dtype=array.dtype)
        return sym, args, aux

    def symbol(self):
        """Returns the symbol alone: what :meth:`to_symbol` returns first, without copying a parameter."""
        self.sort()
        index = {id(node): i for i, node in enumerate(self.nodes)}
        int8 = any(node.op.startswith("mxq_") for node in self.nodes)
        items = []
        for node in self.nodes:
            attrs = dict(node.attrs)
            if node.is_variable and node.name in self.params and node.name not in self.aux:
                array = self.params[node.name]
                attrs["__shape__"] = str(tuple(array.shape))
                attrs["__dtype__"] = str(_type_flag(array.dtype, node.name))
                if int8:  # for Module.init_params, whose initializers know neither these names nor integers
                    attrs.setdefault("__init__", '["zero", {}]')
            item = {"op": node.op, "name": node.name, "inputs": [[index[id(v.node)], v.index, 0] for v in node.inputs]}
            if attrs:
                item["attrs"] = attrs
            if node.subgraphs:
                item["subgraphs"] = node.subgraphs
            items.append(item)
        raw = {
            "nodes": items,
            "arg_nodes": [i for i, node in enumerate(self.nodes) if node.is_variable],
            "node_row_ptr": list(range(len(items) + 1)),
            "heads": [[index[id(v.node)], v.index, 0] for v in self.outputs],
            "attrs": {"mxnet_version": ["int", 10901]},
        }
        return symbol_of(raw)

    def copy(self) -> "Graph":
        """A deep copy of nodes, edges and notes. Arrays are shared: passes replace them, never write into them."""
        self.sort()
        twins: Dict[int, Node] = {}
        nodes = []
        for node in self.nodes:
            inputs = [Value(twins[id(v.node)], v.index) for v in node.inputs]
            twin = Node(node.op, node.name, node.attrs, inputs, node.subgraphs)
            twins[id(node)] = twin
            nodes.append(twin)
        twin_outputs = [Value(twins[id(v.node)], v.index) for v in self.outputs]
        twin_graph = Graph(nodes, twin_outputs, dict(self.params), self.aux)
        twin_graph.notes, twin_graph.shapes = dict(self.notes), dict(self.shapes)
        return twin_graph

    # -- looking ---------------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> List[Node]:
        """Variables without a parameter array: data and labels."""
        return [n for n in self.nodes if n.is_variable and n.name not in self.params]

    def node(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise GraphError(f"no node is named {name!r}")

    def uses(self) -> Dict[Tuple[int, int], List[Use]]:
        """All uses at once, keyed by ``(id(node), output index)``; a snapshot."""
        table: Dict[Tuple[int, int], List[Use]] = {}
        for node in self.nodes:
            for i, value in enumerate(node.inputs):
                table.setdefault((id(value.node), value.index), []).append(Use(node, i))
        for i, value in enumerate(self.outputs):
            table.setdefault((id(value.node), value.index), []).append(Use(None, i))
        return table

    def uses_of(self, value: Value) -> List[Use]:
        return self.uses().get((id(value.node), value.index), [])

    def param_of(self, value: Value) -> Optional[np.ndarray]:
        """The array of a parameter variable, else None."""
        return self.params.get(value.node.name) if value.node.is_variable else None

    # -- changing --------------------------------------------------------------------------------------------------

    def unique_name(self, base: str) -> str:
        return unused(base, {n.name for n in self.nodes})

    def add(self, op: str, name: str, inputs: Sequence[Value], attrs: Mapping[str, object] = None) -> Node:
        """Adds a node; its name is made unique. Attributes become strings, floats with full precision."""
        node = Node(op, self.unique_name(name), {k: attr_text(v) for k, v in (attrs or {}).items()}, inputs)
        self.nodes.append(node)
        return node

    def add_param(self, name: str, array: np.ndarray) -> Value:
        """Adds a parameter variable; its name is made unique."""
        node = Node(VARIABLE, self.unique_name(name))
        self.nodes.insert(0, node)
        self.params[node.name] = np.ascontiguousarray(array)
        return node.out()

    def replace(self, old: Value, new: Value, only: Iterable[Use] = None) -> None:
        """Makes users of `old` read `new`: all of them, or those in `only`. `new`'s own node is left alone."""
        for use in list(self.uses_of(old)) if only is None else list(only):
            if use.node is None:
                self.outputs[use.index] = new
            elif use.node is not new.node:
                use.node.inputs[use.index] = new

    def sort(self) -> None:
        """Topological order, stable. Drops nothing. Raises GraphError on a cycle."""
        state: Dict[int, int] = {}
        order: List[Node] = []
        for root in self.nodes:
            stack = [(root, 0)]
            while stack:
                node, i = stack.pop()
                if i == 0:
                    if state.get(id(node)) == 2:
                        continue
                    state[id(node)] = 1
                if i < len(node.inputs):
                    stack.append((node, i + 1))
                    child = node.inputs[i].node
                    if state.get(id(child)) == 1:
                        raise GraphError(f"node {child.name!r} depends on itself")
                    if state.get(id(child)) is None:
                        stack.append((child, 0))
                    continue
                state[id(node)] = 2
                order.append(node)
        self.nodes = order

    def prune(self) -> None:
        """Drops nodes and parameters that no output needs. Data inputs stay, so that bind signatures survive."""
        alive = {id(node) for node in upstream(v.node for v in self.outputs)}
        self.nodes = [n for n in self.nodes if id(n) in alive or (n.is_variable and n.name not in self.params)]
        names = {n.name for n in self.nodes}
        self.params = {k: v for k, v in self.params.items() if k in names}
        self.aux &= names


def upstream(nodes: Iterable[Node], stops: Callable[[Node], bool] = lambda node: False) -> Iterator[Node]:
    """The nodes and all that they are computed from, each once; nothing behind those where it `stops`."""
    stack, seen = list(nodes), set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if not stops(node):
            stack.extend(value.node for value in node.inputs)


#: MXNet's number of a dtype, as the attribute `__dtype__` has it.
TYPE_FLAGS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}


def input_dtypes(graph: Graph) -> Dict[str, str]:
    """Types by the names of data and labels.

    >>> input_dtypes(Graph([Node(VARIABLE, "data", {"__dtype__": "3"})], [], {}))
    {'data': 'uint8'}
    """
    names = {flag: name for name, flag in TYPE_FLAGS.items()}
    return {node.name: names[node.get("__dtype__", 0)] for node in graph.inputs}


def _type_flag(dtype, name: str) -> int:
    try:
        return TYPE_FLAGS[np.dtype(dtype).name]
    except KeyError:
        raise GraphError(f"parameter {name!r} has dtype {dtype}; accepted are {', '.join(TYPE_FLAGS)}") from None
