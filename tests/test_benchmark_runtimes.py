"""mxq's files in other runtimes, as the benchmark of runtimes has them."""

import importlib
import os
import tempfile
import unittest

from parameterized import parameterized

from tests.test_benchmark import PREPARED, engines, processes, results, setup_module, small  # noqa: F401

runtimes_page = importlib.import_module("runtimes_page")  # test_benchmark has put it on the path


def test_a_page_of_runtimes():
    """Files of mxq beside those of the runtime's own quantizer; times are of the same rounds."""
    labels = {engine: engines.ENGINES[engine].label for engine in ("mxq-8bit", "mxq-ort", "ort")}
    about = {"machine": "here", "command": "python x", "calib_images": 8, "versions": {"mxnet": "1.9.1"}}
    about.update(engines=list(labels), labels=labels, networks=[{"name": "n", "label": "net"}])
    with tempfile.TemporaryDirectory() as folder:
        found = results.Results(os.path.join(folder, "r.json"), about)
        for engine, sqnr, kernels in (("mxq-8bit", 30.0, None), ("mxq-ort", 29.5, (20, 1)), ("ort", 25.0, (21, 0))):
            row = {"images": 4, "seconds": 1.0, "float": {"agreement": 75.0, "sqnr": sqnr}}
            row["int8"] = {"agreement": 100.0, "sqnr": 40.0}
            if kernels:
                row["kernels"] = dict(zip(("int8", "others"), kernels))
            found.measured(f"n/{engine}", {}, lambda row=row: row)
        times = {"mxq-ort": [1.0, 2.0, 1.0], "ort": [1.5, 3.0, 1.5]}
        found.measured("n/mxq-ort/speed", {}, lambda: {"ms": times, "p99": {}, "failed": {}})
        path = os.path.join(folder, "page.md")
        runtimes_page.write(found, path)
        with open(path) as file:
            page = file.read()
    assert "| net | mxq in ONNX Runtime | ONNX Runtime | 75.0 | 29.5 | 100.0 | 20 of 21 |  |" in page
    assert "| net | ONNX Runtime, min-max | ONNX Runtime | 75.0 | 25.0 |  | 21 of 21 | 1.50 (1.50-1.50) |" in page
    assert "| net | mxq, 8 bits | MXNet | 75.0 | 30.0 | 100.0 | - |  |" in page


@parameterized.expand(["mxq-ort", "mxq-ncnn"])
def test_a_delivered_file_runs_in_another_runtime(engine):
    """mxq's file is made by MXNet's process, for single images; the runtime's process says how it runs it."""
    if engines.missing(engine):
        raise unittest.SkipTest(f"{engine}: {engines.missing(engine)}")
    found = PREPARED(engine, small())
    assert found["sqnr"] > 20
    with processes.Process(engine, 1, PREPARED.log(engine)) as process:
        process.load(small(), found["folder"], 1)
        assert process.ask("kernels") == {"int8": 2, "others": 0}
