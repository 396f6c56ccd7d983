"""The GPU operators on the processor: every kernel, thread by thread, with the tests of the operators.

Barriers that are missing show in one of the modes (see tests/cuda_emulation/cuda_runtime.h).
"""

import os
import shutil
import subprocess
import sys
import unittest

from parameterized import parameterized

from mxq.native import library as native

from . import abi, standin

#: Operators that src_ops/cuda has no implementation of yet.
ONLY_ON_PROCESSORS = set()
LINEAR = ["tests/ops/test_conv.py", "tests/ops/test_fully_connected.py"]


def build() -> None:
    """Makes mxq/lib/libmxq_emulated.so, or skips: without the sources and a compiler there is nothing to emulate."""
    if not os.path.exists(os.path.join(standin.REPO, "setup_cuda.py")):
        raise unittest.SkipTest("the sources of the library are not here")
    if not shutil.which(os.environ.get("CXX", "g++").split()[0]):
        raise unittest.SkipTest("no C++ compiler to build the emulated library with")
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(
        command,
        cwd=standin.REPO,
        env=dict(os.environ, MXQ_CUDA="emulated"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def run(*arguments: str, **environment: str) -> str:
    build()
    done = subprocess.run(
        [sys.executable, "-m", "tests.host", "--context", "emulated", *arguments],
        cwd=standin.REPO,
        env=dict(os.environ, OMP_WAIT_POLICY="passive", **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.strip().splitlines()[-1]


def test_all_operators():
    assert int(run("--examples", "30", "tests/ops", "tests/host/test_gpu_state.py").split()[0]) > 300


@parameterized.expand(
    [
        ("copies_at_once_and_threads_downwards", dict(MXQ_EMULATED_COPIES="early", MXQ_EMULATED_ORDER="down")),
        ("without_tensor_cores", dict(MXQ_EMULATED_CHIP="75")),
    ]
)
def test_layers(_, environment):
    assert int(run("--examples", "100", *LINEAR, **environment).split()[0]) > 50


def test_every_operator_runs_on_gpus():
    build()
    library = abi.Library(os.path.join(standin.REPO, "mxq", "lib", "libmxq_emulated.so"))
    for operator in library.operators.values():
        assert set(operator.create) == {"cpu", "gpu"}, operator.name
    without = {
        name for name, implementations in native._describe(library.lib)["gpu_ops"].items() if not implementations
    }
    assert without == ONLY_ON_PROCESSORS, without ^ ONLY_ON_PROCESSORS
