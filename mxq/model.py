"""What quantize_model returns."""

from typing import Dict, Mapping, NamedTuple, Optional, Sequence

import mxnet as mx

from .calib.statistics import Statistics
from .calib.table import CalibTable
from .choice.controller import Control
from .export import OnnxCheck, check, default_shapes, export_quantized
from .export.ncnn import Net, table_of, write_ncnn
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

    def export_onnx(
        self,
        path: str,
        *,
        target: str = "onnxruntime",
        data_shapes: Optional[Mapping[str, Sequence[int]]] = None,
        calib_data=None,
        opset: int = 13,
    ) -> None:
        """Writes the int8 network as ONNX with QuantizeLinear and DequantizeLinear, whole or not at all.

        >>> model.export_onnx("resnet50-int8.onnx", target="onnxruntime", calib_data=images)  # doctest: +SKIP

        Scales, zero points, weights and biases are mxq's own. A runtime that has no int8 layer with a residual sum or a
        PReLU inside rounds what stands between, too; the ranges of these values come from `calib_data`.

        Args:
            path: of the file; the folder must exist.
            target: 'onnxruntime', 'openvino', 'tensorrt' (wants ``quantized_dtype='int8'``) or 'generic', see
                mxq.export.targets.
            data_shapes: input name -> shape; by default that of calibration, with one example. As first axis, 0 leaves
                the number of examples open.
            calib_data: as for quantize_model, where the target needs ranges that were not found then.
            opset: version of ONNX's operators, 13 to 21.

        Raises:
            ConfigError: an argument that is not accepted, ranges that are missing, or no package onnx
                (``pip install mxq[onnx]``).
            GraphError: what the target cannot hold exactly, with node and reason; tensors of 11 bits are such but for
                'openvino' (quantize with ``precision_budget=0``, or use mxq.deliver).
        """
        export_quantized(self, path, target, data_shapes, calib_data, opset)

    def export_ncnn(self, prefix: str, *, data_shapes: Optional[Mapping[str, Sequence[int]]] = None) -> Net:
        """Writes the int8 network as ncnn's ``prefix.param`` and ``prefix.bin``, both whole or none.

        >>> model = mxq.quantize_model(sym, params, images, quantized_dtype="int8", **more)  # doctest: +SKIP
        >>> model.export_ncnn("resnet50-int8").left_float  # doctest: +SKIP
        {}

        Weights, scales and biases are mxq's own; layers whose input has 11 bits are float there. ncnn rounds only
        what convolutions and fully connected layers read, to int8 without a zero point, halves away from zero; all else
        is float, too.

        Args:
            prefix: of the two files; the folder must exist.
            data_shapes: input name -> shape with one example; by default that of calibration.

        Returns:
            Net: ``int8``, the layers of integers; ``left_float``, those that ncnn has no form for, with reasons
            (convolutions in groups that are not depthwise).

        Raises:
            ConfigError: shapes that are not known. GraphError: what ncnn cannot hold exactly, with node and reason.
        """
        return write_ncnn(self.qdq, prefix, default_shapes(self.qdq, data_shapes))

    def ncnn_table(self, path: str, *, group: bool = True) -> None:
        """Writes the scales of weights and inputs as a calibration table of ncnn (ncnn2table), whole or not at all.

        >>> model.ncnn_table("resnet50.table")  # doctest: +SKIP

        For a float network that ncnn's own tools convert, quantize with ``equalize=False``: its channels have other
        scales else.

        Args:
            path: of the file.
            group: a scale of weights for each output (group, of a grouped convolution); else one for each layer.

        Raises:
            CalibrationError: names with spaces, or ranges that are found at run time.
        """
        table_of(self.qdq, group=group).save(path)

    def check_onnx(self, path: str, data, *, num_examples: int = 8, optimize: bool = True) -> OnnxCheck:
        """Runs a file of export_onnx in ONNX Runtime, beside MXNet, and compares every 8-bit value and the outputs.

        >>> print(model.check_onnx("resnet50-int8.onnx", images))  # doctest: +SKIP
        ONNX Runtime agrees with MXNet in 72 values (8 examples)

        MXNet, unfused, computes each value from the integers that ONNX Runtime has in front of it; they may differ by
        one level in 2 % of the elements, where the last digit of a float decides how it is rounded.

        Args:
            path: of the file.
            data: as for quantize_model.
            num_examples: how many are compared.
            optimize: whether ONNX Runtime forms int8 layers; without, it computes each operator as the standard says.

        Returns:
            OnnxCheck: ``ok``; ``first``, the first value that differs, and by how much; ``compared``, up to there.

        Raises:
            ConfigError: no package onnx or onnxruntime, or a file that does not load. GraphError: a file of another
            network. CalibrationError: data that cannot be used.
        """
        return check(path, self.qdq, data, num_examples=num_examples, optimize=optimize)
