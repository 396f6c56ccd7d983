"""MXNet in float, MXNet's own int8 (mxnet.contrib.quantization) and mxq."""

import json
import os
import shutil

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")

import mxnet as mx
import numpy as np

import mxq
from mxq.ops import UNIT

CALIBRATION_BATCH = 32


def versions() -> dict:
    return {"mxnet": mx.__version__, "mxq": mxq.__version__}


def prepare(network: dict, folder: str, images: np.ndarray, options: dict) -> None:
    """Writes ``model-symbol.json`` and ``model-0000.params`` into `folder`."""
    prefix = os.path.join(folder, "model")
    if options["kind"] == "float":
        for ending in ("-symbol.json", "-0000.params"):
            shutil.copyfile(network["float"] + ending, prefix + ending)
    elif options["kind"] == "mxq":
        chosen = {name: options[name] for name in ("preset", "precision_budget") if name in options}
        model = mxq.quantize_model(*float_files(network), calibration_batches(images), **chosen)
        model.save(prefix)
        with open(os.path.join(folder, "units.json"), "w") as file:  # node of the float network -> int8 operator
            json.dump({node.name: node.attrs[UNIT] for node in model.qdq.nodes if UNIT in node.attrs}, file)
    else:
        _contrib(network, prefix, images, options["calib_mode"])


def float_files(network: dict) -> tuple:
    """The float network's symbol and parameters."""
    return network["float"] + "-symbol.json", network["float"] + "-0000.params"


def calibration_batches(images: np.ndarray) -> list:
    return [images[i : i + CALIBRATION_BATCH] for i in range(0, len(images), CALIBRATION_BATCH)]


def _contrib(network: dict, prefix: str, images: np.ndarray, calib_mode: str) -> None:
    from mxnet.contrib.quantization import quantize_model_mkldnn

    quantized = quantize_model_mkldnn(
        *mx.model.load_checkpoint(network["float"], 0),
        ctx=mx.cpu(),
        calib_mode=calib_mode,
        calib_data=mx.io.NDArrayIter(images, batch_size=min(CALIBRATION_BATCH, len(images))),
        num_calib_examples=len(images),
        quantized_dtype="auto",
        label_names=None,
    )
    mx.model.save_checkpoint(prefix, 0, *quantized)


class Runner:
    """A network bound for one batch size: Gluon's SymbolBlock; fused float through MXNet's MKLDNN backend."""

    batches_per_step = 1

    def __init__(self, network: dict, folder: str, batch: int, threads: int, options: dict):
        self.batch = batch
        prefix = os.path.join(folder, "model")
        if options.get("fused"):
            symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, 0)
            shape = (batch, *network["shape"])
            executor = symbol.simple_bind(mx.cpu(), data=shape, grad_req="null")
            executor.copy_params_from(arguments, auxiliary)
            self._run = lambda data: executor.forward(is_train=False, data=data)
        else:
            block = mx.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["data"], f"{prefix}-0000.params")
            static = options.get("static", True)
            block.hybridize(static_alloc=static, static_shape=static)
            self._run = block
        self._data = None

    def put(self, images: np.ndarray) -> None:
        self._data = mx.nd.array(images)

    def step(self) -> None:
        outputs = self._run(self._data)
        for output in outputs if isinstance(outputs, list) else [outputs]:
            output.wait_to_read()

    def outputs(self) -> list:
        outputs = self._run(self._data)
        return [output.asnumpy() for output in (outputs if isinstance(outputs, list) else [outputs])]
