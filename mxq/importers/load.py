"""mxq.load: a network from a file of another format."""

import os
from typing import Mapping, Optional, Sequence

from ..errors import GraphError
from . import caffe, onnx_model, tflite_model
from .files import contents
from .model import ImportedModel

#: Formats of one file: name, reader, whether a path and the first bytes of the file are of it.
_FORMATS = (
    ("ONNX", onnx_model.read, lambda path, head: path.endswith(".onnx")),
    ("TFLite", tflite_model.read, lambda path, head: path.endswith(".tflite") or head[4:8] == b"TFL3"),
)


def load(
    path: str, *, prototxt: Optional[str] = None, data_shapes: Optional[Mapping[str, Sequence[int]]] = None
) -> ImportedModel:
    """Reads a network of another format: ONNX, TFLite or Caffe.

    >>> det1 = mxq.load("det1.caffemodel")  # doctest: +SKIP
    >>> int8 = mxq.quantize_model(det1.symbol, det1[1:], images)  # doctest: +SKIP

    A quantized TFLite or ONNX network (QuantizeLinear and DequantizeLinear around operators, or operators of integers)
    keeps the integers of its file and runs in int8 at once; its inputs and outputs are the real numbers that they stand
    for. What it computes in float stays so: `report` has every node.

    Nothing in a file is executed, and nothing is allocated on its word alone.

    Args:
        path: the .onnx or .tflite file; the .caffemodel, or the .prototxt, if the .caffemodel has the same name.
        prototxt: of a Caffe network, where it is not beside the .caffemodel under the same name.
        data_shapes: input name -> shape, in place of those in the file, or where it has none.

    Returns:
        ImportedModel: ``(symbol, arg_params, aux_params)``, inputs under the names that they have in the file.

    Raises:
        ConfigError: the package onnx or tflite is not installed. GraphError: not such a file, damaged, or with
        something that is not known; it names the file and the node. FileNotFoundError: there is no such file.
    """
    path = os.fspath(path)
    head = bytes(contents(path)[:4096])
    for kind, reads, fits in _FORMATS:
        if fits(path, head):
            found = reads(path, data_shapes=data_shapes)
            if found.weights or any(node.op == "mxq_quantize_v2" for node in found.graph.nodes):
                return ImportedModel.of_integers(found, kind)
            return ImportedModel.of_float(found.graph, kind, found.shapes, found.outputs)
    if path.endswith(".prototxt"):
        path, prototxt = os.path.splitext(path)[0] + ".caffemodel", path
    elif not path.endswith(".caffemodel") and not _looks_like_caffe(head):
        raise GraphError(
            f"{path!r} begins with {head[:8]!r}: no format that is read here; accepted are .onnx, .tflite, .caffemodel"
        )
    network = caffe.read(path, prototxt, data_shapes=data_shapes)
    return ImportedModel.of_float(network.graph, "Caffe", network.shapes, network.outputs)


def _looks_like_caffe(head: bytes) -> bool:
    """Whether a message begins with a name (field 1) as caffemodels do."""
    return len(head) > 2 and head[0] == 0x0A and head[1] < 128 and head[2 : 2 + head[1]].isascii()
