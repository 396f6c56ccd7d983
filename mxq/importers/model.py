"""What mxq.load returns."""

import functools
from typing import Dict, NamedTuple, Optional, Tuple

import mxnet as mx

from ..errors import GraphError
from ..network.files import save_model
from ..network.graph import Graph
from ..passes import run
from ..passes.annotate import leave_float
from ..passes.form_regions import form_regions
from ..passes.join_floats import join_floats
from ..passes.lower import lower
from ..report import Report
from .keep_integers import keep_integers, mark, without_integers


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
        floats: the Graph in real numbers; of a quantized network with a quantize/dequantize pair wherever it rounds.
        report: Report, a line for every node, of a quantized network; None of a float one.
    """

    format: str
    quantized: bool
    shapes: Dict[str, Tuple[int, ...]]
    outputs: Tuple[str, ...]
    floats: Graph
    report: Optional[Report] = None

    @classmethod
    def of_float(cls, graph: Graph, kind: str, shapes: Dict, outputs: Tuple[str, ...]) -> "ImportedModel":
        """A float network."""
        model = cls(*graph.to_symbol())
        model.format, model.quantized, model.shapes = kind, False, dict(shapes)
        model.outputs, model.floats = tuple(outputs), graph
        return model

    @classmethod
    def of_integers(cls, network, kind: str) -> "ImportedModel":
        """A network that is quantized already: `network` has graph, weights, beyond, parts, shapes and outputs."""
        annotated = mark(network.graph, network.parts)
        left = without_integers(annotated, network.weights, network.beyond)
        if left:
            annotated = leave_float(annotated, left, mode="full")
        qdq = run(annotated, [functools.partial(keep_integers, weights=network.weights)], stage="qdq")
        try:
            lowered = run(qdq, [lower, join_floats, form_regions], stage="int8")
            model = cls(*lowered.to_symbol())
        except mx.MXNetError as error:  # of the native operators, which name the node and the value
            reason = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
            raise GraphError(f"the network has no form in int8 operators: {reason}") from None
        model.format, model.quantized, model.shapes = kind, True, dict(network.shapes)
        model.outputs, model.floats = tuple(network.outputs), network.graph
        pairs = ("mxq_quantize_v2", "mxq_dequantize")  # what the file rounds is no operator of its own
        model.report = Report([row for row in Report.of(network.graph, annotated) if row.op not in pairs])
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
