"""A copy of the repository in which changes are tried, for ci/mutate.py, and which tests are asked about a source."""

import functools
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from typing import Dict, List, Optional, Tuple

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, REPO)
from tests.host.__main__ import NOT_OPERATORS  # noqa: E402
from tests.run import NOSE, PRELOADED, Forks  # noqa: E402

#: Beginning of a source's path -> the tests that know it. The longest beginning counts.
TESTS: Dict[str, List[str]] = {
    "mxq/arithmetic/": ["tests/test_rounding.py", "tests/ops/test_conv.py", "tests/passes/test_quantize_params.py"],
    "mxq/calib/": [
        "tests/calib", "tests/test_collection.py", "tests/test_rounding.py", "tests/test_damaged_documents.py",
    ],
    "mxq/calib/ncnn_table": ["tests/export/test_ncnn_table.py"],
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
    "src_ops/cpu/thread": ["tests/thread_pool", "tests/test_threads.py", "tests/ops", "tests/test_together.py"],
    "src_ops/ops/": ["tests/ops", "tests/host/test_hostile.py"],
    "src_ops/ref/": ["tests/ops"],
}  # fmt: skip
SECONDS = 1800  # on a machine that does other things, too
CPU_SECONDS = 600  # of a process: a change makes some loops endless
_LIBRARY, _ARCHIVE = os.path.join("mxq", "lib", "libmxq_cpu.so"), os.path.join("build", "native", "operators.a")
_ON_HOST = ("tests/ops/", "tests/host/test_hostile", "tests/host/test_reused")
_NOT_ON_HOST = tuple(f"{name}.py" for name in NOT_OPERATORS)
MEMORY = 12 << 30  # bytes a test has, at most
_FAILED = re.compile(r"^(?:FAIL|ERROR):? (tests(?:\.\w+)*?\.test_\w+)[.:]((?:Test\w+\.)?test\w+)", re.M)


def tests_of(path: str) -> List[str]:
    beginning = max((b for b in TESTS if path.startswith(b)), key=len)
    return [*TESTS[beginning], *(["tests/test_docstrings.py"] if path.startswith("mxq/") else [])]


def likely_first(path: str, repo: str) -> Tuple[List[str], List[str]]:
    """The tests of a source in the order in which they are asked: those with its name, then the others."""
    files = []
    for test in tests_of(path):
        full = os.path.join(repo, test)
        names = sorted(os.listdir(full)) if os.path.isdir(full) else []
        files += [os.path.join(test, n) for n in names if n.startswith("test_") and n.endswith(".py")] or [test]
    word = os.path.splitext(os.path.basename(path))[0]
    near = [file for file in files if word in file or os.path.basename(file)[len("test_") : -len(".py")] in word]
    with open(os.path.join(repo, path), encoding="utf-8") as file:
        defined = {*re.findall(r"^(?:def|class) (\w+)", file.read(), re.M), word}

    def mentions(test: str) -> int:
        with open(os.path.join(repo, test), encoding="utf-8") as file:
            return len(defined & set(re.findall(r"\w+", file.read())))

    others = sorted((file for file in files if file not in near), key=mentions, reverse=True)
    return near + others[:1], others[1:]


class Copy:
    """The repository in a folder of its own, with what is built."""

    def __init__(self, folder: str):
        self.path = os.path.join(folder, "repo")
        self._forks: Optional[Forks] = None
        self._running: Optional[subprocess.Popen] = None
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
        near, others = likely_first(path, self.path)
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

    def stop(self) -> None:
        """Ends what runs, with what it has started; forks end with the process that asks for them."""
        if self._running is not None:
            try:
                os.killpg(self._running.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._running.wait()
            self._running = None

    def _run(self, command: List[str]) -> Tuple[bool, str]:
        output = os.path.join(self.path, "output")
        with open(output, "w") as file:
            limit = functools.partial(resource.setrlimit, resource.RLIMIT_AS, (MEMORY, MEMORY))
            options = {"cwd": self.path, "env": self._environment, "start_new_session": True, "preexec_fn": limit}
            self._running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)
            try:
                status = self._running.wait(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                status = -1
            finally:
                self.stop()
        with open(output, encoding="utf-8", errors="replace") as file:
            return status == 0, file.read()


def _name(output: str, files: List[str]) -> str:
    """The test that failed, as file:function; the files if it took the process with it."""
    found = _FAILED.search(output)
    return f"{found[1].replace('.', '/')}.py:{found[2]}" if found else " ".join(files)
