"""See ci/mutate.sh. Works on a copy of the repository in a temporary folder; nothing here is touched."""

import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import queue
import resource
import shutil
import signal
import sys
import tempfile
import time
from typing import Dict, List, NamedTuple, Optional, Tuple

from mutant_copy import CPU_SECONDS, REPO, TESTS, Copy
from mutants import Mutant, cpp_mutants, python_mutants

#: Share that must be noticed, in percent.
MARKS = {"python": 95.0, "cpp": 85.0}
#: Changes that change no result, as "file: line of code -> changed line", with the reason behind.
EQUAL = os.path.join(REPO, "ci", "mutants_that_change_nothing.json")
MISSED, NOT_COMPILED = "NOT NOTICED", "does not compile"


def mutants(language: str, only: str) -> List[Tuple[Mutant, str]]:
    """All changes of the files that TESTS knows, with the text of the file."""
    ending, make = {"python": (".py", python_mutants), "cpp": (".cc", cpp_mutants)}[language]
    found = []
    for beginning in TESTS:
        for folder, _, names in sorted(os.walk(os.path.join(REPO, beginning))):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), REPO)
                if name.endswith(ending) and only in path:
                    with open(os.path.join(REPO, path), encoding="utf-8") as file:
                        source = file.read()
                    found += [(mutant, source) for mutant in make(path, source)]
    return found


class Drawn(NamedTuple):
    mutant: Mutant
    source: str
    name: str  # its key, and which of those with this key it is; no number of a line, which other changes move


def drawn(every: List[Tuple[Mutant, str]], number: int, seed: int) -> List[Drawn]:
    """By a hash of each: what else is changed in the sources, or is known to change nothing, moves no other."""
    seen: Dict[str, int] = collections.Counter()
    ranked = []
    for mutant, source in every:
        key = mutant.key(source)
        seen[key] += 1
        name = f"{seen[key]} {key}"
        ranked.append((hashlib.sha256(f"{seed} {name}".encode()).digest(), Drawn(mutant, source, name)))
    return [found for _, found in sorted(ranked)[:number]]


def number_of_line(mutant: Mutant, source: str) -> int:
    return source.count("\n", 0, mutant.begin) + 1


class Results:
    """Verdicts of this run and, where a file keeps them, of earlier ones: what was missed then is tried again."""

    def __init__(self, path: Optional[str]):
        self._path = path
        self._verdicts: Dict[str, str] = {}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self._verdicts = dict(json.loads(line) for line in file)

    def of(self, name: str) -> Optional[str]:
        found = self._verdicts.get(name)
        return None if found == MISSED else found

    def add(self, name: str, verdict: str) -> None:
        if self._path:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps([name, verdict]) + "\n")


def verdict_on(language: str, mutant: Mutant, source: str, copy: Copy, passing: Dict[str, bool]) -> str:
    """What becomes of one change. A test that fails without it, too, notices nothing."""
    begin = time.time()
    copy.write(mutant.path, mutant.text(source))
    compiles = language != "cpp" or copy.builds(mutant.path)
    noticed = copy.notices(mutant.path) if compiles else (NOT_COMPILED, "")
    copy.write(mutant.path, source)
    copy.restore()
    if noticed and noticed[1]:
        test = noticed[1]
        if test not in passing:
            passing[test] = copy.first_that_fails(test.split(), mutant.path.startswith("src_ops/")) is None
        if not passing[test]:
            noticed = None
            print(f"fails without a change, too: {test}", flush=True)
    verdict, test = noticed or (MISSED, "")
    line = number_of_line(mutant, source)
    print(f"{verdict:16} {time.time() - begin:5.0f} s  {line:4} {mutant.key(source)}   [{test}]", flush=True)
    return verdict


def run(language: str, options: argparse.Namespace) -> bool:
    """Whether the share that is noticed is at its mark."""
    with open(EQUAL, encoding="utf-8") as file:
        equal = json.load(file)
    every = [(m, s) for m, s in mutants(language, options.only) if m.key(s) not in equal and options.change in m.key(s)]
    chosen = drawn(every, options.number, options.seed)
    if options.list:
        print("\n".join(one.mutant.key(one.source) for one in chosen))
        return True
    results = Results(options.results)
    with tempfile.TemporaryDirectory(prefix="mxq_mutants_") as folder:
        copies = [Copy(os.path.join(folder, str(i))) for i in range(options.jobs)]
        free: "queue.Queue[Copy]" = queue.Queue()
        for copy in copies:
            free.put(copy)

        def stop(*_) -> None:
            for copy in copies:
                copy.stop()
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(1)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        passing: Dict[str, bool] = {}

        def try_one(one: Drawn) -> str:
            verdict = results.of(one.name)
            if verdict is None:
                copy = free.get()
                try:
                    verdict = verdict_on(language, one.mutant, one.source, copy, passing)
                finally:
                    free.put(copy)
                results.add(one.name, verdict)
            return verdict

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            print(f"{language}: {len(chosen)} of {len(every)} changes", flush=True)
            verdicts = list(pool.map(try_one, chosen))
    tried = [verdict for verdict in verdicts if verdict != NOT_COMPILED]
    noticed = sum(verdict != MISSED for verdict in tried)
    share = 100 * noticed / max(len(tried), 1)
    print(
        f"{language}: {noticed} of {len(tried)} noticed, {share:.0f} % (at least {MARKS[language]:.0f}); "
        f"seed {options.seed}",
        flush=True,
    )
    return share >= MARKS[language]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--language", choices=sorted(MARKS), action="append", help="default: both")
    parser.add_argument("--number", type=int, default=50, help="of changes in each language (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default %(default)s)")
    parser.add_argument("--only", default="", help="changes of files whose path has this text")
    parser.add_argument("--change", default="", help="changes with this text in their line, as it is printed")
    parser.add_argument("--jobs", type=int, default=2, help="changes tried at a time (default %(default)s)")
    parser.add_argument("--results", metavar="FILE", help="keeps verdicts: a run that was stopped goes on from there")
    parser.add_argument("--list", action="store_true", help="show the changes, run nothing")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    results = [run(language, options) for language in options.language or sorted(MARKS, reverse=True)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
