"""Writes small TFLite files with the classes of the schema."""

from typing import List, NamedTuple, Optional, Sequence

import flatbuffers
import numpy as np
import tflite

TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "int8": 9}


class Tensor(NamedTuple):
    """A tensor; `data` of constants, `scale` and `zero` of quantized ones."""

    name: str
    shape: Sequence[int]
    dtype: str
    scale: Optional[Sequence[float]] = None
    zero: Sequence[int] = (0,)
    data: Optional[np.ndarray] = None
    axis: int = 0


class Operator(NamedTuple):
    """An operator; `options` are calls of its option table, such as ("Conv2DOptions", {"StrideH": 2})."""

    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    options: Optional[tuple] = None


def _vector(builder, array, dtype) -> int:
    return builder.CreateNumpyVector(np.asarray(array, dtype))


def _offsets(builder, start, offsets: List[int]) -> int:
    start(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _options(builder, name: str, values: dict) -> int:
    vectors = {k: _vector(builder, v, np.int32) for k, v in values.items() if isinstance(v, (list, tuple))}
    getattr(tflite, f"{name}Start")(builder)
    for key, value in values.items():
        getattr(tflite, f"{name}Add{key}")(builder, vectors.get(key, value))
    return getattr(tflite, f"{name}End")(builder)


def model(tensors: Sequence[Tensor], operators: Sequence[Operator], inputs, outputs) -> bytes:
    """The bytes of a file with one graph."""
    builder = flatbuffers.Builder(1024)
    index = {tensor.name: i for i, tensor in enumerate(tensors)}
    buffers, made = [], []
    for data in [None] + [tensor.data for tensor in tensors]:
        content = None if data is None else builder.CreateByteVector(np.ascontiguousarray(data).tobytes())
        tflite.BufferStart(builder)
        if content is not None:
            tflite.BufferAddData(builder, content)
        buffers.append(tflite.BufferEnd(builder))
    for i, tensor in enumerate(tensors):
        name, shape, quantization = builder.CreateString(tensor.name), _vector(builder, tensor.shape, np.int32), None
        if tensor.scale is not None:
            scale, zero = _vector(builder, tensor.scale, np.float32), _vector(builder, tensor.zero, np.int64)
            tflite.QuantizationParametersStart(builder)
            tflite.QuantizationParametersAddScale(builder, scale)
            tflite.QuantizationParametersAddZeroPoint(builder, zero)
            tflite.QuantizationParametersAddQuantizedDimension(builder, tensor.axis)
            quantization = tflite.QuantizationParametersEnd(builder)
        tflite.TensorStart(builder)
        tflite.TensorAddName(builder, name)
        tflite.TensorAddShape(builder, shape)
        tflite.TensorAddType(builder, TYPES[tensor.dtype])
        tflite.TensorAddBuffer(builder, i + 1 if tensor.data is not None else 0)
        if quantization is not None:
            tflite.TensorAddQuantization(builder, quantization)
        made.append(tflite.TensorEnd(builder))
    kinds = list(dict.fromkeys(operator.kind for operator in operators))
    codes = []
    for kind in kinds:
        number = getattr(tflite.BuiltinOperator, kind)
        tflite.OperatorCodeStart(builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(builder, number)
        tflite.OperatorCodeAddVersion(builder, 1)
        codes.append(tflite.OperatorCodeEnd(builder))
    written = []
    for operator in operators:
        options = None if operator.options is None else _options(builder, *operator.options)
        ins = _vector(builder, [index.get(name, -1) for name in operator.inputs], np.int32)
        outs = _vector(builder, [index[name] for name in operator.outputs], np.int32)
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, kinds.index(operator.kind))
        tflite.OperatorAddInputs(builder, ins)
        tflite.OperatorAddOutputs(builder, outs)
        if options is not None:
            tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, operator.options[0]))
            tflite.OperatorAddBuiltinOptions(builder, options)
        written.append(tflite.OperatorEnd(builder))
    parts = [
        _offsets(builder, tflite.SubGraphStartTensorsVector, made),
        _vector(builder, [index[name] for name in inputs], np.int32),
        _vector(builder, [index[name] for name in outputs], np.int32),
        _offsets(builder, tflite.SubGraphStartOperatorsVector, written),
    ]
    tflite.SubGraphStart(builder)
    for add, part in zip(("Tensors", "Inputs", "Outputs", "Operators"), parts):
        getattr(tflite, f"SubGraphAdd{add}")(builder, part)
    graph = tflite.SubGraphEnd(builder)
    graphs = _offsets(builder, tflite.ModelStartSubgraphsVector, [graph])
    codes = _offsets(builder, tflite.ModelStartOperatorCodesVector, codes)
    buffers = _offsets(builder, tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())
