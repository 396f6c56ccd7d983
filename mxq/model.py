"""What quantize_model returns."""

from typing import Dict, NamedTuple, Optional

import mxnet as mx

from .calib.statistics import Statistics
from .calib.table import CalibTable
from .choice.controller import Control
from .network.files import save_model
from .network.graph import Graph
from .report import Findings, Precision, Report
from .report.verification import Verification


class _Triple(NamedTuple):
    symbol: mx.sym.Symbol
    arg_params: Dict[str, mx.nd.NDArray]
    aux_params: Dict[str, mx.nd.NDArray]


class QuantizedModel(_Triple):
    """``(symbol, arg_params, aux_params)`` of an int8 network, with the reasons behind it.

    >>> symbol, arg_params, aux_params = mxq.quantize_model(sym, params, data)  # doctest: +SKIP

    Attributes:
        symbol: mx.sym.Symbol on mxq operators.
        arg_params, aux_params: name -> NDArray; int8 weights, int32 biases, float32 scales.
        table: the CalibTable, or None without calibration.
        report: Report, a line for every node of the original network.
        qdq: Graph with explicit quantize/dequantize nodes, which the symbol was lowered from and exporters read.
        floats: Graph of the simplified float network that calibration ran, channels equalized; its nodes have the names
            of those in `qdq`. Set it to None to give back the memory of the float parameters.
        statistics: Statistics of the tensors of `floats`, by the keys that `table` has; None without calibration data.
        operators: Graph of the int8 network with every operator a node: what the symbol's regions hold.
        findings: what preflight found.
        accuracy: what accuracy control did, with `metric`; else None.
        precision: what `precision_budget` was spent on, or why on nothing; None where nobody looked.
        verification: what was seen of the int8 network beside float; None where nobody looked.
    """

    table: Optional[CalibTable]
    report: Report
    qdq: Graph
    floats: Optional[Graph]
    operators: Graph
    statistics: Optional[Statistics]
    findings: Findings
    accuracy: Optional[Control] = None
    precision: Optional[Precision] = None
    verification: Optional[Verification] = None

    @classmethod
    def of(
        cls, graph: Graph, table: Optional[CalibTable], report: Report, qdq: Graph, floats: Graph, operators: Graph
    ) -> "QuantizedModel":
        model = cls(*graph.to_symbol())
        model.table, model.report, model.qdq, model.floats = table, report, qdq, floats
        model.operators, model.statistics, model.findings = operators, None, Findings()
        return model

    def __repr__(self) -> str:
        return f"<QuantizedModel: {self.report.summary()}; {self.table!r}>"

    def save(self, prefix: str, epoch: int = 0) -> None:
        """Writes ``prefix-symbol.json`` and ``prefix-0000.params``, each file whole or not at all.

        Load them with ``mx.model.load_checkpoint`` or ``gluon.SymbolBlock.imports`` after ``import mxq``.
        """
        save_model(prefix, self.symbol, self.arg_params, self.aux_params, epoch=epoch)
