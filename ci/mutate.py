"""See ci/mutate.sh. Works on a copy of the repository in a temporary folder; nothing here is touched."""

import argparse
import ast
import concurrent.futures
import functools
import itertools
import json
import os
import queue
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, REPO)
from tests.host.__main__ import NOT_OPERATORS  # noqa: E402
from tests.run import NOSE, PRELOADED, Forks  # noqa: E402

#: Share that must be noticed, in percent.
MARKS = {"python": 95.0, "cpp": 85.0}
#: Beginning of a source's path -> the tests that know it. The longest beginning counts.
TESTS: Dict[str, List[str]] = {
    "mxq/arithmetic/": ["tests/test_rounding.py", "tests/ops/test_conv.py", "tests/passes/test_quantize_params.py"],
    "mxq/calib/": ["tests/calib", "tests/test_collection.py", "tests/test_rounding.py", "tests/test_damaged_files.py"],
    "mxq/choice/": ["tests/accuracy", "tests/test_exclude.py", "tests/test_float_where_faster.py"],
    "mxq/data/": [
        "tests/test_data.py", "tests/test_datafiles.py", "tests/calib/test_data.py", "tests/test_recordio.py",
        "tests/test_images.py",
    ],
    "mxq/network/": [
        "tests/test_batch_sizes.py", "tests/test_graph.py", "tests/test_files.py", "tests/test_full_disk.py",
        "tests/test_pairs.py",
        "tests/test_params.py", "tests/test_regions.py", "tests/test_shapes.py", "tests/test_trace.py",
        "tests/test_verify.py", "tests/test_damaged_files.py", "tests/calib/test_table.py",
    ],
    "mxq/ops/": ["tests/passes", "tests/test_api.py"],
    "mxq/passes/": ["tests/passes", "tests/test_api.py", "tests/test_regions.py", "tests/test_digits.py"],
    "mxq/report/": ["tests/checks", "tests/test_api.py"],
    "src_ops/calib/": ["tests/calib/test_statistics.py", "tests/test_rounding.py"],
    "src_ops/core/": ["tests/ops", "tests/host/test_hostile.py", "tests/host/test_reused_memory.py"],
    "src_ops/cpu/": ["tests/ops", "tests/host/test_hostile.py", "tests/host/test_reused_memory.py"],
    "src_ops/cpu/thread": ["tests/test_threads.py", "tests/ops", "tests/test_together.py"],
    "src_ops/ops/": ["tests/ops", "tests/host/test_hostile.py"],
    "src_ops/ref/": ["tests/ops"],
}  # fmt: skip
#: Changes that change no result, as "file: line of code -> changed line", with the reason behind.
EQUAL = os.path.join(REPO, "ci", "mutants_that_change_nothing.json")
SECONDS = 1800  # on a machine that does other things, too
_LIBRARY, _ARCHIVE = os.path.join("mxq", "lib", "libmxq_cpu.so"), os.path.join("build", "native", "operators.a")
_ON_HOST = ("tests/ops/", "tests/host/test_hostile", "tests/host/test_reused")
_NOT_ON_HOST = tuple(f"{name}.py" for name in NOT_OPERATORS)
MEMORY = 12 << 30  # bytes a test has, at most
_FAILED = re.compile(r"^(?:FAIL|ERROR):? (tests(?:\.\w+)*?\.test_\w+)[.:]((?:Test\w+\.)?test\w+)", re.M)


class Mutant(NamedTuple):
    """One change: `old` stands at `begin` of the file and becomes `new`."""

    path: str
    begin: int
    old: str
    new: str

    def text(self, source: str) -> str:
        assert source.startswith(self.old, self.begin)
        return source[: self.begin] + self.new + source[self.begin + len(self.old) :]

    def key(self, source: str) -> str:
        """Names the change whatever the number of its line."""
        first = source.rfind("\n", 0, self.begin) + 1
        last = source.find("\n", self.begin)
        line, changed = source[first:last], self.text(source)[first : last + len(self.new) - len(self.old)]
        return f"{self.path}: {line.strip()} -> {changed.strip()}"


# -- Python ------------------------------------------------------------------------------------------------------------

_COMPARE = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.In: (" in ", " not in "), ast.NotIn: (" not in ", " in "),
    ast.Is: (" is ", " is not "), ast.IsNot: (" is not ", " is "),
}  # fmt: skip
_BINARY = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}


def python_mutants(path: str, source: str) -> Iterator[Mutant]:
    """Changes of what is computed: no annotations, docstrings, messages, defaults of names."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    sizes = itertools.accumulate((len(character.encode()) for character in source), initial=0)
    offsets = None if source.isascii() else {size: i for i, size in enumerate(sizes)}

    def at(line: int, column: int) -> int:
        byte = starts[line - 1] + column
        return byte if offsets is None else offsets[byte]

    def span(node) -> Tuple[int, int]:
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    def between(left, right, old: str, new: str) -> Iterator[Mutant]:
        begin, end = span(left)[1], span(right)[0]
        place = source.find(old, begin, end + 1)
        if place >= 0:
            yield Mutant(path, place, old, new)

    tree = ast.parse(source)
    open_axes = {  # NumPy takes any negative number for the open axis
        id(argument.operand)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "reshape"
        for argument in ast.walk(call)
        if isinstance(argument, ast.UnaryOp) and isinstance(argument.op, ast.USub)
    }
    for node in _computed(tree):
        if id(node) in open_axes:
            continue
        if isinstance(node, ast.Compare):
            for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators):
                if type(op) in _COMPARE:
                    yield from between(left, right, *_COMPARE[type(op)])
        elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY and not isinstance(node.left, ast.JoinedStr):
            yield from between(node.left, node.right, *_BINARY[type(node.op)])
        elif isinstance(node, ast.BoolOp):
            old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            yield from between(node.values[0], node.values[1], old, new)
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            begin, end = span(node)
            value = node.value
            new = not value if type(value) is bool else value + 1 if type(value) is int else value * 1.5 or 1.0
            yield Mutant(path, begin, source[begin:end], repr(new))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            begin, end = span(node)
            yield Mutant(path, begin, source[begin:end], f"bool({source[slice(*span(node.operand))]})")
        elif isinstance(node, ast.Call):
            name = node.func
            word = name.id if isinstance(name, ast.Name) else name.attr if isinstance(name, ast.Attribute) else None
            if word in _NAMES:
                end = span(name)[1]
                yield Mutant(path, end - len(word), word, _NAMES[word])


def _computed(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a tree but for annotations, messages of errors and logs, and decorators."""
    stack: List[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list") or isinstance(node, (ast.Raise, ast.JoinedStr)):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _is_log(child):
                    stack.append(child)


def _is_log(node: ast.AST) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    func = call.func if isinstance(call, ast.Call) else None
    return isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id in ("_log", "logger")


# -- C++ ---------------------------------------------------------------------------------------------------------------

_TOKENS = (
    (r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "), (r" == ", " != "), (r" != ", " == "),
    (r" \+ ", " - "), (r" - ", " + "), (r" \* (?=[a-z0-9(])", " / "), (r" / ", " * "), (r" && ", " || "),
    (r" \|\| ", " && "), (r"\bstd::min\b", "std::max"), (r"\bstd::max\b", "std::min"), (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"), (r"(?<=[=(,] )0(?=[;,)])", "1"), (r"(?<=[=(,] )1(?=[;,)])", "2"),
    (r" \+= ", " -= "),
)  # fmt: skip


_NO_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|^[ \t]*#[^\n]*|template <[^\n]*|constexpr[^\n]*', re.S | re.M
)


def cpp_mutants(path: str, source: str) -> Iterator[Mutant]:
    """Changes of single tokens outside of comments, strings, templates and preprocessor lines."""
    plain = _NO_CODE.sub(lambda found: re.sub(r"[^\n]", "\x00", found[0]), source)
    for pattern, new in _TOKENS:
        for found in re.finditer(pattern, plain):
            yield Mutant(path, found.start(), found[0], new)


# -- the run -----------------------------------------------------------------------------------------------------------


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


def tests_of(path: str) -> List[str]:
    beginning = max((b for b in TESTS if path.startswith(b)), key=len)
    return [*TESTS[beginning], *(["tests/test_docstrings.py"] if path.startswith("mxq/") else [])]


def likely_first(path: str) -> Tuple[List[str], List[str]]:
    """The tests of a source in the order in which they are asked: those with its name, then the others."""
    files = []
    for test in tests_of(path):
        full = os.path.join(REPO, test)
        names = sorted(os.listdir(full)) if os.path.isdir(full) else []
        files += [os.path.join(test, n) for n in names if n.startswith("test_") and n.endswith(".py")] or [test]
    word = os.path.splitext(os.path.basename(path))[0]
    near = [file for file in files if word in file or os.path.basename(file)[len("test_") : -len(".py")] in word]
    with open(os.path.join(REPO, path), encoding="utf-8") as file:
        defined = {*re.findall(r"^(?:def|class) (\w+)", file.read(), re.M), word}

    def mentions(test: str) -> int:
        with open(os.path.join(REPO, test), encoding="utf-8") as file:
            return len(defined & set(re.findall(r"\w+", file.read())))

    others = sorted((file for file in files if file not in near), key=mentions, reverse=True)
    return near + others[:1], others[1:]


class Copy:
    """The repository in a folder of its own, with what is built."""

    def __init__(self, folder: str):
        self.path = os.path.join(folder, "repo")
        self._forks: Optional[Forks] = None
        self._kept: Dict[str, bytes] = {}
        ignored = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".hypothesis", "shared", "sanitized", "dist")
        shutil.copytree(REPO, self.path, ignore=ignored, symlinks=True)
        self._environment = dict(
            os.environ, PYTHONPATH=self.path, OMP_WAIT_POLICY="passive", MXQ_CUDA="0", MPLBACKEND="agg"
        )

    def write(self, path: str, text: str) -> None:
        with open(os.path.join(self.path, path), "w", encoding="utf-8") as file:
            file.write(text)

    def builds(self, path: str) -> bool:
        """Compiles one source and links, by the commands that setup.py wrote down; less optimized, which is quicker."""
        built = os.path.join("build", "native", path.replace("/", "_") + ".o")
        self._keep(built)
        self._keep(_LIBRARY)
        self._keep(_ARCHIVE)
        compiling = self._command(built)
        if not any(self._run([level if word == "-O3" else word for word in compiling])[0] for level in ("-O1", "-O3")):
            return False
        if re.match(r"src_ops/(ops|ref|cpu)/", path) and not self._run(["ar", "r", _ARCHIVE, built])[0]:
            return False
        linking = self._command(os.path.join("build", "native", os.path.basename(_LIBRARY)))
        linking[linking.index("-o") + 1] = _LIBRARY + ".new"
        return self._run(linking)[0] and not os.replace(*(os.path.join(self.path, _LIBRARY + e) for e in (".new", "")))

    def _command(self, built: str) -> List[str]:
        with open(os.path.join(self.path, built + ".command"), encoding="utf-8") as file:
            return shlex.split(file.read())

    def _keep(self, path: str) -> None:
        if path not in self._kept:
            with open(os.path.join(self.path, path), "rb") as file:
                self._kept[path] = file.read()

    def restore(self) -> None:
        """What was built before the last change."""
        for path, content in self._kept.items():
            with open(os.path.join(self.path, path + ".new"), "wb") as file:
                file.write(content)
            os.replace(os.path.join(self.path, path + ".new"), os.path.join(self.path, path))
        self._kept = {}

    def notices(self, path: str) -> Optional[Tuple[str, str]]:
        """How and by which test (file:function) a source's change is noticed; None if all pass."""
        near, others = likely_first(path)
        for files, thinned, verdict in ((near, 1, "noticed"), (others, 8, "noticed late")):
            failed = self.first_that_fails(files, path.startswith("src_ops/"), thinned)
            if failed:
                return verdict, failed
        return None

    def first_that_fails(self, files: List[str], on_host: bool, thinned: int = 1) -> Optional[str]:
        """On the host without MXNet where that is asked for and possible; a test that crashes or hangs has no name."""
        hosted = [
            f for f in files if on_host and f.startswith(_ON_HOST) and not f.partition(":")[0].endswith(_NOT_ON_HOST)
        ]
        if hosted:
            command = [sys.executable, "-m", "tests.host", "--first", "--examples", str(thinned), *hosted]
            passes, output = self._run(command)
            if not passes:
                return _name(output, hosted)
        others = [f for f in files if f not in hosted]
        if others:
            passes, output = self._nose(others, forked=not on_host)
            if not passes:
                return _name(output, others)
        return None

    def _nose(self, files: List[str], forked: bool) -> Tuple[bool, str]:
        if not forked:
            return self._run([sys.executable, "-c", NOSE, "--exe", "-x", *files])
        if self._forks is None:  # MXNet, too: OpenMP's one thread is enough for changes in Python
            self._forks = Forks(self.path, self._environment, ["mxnet", *PRELOADED])
        output = os.path.join(self.path, "output")
        status = self._forks.run(["--exe", "-x", *files], output, SECONDS, MEMORY)
        with open(output, encoding="utf-8", errors="replace") as file:
            return status == 0, file.read()

    def _run(self, command: List[str]) -> Tuple[bool, str]:
        output = os.path.join(self.path, "output")
        with open(output, "w") as file:
            limit = functools.partial(resource.setrlimit, resource.RLIMIT_AS, (MEMORY, MEMORY))
            options = {"cwd": self.path, "env": self._environment, "start_new_session": True, "preexec_fn": limit}
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)
            try:
                status = process.wait(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                status = -1
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)  # what it has started, too
                except ProcessLookupError:
                    pass
                process.wait()
        with open(output, encoding="utf-8", errors="replace") as file:
            return status == 0, file.read()


def _name(output: str, files: List[str]) -> str:
    """The test that failed, as file:function; the files if it took the process with it."""
    found = _FAILED.search(output)
    return f"{found[1].replace('.', '/')}.py:{found[2]}" if found else " ".join(files)


def verdict_on(language: str, mutant: Mutant, source: str, copy: Copy, passing: Dict[str, bool]) -> Optional[str]:
    """What becomes of one change; None where no test notices it. A test that fails without it, too, notices nothing."""
    begin = time.time()
    copy.write(mutant.path, mutant.text(source))
    compiles = language != "cpp" or copy.builds(mutant.path)
    noticed = copy.notices(mutant.path) if compiles else ("does not compile", "")
    copy.write(mutant.path, source)
    copy.restore()
    if noticed and noticed[1]:
        test = noticed[1]
        if test not in passing:
            passing[test] = copy.first_that_fails(test.split(), mutant.path.startswith("src_ops/")) is None
        if not passing[test]:
            noticed = None
            print(f"fails without a change, too: {test}", flush=True)
    line = source.count("\n", 0, mutant.begin) + 1
    verdict, test = noticed or ("NOT NOTICED", "")
    print(f"{verdict:16} {time.time() - begin:5.0f} s  {line:4} {mutant.key(source)}   [{test}]", flush=True)
    return noticed and verdict


def run(language: str, options: argparse.Namespace) -> bool:
    """Whether the share that is noticed is at its mark."""
    equal: Dict[str, str] = {}
    if os.path.exists(EQUAL):
        with open(EQUAL, encoding="utf-8") as file:
            equal = json.load(file)
    every = [(m, s) for m, s in mutants(language, options.only) if m.key(s) not in equal and options.change in m.key(s)]
    chosen = random.Random(options.seed).sample(every, min(options.number, len(every)))
    if options.list:
        print("\n".join(mutant.key(source) for mutant, source in chosen))
        return True
    with tempfile.TemporaryDirectory(prefix="mxq_mutants_") as folder:
        free: "queue.Queue[Copy]" = queue.Queue()
        for i in range(options.jobs):
            free.put(Copy(os.path.join(folder, str(i))))

        def with_copy(work):
            copy = free.get()
            try:
                return work(copy)
            finally:
                free.put(copy)

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            passing: Dict[str, bool] = {}
            print(f"{language}: {len(chosen)} of {len(every)} changes", flush=True)
            try_one = lambda one: with_copy(lambda copy: verdict_on(language, *one, copy, passing))  # noqa: E731
            verdicts = list(pool.map(try_one, chosen))
    tried = [verdict for verdict in verdicts if verdict != "does not compile"]
    noticed = sum(verdict is not None for verdict in tried)
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
    parser.add_argument("--list", action="store_true", help="show the changes, run nothing")
    options = parser.parse_args()
    results = [run(language, options) for language in options.language or sorted(MARKS, reverse=True)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
