"""The tests of operators on a real GPU, where there is one and the library for it is built."""

import os
import subprocess
import sys
import unittest

from parameterized import parameterized

from . import devices, standin
from .abi import HostError

LIBRARY = os.path.join(standin.REPO, "mxq", "lib", "libmxq_cuda.so")
FILES = sorted(f for f in os.listdir(os.path.join(standin.REPO, "tests", "ops")) if f.startswith("test_"))


def why_not() -> str:
    if not os.path.exists(LIBRARY):
        return "libmxq_cuda.so is not built"
    try:
        devices.Cuda()
    except (HostError, OSError) as error:
        return f"no GPU: {error}"
    return ""


@parameterized.expand([(os.path.join("tests", "ops", name),) for name in FILES] + [("tests/host/test_gpu_state.py",)])
def test_on_the_gpu(path):
    reason = why_not()
    if reason:
        raise unittest.SkipTest(reason)
    command = [sys.executable, "-m", "tests.host", "--context", "gpu", path]
    done = subprocess.run(command, cwd=standin.REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
