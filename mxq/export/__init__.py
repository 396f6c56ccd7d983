"""The way out: MXNet networks, float or with explicit quantization, as ONNX. Importing it fills the table."""

from . import (  # noqa: F401  (each registers its rows)
    activation,
    attention,
    binary,
    detection,
    layers,
    movement,
    normalization,
    pooling,
    quantization,
    reduction,
    resize,
    selection,
    unary,
)
from .check import OnnxCheck, check
from .quantized import default_shapes, export_quantized
from .targets import TARGETS, Target
from .write import write_onnx

__all__ = ["TARGETS", "OnnxCheck", "Target", "check", "default_shapes", "export_quantized", "write_onnx"]
