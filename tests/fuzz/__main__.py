"""Runs the fuzzers: ``python -m tests.fuzz --library PATH --cases 20000 --seed 1``.

Every case follows from its number: `--replay operators:17` runs case 17 alone and shows what it does. Cases run in
processes of their own, so that one that ends the process is found, named, and the others go on. Ends with one line of
counts; the status is 0 if there is no finding.
"""

import argparse
import faulthandler
import functools
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import Callable, Tuple

FUZZERS = ("operators", "regions", "files", "importers")
_ALONE = 2000  # cases of a process
_MEMORY = 8 << 30  # bytes that readers of small files have
_SLOW = 120  # seconds after which a case counts as hanging


def make(fuzzer: str, library: str, corpus: str) -> Callable[[int], str]:
    """A function that runs one case."""
    if fuzzer == "files":
        from .files import Files

        return Files().case
    if fuzzer == "importers":
        from .importers import Importers

        return Importers().case
    from ..host import abi
    from .operators import Operators

    with open(corpus, "rb") as file:
        calls, implementations = pickle.load(file)
    return Operators(abi.Library(library), calls, implementations, fuzzer == "regions").case


def run_cases(options: argparse.Namespace) -> int:
    """In a process of its own: cases from `first` on, each noted before it begins."""
    case = make(options.fuzzer, options.library, options.corpus)
    counts: Counter = Counter()
    for number in range(options.first, options.first + options.count):
        with open(options.note, "w") as file:
            file.write(str(number))
        faulthandler.dump_traceback_later(_SLOW, exit=True)
        counts[case(number)] += 1
    faulthandler.cancel_dump_traceback_later()
    print("COUNTS " + " ".join(f"{k}={v}" for k, v in sorted(counts.items())))
    return 0


def child(options: argparse.Namespace, fuzzer: str, first: int, count: int, note: str) -> Tuple[int, str]:
    command = [sys.executable, "-m", "tests.fuzz", "--library", options.library, "--corpus", options.corpus]
    command += ["--note", note, "--fuzzer", fuzzer, "--first", str(first), "--count", str(count)]
    environment = dict(os.environ, OMP_WAIT_POLICY="passive")
    limit = None
    if fuzzer in ("files", "importers"):  # Python's readers, with MXNet: nothing of the library runs
        environment.pop("LD_PRELOAD", None)
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, preexec_fn=limit
    )
    return done.returncode, done.stdout


def fuzz(options: argparse.Namespace, fuzzer: str, cases: int) -> Tuple[Counter, int]:
    """(what came of the cases, number of findings)"""
    counts: Counter = Counter()
    findings, first, end = 0, options.seed, options.seed + cases
    with tempfile.TemporaryDirectory() as folder:
        note = os.path.join(folder, "case")
        while first < end and findings < options.most:
            count = min(_ALONE, end - first)
            status, output = child(options, fuzzer, first, count, note)
            for line in output.splitlines():
                if line.startswith("COUNTS "):
                    counts.update({k: int(v) for k, v in (item.split("=") for item in line.split()[1:])})
            if not status:
                first += count
                continue
            if not os.path.exists(note):
                raise SystemExit(f"fuzz: {fuzzer} does not start\n{output}")
            with open(note) as file:
                number = int(file.read() or first)
            findings += 1
            print(f"FINDING {fuzzer}:{number} (status {status}); again: bash ci/fuzz.sh --replay {fuzzer}:{number}")
            print("\n".join(output.splitlines()[-options.lines :]), flush=True)
            counts["before a finding"] += number - first
            first = number + 1
    return counts, findings


def record(library: str, path: str, thinned: int) -> None:
    from ..host import devices, standin

    standin.install(library, devices.Cpu)
    from mxq.native import library as native

    from .corpus import record

    calls = record(thinned)
    with open(path, "wb") as file:
        pickle.dump((calls, native.info()["ops"]), file)
    print(f"corpus: {len(calls)} calls of {len({c.op for c in calls})} operators")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="the library to run; one with sanitizers finds most")
    parser.add_argument("--cases", type=int, default=3000, help="of each fuzzer (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="number of the first case (default %(default)s)")
    parser.add_argument("--only", choices=FUZZERS, help="one of the fuzzers")
    parser.add_argument("--replay", metavar="FUZZER:CASE", help="one case, in this process")
    parser.add_argument("--corpus", required=True, help="file of calls that are right; made if it is missing")
    parser.add_argument(
        "--most", type=int, default=10, help="findings after which a fuzzer stops (default %(default)s)"
    )
    parser.add_argument("--lines", type=int, default=25, help="of output that a finding shows (default %(default)s)")
    parser.add_argument(
        "--thinned", type=int, default=8, help="a corpus has one in so many cases of the tests (default %(default)s)"
    )
    for name in ("record", "note", "fuzzer"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    for name in ("first", "count"):
        parser.add_argument(f"--{name}", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.record:
        record(options.record, options.corpus, options.thinned)
        return 0
    if options.note:
        return run_cases(options)
    if options.replay:
        fuzzer, _, number = options.replay.partition(":")
        print(make(fuzzer, options.library, options.corpus)(int(number)))
        return 0
    failed = total = 0
    for fuzzer in [options.only] if options.only else FUZZERS:
        begin = time.time()
        counts, findings = fuzz(options, fuzzer, options.cases)
        failed += findings
        total += sum(counts.values())
        text = ", ".join(f"{v} {k}" for k, v in sorted(counts.items()))
        print(f"{fuzzer}: cases {options.seed} to {options.seed + options.cases - 1}: {text}; {findings} findings, "
              f"{time.time() - begin:.0f} s", flush=True)  # fmt: skip
    print(f"fuzz: {total} cases, {failed} findings")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
