"""mxq's int8 network as a file for another runtime: one calibration, and what `mxq.deliver` makes of it."""

import os

import engine_mxnet
import numpy as np

import mxq

#: What `mxq.deliver` calls a target's files, and what the engines call them.
NAMES = {"onnx": "model.onnx", "param": "model.param", "bin": "model.bin"}

versions = engine_mxnet.versions


def prepare(network: dict, folder: str, images: np.ndarray, options: dict) -> None:
    """Writes ``model.onnx``, or ``model.param`` and ``model.bin``, into `folder`."""
    target, chosen = options["target"], {key: value for key, value in options.items() if key != "target"}
    batches = engine_mxnet.calibration_batches(images)
    model = mxq.quantize_model(*engine_mxnet.float_files(network), batches, **chosen)
    delivery = mxq.deliver(model, folder, images[:1], targets=[target], calib_data=batches)
    row = next(row for row in delivery.rows if row.target == target)
    if row.refused:
        raise ValueError(row.refused)
    for path in row.files:
        os.rename(path, os.path.join(folder, NAMES[path.rpartition(".")[2]]))
    for path in row.beside:
        os.remove(path)
