"""Float networks as ONNX and ncnn files, and ONNX files beside MXNet."""

from typing import Dict, Mapping, Sequence

from .api import read_network
from .export import OnnxCheck, check, write_onnx
from .export.ncnn import WINOGRAD_BITS, simplified, winograd_layers, write_ncnn
from .network.params import require_params


def export_onnx(sym, params, path: str, data_shapes: Mapping[str, Sequence[int]], *, opset: int = 13) -> None:
    """Writes a float MXNet network as ONNX, whole or not at all.

    >>> mxq.export_onnx("net-symbol.json", "net-0000.params", "net.onnx", {"data": (1, 3, 224, 224)})  # doctest: +SKIP

    Every operator computes what MXNet 1.9.1 computes, without its fusion, or the network is refused. Values of the file
    have the names of MXNet's nodes (``name:1`` for a second output). Shapes are fixed, but for the number of examples
    where 0 stands for it.

    Args:
        sym, params: as for quantize_model.
        path: of the file; the folder must exist.
        data_shapes: input name -> shape. Inputs that are only labels are left out of the file.
        opset: version of ONNX's operators, 13 to 21.

    Raises:
        ConfigError: an argument that is not accepted, or no package onnx (``pip install mxq[onnx]``).
        GraphError: a network that cannot be read, or has operators without an exact ONNX form (all are named).
    """
    graph = read_network(sym, params)
    require_params(graph, list(data_shapes))
    write_onnx(graph, path, data_shapes, opset=opset)


def export_ncnn(sym, params, prefix: str, data_shapes: Mapping[str, Sequence[int]]) -> None:
    """Writes a float MXNet network as ncnn's ``prefix.param`` and ``prefix.bin``, both whole or none.

    >>> mxq.export_ncnn("net-symbol.json", "net-0000.params", "net", {"data": (1, 3, 224, 224)})  # doctest: +SKIP

    BatchNorm and padding become part of the layers beside them. Blobs have the names of MXNet's nodes. For int8 see
    QuantizedModel.export_ncnn.

    Args:
        sym, params: as for quantize_model.
        prefix: of the two files; the folder must exist.
        data_shapes: input name -> shape, with one example; labels need none.

    Raises:
        ConfigError: an argument that is not accepted.
        GraphError: a network that cannot be read, or has operators without an exact form in ncnn (all are named).
    """
    graph = read_network(sym, params)
    require_params(graph, list(data_shapes))
    shapes = {name: tuple(shape) for name, shape in data_shapes.items()}
    write_ncnn(simplified(graph, shapes), prefix, shapes)


def ncnn_weight_bits(sym, params) -> Dict[str, int]:
    """The `weight_bits` of quantize_model for ncnn's Winograd convolutions, whose sums have 16 bits.

    >>> bits = mxq.ncnn_weight_bits("net-symbol.json", "net-0000.params")  # doctest: +SKIP
    >>> model = mxq.quantize_model("net-symbol.json", "net-0000.params", images, weight_bits=bits)  # doctest: +SKIP

    They are 3x3 convolutions without stride, dilation or groups that read 64 channels or more: 6 bits each. Needed
    where ncnn uses that algorithm for integers and sums overflow (``opt.use_winograd_convolution = false`` avoids it).

    Args:
        sym, params: as for quantize_model.
    """
    return dict.fromkeys(winograd_layers(read_network(sym, params)), WINOGRAD_BITS)


def check_onnx(sym, params, path: str, data, *, num_examples: int = 8, optimize: bool = False) -> OnnxCheck:
    """Runs a float network in MXNet, unfused, and its ONNX file in ONNX Runtime, and compares them value by value.

    >>> print(mxq.check_onnx("net-symbol.json", "net-0000.params", "net.onnx", images))  # doctest: +SKIP
    ONNX Runtime differs from MXNet in 'bn0' by up to 0.31 of its largest magnitude (8 examples); 2 values before agree

    The file may be anybody's: values that have the names of MXNet's nodes are compared in the order of the file, up to
    the first that differs, and the outputs in their order. For int8 files see QuantizedModel.check_onnx.

    Args:
        sym, params: as for quantize_model.
        path: of the ONNX file.
        data: examples, of any kind that quantize_model takes.
        num_examples: how many are compared.
        optimize: whether ONNX Runtime optimizes the file, which hides some inner values.

    Returns:
        OnnxCheck: ``ok``; ``first``, the first value that differs, and by how much; ``compared``, up to there.

    Raises:
        ConfigError: no package onnx or onnxruntime, or a file that does not load. GraphError: a file of another
        network. CalibrationError: data that cannot be used.
    """
    graph = read_network(sym, params)
    return check(path, graph, data, num_examples=num_examples, optimize=optimize)
