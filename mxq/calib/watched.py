"""The part of a float network that computes watched values, and those values as arrays."""

import ctypes
from typing import Dict, Iterable, List, Mapping, Optional

import numpy as np

from ..errors import CalibrationError, GraphError
from ..network.graph import TYPE_FLAGS, Graph, Value
from ..network.shapes import complete_shapes

_DTYPES = {flag: name for name, flag in TYPE_FLAGS.items()}


class WatchedNetwork:
    """Computes values of a graph, over and over in the same memory.

    Run as a CachedOp: binding an executor would fuse operators first (MXNET_SUBGRAPH_BACKEND), and MXNet's fusion
    breaks graphs whose intermediate values are outputs.

    Args:
        graph: the float graph; it is not changed.
        keys: the values, under the keys that `run` returns them with.
        ctx: where the network runs, the CPU by default.

    Attributes:
        constants: watched values that are parameters.
    """

    def __init__(self, graph: Graph, keys: Mapping[str, Value], ctx=None):
        import mxnet as mx

        self._ctx = ctx or mx.cpu()
        graph = _cut(graph, keys.values())
        self.constants: Dict[str, np.ndarray] = {}
        self._from_data: Dict[str, str] = {}
        self._computed: List[str] = []
        heads = []
        for key, value in zip(keys, graph.outputs):
            if not value.node.is_variable:
                self._computed.append(key)
                # Convolutions leave values in an order of their own: a reshape in the network puts them in order in
                # one pass, and taking them out of it in two.
                heads.append(graph.add("Reshape", f"{key}_in_order", [value], {"shape": "(-2,)"}).out())
            elif value.node.name in graph.params:
                self.constants[key] = graph.params[value.node.name]
            else:
                self._from_data[key] = value.node.name
        graph.outputs = heads
        self._run = None
        self._shapes: Optional[Dict[str, tuple]] = None  # of the inputs that `_inputs` and `_outputs` are for
        self._inputs: Dict[str, mx.nd.NDArray] = {}
        self._outputs: list = []
        if heads:
            self._symbol, args, aux = graph.to_symbol()
            self._params = {name: array.as_in_context(self._ctx) for name, array in {**args, **aux}.items()}
            self._free = [name for name in self._symbol.list_inputs() if name not in self._params]
            self._dtypes = {node.name: _DTYPES[node.get("__dtype__", 0)] for node in graph.inputs}
            self._run = mx.nd.CachedOp(self._symbol, (("static_alloc", True), ("static_shape", True)))

    def run(self, arrays: Mapping[str, np.ndarray], size: int = 0) -> Dict[str, np.ndarray]:
        """Watched values that depend on the data. They are overwritten by the next call.

        Args:
            arrays: examples by input name.
            size: they are filled up to so many; only where every value has as many rows for each example.

        Raises:
            CalibrationError: the network does not accept the arrays.
        """
        missing = [name for name in self._from_data.values() if name not in arrays]
        if missing:
            raise CalibrationError(f"calibration data lacks input {missing[0]!r}; it has {', '.join(arrays)}")
        found = {key: arrays[name] for key, name in self._from_data.items()}
        if self._run is None:
            return found
        given = {name: arrays[name] for name in self._free if name in arrays}
        n = len(next(iter(arrays.values())))
        if n < size:
            more = np.append(np.arange(n), np.full(size - n, n - 1))
            given = {name: array[more] for name, array in given.items()}
        for key, output in zip(self._computed, self._compute(given)):
            array = _view(output)
            found[key] = array[: len(array) * n // size] if n < size else array
        return found

    def _compute(self, given: Mapping[str, np.ndarray]) -> list:
        """All outputs, computed, for arrays by input name."""
        import mxnet as mx

        shapes = {name: array.shape for name, array in given.items()}
        if shapes != self._shapes:
            self._inputs, self._outputs, self._shapes = self._allocated(given, shapes), [], shapes
        for name, array in given.items():
            self._inputs[name][:] = array
        inputs = [self._params.get(name, self._inputs.get(name)) for name in self._symbol.list_inputs()]
        with mx.autograd.pause(train_mode=False):
            outputs = self._run(*inputs, out=self._outputs or None)
        self._outputs = outputs if isinstance(outputs, list) else [outputs]
        for output in self._outputs:
            output.wait_to_read()
        return self._outputs

    def _allocated(self, given: Mapping[str, np.ndarray], shapes: Mapping[str, tuple]) -> dict:
        """Arrays of every variable. Labels, which nothing here computes with, are zeros of the inferred shape."""
        import mxnet as mx

        inferred = self._infer(shapes)
        return {
            name: mx.nd.zeros(shapes.get(name, inferred[name]), ctx=self._ctx, dtype=self._dtypes[name])
            for name in self._free
        }

    def _infer(self, shapes: Mapping[str, tuple]) -> Dict[str, tuple]:
        """Shapes of all arguments by name. CalibrationError if the network does not fit the data."""
        try:
            return complete_shapes(self._symbol, shapes)[0]
        except GraphError as error:
            absent = [name for name in self._free if name not in shapes]
            raise CalibrationError(
                f"the network does not accept calibration data of shapes {dict(shapes)}"
                + (f" without {', '.join(absent)}" if absent else "")
                + f": {error}"
            ) from error


def _view(array) -> np.ndarray:
    """The memory of an NDArray on the CPU as numpy, without a copy, to be read while the NDArray lives."""
    import mxnet as mx

    if array.context.device_type != "cpu" or array.stype != "default" or not array.size:
        return array.asnumpy()
    pointer = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    dtype = np.dtype(array.dtype)
    memory = (ctypes.c_char * (array.size * dtype.itemsize)).from_address(pointer.value)
    return np.frombuffer(memory, dtype).reshape(array.shape)


def _cut(graph: Graph, values: Iterable[Value]) -> Graph:
    """A copy of the graph that returns `values`."""
    positions = {id(node): i for i, node in enumerate(graph.nodes)}
    twin = graph.copy()
    twin.outputs = [Value(twin.nodes[positions[id(v.node)]], v.index) for v in values]
    twin.prune()
    return twin
