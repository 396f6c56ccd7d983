"""The onnx package, which is an extra."""

from ..errors import ConfigError


def onnx_package():
    """The module ``onnx``. Raises ConfigError where it is not installed."""
    try:
        import onnx
        import onnx.checker
        import onnx.shape_inference
    except ImportError as error:
        raise ConfigError(f"writing ONNX files needs the package onnx: pip install 'mxq[onnx]' ({error})") from error
    return onnx


def runtime_package():
    """The module ``onnxruntime``. Raises ConfigError where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"running ONNX files needs the package onnxruntime: pip install 'mxq[onnx]' ({error})"
        ) from error
    return onnxruntime
