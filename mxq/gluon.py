"""quantize_net: a Gluon HybridBlock in, an int8 SymbolBlock out."""

import warnings
from typing import Dict, Iterable, Mapping, Optional, Sequence, Tuple, Union

import mxnet as mx

from .calib.collect import SUB_BATCH
from .calib.statistics import Statistics
from .calib.table import CalibTable
from .choice.controller import Control
from .errors import ConfigError, nearest
from .flow import quantize_graph
from .model import QuantizedModel
from .network.atomic import write_atomically
from .network.files import save_model
from .network.graph import Graph
from .network.params_format import write_params
from .network.trace import Traced, trace
from .options import Options, refuse_unknown
from .report import Findings, Report
from .verification import Verification


class QuantizedBlock(mx.gluon.SymbolBlock):
    """An int8 network as a Gluon block. Several outputs come as a flat list, a single one comes alone.

    >>> block = mxq.quantize_net(net, images)  # doctest: +SKIP
    >>> block.hybridize(static_alloc=True, static_shape=True)  # doctest: +SKIP

    Attributes:
        table: the CalibTable, or None without calibration.
        report: Report, a line for every node of the original network.
        qdq: Graph with explicit quantize/dequantize nodes, which exporters read.
        floats: Graph of the simplified float network, as in QuantizedModel.
        operators: Graph of the int8 network with every operator a node: what the symbol's regions hold.
        statistics: Statistics of the tensors of `floats`, or None without calibration data.
        findings: what preflight found.
        accuracy: what accuracy control did, with `metric`; else None.
        verification: what was seen of the int8 network beside float; None where nobody looked.
        symbol: mx.sym.Symbol on mxq operators.
        input_names: names of its inputs in order: ``data``, or ``data0``, ``data1``, ...
    """

    table: Optional[CalibTable]
    report: Report
    qdq: Graph
    floats: Optional[Graph]
    operators: Graph
    statistics: Optional[Statistics]
    findings: Findings
    accuracy: Optional[Control] = None
    verification: Optional[Verification] = None
    symbol: mx.sym.Symbol
    input_names: Tuple[str, ...]

    @classmethod
    def of(cls, model: QuantizedModel, input_names: Sequence[str], ctx=None) -> "QuantizedBlock":
        """The block that computes what `model` does; `ctx` is where its parameters lie, the CPU by default."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the type of the data is open until it comes
            block = cls(model.symbol, [mx.sym.var(name) for name in input_names])
        for name, value in vars(model).items():  # table, report and the other reasons
            setattr(block, name, value)
        block.symbol, block.input_names = model.symbol, tuple(input_names)
        arrays = {**model.arg_params, **model.aux_params}
        for name, parameter in block.collect_params().items():
            if name not in arrays:
                raise ConfigError(f"parameter {name!r} of the network has no value; initialize or load it")
            parameter.grad_req = "null"
            parameter.shape = arrays[name].shape
            parameter.dtype = arrays[name].dtype
            parameter.initialize("zeros", ctx=ctx or mx.cpu())
            parameter.set_data(arrays[name])
        return block

    def export(self, path: str, epoch: int = 0, remove_amp_cast: bool = True) -> None:
        """Writes ``path-symbol.json`` and ``path-0000.params``, each file whole or not at all.

        Unlike MXNet's own it needs no forward before. Load them with ``gluon.SymbolBlock.imports`` or
        ``mx.model.load_checkpoint`` after ``import mxq``. `remove_amp_cast` changes nothing: there are no such casts.
        """
        auxiliary = set(self.symbol.list_auxiliary_states())
        arrays = self._arrays()
        arg_params = {name: array for name, array in arrays.items() if name not in auxiliary}
        aux_params = {name: array for name, array in arrays.items() if name in auxiliary}
        save_model(path, self.symbol, arg_params, aux_params, epoch=epoch)

    export_onnx = QuantizedModel.export_onnx
    check_onnx = QuantizedModel.check_onnx

    def save_parameters(self, filename: str, deduplicate: bool = False) -> None:
        """Writes the parameters under their whole names, for load_parameters of any SymbolBlock of this symbol.

        MXNet's own drops what all names begin with, and its load_parameters then does not find them. `deduplicate`
        changes nothing: the block has each parameter once.
        """
        write_atomically(filename, lambda path: write_params(path, self._arrays()))

    def _arrays(self) -> Dict[str, mx.nd.NDArray]:
        return {name: p.data(p.list_ctx()[0]) for name, p in self.collect_params().items()}


@refuse_unknown
def quantize_net(
    net: mx.gluon.HybridBlock,
    calib_data=None,
    *,
    preset: str = "default",
    data_shapes=None,
    num_calib_examples: Optional[int] = None,
    mean: Optional[Sequence[float]] = None,
    std: Optional[Sequence[float]] = None,
    input_dtype: str = "float32",
    batch_size: int = 32,
    sub_batch: Optional[int] = SUB_BATCH,
    ctx: Optional[mx.Context] = None,
    calib_mode: str = "mse",
    calib_table: Optional[CalibTable] = None,
    statistics: Optional[Statistics] = None,
    quantized_dtype: str = "auto",
    zero_points: bool = True,
    activation_bits: Optional[int] = None,
    precision_budget: float = 0.15,
    range_headroom: float = 0.05,
    equalize: bool = True,
    quantize_granularity: Union[str, Mapping[str, str]] = "channel-wise",
    weight_rounding: str = "adaptive",
    weight_bits: Union[int, Mapping[str, int]] = 8,
    bias_correction: bool = True,
    quantize_mode: str = "smart",
    exclude_layers: Sequence[str] = (),
    exclude_layers_match: Sequence[str] = (),
    exclude_operators: Sequence[str] = (),
    float_where_faster: bool = False,
    metric: object = None,
    max_drop: Optional[float] = None,
    min_metric: Optional[float] = None,
    eval_data: object = None,
    search_state: Optional[str] = None,
    regions: bool = True,
    preflight: bool = True,
    verify: Union[bool, str] = True,
    progress: Optional[bool] = None,
) -> QuantizedBlock:
    """Turns a float Gluon network into an int8 SymbolBlock that runs on mxq's operators.

    >>> net = mx.gluon.model_zoo.vision.resnet50_v1(pretrained=True)  # doctest: +SKIP
    >>> int8 = mxq.quantize_net(net, loader, num_calib_examples=256)  # doctest: +SKIP
    >>> int8.export("resnet50-int8")  # doctest: +SKIP

    `net` stays as it is: hybridized or not, its parameters and its names. Parameters whose shape waits for the first
    forward get it here.

    Args:
        net: an initialized HybridBlock, hybridized or not; a SymbolBlock too. Its inputs are arrays, not lists of them.
        calib_data: see mxq.quantize_model; a DataLoader may yield labels behind the data or not.
        data_shapes: shape of each input, where there is no data to tell and a shape matters: a list of shapes or of
            DataDesc in the order of the inputs, one shape for one input, or a dict by input name.

    What stays float:
        exclude_layers: node names (as ``net.export`` writes them) that stay float.
        exclude_layers_match: substrings of names of nodes that stay float.
        exclude_operators: operator names, such as 'Convolution', that stay float.

    All other options are those of mxq.quantize_model.

    Returns:
        QuantizedBlock: a SymbolBlock with ``table`` and ``report``. Inputs are named ``data``, or ``data0``, ``data1``
        and so on. Nested outputs come as a flat list, in the order of reading them from left to right.

    Raises:
        ConfigError: an argument that is not accepted, a network that is not initialized or cannot be traced, or an
        exclusion that matches nothing. GraphError and CalibrationError as mxq.quantize_model.
    """
    options = locals()
    traced, calib_data = trace(net, calib_data, data_shapes)
    chosen = make_options(traced, options, exclude_layers, exclude_layers_match, exclude_operators)
    model = quantize_graph(traced.graph, calib_data, chosen)
    return QuantizedBlock.of(model, traced.names, chosen.ctx)


def make_options(
    traced: Traced, options: Mapping, layers: Sequence[str], matches: Sequence[str], operators: Sequence[str]
) -> Options:
    """Options of quantize_graph for a traced network; exclusions are checked under the names they have here."""
    nodes = [node for node in traced.graph.nodes if not node.is_variable]
    known = [node.name for node in nodes]
    excluded = list(_strings("exclude_layers", layers))
    for name in excluded:
        if name not in known:
            raise ConfigError(f"exclude_layers: no node is named {name!r}{nearest(name, known)}")
    for part in _strings("exclude_layers_match", matches):
        found = [name for name in known if part in name]
        if not found:
            raise ConfigError(f"exclude_layers_match: no node has {part!r} in its name{nearest(part, known)}")
        excluded += [name for name in found if name not in excluded]
    present = sorted({node.op for node in nodes})
    for op in _strings("exclude_operators", operators):
        if op not in present:
            hint = nearest(op, present) or f"; the network has {', '.join(present)}"
            raise ConfigError(f"exclude_operators: no node is a {op!r}{hint}")
    return Options.of(options)._replace(
        data_names=traced.names,
        label_names=(),
        data_shapes=traced.shapes or None,
        excluded_sym_names=excluded,
        excluded_op_names=list(operators),
    )


def _strings(label: str, given) -> Iterable[str]:
    if isinstance(given, str) or not isinstance(given, (list, tuple, set, frozenset)):
        raise ConfigError(f"{label}={given!r}: give a list of strings")
    for item in given:
        if not isinstance(item, str):
            raise ConfigError(f"{label} has {item!r}: give strings")
    return given
