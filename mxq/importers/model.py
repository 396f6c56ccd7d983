"""What mxq.load returns."""

from typing import Dict, NamedTuple, Tuple

import mxnet as mx

from ..network.files import save_model
from ..network.graph import Graph


class _Triple(NamedTuple):
    symbol: mx.sym.Symbol
    arg_params: Dict[str, mx.nd.NDArray]
    aux_params: Dict[str, mx.nd.NDArray]


class ImportedModel(_Triple):
    """``(symbol, arg_params, aux_params)`` of a network that came in another format.

    >>> symbol, arg_params, aux_params = mxq.load("det1.caffemodel")  # doctest: +SKIP

    Attributes:
        format: what the file was, such as 'Caffe'.
        quantized: True: it runs in int8 at once; False: it is float, to be given to mxq.quantize_model.
        shapes: input name -> shape in the file.
        outputs: names that the file has for the outputs, in the order of the symbol's.
        floats: the float Graph.
    """

    format: str
    quantized: bool
    shapes: Dict[str, Tuple[int, ...]]
    outputs: Tuple[str, ...]
    floats: Graph

    @classmethod
    def of_float(cls, graph: Graph, kind: str, shapes: Dict, outputs: Tuple[str, ...]) -> "ImportedModel":
        """A float network."""
        model = cls(*graph.to_symbol())
        model.format, model.quantized, model.shapes = kind, False, dict(shapes)
        model.outputs, model.floats = tuple(outputs), graph
        return model

    def __repr__(self) -> str:
        kind = "int8" if self.quantized else "float"
        inputs = ", ".join(f"{name}{shape}" for name, shape in self.shapes.items())
        operators = sum(not node.is_variable for node in self.floats.nodes)
        return (
            f"<ImportedModel: {kind} network of a {self.format} file, {operators} operators; "
            f"inputs {inputs}; outputs {', '.join(self.outputs)}>"
        )

    def save(self, prefix: str, epoch: int = 0) -> None:
        """Writes ``prefix-symbol.json`` and ``prefix-0000.params``, each file whole or not at all."""
        save_model(prefix, self.symbol, self.arg_params, self.aux_params, epoch=epoch)
