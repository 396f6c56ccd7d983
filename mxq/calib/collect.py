"""Runs the float network over calibration data and gathers statistics of chosen tensors."""

import warnings
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence

import numpy as np

from ..errors import CalibrationError
from ..graph import TYPE_FLAGS, Graph, Value
from ..progress import Progress
from .statistics import NUM_BINS, Statistics

#: Examples that run at once: every watched tensor of the network is alive at the same time.
SUB_BATCH = 8
_DTYPES = {flag: name for name, flag in TYPE_FLAGS.items()}


def collect(
    graph: Graph,
    keys: Mapping[str, Value],
    data_batches: Iterable,
    *,
    ctx=None,
    progress: Optional[bool] = None,
    num_examples: Optional[int] = None,
    num_bins: int = NUM_BINS,
    sub_batch: Optional[int] = SUB_BATCH,
    observers: Sequence[Callable[[str, np.ndarray], None]] = (),
) -> Statistics:
    """Statistics of values of a float graph, in one pass over the data.

    >>> import mxnet as mx, numpy as np
    >>> from mxq.calib.data import batches
    >>> graph = Graph.from_symbol(mx.sym.Activation(mx.sym.var("data"), act_type="relu", name="relu"), {})
    >>> data = batches(np.float32([[-1, 2], [3, 4]]), ["data"])
    >>> collect(graph, {"relu": graph.outputs[0]}, data)["relu"].max
    4.0

    Args:
        graph: the float graph; it is not changed.
        keys: the values to watch, under the keys that the result has.
        data_batches: what `mxq.calib.data.batches` returns; first axis = batch.
        ctx: where the network runs, the CPU by default.
        progress: see mxq.progress.
        num_examples: for the progress bar only.
        num_bins: histogram bins on each side of zero, a power of two.
        sub_batch: batches are run in parts of so many examples; None runs them as they come.
        observers: called with the key and the array of every watched tensor, for what statistics do not hold.

    Raises:
        CalibrationError: no data, data the network does not accept, or a tensor that becomes NaN or infinite.
    """
    statistics = Statistics(keys, num_bins=num_bins)
    network = _Network(graph, keys, ctx)
    for key, array in network.constants.items():
        _update(statistics, key, array, "as a parameter")
    with Progress(num_examples, "calibrating", show=progress) as bar:
        for index, (arrays, n) in enumerate(data_batches):
            step = min(sub_batch or n, n)
            for start in range(0, n, step):
                part = {name: array[start : min(start + step, n)] for name, array in arrays.items()}
                for key, array in network.run(part):
                    _update(statistics, key, array, f"in calibration batch {index}")
                    for observer in observers:
                        observer(key, array)
                done = min(step, n - start)
                statistics.num_examples += done
                bar.step(done)
    if not statistics.num_examples:
        raise CalibrationError("the calibration data is empty")
    return statistics


def _update(statistics: Statistics, key: str, array: np.ndarray, where: str) -> None:
    try:
        statistics[key].update(array)
    except CalibrationError as error:
        raise CalibrationError(f"tensor {key!r} {where}: {error}; exclude its operator or look at the data") from None


class _Network:
    """The part of a graph that computes the watched values.

    Run as a CachedOp: binding an executor would fuse operators first (MXNET_SUBGRAPH_BACKEND), and MXNet's fusion
    breaks graphs whose intermediate values are outputs.
    """

    def __init__(self, graph: Graph, keys: Mapping[str, Value], ctx):
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
                heads.append(value)
            elif value.node.name in graph.params:
                self.constants[key] = graph.params[value.node.name]
            else:
                self._from_data[key] = value.node.name
        graph.outputs = heads
        self._run = None
        if heads:
            self._symbol, args, aux = graph.to_symbol()
            self._params = {name: array.as_in_context(self._ctx) for name, array in {**args, **aux}.items()}
            self._free = [name for name in self._symbol.list_inputs() if name not in self._params]
            self._dtypes = {node.name: _DTYPES[node.get("__dtype__", 0)] for node in graph.inputs}
            self._run = mx.nd.CachedOp(self._symbol)

    def run(self, arrays: Mapping[str, object]):
        """Yields (key, numpy array) of every watched value that depends on the data."""
        import mxnet as mx

        for key, name in self._from_data.items():
            if name not in arrays:
                raise CalibrationError(f"calibration data lacks input {name!r}; it has {', '.join(arrays)}")
            yield key, arrays[name].asnumpy()
        if self._run is None:
            return
        inputs = self._inputs(arrays)
        with mx.autograd.pause(train_mode=False):
            outputs = self._run(*inputs)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        for key in self._computed:
            yield key, outputs.pop(0).asnumpy()

    def _inputs(self, arrays: Mapping[str, object]) -> list:
        """Arrays of every variable. Labels, which nothing here computes with, are zeros of the inferred shape."""
        import mxnet as mx

        given = {name: arrays[name].astype(self._dtypes[name], copy=False) for name in self._free if name in arrays}
        inferred = self._infer({name: array.shape for name, array in given.items()})
        for name in self._free:
            if name not in given:
                given[name] = mx.nd.zeros(inferred[name], dtype=self._dtypes[name])
        given = {name: array.as_in_context(self._ctx) for name, array in given.items()}
        return [self._params[name] if name in self._params else given[name] for name in self._symbol.list_inputs()]

    def _infer(self, shapes: Mapping[str, tuple]) -> Dict[str, tuple]:
        """Shapes of all arguments. Raises CalibrationError if the network does not fit the data."""
        import mxnet as mx

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # what is missing becomes an error
                inferred, _, _ = self._symbol.infer_shape(**shapes)
            if inferred is None:
                raise ValueError("the shapes of all its tensors cannot be inferred")
        except (mx.MXNetError, ValueError) as error:
            absent = [name for name in self._free if name not in shapes]
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise CalibrationError(
                f"the network does not accept calibration data of shapes {dict(shapes)}"
                + (f" without {', '.join(absent)}" if absent else "")
                + f": {reason}; a network made for one batch size needs batches of that size and sub_batch=None"
            ) from error
        return dict(zip(self._symbol.list_arguments(), inferred))


def _cut(graph: Graph, values: Iterable[Value]) -> Graph:
    """A copy of the graph that returns `values`."""
    positions = {id(node): i for i, node in enumerate(graph.nodes)}
    twin = graph.copy()
    twin.outputs = [Value(twin.nodes[positions[id(v.node)]], v.index) for v in values]
    twin.prune()
    return twin
