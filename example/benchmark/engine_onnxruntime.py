"""ONNX Runtime: static quantization to QDQ with a scale per channel, as its documentation has it for CPUs with VNNI."""

import math
import os
import shutil
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

#: Images whose intermediate results are kept at once while calibrating.
STRIDE = 16
#: What layers with weights are called in an optimized graph.
KERNELS = {
    "int8": ("QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger"),
    "others": ("Conv", "FusedConv", "NchwcConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"),
}


def versions() -> dict:
    return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}


class _Images(quantization.CalibrationDataReader):
    """Images one at a time; in strides, because calibrators keep everything that they have seen of one."""

    def __init__(self, images: np.ndarray):
        self.images = images
        self.set_range(0, len(images))

    def __len__(self) -> int:
        return len(self.images)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.remaining = iter(range(start_index, end_index))

    def get_next(self):
        index = next(self.remaining, None)
        return None if index is None else {"data": self.images[index : index + 1]}


def prepare(network: dict, folder: str, images: np.ndarray, options: dict) -> None:
    """Writes ``model.onnx`` into `folder`."""
    path = os.path.join(folder, "model.onnx")
    if "method" not in options:
        shutil.copyfile(network["onnx"], path)
        return
    simplified = os.path.join(folder, "simplified.onnx")
    quant_pre_process(network["onnx"], simplified)
    quantization.quantize_static(
        simplified,
        path,
        _Images(images),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod[options["method"]],
        extra_options={"CalibStridedMinMax": math.gcd(len(images), STRIDE)},
    )
    os.remove(simplified)


class Runner:
    """A session with all optimizations and its input bound."""

    batches_per_step = 1

    def __init__(self, network: dict, folder: str, batch: int, threads: int, options: dict):
        self.batch = batch
        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.add_free_dimension_override_by_name("batch", batch)
        self._path = os.path.join(folder, "model.onnx")
        self._session = onnxruntime.InferenceSession(self._path, settings, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        for output in self._session.get_outputs():
            self._binding.bind_output(output.name)

    def kernels(self) -> dict:
        """Layers by kernel, read from the graph as ONNX Runtime runs it."""
        with tempfile.TemporaryDirectory() as folder:
            settings = onnxruntime.SessionOptions()
            settings.optimized_model_filepath = os.path.join(folder, "optimized.onnx")
            settings.add_free_dimension_override_by_name("batch", self.batch)
            onnxruntime.InferenceSession(self._path, settings, providers=["CPUExecutionProvider"])
            operators = [node.op_type for node in onnx.load(settings.optimized_model_filepath).graph.node]
        return {kind: sum(operators.count(name) for name in names) for kind, names in KERNELS.items()}

    def put(self, images: np.ndarray) -> None:
        self._binding.bind_ortvalue_input("data", onnxruntime.OrtValue.ortvalue_from_numpy(images))

    def step(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list:
        self.step()
        return self._binding.copy_outputs_to_cpu()
