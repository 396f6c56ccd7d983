"""ONNX networks in ONNX Runtime, beside MXNet."""

import numpy as np
import onnxruntime

from mxq.export.write import build_onnx

onnxruntime.set_default_logger_severity(3)


def run(model, data, optimize=False):
    """Outputs of an onnx.ModelProto. Without optimization every operator is computed as the standard says."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {item.name: data[item.name] for item in session.get_inputs()})


def exported(graph, data, optimize=False, **options):
    """Outputs of the network as it is exported, for these data."""
    model, _ = build_onnx(graph, {name: array.shape for name, array in data.items()}, **options)
    return run(model, data, optimize)


def assert_close(got, expected, tolerance=2e-5):
    """Equal shapes, and values up to a share of the largest one: sums are in another order."""
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert a.shape == b.shape, (a.shape, b.shape)
        finite = np.isfinite(b)
        assert np.array_equal(np.isfinite(a), finite) and np.array_equal(np.isnan(a), np.isnan(b))
        if finite.any():
            largest = max(0.05, float(np.abs(b[finite]).max()))
            difference = float(np.abs(a[finite].astype(np.float64) - b[finite]).max())
            assert difference <= tolerance * largest, (difference, largest)
