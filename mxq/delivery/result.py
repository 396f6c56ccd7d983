"""What a delivery found about each of its deliverables."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..arithmetic.noise import Noise
from ..export import OnnxCheck

Outputs = List[np.ndarray]


class Delivered(NamedTuple):
    """One deliverable.

    Attributes:
        target: 'float', 'mxnet', 'onnxruntime', 'openvino', 'tensorrt', 'generic' or 'ncnn'.
        files: of the network, path -> bytes.
        beside: other files, path -> bytes.
        blobs: names of the outputs in the files.
        refused: why there are no files; "" where there are.
        skipped: why nobody ran them, such as a runtime that is not installed; "" where somebody did.
        version: of the runtime.
        outputs: for each output of the network.
        levels: of an ONNX file, each quantized value beside MXNet; None elsewhere.
        notes: what else there is to know.
    """

    target: str
    files: Dict[str, int] = {}
    beside: Dict[str, int] = {}
    blobs: Tuple[str, ...] = ()
    refused: str = ""
    skipped: str = ""
    version: str = ""
    outputs: Tuple["Compared", ...] = ()
    levels: Optional[OnnxCheck] = None
    notes: Tuple[str, ...] = ()


class Compared(NamedTuple):
    """One output over all examples.

    Attributes:
        agreement: share of the examples with float's top-1 class; None where the output is no row of classes.
        same_as_int8: the same beside mxq's own int8 network.
        sqnr, to_int8: SQNR in dB beside float, and beside mxq's int8 network.
    """

    name: str
    agreement: Optional[float]
    same_as_int8: Optional[float]
    sqnr: float
    to_int8: float


def compared(names: Sequence[str], found: Outputs, exact: Outputs, int8: Outputs) -> Tuple[Compared, ...]:
    """Outputs beside those of float and of mxq's int8 network."""
    rows = []
    for name, got, wanted, own in zip(names, found, exact, int8):
        classes = wanted.ndim == 2 and wanted.shape[1] > 1
        rows.append(
            Compared(
                name,
                _same(got, wanted) if classes else None,
                _same(got, own) if classes else None,
                _decibels(wanted, got),
                _decibels(own, got),
            )
        )
    return tuple(rows)


def _same(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean(a.argmax(axis=1) == b.argmax(axis=1)))


def _decibels(exact: np.ndarray, found: np.ndarray) -> float:
    noise = Noise()
    noise.add(exact, found)
    return noise.db
