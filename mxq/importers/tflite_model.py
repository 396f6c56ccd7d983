"""Reads TFLite networks: float ones, and quantized ones (int8 and uint8) with their own integers.

The file is a flatbuffer; the package `tflite` has the classes of its schema. A quantized tensor is one of real numbers
here, rounded as the file declares; gemmlowp's kernels round a product twice, operators here once: results differ by at
most one level, in few values.
"""

from typing import Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..arithmetic.qmath import QParams
from ..errors import ConfigError, GraphError, nearest
from .builder import Top
from .files import contents
from .onnx_model import Network
from .onnx_quantized import centred, qparams
from .tflite_functions import FUNCTIONS
from .tflite_net import LAST, Op, TfNet, channels_first
from .tflite_shapes import SHAPES
from .tflite_weighted import WEIGHTED

#: Type of an operator -> what writes it.
OPERATORS = {**WEIGHTED, **FUNCTIONS, **SHAPES}
#: Types of tensors by their number in the schema.
_TYPES = {0: np.float32, 2: np.int32, 3: np.uint8, 4: np.int64, 6: np.bool_, 7: np.int16, 9: np.int8, 1: np.float16}
_EIGHT_BITS = (3, 9)


def read(path: str, *, data_shapes: Optional[Mapping[str, Sequence[int]]] = None) -> Network:
    """Reads a network; inputs and outputs have the file's layout, channels last.

    Raises:
        ConfigError: the package tflite is not installed. GraphError: a file that is damaged, or with something that is
        not known (the operator is named).
    """
    try:
        import tflite
    except ImportError as error:
        raise ConfigError(f"reading {path!r} needs the package tflite ({error}): pip install 'mxq[tflite]'") from error
    data = contents(path)
    if bytes(data[4:8]) != b"TFL3":
        raise GraphError(f"{path!r} begins with {bytes(data[:8])!r}: no TFLite model of version 3")
    try:
        return _read(tflite, bytearray(data), data_shapes or {})
    except GraphError as error:
        raise GraphError(f"{path!r}: {error}") from None
    except Exception as error:  # the accessors of a flatbuffer raise whatever damaged offsets lead to
        raise GraphError(f"{path!r} is damaged ({type(error).__name__}: {str(error)[:200]})") from None


def _read(tflite, data: bytearray, given: Mapping) -> Network:
    model = tflite.Model.GetRootAsModel(data, 0)
    if model.SubgraphsLength() != 1:
        raise GraphError(f"the model has {model.SubgraphsLength()} graphs; accepted is one")
    graph = model.Subgraphs(0)
    net = TfNet()
    names = [_name(graph.Tensors(i), i) for i in range(graph.TensorsLength())]
    if len(set(names)) != len(names):
        names = [f"{name}_{i}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    for i, name in enumerate(names):
        _tensor(model, net, graph.Tensors(i), name)
    shapes = {}
    for i in map(int, graph.InputsAsNumpy()):
        name = _named(names, i)
        shape = tuple(int(n) for n in given.get(name, net.stored[name][0]))
        if not shape or min(shape) < 1:
            raise GraphError(f"input {name!r} has the shape {shape} in the file; give data_shapes={{{name!r}: (...)}}")
        stored = net.stored[name][1]
        net.input(name, shape)
        net.tops[name] = net.tops[name]._replace(qparams=stored)
        net.stored[name] = (shape, stored)
        shapes[name] = shape
    for name in given:
        if name not in shapes:
            raise GraphError(f"data_shapes has {name!r}, no input of the network; inputs: {', '.join(shapes)}")
    codes = {value: key for key, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
    for k in range(graph.OperatorsLength()):
        _operator(tflite, model, net, graph.Operators(k), names, codes)
    outputs = [_named(names, int(i)) for i in graph.OutputsAsNumpy()]
    for name in outputs:
        if name not in net.tops and channels_first(name) not in net.tops:
            raise GraphError(f"no operator writes the output {name!r}")
        net.in_layout(name, LAST)
    found = net.finish(outputs, "TFLite")
    return Network(found, tuple(outputs), shapes, net.weights, net.beyond, net.parts)


def _operator(tflite, model, net: TfNet, operator, names, codes: Dict[int, str]) -> None:
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = codes.get(number, str(number))
    inputs = tuple("" if i < 0 else _named(names, int(i)) for i in operator.InputsAsNumpy())
    outputs = tuple(_named(names, int(i)) for i in operator.OutputsAsNumpy())
    if not outputs:
        raise GraphError(f"a {kind} has no output")
    op = Op(outputs[0], kind, inputs, outputs, _options(tflite, operator))
    if kind not in OPERATORS:
        custom = f" {code.CustomCode()!r}" if kind == "CUSTOM" else ""
        raise op.error(f"is not known{custom}{nearest(kind, OPERATORS)}", f"known are {', '.join(sorted(OPERATORS))}")
    try:
        OPERATORS[kind](net, op)
    except GraphError:
        raise
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError, ZeroDivisionError) as error:
        raise op.error(f"does not make sense ({type(error).__name__}: {error})", "see its description") from None


def _options(tflite, operator):
    """The table of an operator's options, as the class that its type names."""
    kinds = {value: key for key, value in vars(tflite.BuiltinOptions).items() if isinstance(value, int)}
    name = kinds.get(operator.BuiltinOptionsType(), "NONE")
    table = operator.BuiltinOptions()
    if name == "NONE" or table is None:
        return None
    options = getattr(tflite, name)()
    options.Init(table.Bytes, table.Pos)
    return options


def _tensor(model, net: TfNet, tensor, name: str) -> None:
    shape = tuple(int(n) for n in np.atleast_1d(tensor.ShapeAsNumpy())) if tensor.ShapeLength() else ()
    if tensor.Type() not in _TYPES:
        raise GraphError(f"tensor {name!r} is of type {tensor.Type()}; accepted are {', '.join(map(str, _TYPES))}")
    dtype = np.dtype(_TYPES[tensor.Type()])
    scale, zero, axis = _quantization(tensor, dtype)
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy() if tensor.Buffer() < model.BuffersLength() else 0
    op = Op(name, "tensor", (), (name,), None)
    if isinstance(raw, np.ndarray) and raw.size:
        count = 1
        for n in shape:
            count *= n if n > 0 else -1
        if count < 0 or count * dtype.itemsize != raw.size:
            raise GraphError(f"tensor {name!r} has the shape {shape}, {dtype}, and {raw.size} bytes of it")
        array = np.frombuffer(raw.tobytes(), dtype.newbyteorder("<")).astype(dtype).reshape(shape)
        quantized = scale is not None and dtype in (np.int8, np.uint8, np.int32)
        net.stored[name] = (shape, None)
        net.tops[name] = centred(net, op, array, scale, zero, axis) if quantized else Top(None, shape, array)
        return
    stored: Optional[QParams] = None
    if scale is not None and tensor.Type() in _EIGHT_BITS:
        stored = qparams(op, scale, zero.astype(dtype))
    net.stored[name] = (shape, stored)


def _quantization(tensor, dtype) -> Tuple[Optional[np.ndarray], np.ndarray, int]:
    found = tensor.Quantization()
    if found is None or not found.ScaleLength():
        return None, np.zeros(1, np.int64), 0
    scale = np.asarray(found.ScaleAsNumpy(), np.float32)
    zero = np.asarray(found.ZeroPointAsNumpy()) if found.ZeroPointLength() else np.zeros(1, np.int64)
    axis = found.QuantizedDimension() if scale.size > 1 else 0
    return scale, zero, axis


def _name(tensor, index: int) -> str:
    name = (tensor.Name() or b"").decode("utf-8", errors="replace").replace("\0", "")
    return name or f"tensor{index}"


def _named(names, index: int) -> str:
    if not 0 <= index < len(names):
        raise GraphError(f"tensor {index} does not exist; the graph has {len(names)}")
    return names[index]
