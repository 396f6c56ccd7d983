"""The threads that share the work of operators, under ThreadSanitizer where the compiler has it."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from parameterized import parameterized

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "src_ops")
CXX = os.environ.get("CXX", "g++").split()
FLAGS = ["-O1", "-g", "-std=c++17", "-fopenmp", "-pthread", f"-I{SOURCES}"]
FILES = [
    os.path.join(HERE, "stress.cc"),
    *(os.path.join(SOURCES, "cpu", f"{n}.cc") for n in ("thread_pool", "threads")),
]
_FOLDER = tempfile.TemporaryDirectory(prefix="mxq_threads_")


def _program():
    """The stress test, compiled when it is first asked for."""
    if not shutil.which(CXX[0]):
        raise unittest.SkipTest("no C++ compiler")
    program = os.path.join(_FOLDER.name, "stress")
    if not os.path.exists(program):
        for sanitizer in (["-fsanitize=thread"], []):
            done = subprocess.run([*CXX, *FLAGS, *sanitizer, *FILES, "-o", program], stderr=subprocess.PIPE, text=True)
            if done.returncode == 0 and subprocess.run([program, "1", "1"], stdout=subprocess.DEVNULL).returncode == 0:
                return program
        raise AssertionError(done.stderr)
    return program


@parameterized.expand([("more than processors", 7), ("two", 2)])
def test_callers_share_threads(_, threads):
    done = subprocess.run(
        [_program(), str(threads), "400"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0 and done.stdout == "0 wrong\n", done.stdout


def test_on_one_processor():
    processor = max(os.sched_getaffinity(0))
    command = f"import os, sys; os.sched_setaffinity(0, {{{processor}}}); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", command, _program(), "3", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0 and done.stdout == "0 wrong\n", done.stdout
