"""Saves, collections and searches that are killed: MXQ_KILLS says how often each (default 6)."""

import os
import subprocess
import sys

from parameterized import parameterized

from tests.realdata import REPO

TIMES = os.environ.get("MXQ_KILLS", "6")


@parameterized.expand([("save",), ("collection",), ("search",)])
def test_what_is_killed_leaves_the_old_file_or_the_new_one(kind):
    command = [sys.executable, "-m", "tests.killing", kind, TIMES, "1"]
    done = subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0 and f"{kind}: {TIMES} kills" in done.stdout, done.stdout[-3000:]
