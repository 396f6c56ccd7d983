"""Runs the tests under nose, one process a file, and ends with the line ``N passed, N failed``.

    python tests/run.py                                       every test_*.py below tests/
    python tests/run.py tests/ops tests/test_data.py          files and folders
    python tests/run.py tests/test_data.py:test_uint8_pixels  one function

A process of its own for each file keeps a crash in native code from hiding the results of the others, and several run
at a time. A file that crashes, hangs or cannot be imported counts as a failed test. The exit status is 0 only if tests
ran and none failed.
"""

import argparse
import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from typing import Dict, List, NamedTuple

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SLOWEST = 8
#: nose, but a TypeError about a missing argument fails a test: pynose takes it for a fixture of pytest and skips.
NOSE = """
import runpy, nose.case
nose.case.TestBase.runTest = lambda self: self.test(*self.arg)
runpy.run_module("nose", run_name="__main__")
"""


class Outcome(NamedTuple):
    target: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    output: str
    times: Dict[str, float]


def targets_of(paths: List[str]) -> List[str]:
    """Test files, relative to the repository, in which folders are expanded; the large ones first."""
    targets = []
    for path in paths or ["tests"]:
        name, colon, function = path.partition(":")
        full = os.path.abspath(name)
        if not os.path.exists(full):
            full = os.path.join(REPO, name)
        if os.path.isdir(full):
            for folder, _, files in os.walk(full):
                targets += [os.path.join(folder, f) for f in files if f.startswith("test_") and f.endswith(".py")]
        elif os.path.isfile(full):
            targets.append(full + colon + function)
        else:
            sys.exit(f"run: no such test file or folder: {name}")
    targets = [os.path.relpath(target, REPO) for target in dict.fromkeys(targets)]
    # Long files last would leave one process running alone at the end.
    return sorted(targets, key=lambda t: -os.path.getsize(os.path.join(REPO, t.partition(":")[0])))


def run_file(target: str, timeout: float) -> Outcome:
    """Runs one file under nose in a process of its own."""
    start = time.time()
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [REPO, os.environ.get("PYTHONPATH")])))
    # Two processes share the cores: threads that wait for work must not spin.
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    environment.setdefault("MPLBACKEND", "agg")
    handle, report = tempfile.mkstemp(suffix=".xml")
    os.close(handle)
    command = [sys.executable, "-X", "faulthandler", "-c", NOSE, "--exe", "--with-xunit"]
    command += [f"--xunit-file={report}", target]
    try:
        done = subprocess.run(
            command,
            cwd=REPO,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
        )
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"") + f"\nrun: stopped after {timeout:.0f} s\n".encode()
        status = -1
    seconds = time.time() - start
    text = output.decode(errors="replace")
    try:
        suite = ElementTree.parse(report).getroot()
    except ElementTree.ParseError:  # the process died before it could report
        return Outcome(target, 0, 1, 0, seconds, f"{text}\nrun: {target} ended with status {status}\n", {})
    finally:
        os.unlink(report)
    failed = int(suite.get("errors")) + int(suite.get("failures"))
    skipped = int(suite.get("skip"))
    passed = int(suite.get("tests")) - failed - skipped
    if not passed + failed + skipped:
        failed = 1
        text += f"\nrun: there is no test in {target}\n"
    if status and not failed:  # all tests passed and the process still failed, at exit for example
        failed = 1
        text += f"\nrun: {target} ended with status {status}\n"
    times = {f"{target}:{case.get('name')}": float(case.get("time")) for case in suite.iter("testcase")}
    return Outcome(target, passed, failed, skipped, seconds, text, times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="files, folders, or file:function; default: all")
    parser.add_argument("--processes", type=int, default=2, help="files run at a time (default %(default)s)")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one file (default %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="show the output of files that pass, too")
    options = parser.parse_args()

    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(options.processes) as pool:
        jobs = [pool.submit(run_file, target, options.timeout) for target in targets_of(options.paths)]
        for job in concurrent.futures.as_completed(jobs):
            outcome = job.result()
            outcomes.append(outcome)
            if outcome.failed or options.verbose:
                print(outcome.output)
            counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped"
            print(f"{outcome.target}: {counts}, {outcome.seconds:.1f} s", flush=True)

    times = {name: seconds for outcome in outcomes for name, seconds in outcome.times.items()}
    for name in sorted(times, key=times.get, reverse=True)[:SLOWEST]:
        if times[name] >= 1:
            print(f"slow: {times[name]:6.1f} s  {name}")
    for outcome in sorted(outcomes):
        if outcome.failed:
            print(f"FAILED: {outcome.target}")
    passed, failed, skipped = (sum(getattr(o, k) for o in outcomes) for k in ("passed", "failed", "skipped"))
    if not passed and not failed:
        print("run: no test ran")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main())
