"""How many threads operators use: of the process, of the environment, as set."""

import functools
import os
import unittest

import mxq

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
