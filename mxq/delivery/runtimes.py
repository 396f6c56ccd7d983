"""Runs deliverables, one example after the other, each in its runtime."""

from typing import List, Mapping, Sequence, Tuple

import numpy as np

from ..errors import ConfigError
from ..export.file import OnnxFile
from ..export.ncnn.file import NcnnFile, ncnn_package
from ..export.package import runtime_package
from ..network.graph import Graph
from ..network.part import Runner
from .result import Outputs

Examples = Sequence[Mapping[str, np.ndarray]]


def run_mxnet(graph: Graph, examples: Examples) -> Outputs:
    """A network in MXNet, unfused."""
    import mxnet as mx

    part = Runner([graph]).part(graph, {}, graph.outputs)
    rows = []
    for arrays in examples:
        given = {name: mx.nd.array(array, dtype=array.dtype) for name, array in arrays.items()}
        rows.append([output.asnumpy() for output in part.run(given)])
    return _joined(rows)


def run_onnxruntime(files: Sequence[str], examples: Examples, names: Sequence[str]) -> Tuple[Outputs, str]:
    """An ONNX file in ONNX Runtime, and its version."""
    file = OnnxFile(files[0])
    runner = file.runner(names)
    found = [runner.run(arrays) for arrays in examples]
    return _joined([[row[name] for name in names] for row in found]), runtime_package().__version__


def run_openvino(files: Sequence[str], examples: Examples, names: Sequence[str]) -> Tuple[Outputs, str]:
    """An ONNX file in OpenVINO on the processor, in float32 where it is not int8, and its version."""
    try:
        import openvino
    except ImportError as error:
        raise ConfigError(
            f"running files in OpenVINO needs the package openvino: pip install openvino ({error})"
        ) from error
    compiled = openvino.Core().compile_model(files[0], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = []
    for arrays in examples:
        found = compiled(dict(arrays))
        rows.append([np.array(found[name]) for name in names])
    return _joined(rows), openvino.__version__.split("-")[0]


def run_ncnn(files: Sequence[str], examples: Examples, names: Sequence[str]) -> Tuple[Outputs, str]:
    """ncnn's files in ncnn, and its version."""
    prefix = files[0][: -len(".param")]
    file = NcnnFile(prefix)
    found = [file.run(arrays, names) for arrays in examples]
    return _joined([[row[name] for name in names] for row in found]), ncnn_package().__version__


def _joined(rows: List[List[np.ndarray]]) -> Outputs:
    return [np.concatenate(parts) for parts in zip(*rows)]
