"""mxq.deliver: a quantized network as files for several runtimes, with what each of these computes."""

import os
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..data.batches import batches
from ..errors import CalibrationError, ConfigError, GraphError, MXQError, nearest
from ..export import TARGETS, check, default_shapes, write_onnx
from ..export.ncnn import table_of, write_ncnn
from ..export.quantized import for_target
from ..network.atomic import write_atomically
from ..network.graph import Graph, input_dtypes
from ..network.identity import tensor_key
from ..network.params import default_data_names
from . import runtimes
from .page import html, text
from .requantize import requantized
from .result import Delivered, Outputs, compared

#: Targets that are written unless others are asked for.
DEFAULT_TARGETS = ("mxnet", "onnxruntime", "openvino", "ncnn")
_KNOWN = ("mxnet", *TARGETS, "ncnn")
#: Examples whose integers are compared layer by layer.
_LAYERED = 4


class Delivery(NamedTuple):
    """What was delivered.

    >>> print(mxq.deliver(model, "out", images))  # doctest: +SKIP

    Attributes:
        folder: where the files are.
        rows: a Delivered for each target, the float network first.
        examples: how many were compared.
        inputs: name -> shape of one example.
    """

    folder: str
    rows: Tuple[Delivered, ...]
    examples: int
    inputs: Dict[str, Tuple[int, ...]]

    def __str__(self) -> str:
        return text(self)


class _Task(NamedTuple):
    """What every target needs to know."""

    model: object
    folder: str
    shapes: Dict[str, Tuple[int, ...]]
    calib_data: object
    examples: List[Mapping[str, np.ndarray]]

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)


def deliver(
    model,
    folder: str,
    data,
    *,
    targets: Sequence[str] = DEFAULT_TARGETS,
    calib_data=None,
    num_examples: int = 64,
) -> Delivery:
    """Writes a quantized network for several runtimes, from one calibration, and compares them on the same examples.

    >>> model = mxq.quantize_model("net-symbol.json", "net-0000.params", images)  # doctest: +SKIP
    >>> print(mxq.deliver(model, "delivery", more_images, calib_data=images))  # doctest: +SKIP

    Into the folder come ``int8-symbol.json`` and ``int8-0000.params`` (MXNet), ``TARGET.onnx``, ``ncnn.param`` and
    ``ncnn.bin``, ncnn's calibration table with the float network that it is for (``ncnn.table``, ``ncnn-float.param``,
    ``ncnn-float.bin``), ``golden.npz`` (the first example as ``input:NAME`` and what each computed of it as
    ``TARGET:NAME``), and the comparison as ``report.txt`` and ``report.html``. Where a runtime has no tensors of 11
    bits, no unsigned integers or no zero points, ranges of 8 bits are chosen for it from the model's statistics. ncnn
    computes layers in float whose input the precision budget gave 11 bits.

    Args:
        model: what quantize_model returned, of calibration data.
        folder: is made if it is not there.
        data: examples to compare on, of any kind that quantize_model takes.
        targets: 'mxnet', 'onnxruntime', 'openvino', 'tensorrt', 'generic', 'ncnn'.
        calib_data: as for quantize_model, for ranges that a target needs besides (see QuantizedModel.export_onnx).
        num_examples: how many are compared.

    Returns:
        Delivery, whose text is that of ``report.txt``. A target that cannot hold the network has the reason in its row;
        a runtime that is not installed is named there.

    Raises:
        ConfigError: an unknown target, or no examples. CalibrationError: data that cannot be used.
    """
    for target in targets:
        if target not in _KNOWN:
            raise ConfigError(f"target {target!r}: accepted are {', '.join(_KNOWN)}{nearest(str(target), _KNOWN)}")
    shapes = {name: (1, *shape[1:]) for name, shape in default_shapes(model.qdq, None).items()}
    examples = _examples(model.qdq, data, num_examples)
    os.makedirs(folder, exist_ok=True)
    task = _Task(model, folder, shapes, calib_data, examples)
    names = [tensor_key(value) for value in model.qdq.outputs]
    floats = model.floats if model.floats is not None else model.qdq
    exact = runtimes.run_mxnet(floats, examples)
    int8 = runtimes.run_mxnet(Graph.from_symbol(*model[:3]), examples)
    golden: Dict[str, Outputs] = {"float": exact}
    rows = [Delivered("float", outputs=compared(names, exact, exact, int8), version=_mxnet())]
    for target in targets:
        if target == "mxnet":
            model.save(task.path("int8"))
            files = [task.path(f"int8-{end}") for end in ("symbol.json", "0000.params")]
            row = Delivered("mxnet", _sizes(files), version=_mxnet(), outputs=compared(names, int8, exact, int8))
            golden["mxnet"] = int8
        else:
            row, outputs = _other(task, target, names, exact, int8)
            if outputs is not None:
                golden[target] = outputs
        rows.append(row)
    inputs = {name: shape[1:] for name, shape in shapes.items()}
    delivery = Delivery(folder, tuple(rows), len(examples), inputs)
    _save(task.path("golden.npz"), _golden(examples[0], names, golden))
    _save(task.path("report.txt"), str(delivery) + "\n")
    _save(task.path("report.html"), html(delivery))
    return delivery


def _other(
    task: _Task, target: str, names: Sequence[str], exact: Outputs, int8: Outputs
) -> Tuple[Delivered, Optional[Outputs]]:
    """The row of another runtime's target, and what it computed."""
    write, run = _RUNTIMES.get(target, (_onnx, None))
    try:
        written = write(task, target)
    except (GraphError, ConfigError, CalibrationError) as error:
        return Delivered(target, refused=str(error)), None
    if run is None:
        return written._replace(skipped="no runtime of it is run here"), None
    try:
        outputs, version = run(list(written.files), task.examples, written.blobs)
    except MXQError as error:
        return written._replace(skipped=str(error)), None
    outputs = [found.reshape(wanted.shape) for found, wanted in zip(outputs, exact)]
    return written._replace(version=version, outputs=compared(names, outputs, exact, int8)), outputs


def _onnx(task: _Task, target: str) -> Delivered:
    row, path, model = TARGETS[target], task.path(f"{target}.onnx"), task.model
    qdq = model.qdq if row.parts else requantized(model, int8_only=not row.unsigned)
    graph = for_target(
        qdq, target, floats=model.floats, table=model.table, statistics=model.statistics, calib_data=task.calib_data
    )
    network = write_onnx(graph, path, task.shapes, target=target)
    layered = {name: np.concatenate([e[name] for e in task.examples[:_LAYERED]]) for name in task.examples[0]}
    try:
        levels = check(path, qdq, layered, num_examples=_LAYERED, optimize=target == "onnxruntime")
    except ConfigError:  # ONNX Runtime is not installed, which its own row says
        levels = None
    return Delivered(target, _sizes([path]), levels=levels, blobs=tuple(port.name for port in network.outputs))


def _ncnn(task: _Task, target: str) -> Delivered:
    qdq = requantized(task.model, int8_only=True, keep_finer=True)
    net = write_ncnn(qdq, task.path("ncnn"), task.shapes)
    files = [task.path(f"ncnn.{end}") for end in ("param", "bin")]
    beside: List[str] = []
    if task.model.floats is not None:
        write_ncnn(task.model.floats, task.path("ncnn-float"), task.shapes)
        table_of(qdq).save(task.path("ncnn.table"))
        beside = [task.path(name) for name in ("ncnn.table", "ncnn-float.param", "ncnn-float.bin")]
    notes = [f"{len(net.int8)} layers are int8"]
    notes += [f"{name} is float: {reason}" for name, reason in net.left_float.items()]
    return Delivered("ncnn", _sizes(files), beside=_sizes(beside), notes=tuple(notes), blobs=tuple(net.outputs))


_RUNTIMES: Dict[str, Tuple[Callable, Optional[Callable]]] = {
    "onnxruntime": (_onnx, runtimes.run_onnxruntime),
    "openvino": (_onnx, runtimes.run_openvino),
    "ncnn": (_ncnn, runtimes.run_ncnn),
}


def _examples(graph: Graph, data, count: int) -> List[Mapping[str, np.ndarray]]:
    names, dtypes = default_data_names(graph), input_dtypes(graph)
    found: List[Mapping[str, np.ndarray]] = []
    for batch in batches(data, names):
        arrays = {name: array.asnumpy().astype(dtypes[name]) for name, array in batch.arrays.items()}
        found += [{name: array[i : i + 1] for name, array in arrays.items()} for i in range(batch.n_valid)]
        if len(found) >= count:
            break
    if not found:
        raise ConfigError("there are no examples to compare on")
    return found[:count]


def _golden(example: Mapping[str, np.ndarray], names: Sequence[str], found: Mapping[str, Outputs]) -> Dict:
    arrays = {f"input:{name}": array for name, array in example.items()}
    for target, outputs in found.items():
        arrays.update((f"{target}:{name}", output[:1]) for name, output in zip(names, outputs))
    return arrays


def _save(path: str, content) -> None:
    def write(temporary: str) -> None:
        if isinstance(content, dict):
            with open(temporary, "wb") as binary:
                np.savez(binary, **content)
            return
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(content)

    write_atomically(path, write)


def _sizes(paths: Sequence[str]) -> Dict[str, int]:
    return {path: os.path.getsize(path) for path in paths}


def _mxnet() -> str:
    import mxnet as mx

    return mx.__version__
