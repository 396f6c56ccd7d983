"""The same integers on lesser processors: fresh processes whose instruction sets are capped."""

import os
import subprocess
import sys

from parameterized import parameterized

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CASES = 50

SCRIPT = f"""
from hypothesis import HealthCheck, given, settings
from tests.ops import test_conv, test_conv_winograd, test_fully_connected, test_lrn
for module, cases in ((test_conv, test_conv.convolutions()), (test_fully_connected, test_fully_connected.layers())):
    run = given(cases)(lambda case: module.check(case))
    settings(max_examples={CASES}, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))(run)()
    module.comparison.check_rate({CASES}, 1e-4)
for module in (test_lrn, test_conv_winograd):
    run = given(module.cases())(lambda case: module.check(case))
    settings(max_examples={CASES}, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))(run)()
"""


@parameterized.expand(
    [
        ("MXQ_MAX_CPU_ISA", "default"),
        ("MXQ_MAX_CPU_ISA", "avx2"),
        ("MXQ_MAX_CPU_ISA", "avx512"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI"),  # no AMX
        ("ONEDNN_MAX_CPU_ISA", "AVX2_VNNI"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE"),  # no dot product: oneDNN's own int8 kernels would saturate
    ]
)
def test_capped(variable, value):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        cwd=ROOT,
        env=dict(os.environ, **{variable: value}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_unknown_cap_is_refused():
    script = "from tests.ops.test_conv import check, named; check(named((1, 3, 3, 2), (1, 1), 4))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=ROOT,
        env=dict(os.environ, MXQ_MAX_CPU_ISA="sse9"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode != 0 and "MXQ_MAX_CPU_ISA=sse9" in done.stdout, done.stdout[-2000:]
