"""Implementations that are close by estimate are measured; what was measured is remembered in a file."""

import json
import os
import subprocess
import sys
import tempfile

from parameterized import parameterized

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

#: Sixteen channels: with and without 8-bit dot products there are two that are close. Prints what ran, a hash of what
#: came out, and what is known.
SCRIPT = """
import hashlib, json
import numpy as np
from mxq import profile
from mxq.native import info
from tests.ops.calling import call
rng = np.random.RandomState(0)
x = rng.randint(0, 256, (1, 80, 80, 16)).astype(np.uint8)
w = rng.randint(-127, 128, (16, 16, 3, 3)).astype(np.int8)
attrs = dict(kernel=(3, 3), pad_begin=(1, 1), pad_end=(1, 1), num_filter=16, no_bias=True, out_type="uint8")
with profile.record() as times:
    (y,) = call("mxq_conv", [x, w, np.full(16, 0.001, np.float32)], attrs)
print(json.dumps([times.rows[0].implementation, hashlib.sha256(y.tobytes()).hexdigest(), info()["tuning"]]))
"""


def _run(tuning, *command):
    return subprocess.run(
        [sys.executable, "-W", "ignore", *(command or ("-c", SCRIPT))],
        cwd=ROOT,
        env=dict(os.environ, MXQ_TUNING=tuning),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_measured_once_and_remembered():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "tuning")
        chosen, digest, known = json.loads(_run(file).stdout.splitlines()[-1])
        (row,) = known
        times = row["microseconds"]
        assert len(times) >= 2 and chosen in times and all(time > 0 for time in times.values()), row
        assert times[chosen] < 1.04 * min(times.values()), (chosen, times)
        with open(file) as f:
            (line,) = f.read().splitlines()
        fields = line.split("\t")
        assert row["what"] == fields[0] and "mxq_conv" in fields[0] and "uint8 1x80x80x16" in fields[0], fields
        assert sorted(fields[1::2]) == sorted(times)

        slowest = max(times, key=times.get)
        with open(file, "w") as f:
            f.write(
                "\t".join([fields[0], *(v for name in times for v in (name, "1" if name == slowest else "9"))]) + "\n"
            )
            f.write('another "layer" \\ of \u00e9\ttiles\t2\tavx\t3\n')  # no text is an end of what is told as JSON
        again, same, known = json.loads(_run(file).stdout.splitlines()[-1])
        known = {row["what"]: row["microseconds"] for row in known}
        assert again == slowest and same == digest and known[fields[0]][slowest] == 1, known
        assert known["another layer  of "] == {"tiles": 2, "avx": 3}, known
        shown = _run(file, "-m", "mxq", "info", "--tuning").stdout
        assert fields[0] in shown and f"{slowest} 1.0 us" in shown, shown


def test_off():
    _, _, known = json.loads(_run("off").stdout.splitlines()[-1])
    assert known == []
    assert "MXQ_TUNING" in _run("off", "-m", "mxq", "info", "--tuning").stdout


@parameterized.expand(
    [
        ("text", "milk, eggs"),
        ("time", "b\ttiles\tinf\tonednn\t4"),
        ("no_time", "b\ttiles\t0\tonednn\t4"),
        ("more_than_a_time", "b\ttiles\t3us\tonednn\t4"),
        ("name", "b\tthe tiles\t3\tonednn\t4"),
    ]
)
def test_a_file_of_something_else_is_refused(_, second):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "notes.txt")
        with open(file, "w") as f:
            f.write(f"a\ttiles\t3.5\tonednn\t4\n{second}\n")
        done = _run(file)
        assert done.returncode != 0
        assert f"MXQ_TUNING={file}: line 2" in done.stdout and "does not exist yet" in done.stdout, done.stdout[-2000:]
        with open(file) as f:
            assert f.read().endswith(f"{second}\n")
