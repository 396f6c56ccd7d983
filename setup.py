"""Builds the native library ``mxq/lib/libmxq_cpu.so`` from ``src_ops``; everything else is in pyproject.toml.

``python setup.py build_ext --inplace`` compiles what changed since the last time, for work on the sources.
"""

import concurrent.futures
import fcntl
import glob
import itertools
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import SetupError

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    try:
        from wheel.bdist_wheel import bdist_wheel
    except ImportError:
        raise SetupError(
            f"building mxq needs the distribution wheel, or setuptools 70.1 or newer, in {sys.executable}.\n"
            f"  fix: {sys.executable} -m pip install wheel   (`pip install .` gets it)"
        ) from None

ROOT = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, ROOT)  # a build frontend does not
import setup_cuda  # noqa: E402

LIBRARY = "mxq.lib.libmxq_cpu"
MXNET_VERSION = "1.9.1"
ONEDNN_VERSION = "2023.2.0"
JOBS = int(os.environ.get("MXQ_JOBS", "2"))
#: MXQ_ONEDNN=0 leaves oneDNN out: mxq's own implementations only. For builds on machines without it, of tests on a GPU.
WITH_ONEDNN = os.environ.get("MXQ_ONEDNN", "1") != "0"

#: MXQ_MANYLINUX=1 builds for wheels that install on Linux with glibc 2.28 or newer: libstdc++ is linked in, and what
#: newer systems ask of glibc goes through src_ops/portable. ci/wheel_symbols.py looks at what is left.
MANYLINUX = os.environ.get("MXQ_MANYLINUX", "0") != "0"
PLATFORM = "manylinux_2_28_x86_64"

FLAGS = "-O3 -std=c++17 -fPIC -fopenmp -ffp-contract=off -Wall -Wextra -pthread".split()
#: MXQ_SANITIZE=1 builds mxq/lib/libmxq_sanitized.so in place of libmxq_cpu.so, with GCC's sanitizers for addresses and
#: undefined behaviour, for ci/fuzz.sh. A process that loads it has to preload libasan.so.
SANITIZE = os.environ.get("MXQ_SANITIZE", "0") != "0"
SANITIZERS = "-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1".split()
#: Functions of MXNet's lib_api.cc that src_ops/mxnet replaces; its own get another name.
REPLACED = (
    "_opCallParseAttrs _opCallInferType _opCallInferShape _opCallCreateOpState _opCallFStatefulCompute _msgSize _msgGet"
).split()


def files_of(distribution):
    """Absolute paths of the files that an installed distribution put down, with the version; ([], None) if absent."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return [], None
    return [os.path.normpath(str(found.locate_file(f))) for f in found.files or []], found.version


def need(distribution, version, endings):
    """The files of a distribution that end with each of `endings`, or an error that says what to install."""
    files, found = files_of(distribution)
    paths = [next((f for f in files if f.endswith(end) and os.path.exists(f)), None) for end in endings]
    if found != version or None in paths:
        missing = [end for end, path in zip(endings, paths) if path is None]
        raise SetupError(
            f"building mxq needs {distribution}=={version} in the building Python ({sys.executable}).\n"
            f"  looked for: {', '.join(endings)}\n"
            f"  found: {f'{distribution} {found}' if found else 'no such distribution'}"
            f"{', without ' + ', '.join(missing) if found and missing else ''}\n"
            f"  fix: {sys.executable} -m pip install {distribution}=={version}   (or `pip install .` without "
            f"--no-build-isolation, which gets it)"
        )
    return paths


def mxnet_sources():
    """lib_api.h and lib_api.cc of MXNet: from its source tree where MXQ_MXNET_SOURCE names one, else from the wheel."""
    tree = os.environ.get("MXQ_MXNET_SOURCE")
    if not tree:
        return need("mxnet", MXNET_VERSION, ["include/mxnet/lib_api.h", "src/lib_api.cc"])
    paths = [
        os.path.abspath(os.path.join(tree, *part))
        for part in (("include", "mxnet", "lib_api.h"), ("src", "lib_api.cc"))
    ]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        raise SetupError(
            f"MXQ_MXNET_SOURCE={tree!r} is no source tree of MXNet {MXNET_VERSION}: it has no {missing[0]}"
        )
    return paths


def is_onednn(source):
    """True for a source that needs oneDNN, False for its replacement, None for all others."""
    name = os.path.basename(source)
    return False if name == "no_onednn.cc" else True if "onednn" in name else None


def compiler():
    """The C++ compiler as a list of words, checked for C++17 and OpenMP by its version."""
    words = shlex.split(os.environ.get("CXX", "g++"))
    if not shutil.which(words[0]):
        raise SetupError(
            f"building mxq needs a C++ compiler.\n  looked for: {words[0]!r} on PATH (set by CXX; g++ by default)\n"
            "  found: nothing\n  fix: install g++ 9 or newer (Debian: apt-get install g++), or set CXX"
        )
    version = subprocess.check_output(words + ["-dumpfullversion", "-dumpversion"]).decode().strip()
    major = re.match(r"\d+", version)
    if not major or int(major.group()) < 9:
        raise SetupError(f"building mxq needs g++ 9 or newer; {words[0]} is version {version or 'unknown'}. Set CXX.")
    return words


class BuildNative(build_ext):
    """Compiles src_ops with g++ itself: two jobs at a time, and only what changed."""

    def get_ext_filename(self, fullname):
        # The library is loaded by MXNet, not imported: no Python version in its name.
        return os.path.join(*fullname.split(".")) + ".so"

    failed = ()  # sources that do not compile

    def failure(self):
        return f"could not compile {', '.join(self.failed)}; the compiler's messages are above"

    def run(self):
        super().run()
        if self.failed:  # in place: what compiles has been linked, with the last good version of these if there is one
            raise SetupError(self.failure())

    def copy_extensions_to_source(self):
        for built in self.built:
            target = os.path.join(ROOT, os.path.relpath(built, os.path.abspath(self.build_lib)))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(built, target + ".new")
            os.replace(target + ".new", target)  # a process that has the old one loaded keeps it

    def build_extension(self, ext):
        if platform.system() != "Linux" or platform.machine() != "x86_64":
            raise SetupError(f"mxq builds on Linux x86_64; this is {platform.system()} {platform.machine()}")
        target = os.path.abspath(self.get_ext_fullpath(ext.name))
        # Relative, as sources are: objects that are copied beside the same sources elsewhere are not made again.
        objects = os.path.join("build", "sanitized" if SANITIZE else "native")
        if SANITIZE:
            target = os.path.join(os.path.dirname(target), "libmxq_sanitized.so")
        os.makedirs(objects, exist_ok=True)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(os.path.join(objects, "lock"), "w") as lock:  # two builds at once would mix their object files
            fcntl.flock(lock, fcntl.LOCK_EX)
            cxx = compiler()
            self.built = [target]
            self.compile_and_link(target, objects, cxx)
            flavour = None if SANITIZE else setup_cuda.flavour(cxx, self.inplace)
            if flavour:
                self.built.append(os.path.join(os.path.dirname(target), flavour.library))
                self.compile_and_link(self.built[-1], objects, cxx, flavour)

    def compile_and_link(self, target, objects, cxx, flavour=None):
        lib_api_h, lib_api = mxnet_sources()
        includes, dnnl = ["-isystem", os.path.dirname(os.path.dirname(lib_api_h))], []
        sources = sorted(self.extensions[0].sources)
        if WITH_ONEDNN:
            (dnnl_h,) = need("onednn-devel-cpu-gomp", ONEDNN_VERSION, ["include/dnnl.hpp"])
            dnnl = need("onednn-cpu-gomp", ONEDNN_VERSION, ["lib/libdnnl.so.3"])
            includes += ["-isystem", os.path.dirname(dnnl_h)]
        else:
            includes += ["-DMXQ_NO_ONEDNN"]
        sources = [s for s in sources if is_onednn(s) is None or is_onednn(s) == WITH_ONEDNN]
        sources = [s for s in sources if MANYLINUX or os.path.basename(os.path.dirname(s)) != "portable"]
        renames = [f"-D{name}=mxq_replaced{name}" for name in REPLACED]
        work = [(source, includes) for source in sources + (flavour.more_sources() if flavour else [])]
        work.append((lib_api, includes + renames + ["-w"]))
        jobs, linked = [], []
        for source, flags in work:
            name = os.path.basename(source) if os.path.isabs(source) else source
            out = os.path.join(objects, re.sub(r"[^\w.]", "_", name))
            own = flavour and (source in flavour.more_sources() or setup_cuda.SHARED.match(source))
            if own:
                out += "." + flavour.suffix
                flags = flags + flavour.defines + flavour.includes
            out += ".o"
            linked.append(out)
            if source.endswith("describe.cc"):
                flags = flags + [f'-DMXQ_VERSION="{self.distribution.get_version()}"']
            command = cxx + FLAGS + (SANITIZERS if SANITIZE else []) + flags + ["-MMD", "-c", source, "-o", out]
            if flavour and source in flavour.more_sources():
                command = flavour.compile_command(source, out) or command
            if self.force or is_stale(out, command):
                jobs.append((name, command, out))
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            failed = [name for name in pool.map(Compilation(len(jobs)), jobs) if name]
        self.failed = failed
        if failed and (flavour or not self.inplace):
            raise SetupError(self.failure())
        # Operators go through an archive: only what op_table.inc asks for is linked, so that an operator somebody is
        # still writing does not keep the others from being built.
        is_operator = re.compile(r"src_ops_(ops|ref|cpu)_").match
        archive = os.path.join(objects, "operators.a")
        members = [path for path in linked if is_operator(os.path.basename(path)) and os.path.exists(path)]
        linked = [path for path in linked if not is_operator(os.path.basename(path))]
        if jobs or not os.path.exists(archive):
            if os.path.exists(archive):
                os.remove(archive)
            subprocess.run(["ar", "rcs", archive] + members, check=True)
        link = cxx + ["-shared", "-fopenmp", "-pthread", "-Wl,-Bsymbolic"]
        link += SANITIZERS if SANITIZE else ["-Wl,--no-undefined"]  # those are in what is preloaded
        link += [*linked, archive, *dnnl, *(flavour.link_flags() if flavour else []), "-o", target + ".new"]
        # From site-packages/mxq/lib, four up is the lib folder of the environment, where the oneDNN wheel put its own.
        rpaths = ["$ORIGIN/../../../.."]
        if MANYLINUX:
            link += ["-static-libstdc++", "-Wl,--exclude-libs,libstdc++.a"]
        else:
            rpaths.append(os.path.join(sys.prefix, "lib"))
        link += [f"-Wl,--enable-new-dtags,-rpath,{path}" for path in rpaths]
        if not jobs and not is_stale(target, link, linked + [archive], objects):
            return
        print(f"linking {os.path.relpath(target, ROOT)}", flush=True)
        if subprocess.run(link).returncode:
            raise SetupError("could not link the library; the linker's messages are above")
        os.replace(target + ".new", target)  # a process that has the old one loaded keeps it
        remember(target, link, objects)


def note_of(out, folder=None):
    return os.path.join(folder, os.path.basename(out) + ".command") if folder else out + ".command"


def remember(out, command, folder=None):
    with open(note_of(out, folder), "w") as f:
        f.write(shlex.join(command))


def is_stale(out, command, needs=None, folder=None):
    """Whether `out` is missing, was made by another command, or is older than a file it was made from."""
    try:
        made = os.stat(out).st_mtime_ns
        with open(note_of(out, folder)) as f:
            if f.read() != shlex.join(command):
                return True
        if needs is None:
            with open(out[:-2] + ".d") as f:
                needs = shlex.split(f.read().replace("\\\n", " ").partition(":")[2])
        return any(os.stat(path).st_mtime_ns > made for path in needs)
    except OSError:
        return True


class Compilation:
    """Compiles sources and counts them: on a terminal in one line, elsewhere with a line for every tenth."""

    def __init__(self, total):
        self.total, self.numbers = total, itertools.count(1)

    def __call__(self, job):
        """Returns the name of a source that does not compile, else None."""
        name, command, out = job
        number = next(self.numbers)
        text = f"compiling {number} of {self.total}: {name}"
        if sys.stdout.isatty():
            print(f"\r\x1b[K{text}", end="\n" if number == self.total else "", flush=True)
        elif number % 10 == 1 or number == self.total:
            print(text, flush=True)
        if subprocess.run(command).returncode:
            return name
        remember(out, command)
        return None


class PlatformWheel(bdist_wheel):
    """One wheel for all versions of Python: the library does not use Python's ABI."""

    def get_tag(self):
        return ("py3", "none", PLATFORM) if MANYLINUX else ("py3", "none") + super().get_tag()[2:]


setup(
    ext_modules=[
        Extension(
            LIBRARY,
            [
                s
                for s in sorted(glob.glob(os.path.join("src_ops", "**", "*.cc"), recursive=True))
                if os.sep + "cuda" + os.sep not in s
            ],
        )
    ],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": PlatformWheel},
)
