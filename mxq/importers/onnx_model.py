"""Reads ONNX networks: float ones, and quantized ones with their own integers.

Quantized: with QuantizeLinear and DequantizeLinear around operators (ONNX Runtime, NNCF, mxq itself), or with operators
of integers (QLinearConv and its like). Which operators there are stands in the tables of the other files of this name.
"""

from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from ..errors import ConfigError, GraphError, nearest
from ..network.graph import Graph
from .builder import Integers, Top
from .onnx_constants import TYPES, fold
from .onnx_functions import FUNCTIONS
from .onnx_integers import AT_RUN_TIME, pass_integers, refuse_integers
from .onnx_net import OnnxNet, Op
from .onnx_quantized import MICROSOFT, QUANTIZED
from .onnx_resize import RESIZE
from .onnx_shapes import SHAPES
from .onnx_weighted import WEIGHTED

#: (domain, type of operator) -> what writes it.
OPERATORS = {
    **{("", kind): function for kind, function in {**WEIGHTED, **FUNCTIONS, **SHAPES, **RESIZE, **QUANTIZED}.items()},
    **{("com.microsoft", kind): function for kind, function in MICROSOFT.items()},
}
#: Versions of the standard operators that the tables speak of.
OPSETS = range(7, 24)


class Network(NamedTuple):
    """A network as it was read.

    Attributes:
        graph: in real numbers, with a quantize/dequantize pair wherever the file rounds to 8 bits.
        outputs: their names in the file.
        shapes: of the inputs.
        weights: parameter -> its integers in the file; empty for a float network.
        beyond: node -> how many channels of its weights do not fit int8.
        parts: names of layers that are parts of a sum, in float until that is rounded.
    """

    graph: Graph
    outputs: Tuple[str, ...]
    shapes: Dict[str, Tuple[int, ...]]
    weights: Dict[str, Integers]
    beyond: Dict[str, int]
    parts: Set[str]


def read(path: str, *, data_shapes: Optional[Mapping[str, Sequence[int]]] = None) -> Network:
    """Reads a network.

    Args:
        path: the .onnx file; data outside of it is looked for beside it.
        data_shapes: input name -> shape, in place of those in the file, or where it has none. A first axis that the
            file leaves open is 1.

    Raises:
        ConfigError: the package onnx is not installed. GraphError: a file that is damaged, or with something that is
        not known (the node is named).
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigError(f"reading {path!r} needs the package onnx ({error}): pip install 'mxq[onnx]'") from error
    try:
        model = onnx.load(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # protobuf and onnx have exceptions of their own for what is damaged
        raise GraphError(
            f"{path!r} is no ONNX model, or damaged ({type(error).__name__}: {str(error)[:200]})"
        ) from None
    try:
        return _read(model, data_shapes or {})
    except GraphError as error:
        raise GraphError(f"{path!r}: {error}") from None


def _read(model, given: Mapping) -> Network:
    graph = model.graph
    opset = _opset(model)
    net = OnnxNet()
    for tensor in graph.initializer:
        array = _array(tensor)
        net.tops[tensor.name] = Top(None, array.shape, array)
    _check_names(graph)
    if graph.sparse_initializer:
        raise GraphError("the model has sparse initializers; accepted are dense ones")
    shapes = _inputs(graph, net, given)
    names = _unique()
    for node in graph.node:
        attributes = {a.name: _attribute(node, a) for a in node.attribute}
        name = next(names(node.name or (node.output[0] if node.output else node.op_type)))
        op = Op(name, node.op_type, tuple(node.input), tuple(node.output), attributes, opset)
        _node(net, op, node.domain)
    outputs = [value.name for value in graph.output]
    missing = [name for name in outputs if name not in net.tops]
    if missing or not outputs:
        raise GraphError(f"no node writes the output {', '.join(missing) or '(there is none)'}")
    found = net.finish(outputs, "ONNX")
    return Network(found, tuple(outputs), shapes, net.weights, net.beyond, net.parts)


def _node(net: OnnxNet, op: Op, domain: str) -> None:
    domain = "" if domain == "ai.onnx" else domain
    if not op.outputs:
        raise op.error("has no output", "accepted is at least one")
    if domain == "" and op.type == "Constant":
        array = _constant(op)
        net.set(op.outputs[0], Top(None, array.shape, array))
        return
    tops = [net.tops.get(name) if name else None for name in op.inputs]
    if domain == "" and op.type in ("Shape", "Size") and tops and tops[0] is not None:
        part = op.attrs(start=0, end=None)
        array = np.asarray(tops[0].shape[part["start"] : part["end"]], np.int64)
        array = array if op.type == "Shape" else np.prod(array, dtype=np.int64)
        net.set(op.outputs[0], Top(None, array.shape, array))
        return
    if domain == "" and tops and all(top is None or top.constant is not None for top in tops):
        try:
            folded = fold(op.type, op.attributes, [None if top is None else np.asarray(top.constant) for top in tops])
        except (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError, OverflowError, MemoryError) as error:
            raise op.error(f"cannot be computed ({error})", "its inputs are constants that do not fit it") from None
        if folded is not None:
            net.set(op.outputs[0], Top(None, folded.shape, folded))
            return
    function = OPERATORS.get((domain, op.type))
    if function is None:
        known = sorted({kind for found, kind in OPERATORS if found == domain})
        where = f"of domain {domain!r} " if domain else ""
        if op.type in AT_RUN_TIME:
            raise op.error("finds ranges at run time", "accepted are networks quantized with constant scales, or float")
        raise op.error(f"{where}is not known{nearest(op.type, known)}", f"known are {', '.join(known) or 'none there'}")
    refuse_integers(net, op)
    try:
        function(net, op)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError, ZeroDivisionError) as error:
        if isinstance(error, GraphError):
            raise
        raise op.error(
            f"does not make sense ({type(error).__name__}: {error})", "see ONNX' description of it"
        ) from None
    pass_integers(net, op)


def _opset(model) -> int:
    found = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not found or found[0] not in OPSETS:
        version = found[0] if found else "none"
        raise GraphError(f"operators are of version {version}; accepted are {OPSETS[0]} to {OPSETS[-1]}")
    return found[0]


def _check_names(graph) -> None:
    """Protobuf gives names that are no text as bytes."""
    for names in (
        [x.name for part in (graph.input, graph.output, graph.initializer) for x in part],
        *map(_names, graph.node),
    ):
        for name in names:
            if isinstance(name, bytes):
                raise GraphError(f"the name {name!r} is no UTF-8 text")


def _names(node) -> list:
    return [node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute)]


def _inputs(graph, net: OnnxNet, given: Mapping) -> Dict[str, Tuple[int, ...]]:
    shapes = {}
    for value in graph.input:
        if value.name in net.tops:
            continue  # an initializer that the file lists as input, too
        kind = value.type.tensor_type
        dims = [d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim]
        if dims and dims[0] < 1:
            dims[0] = 1
        shapes[value.name] = tuple(dims)
    for name, shape in given.items():
        if name not in shapes:
            raise GraphError(f"data_shapes has {name!r}, no input of the network; inputs: {', '.join(shapes)}")
        shapes[name] = tuple(shape)
    for name, shape in shapes.items():
        if not shape or any(not isinstance(n, (int, np.integer)) or not 1 <= n < 1 << 31 for n in shape):
            raise GraphError(f"input {name!r} has the shape {shape} in the file; give data_shapes={{{name!r}: (...)}}")
        net.input(name, shape)
    return shapes


def _array(tensor) -> np.ndarray:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type not in TYPES:
        names = {number: name for name, number in TensorProto.DataType.items()}
        raise GraphError(
            f"tensor {tensor.name!r} is of type {names.get(tensor.data_type, tensor.data_type)}; accepted are "
            f"{', '.join(names[number] for number in TYPES)}"
        )
    size = 1
    for n in tensor.dims:
        size *= n if n >= 0 else -1
    if not 0 <= size < 1 << 40:
        raise GraphError(f"tensor {tensor.name!r} has the shape {tuple(tensor.dims)}")
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OSError, AttributeError) as error:
        raise GraphError(f"tensor {tensor.name!r} is damaged ({error})") from None


def _attribute(node, attribute) -> Any:
    from onnx import AttributeProto, helper

    if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        raise GraphError(
            f"node {node.name!r} (a {node.op_type}) has a graph inside; accepted are networks without branches"
        )
    value = helper.get_attribute_value(attribute)
    if attribute.type == AttributeProto.TENSOR:
        return _array(value)
    return list(value) if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS) else value


def _constant(op: Op) -> np.ndarray:
    for name, dtype in (("value", None), ("value_int", np.int64), ("value_ints", np.int64), ("value_float", np.float32),
                        ("value_floats", np.float32)):  # fmt: skip
        if name in op.attributes:
            return np.asarray(op.attributes[name], dtype)
    raise op.error(f"has {', '.join(op.attributes) or 'no value'}", "accepted is value")


def _unique():
    """Gives names that no node has yet; MXNet's nodes need them, ONNX' need none."""
    taken: Dict[str, int] = {}

    def names(base: str) -> Iterator[str]:
        count = taken.get(base, 0)
        taken[base] = count + 1
        yield base if not count else f"{base}_{count}"

    return names
