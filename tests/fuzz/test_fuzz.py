"""Half a minute of the fuzzers on the library as it is; ci/fuzz.sh has the sanitizers and as many cases as wanted.

MXQ_FUZZ_CASES says how many cases of each fuzzer (default 1500).
"""

import os
import subprocess
import sys
import tempfile

from mxq.native.library import library_path

from ..realdata import REPO

CASES = os.environ.get("MXQ_FUZZ_CASES", "1500")


def run(*options):
    command = [sys.executable, "-m", "tests.fuzz", "--library", library_path(), *options]
    done = subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout.splitlines()[-1]


def test_right_calls_that_are_changed_are_computed_right_or_refused():
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus.pickle")
        run("--corpus", corpus, "--record", library_path(), "--thinned", "200")
        for fuzzer in ("operators", "regions", "files"):  # importers: tests/importers/test_damaged.py
            found = run("--corpus", corpus, "--cases", CASES, "--only", fuzzer)
            assert found == f"fuzz: {CASES} cases, 0 findings"
