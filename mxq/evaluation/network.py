"""A saved network, float or int8, as something to run."""

import os
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..api import is_int8, read_network
from ..errors import ConfigError, GraphError
from ..network.bind import fused_silently, unfused
from ..network.files import params_path
from ..network.graph import Graph, input_dtypes
from ..network.params import default_data_names, label_inputs, require_params


class Network:
    """A network with its parameters.

    Attributes:
        name: for people.
        graph: Graph.
        data_names: its inputs that are data.
        bytes: of the parameter file; None where it was not saved.
        int8: whether it has int8 operators.
    """

    def __init__(self, name: str, graph: Graph, size: Optional[int] = None):
        self.name, self.graph, self.bytes = name, graph, size
        self.data_names: List[str] = default_data_names(graph)
        require_params(graph, self.data_names, label_inputs(graph))
        self.int8 = is_int8(graph.symbol())

    @classmethod
    def open(cls, symbol: str, params: Optional[str] = None) -> "Network":
        """Of two files, or of what they begin with. Raises GraphError as mxq.quantize_model."""
        path = params_path(symbol, params)
        name = os.path.basename(symbol)
        name = name[: -len("-symbol.json")] if name.endswith("-symbol.json") else name
        return cls(name, read_network(symbol, params, int8=True), os.path.getsize(path))

    @property
    def dtype(self) -> str:
        """Of its data: 'uint8' or 'int8' where it takes integers."""
        return str(np.dtype(input_dtypes(self.graph).get(self.data_names[0], "float32")))

    def shapes(self, batch_size: int, given: Mapping[str, Sequence[int]]) -> Dict[str, Tuple[int, ...]]:
        """Shapes of its inputs for a batch, from shapes whose first axis is that of examples."""
        missing = [name for name in self.data_names if name not in given]
        if missing:
            raise ConfigError(
                f"{self.name} has an input {missing[0]!r}: give its shape, --data-shape {missing[0]}=1,..."
            )
        return {name: (batch_size, *given[name][1:]) for name in self.data_names}

    def bound(self, shapes: Mapping[str, Sequence[int]]) -> "Bound":
        """The network ready to run on made-up data of these shapes."""
        return Bound(self, shapes)


class Bound:
    """A network bound for one shape, as MXNet's executors run it: a float one is fused where MXNet can.

    Attributes:
        note: why it is not fused; '' where it is, and for int8 networks.
        symbol: what was bound, before MXNet fuses it.
    """

    def __init__(self, network: Network, shapes: Mapping[str, Sequence[int]]):
        self.note = ""
        try:
            self._bind(network, shapes)
            self.step()
        except Exception as error:  # MXNetError and what its binding raises
            if network.int8:
                raise GraphError(
                    f"{network.name} does not run on inputs of shapes {dict(shapes)}: {_said(error)}"
                ) from error
            self.note = f"not fused, MXNet's fusion fails: {_said(error)}"
            try:
                with unfused():
                    self._bind(network, shapes)
                self.step()
            except Exception as second:
                raise GraphError(
                    f"{network.name} does not run on inputs of shapes {dict(shapes)}: {_said(second)}"
                ) from second

    def _bind(self, network: Network, shapes: Mapping[str, Sequence[int]]) -> None:
        import mxnet as mx

        self.symbol, args, aux = network.graph.to_symbol()
        dtypes = input_dtypes(network.graph)
        types = {name: dtypes.get(name, "float32") for name in shapes}
        with fused_silently():
            self._executor = self.symbol.simple_bind(mx.cpu(), grad_req="null", type_dict=types, **dict(shapes))
        self._executor.copy_params_from(args, aux, allow_extra_params=True)
        rng = np.random.RandomState(0)
        data = {}
        for name, shape in shapes.items():
            integers = np.dtype(types[name]).kind in "iu"
            array = rng.randint(0, 128, shape) if integers else rng.normal(0, 1, shape)
            data[name] = mx.nd.array(array, dtype=types[name])
        self._executor.forward(is_train=False, **data)

    def step(self) -> None:
        """One forward, waited for."""
        for output in self._executor.forward(is_train=False):
            output.wait_to_read()


def _said(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
