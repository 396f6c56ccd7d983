"""The runner of the tests: what does not run is not green."""

import os
import tempfile

from .run import run_file

LACKING = """
def needs(x):
    return x

def test_lacks_an_argument():
    needs()

class TestMethods:
    def test_lacks_an_argument_too(self):
        needs()

def test_runs():
    needs(1)

def test_skips():
    import unittest
    raise unittest.SkipTest("not here")
"""


def test_a_call_that_lacks_an_argument_fails():
    """pynose takes such a TypeError for a fixture of pytest, and skips the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "test_lacking.py")
        with open(path, "w") as file:
            file.write(LACKING)
        outcome = run_file(path, timeout=900)
    assert outcome[1:4] == (1, 2, 1), outcome
    assert "in test_lacks_an_argument\n" in outcome.output and "in test_lacks_an_argument_too\n" in outcome.output
    assert "needs() missing 1 required positional argument" in outcome.output
