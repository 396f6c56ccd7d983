"""An ONNX file that runs in ONNX Runtime and shows its inner values."""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..arithmetic.qmath import QParams
from ..errors import ConfigError
from .package import onnx_package, runtime_package


class Pair(NamedTuple):
    """A QuantizeLinear: the names of its input and output, and how its integers stand for numbers."""

    value: str
    q: str
    qparams: QParams


class OnnxFile:
    """A file, read.

    Args:
        path: of the file.
        optimize: whether ONNX Runtime may optimize it: int8 layers are formed only then.

    Attributes:
        computed: names of the values that its operators compute, in order.
        inputs: name -> shape; an axis that is open is None.
        outputs: names.
        pairs: its QuantizeLinear operators, in order.
    """

    def __init__(self, path: str, optimize: bool = True):
        onnx = onnx_package()
        try:
            self._model = onnx.load(path)
        except Exception as error:  # protobuf's own, of several kinds
            raise ConfigError(f"{path!r} is no ONNX file that can be read: {error}") from error
        self._onnx, self._optimize = onnx, optimize
        graph = self._model.graph
        arrays = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
        self.computed: List[str] = [name for node in graph.node for name in node.output if name]
        self.inputs: Dict[str, Tuple] = {
            item.name: tuple(d.dim_value or None for d in item.type.tensor_type.shape.dim)
            for item in graph.input
            if item.name not in arrays
        }
        self.outputs: List[str] = [item.name for item in graph.output]
        self.pairs = [_pair(node, arrays) for node in graph.node if node.op_type == "QuantizeLinear"]

    def runner(self, names: Sequence[str]) -> "Runner":
        """What computes these values."""
        model = self._onnx.ModelProto()
        model.CopyFrom(self._model)
        for name in names:
            if name not in self.outputs:
                model.graph.output.append(self._onnx.helper.make_empty_tensor_value_info(name))
        return Runner(model.SerializeToString(), list(names), self._optimize)


class Runner:
    """Runs a serialized model for some of its values."""

    def __init__(self, model: bytes, names: List[str], optimize: bool):
        runtime = runtime_package()
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors only: it warns of what it makes of constants
        if not optimize:
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common class of their own
            raise ConfigError(f"ONNX Runtime does not load the file: {error}") from error
        self._names = names

    def run(self, arrays: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """The values by name."""
        return dict(zip(self._names, self._session.run(self._names, dict(arrays))))


def _pair(node, arrays: Mapping[str, np.ndarray]) -> Pair:
    scale, zero_point = arrays.get(node.input[1]), np.uint8(0)
    if len(node.input) > 2:
        zero_point = arrays.get(node.input[2])
    if scale is None or zero_point is None or scale.size != 1:
        raise ConfigError(f"QuantizeLinear {node.name!r} has no constant scale and zero point for the whole tensor")
    qparams = QParams(float(scale.reshape(())), int(np.reshape(zero_point, ())), zero_point.dtype.name)
    return Pair(node.input[0], node.output[0], qparams)
