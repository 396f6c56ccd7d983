"""MXNet 1.9.1 beside a NumPy that has dropped what it reads."""

import subprocess
import sys
import types

import numpy as np

from mxq.native.host_numpy import _NAMES, supply

#: What NumPy 2 says to MXNet: the names are gone, and only `trapz` has a new one.
_AS_NEW = """
import numpy as np
np.trapezoid = np.trapz
def gone(name):
    raise AttributeError(f"module 'numpy' has no attribute {name!r}")
np.__getattr__ = gone
for name in NAMES:
    vars(np).pop(name, None)
"""
#: And what has to work nevertheless.
_WORKS = """
import mxq
import mxnet as mx
net = mx.gluon.nn.HybridSequential()
net.add(mx.gluon.nn.Conv2D(4, 3), mx.gluon.nn.Activation("relu"), mx.gluon.nn.Dense(3))
net.initialize()
images = np.random.RandomState(0).normal(0, 1, (4, 3, 8, 8)).astype(np.float32)
print(mxq.quantize_net(net, images).report.count("int8"), mx.np.PZERO, mx.np.bool)
"""
#: Names that MXNet reads when it is imported and that NumPy 2 does not have.
GONE = ("PZERO", "NZERO", "NINF", "PINF", "NAN", "NaN", "alltrue", "in1d", "msort", "trapz", "mirr", "bool")


def _run(code):
    code = f"NAMES = {GONE!r}\n{_AS_NEW}\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True)


def test_import_mxq_supplies_what_mxnet_reads():
    without = _run("import mxnet")
    assert without.returncode and b"module 'numpy' has no attribute" in without.stderr, without.stderr
    done = _run(_WORKS)
    assert done.stdout.split(b"\n")[-2:] == [b"3 0.0 <class 'bool'>", b""], done.stderr


def test_names_are_what_they_were():
    lacking = types.ModuleType("numpy")
    for name in ("all", "any", "isin", "sort", "vstack", "prod", "cumprod", "round", "float64", "bytes_", "str_"):
        setattr(lacking, name, getattr(np, name))
    lacking.NaN = "left alone"
    supply(lacking)
    assert lacking.bool is bool and lacking.float is float and lacking.NaN == "left alone"
    assert lacking.PZERO == 0 and np.signbit(lacking.NZERO) and lacking.NINF == -np.inf
    assert lacking.msort(np.array([[2, 1], [0, 3]])).tolist() == [[0, 1], [2, 3]]
    assert lacking.in1d is np.isin and not hasattr(lacking, "trapz")  # it has nothing to make it of
    try:
        lacking.mirr([1], 1, 1)
    except RuntimeError as error:
        assert "numpy_financial" in str(error)
    assert set(GONE) <= set(_NAMES)
