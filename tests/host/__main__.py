"""Runs tests of operators without MXNet: ``python -m tests.host --context gpu tests/ops``.

Ends with one line of counts; the status is 0 only if tests ran and none failed. Tests that need MXNet itself are
skipped by name.
"""

import argparse
import glob
import importlib
import os
import sys
import time
import traceback
import unittest
from typing import Any, List

from . import devices, standin

#: About the rest of the package or the processor, not about an operator in a context. So are single tests: of code for
#: fewer instructions, which runs in a process of its own, and of threads, which a GPU does not have.
NOT_OPERATORS = (
    "test_op_table", "test_processors", "test_depthwise", "test_conv_tiles", "test_conv_winograd", "test_nan",
    "test_tuning",
)  # fmt: skip
ABOUT_PROCESSORS = ("test_without_avx512", "test_threads_share_a_batch", "test_batches_that_threads_share")


def fewer_examples(divisor: int) -> None:
    """Every test of generated cases draws one case in `divisor`, and no less than a handful."""
    import hypothesis

    real = hypothesis.settings

    class settings(real):
        def __init__(self, *args: Any, **options: Any) -> None:
            if options.get("max_examples"):
                options["max_examples"] = max(10, options["max_examples"] // divisor)
            super().__init__(*args, **options)

    hypothesis.settings = settings
    importlib.import_module("tests.ops.linear_cases").THINNED = divisor


def modules_of(paths: List[str]) -> List[str]:
    """Modules of files and folders; `module:function` of a file:function."""
    files = []
    for path in paths:
        files += sorted(glob.glob(os.path.join(path, "test_*.py"))) if os.path.isdir(path) else [path]
    parts = [os.path.relpath(os.path.abspath(f), standin.REPO).partition(".py") for f in files]
    return [name.replace(os.sep, ".") + only for name, _, only in parts if os.path.basename(name) not in NOT_OPERATORS]


def run(name: str, verbose: bool, first: bool = False) -> List[int]:
    """Counts of what passed, failed and was skipped; with `first` nothing runs after a test that failed."""
    passed = failed = skipped = 0
    start = time.time()
    try:
        module, _, only = name.partition(":")
        functions = vars(importlib.import_module(module)).items()
        tests = [(n, f) for n, f in functions if n.startswith(only or "test") and callable(f)]
    except unittest.SkipTest as reason:
        print(f"SKIP {name}: {reason}")
        return [0, 0, 1]
    for test, function in tests:
        try:
            if test in ABOUT_PROCESSORS:
                raise unittest.SkipTest("about processors, whatever the context")
            function()
            passed += 1
        except unittest.SkipTest as reason:
            skipped += 1
            print(f"SKIP {name}:{test}: {reason}")
        except BaseException:
            failed += 1
            print(f"FAIL {name}:{test}\n{traceback.format_exc()}")
            if first:
                break
        if verbose:
            print(f"{name}:{test}", flush=True)
    print(f"{name}: {passed} passed, {failed} failed, {skipped} skipped, {time.time() - start:.1f} s", flush=True)
    return [passed, failed, skipped]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", default=["tests/ops"], help="test files or folders (default: tests/ops)")
    parser.add_argument("--library", help="default: the one that mxq would load in this context")
    parser.add_argument("--context", choices=["cpu", "gpu", "emulated"], default="cpu")
    parser.add_argument("--examples", type=int, default=1, metavar="N", help="draw one in N generated cases")
    parser.add_argument("--first", action="store_true", help="end with the first test that fails")
    parser.add_argument("--verbose", action="store_true", help="name every test")
    options = parser.parse_args()
    make = {"cpu": devices.Cpu, "gpu": devices.Cuda, "emulated": lambda: devices.Cpu("gpu")}[options.context]
    name = {"cpu": "libmxq_cpu.so", "gpu": "libmxq_cuda.so", "emulated": "libmxq_emulated.so"}[options.context]
    standin.install(options.library or os.path.join(standin.REPO, "mxq", "lib", name), make)
    if options.examples > 1:
        fewer_examples(options.examples)
    modules = modules_of(options.paths)
    if not modules:
        print("no tests of operators there\n0 passed, 0 failed, 0 skipped")
        return 0
    counted = []
    for name in modules:
        counted.append(run(name, options.verbose, options.first))
        if options.first and counted[-1][1]:
            break
    passed, failed, skipped = (sum(counts) for counts in zip(*counted))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main())
