"""Runs the tests under nose, one process a file, and ends with the line ``N passed, N failed``.

    python tests/run.py                                       every test_*.py below tests/
    python tests/run.py tests/ops tests/test_data.py          files and folders
    python tests/run.py tests/test_data.py:test_uint8_pixels  one function

A process of its own for each file keeps a crash in native code from hiding the results of the others, and several run
at a time; what nearly all files import, but for MXNet, is imported once before they fork. A file that crashes, hangs or
cannot be imported counts as a failed test. The exit status is 0 only if tests ran and none failed.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from typing import Dict, List, NamedTuple, Optional, Sequence

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SLOWEST = 8
#: They take longest, whatever their size: those that build, and those that start many processes.
LONG = ("tests/host/test_emulated.py", "tests/test_benchmark.py", "tests/test_native.py", "tests/fuzz/test_fuzz.py")
#: nose, but a TypeError about a missing argument fails a test: pynose takes it for a fixture of pytest and skips.
NOSE = """
import runpy, nose.case
nose.case.TestBase.runTest = lambda self: self.test(*self.arg)
runpy.run_module("nose", run_name="__main__")
"""


#: Imported before processes fork, where it is there: half of the time in which a file of small tests starts.
#: Not MXNet: it allows OpenMP one thread in a fork.
PRELOADED = ("numpy", "scipy.stats", "hypothesis", "parameterized", "nose.core", "requests", "onnx")
_FORKS = """
import importlib, json, os, resource, signal, sys, time
modules, nose, parent = json.loads(sys.stdin.readline())
for module in modules:
    try:
        importlib.import_module(module)
    except ImportError:
        pass
def run(arguments, output, memory):
    os.setpgid(0, 0)
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    sys.argv[:] = ["nose", *arguments]
    exec(nose, {"__name__": "__main__"})
def status_of(child, seconds):
    end = time.time() + seconds
    while time.time() < end and os.getppid() == parent:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.02)
for line in sys.stdin:
    arguments, output, seconds, memory = json.loads(line)
    child = os.fork()
    if not child:
        run(arguments, output, memory)
        os._exit(0)
    try:
        status = status_of(child, seconds)
    finally:
        try:
            os.killpg(child, signal.SIGKILL)  # what it has started, too
        except ProcessLookupError:
            pass
    if status is None:
        os.waitpid(child, 0)
    print(json.dumps(status), flush=True)
"""


class Forks:
    """Runs nose in forks of one process that has imported `modules`, one at a time."""

    def __init__(self, folder: str, environment: Dict[str, str], modules: Sequence[str] = PRELOADED):
        command = [sys.executable, "-X", "faulthandler", "-c", _FORKS]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)
        self._write([list(modules), NOSE, os.getpid()])

    def _write(self, line: list) -> None:
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def run(self, arguments: List[str], output: str, seconds: float, memory: int = 0) -> Optional[int]:
        """The exit status, of nose with these arguments, None after so many seconds; memory in bytes, 0 for any."""
        self._write([arguments, output, seconds, memory])
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


_own = threading.local()  # a process that forks for each thread that runs files


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
    order = {name: i for i, name in enumerate(LONG)}
    size = {target: os.path.getsize(os.path.join(REPO, target.partition(":")[0])) for target in targets}
    return sorted(targets, key=lambda t: (order.get(t, len(order)), -size[t]))


def run_file(target: str, timeout: float) -> Outcome:
    """Runs one file under nose in a process of its own."""
    start = time.time()
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [REPO, os.environ.get("PYTHONPATH")])))
    # Two processes share the cores: threads that wait for work must not spin.
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    environment.setdefault("MPLBACKEND", "agg")
    if not hasattr(_own, "forks"):
        _own.forks = Forks(REPO, environment)
    with tempfile.TemporaryDirectory() as folder:
        report, written = os.path.join(folder, "report.xml"), os.path.join(folder, "output")
        arguments = ["--exe", "--with-xunit", f"--xunit-file={report}", target]
        status = _own.forks.run(arguments, written, timeout)
        with open(written, encoding="utf-8", errors="replace") as file:
            text = file.read() + (f"\nrun: stopped after {timeout:.0f} s\n" if status is None else "")
        try:
            suite = ElementTree.parse(report).getroot()
        except (ElementTree.ParseError, FileNotFoundError):  # the process died before it could report
            suite = None
    seconds = time.time() - start
    if suite is None:
        return Outcome(target, 0, 1, 0, seconds, f"{text}\nrun: {target} ended with status {status}\n", {})
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


def _progress(done: int, total: int, seconds: float) -> str:
    """How many files are done, and about how long the others take: as those so far, the long ones being first.

    >>> _progress(50, 150, 120.0)
    '[50 of 150 files, at most 4 min left]'
    """
    if done == total:
        return f"[{total} files, {seconds / 60:.0f} min]" if total > 1 else ""
    left = seconds / done * (total - done)
    told = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
    return f"[{done} of {total} files, at most {told} left]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="files, folders, or file:function; default: all")
    parser.add_argument("--processes", type=int, default=2, help="files run at a time (default %(default)s)")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one file (default %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="show the output of files that pass, too")
    options = parser.parse_args()

    outcomes = []
    start = time.time()
    with concurrent.futures.ThreadPoolExecutor(options.processes) as pool:
        jobs = [pool.submit(run_file, target, options.timeout) for target in targets_of(options.paths)]
        for job in concurrent.futures.as_completed(jobs):
            outcome = job.result()
            outcomes.append(outcome)
            if outcome.failed or options.verbose:
                print(outcome.output)
            counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped"
            progress = _progress(len(outcomes), len(jobs), time.time() - start)
            print(f"{outcome.target}: {counts}, {outcome.seconds:.1f} s {progress}".rstrip(), flush=True)

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
