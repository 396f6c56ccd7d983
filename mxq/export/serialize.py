"""Records to ``onnx.ModelProto``, checked: types and shapes are inferred by onnx and compared with MXNet's."""

from typing import Dict, Mapping

import numpy as np

from ..errors import ConfigError, GraphError
from ..version import __version__
from .builder import Op
from .package import onnx_package
from .walk import Network, Port

#: Versions of ONNX's operators that may be written; 13 is the first with scales by channel.
OPSETS = range(13, 22)
#: The version of the file format that came with opset 13, understood by every reader of it; 19 has it since opset 19.
_IR_VERSION = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
#: What protobuf holds.
_LARGEST = 2**31 - 1


def to_model(network: Network, opset: int, notes: Mapping[str, str]):
    """An ``onnx.ModelProto`` that passed ``onnx.checker.check_model(full_check=True)``.

    Args:
        notes: metadata of the file.

    Raises:
        ConfigError: no package onnx, or a network too large for one file.
        GraphError: onnx does not accept it, or finds another shape for a value than MXNet.
    """
    onnx = onnx_package()
    size = sum(array.nbytes for array in network.constants.values())
    if size > _LARGEST:
        raise ConfigError(f"the parameters take {size} bytes, and an ONNX file holds less than 2 GiB")
    graph = onnx.helper.make_graph(
        [_node(onnx, op) for op in network.ops],
        "mxq",
        [_port(onnx, port) for port in network.inputs],
        [_port(onnx, port) for port in network.outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in network.constants.items()],
    )
    model = onnx.helper.make_model(
        graph,
        producer_name="mxq",
        producer_version=__version__,
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=_IR_VERSION[opset],
    )
    onnx.helper.set_model_props(model, dict(notes))
    _check(onnx, model, network)
    return model


def _type(onnx, dtype: str) -> int:
    return onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _node(onnx, op: Op):
    attrs = {key: _type(onnx, value) if key == "to" else value for key, value in op.attrs.items()}
    return onnx.helper.make_node(op.type, op.inputs, op.outputs, name=op.name, **attrs)


def _port(onnx, port: Port):
    return onnx.helper.make_tensor_value_info(port.name, _type(onnx, port.dtype), port.shape)


def _check(onnx, model, network: Network) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"onnx does not accept the network: {error}") from error
    found: Dict[str, tuple] = {}
    for value in [*inferred.graph.value_info, *inferred.graph.output]:
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    for (node, index), name in network.values.items():
        shape = network.shapes.get((node, index))
        if shape is not None and found.get(name, tuple(shape)) != tuple(shape):
            raise GraphError(
                f"output {index} of node {node!r} has shape {tuple(shape)} in MXNet and {found[name]} in ONNX; "
                "this is a defect of its emitter, please report it"
            )
