"""How many threads operators use: of the process, of the environment, as set."""

import functools
import os
import shutil
import subprocess
import tempfile
import unittest

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq

from .ops.calling import threads
from .realdata import REPO
from .refusals import refused
from .test_native import output_of

#: Runs an operator with one, three and two threads, and says how many threads the process has after each.
COUNTING = """
import os
import mxnet as mx
import numpy as np
import mxq
data = mx.nd.array(np.random.RandomState(0).randint(0, 256, (1, 64, 64, 64)), dtype="uint8")
def run(count):
    mxq.set_num_threads(count)
    out = mx.nd.mxq_pooling(data, kernel=(3, 3), stride=(1, 1), pad=(1, 1), backend="avx")
    out.wait_to_read()
    return len(os.listdir("/proc/self/task")), out.asnumpy().tobytes()
(alone, first), (three, second), (fewer, third) = run(1), run(3), run(2)
assert first == second == third
print(three - alone, fewer - alone)
"""


def _threads(prefix="", **environment):
    names = {name for name in os.environ if name.startswith("OMP_")} - set(environment)
    clear = "".join(f"os.environ.pop({name!r}, None); " for name in names)
    return int(output_of(f"import os; {clear}{prefix}import mxq; print(mxq.num_threads())", env=environment))


def test_of_the_processors_that_the_process_may_use():
    allowed = sorted(os.sched_getaffinity(0))
    assert 1 <= _threads() <= len(allowed)
    assert _threads(f"os.sched_setaffinity(0, {{{allowed[-1]}}}); ") == 1


#: What a control group says -> processors' worth of time, in whole ones; 0: it sets no limit.
QUOTAS = {
    ("max", "100000"): 0, ("-1", "100000"): 0, ("", ""): 0, ("100000", "0"): 0, ("50000", "100000"): 1,
    ("150000", "100000"): 1, ("400000", "100000"): 4, ("9223372036854775807", "100000"): 4096,
}  # fmt: skip


def _of_threads_cc(main, *words):
    """What a program prints that can call the functions of cpu/threads.cc."""
    if not shutil.which("g++"):
        raise unittest.SkipTest("no g++ to compile the function with")
    source = os.path.join(REPO, "src_ops", "cpu", "threads.cc")
    program = f'#include "{source}"\n#include <cstdio>\nint main(int count, char** words) {{ {main} }}'
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "program")
        command = ["g++", "-std=c++17", "-fopenmp", "-x", "c++", "-", "-o", binary]
        subprocess.run(command, input=program, text=True, check=True)
        return subprocess.check_output([binary, *words], text=True)


def test_quotas_of_control_groups():
    main = 'for (int i = 1; i + 1 < count; i += 2) std::printf("%d ", mxq::of_quota(words[i], words[i + 1]));'
    found = _of_threads_cc(main, *(word for pair in QUOTAS for word in pair))
    assert dict(zip(QUOTAS, map(int, found.split()))) == QUOTAS


def test_processors_that_share_a_core_count_once():
    cores = set()
    for processor in os.sched_getaffinity(0):
        try:
            with open(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list") as file:
                cores.add(file.readline().strip() or str(processor))
        except FileNotFoundError:
            cores.add(str(processor))
    assert int(_of_threads_cc('std::printf("%d", mxq::cores_of_affinity());')) == len(cores)


def test_the_environment_says_otherwise():
    assert _threads(OMP_NUM_THREADS="3") == 3


def test_operators_use_as_many_as_are_set():
    if "avx" not in mxq.native.info()["ops"]["mxq_pooling"]:
        raise unittest.SkipTest("this processor has no implementation that uses threads")
    more, fewer = map(int, output_of(COUNTING).split())
    assert more == 2 and fewer <= more, (more, fewer)


def test_what_is_set_is_told_and_anything_else_refused():
    before = mxq.num_threads()
    try:
        mxq.set_num_threads(before + 1)
        assert mxq.num_threads() == mxq.native.info()["cpu"]["threads"] == before + 1
        for wrong in (0, -1, 1.0, True, "2", 4097, None):
            refused(functools.partial(mxq.set_num_threads, wrong), "count", repr(wrong), "from 1 to 4096")
        assert mxq.num_threads() == before + 1
    finally:
        mxq.set_num_threads(before)


#: Layers that threads share by images, rows, rows of a matrix and its columns.
SHARED = {
    "images": (
        "mxq_conv",
        (6, 14, 13, 32),
        (48, 32, 3, 3),
        {"kernel": (3, 3), "stride": (2, 2), "pad_begin": (1, 1), "pad_end": (1, 1)},
    ),
    "rows": (
        "mxq_conv",
        (1, 33, 21, 64),
        (40, 64, 3, 3),
        {"kernel": (3, 3), "stride": (2, 2), "pad_begin": (1, 1), "pad_end": (1, 1)},
    ),
    "dilated": (
        "mxq_conv",
        (1, 19, 30, 64),
        (64, 64, 3, 3),
        {"kernel": (3, 3), "dilate": (3, 3), "pad_begin": (3, 3), "pad_end": (3, 3)},
    ),
    "far padding": (
        "mxq_conv",
        (1, 4, 40, 64),
        (64, 64, 1, 1),
        {"kernel": (1, 1), "pad_begin": (5, 0), "pad_end": (5, 0)},
    ),
    "groups": (
        "mxq_conv",
        (2, 20, 20, 64),
        (64, 32, 3, 3),
        {"kernel": (3, 3), "pad_begin": (1, 1), "pad_end": (1, 1), "num_group": 2},
    ),
    "columns": ("mxq_fully_connected", (1, 1024), (1000, 1024), {}),
    "matrix": ("mxq_fully_connected", (700, 512), (70, 512), {}),
}


@parameterized.expand(sorted(SHARED))
def test_what_threads_share_is_what_one_computes(name):
    op, data_shape, weight_shape, attrs = SHARED[name]
    rng = np.random.RandomState(0)
    depth = np.prod(weight_shape[1:])
    inputs = [
        mx.nd.array(rng.randint(0, 256, data_shape), dtype="uint8"),
        mx.nd.array(rng.randint(-127, 128, weight_shape), dtype="int8"),
        mx.nd.array(np.full(weight_shape[0], 1 / 90 / np.sqrt(depth)), dtype="float32"),
        mx.nd.array(rng.randint(-999, 1000, weight_shape[0]), dtype="int32"),
    ]
    attrs = dict(attrs, **{"num_filter" if op == "mxq_conv" else "num_hidden": weight_shape[0]})
    attrs.update(in_zero_point=3, out_type="uint8", out_scale=0.8, out_zero_point=9, act="relu")
    run = functools.partial(getattr(mx.nd, op), *inputs, **attrs)
    expected = run(backend="ref").asnumpy()
    assert len(np.unique(expected)) > 100
    for backend in ("avx", "auto"):
        for count in (1, 2, 3, 7):
            with threads(count):
                found = run(backend=backend).asnumpy()
            assert np.array_equal(found, expected), (backend, count, np.argwhere(found != expected)[:3])
