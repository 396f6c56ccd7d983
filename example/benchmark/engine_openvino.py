"""OpenVINO with networks quantized by NNCF: the latency hint for one image, the throughput hint for batches."""

import os

import numpy as np
import openvino

#: From this batch size on, OpenVINO's documentation asks for the throughput hint and several requests at a time.
THROUGHPUT_BATCH = 8
#: What layers with weights are called in the graph that is run.
LAYERS = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul")


def versions() -> dict:
    import nncf

    return {"openvino": openvino.__version__, "nncf": nncf.__version__}


def prepare(network: dict, folder: str, images: np.ndarray, options: dict) -> None:
    """Writes ``model.xml`` and ``model.bin`` into `folder`."""
    model = openvino.convert_model(network["onnx"])
    if "preset" in options:
        import nncf

        model = nncf.quantize(
            model,
            nncf.Dataset([image[None] for image in images]),
            preset=nncf.QuantizationPreset[options["preset"]],
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(images),
        )
    openvino.save_model(model, os.path.join(folder, "model.xml"), compress_to_fp16=False)


class Runner:
    """A compiled network; a step is one batch for each request that OpenVINO wants in flight."""

    def __init__(self, network: dict, folder: str, batch: int, threads: int, options: dict):
        self.batch = batch
        core = openvino.Core()
        model = core.read_model(os.path.join(folder, "model.onnx" if "target" in options else "model.xml"))
        model.reshape([batch, *network["shape"]])
        settings = {
            "PERFORMANCE_HINT": "THROUGHPUT" if batch >= THROUGHPUT_BATCH else "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        self._model = core.compile_model(model, "CPU", settings)
        count = 1
        if batch >= THROUGHPUT_BATCH:
            count = self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [self._model.create_infer_request() for _ in range(count)]
        self.batches_per_step = count

    def kernels(self) -> dict:
        """Layers by kernel, read from the graph as OpenVINO runs it."""
        found = {"int8": 0, "others": 0}
        for node in self._model.get_runtime_model().get_ops():
            about = node.get_rt_info()
            if about["layerType"].astype(str) in LAYERS:
                precision = about["runtimePrecision"].astype(str)
                found["int8" if precision in ("u8", "i8") else "others"] += 1
        return found

    def put(self, images: np.ndarray) -> None:
        self._images = np.ascontiguousarray(images)
        for request in self._requests:
            request.set_input_tensor(openvino.Tensor(self._images, shared_memory=True))

    def step(self) -> None:
        if len(self._requests) == 1:
            self._requests[0].infer()
            return
        for request in self._requests:
            request.start_async()
        for request in self._requests:
            request.wait()

    def outputs(self) -> list:
        self._requests[0].infer()
        return [np.array(tensor.data) for tensor in self._requests[0].output_tensors]
