"""Parts of a graph, run on their own: some values are fed, others come out."""

import warnings
from typing import Dict, Iterable, Iterator, List, Mapping

from ..errors import CalibrationError
from ..network.identity import tensor_key
from .graph import VARIABLE, Graph, Node, Value


class Runner:
    """Makes parts of graphs that share one copy of their parameters.

    Args:
        graphs: whose parameters; equal names hold equal arrays.
        ctx: where they run, the CPU by default.
    """

    def __init__(self, graphs: Iterable[Graph], ctx=None):
        import mxnet as mx

        self.ctx = ctx or mx.cpu()
        self._arrays = {name: array for graph in graphs for name, array in graph.params.items()}
        self._ndarrays: Dict[str, object] = {}

    def param(self, name: str):
        """A parameter as NDArray, None if there is none of this name."""
        import mxnet as mx

        if name not in self._ndarrays and name in self._arrays:
            array = self._arrays[name]
            self._ndarrays[name] = mx.nd.array(array, ctx=self.ctx, dtype=array.dtype)
        return self._ndarrays.get(name)

    def part(self, graph: Graph, fed: Mapping[str, Value], heads: Iterable[Value]) -> "Part":
        """What computes `heads` from `fed` (tensor key -> value); variables of the graph can be left out of it."""
        return Part(self, graph, fed, list(heads))


class Part:
    """Nodes between fed values and heads; see Runner.part."""

    def __init__(self, runner: Runner, graph: Graph, fed: Mapping[str, Value], heads: List[Value]):
        import mxnet as mx

        self._runner = runner
        self._names: Dict[str, str] = {}  # of variables, by the key of the value that they stand for
        fed_by: Dict[Value, Value] = {}
        for number, (key, value) in enumerate(fed.items()):
            variable = value.node if value.node.is_variable else Node(VARIABLE, f"__fed{number}__")
            self._names[key] = variable.name
            fed_by[value] = variable.out()
        twins: Dict[int, Node] = {}

        def twin_of(value: Value) -> Value:
            return fed_by[value] if value in fed_by else Value(twins[id(value.node)], value.index)

        for node in _between(heads, fed_by):
            twins[id(node)] = Node(node.op, node.name, node.attrs, map(twin_of, node.inputs), node.subgraphs)
        nodes = [value.node for value in fed_by.values()] + list(twins.values())
        params = {node.name: graph.params[node.name] for node in nodes if node.name in graph.params}
        self._symbol = Graph(nodes, [twin_of(value) for value in heads], params, graph.aux).symbol()
        self._variables = self._symbol.list_inputs()
        self._run = mx.nd.CachedOp(self._symbol)

    def run(self, arrays: Mapping[str, object]) -> list:
        """The heads as NDArrays, from NDArrays by tensor key. Labels, which nothing computes with, are zeros."""
        import mxnet as mx

        given = {self._names.get(key, key): array for key, array in arrays.items()}
        given = {name: array for name, array in given.items() if name in self._variables}
        missing = [n for n in self._variables if n not in given and self._runner.param(n) is None]
        if missing:
            given.update(self._labels(given, missing))
        inputs = [given[n] if n in given else self._runner.param(n) for n in self._variables]
        with mx.autograd.pause(train_mode=False):
            outputs = self._run(*[array.as_in_context(self._runner.ctx) for array in inputs])
        return outputs if isinstance(outputs, list) else [outputs]

    def _labels(self, given: Mapping[str, object], missing: List[str]) -> Dict[str, object]:
        import mxnet as mx

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                shapes, _, _ = self._symbol.infer_shape(**{name: array.shape for name, array in given.items()})
            found = dict(zip(self._symbol.list_arguments(), shapes))
            return {name: mx.nd.zeros(found[name]) for name in missing}
        except (mx.MXNetError, TypeError, KeyError) as error:
            shapes = {name: tuple(array.shape) for name, array in given.items()}
            raise CalibrationError(
                f"the network does not accept data of shapes {shapes} without {', '.join(missing)}"
            ) from error


def _between(heads: List[Value], fed: Mapping[Value, Value]) -> Iterator[Node]:
    """Nodes that the heads need, inputs before users, where the fed values are there already."""
    done = set()
    stack = [(value.node, False) for value in heads if value not in fed]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in done:
            done.add(id(node))
            stack.append((node, True))
            stack.extend((value.node, False) for value in node.inputs if value not in fed)


def by_key(values: Iterable[Value]) -> Dict[str, Value]:
    """The values by their tensor keys.

    >>> list(by_key([Node("Convolution", "conv0").out()]))
    ['conv0']
    """
    return {tensor_key(value): value for value in values}
