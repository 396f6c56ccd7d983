"""The flavour of the native library that runs on NVIDIA GPUs as well: what it takes to build it.

Environment:
    MXQ_CUDA        1: build it, or fail; 0: do not; unset: where nvcc is found, except in place (`build_ext --inplace`
                    is for work on the sources). `emulated`: build the same sources with g++ against
                    tests/cuda_emulation, which runs GPU kernels on the processor, for tests.
    MXQ_CUDA_ARCHS  compute capabilities to make machine code for, such as "80;90"; PTX of the highest is added for
                    later chips. Default: those of 7.0 to 9.0 that the toolkit knows.
    CUDA_HOME       where the toolkit is; default: where the nvcc on PATH is, else /usr/local/cuda
"""

import glob
import os
import re
import shutil
import subprocess

from setuptools.errors import SetupError

ARCHS = (70, 75, 80, 86, 89, 90)
#: Sources of the other flavour that read MXQ_CUDA, and are compiled once for each.
SHARED = re.compile(r"src_ops/(core/registry|mxnet/\w+)\.cc$")
# -fmad=false: a multiply and an add are two roundings, as everywhere else.
NVCC_FLAGS = "-O3 -std=c++17 -fmad=false -cudart static --diag-suppress 177 -Xcompiler -fPIC,-Wall,-Wextra".split()
#: The plain sources must not meet -Wextra's unused parameters of functions that only a device calls.
EMULATED_FLAGS = "-O2 -std=c++17 -fPIC -ffp-contract=off -Wall -Wno-unknown-pragmas -pthread".split()


def sources():
    return sorted(
        glob.glob(os.path.join("src_ops", "cuda", "*.cc")) + glob.glob(os.path.join("src_ops", "cuda", "*.cu"))
    )


def flavour(cxx, in_place):
    """What to build beside the library for processors: an object, or None."""
    choice = os.environ.get("MXQ_CUDA", "")
    if choice == "emulated":
        return Emulated(cxx)
    if choice == "0" or (in_place and not choice):
        return None
    nvcc = find_nvcc()
    if nvcc:
        return Cuda(nvcc)
    if choice:
        raise SetupError(
            "MXQ_CUDA asks for the library with GPU operators, which needs CUDA's compiler.\n"
            "  looked for: nvcc in CUDA_HOME/bin, on PATH and in /usr/local/cuda/bin\n  found: nothing\n"
            "  fix: install the CUDA toolkit, 11.2 or newer, or set CUDA_HOME, or MXQ_CUDA=0 to do without"
        )
    return None


def find_nvcc():
    home = os.environ.get("CUDA_HOME")
    for path in ([os.path.join(home, "bin", "nvcc")] if home else []) + ["nvcc", "/usr/local/cuda/bin/nvcc"]:
        if shutil.which(path):
            return os.path.realpath(shutil.which(path))
    return None


def find_home(nvcc):
    """The toolkit's folder: the nvcc on PATH may be a script that lies elsewhere."""
    folders = [os.environ.get("CUDA_HOME"), os.path.dirname(os.path.dirname(nvcc)), "/usr/local/cuda"]
    for folder in filter(None, folders):
        if os.path.exists(os.path.join(folder, "include", "cuda_runtime.h")):
            return folder
    raise SetupError(
        f"{nvcc} is there, but not the CUDA toolkit's headers.\n  looked for: include/cuda_runtime.h in "
        f"{', '.join(filter(None, folders))}\n  fix: set CUDA_HOME, or MXQ_CUDA=0 to do without the GPU operators"
    )


class Cuda:
    """By nvcc. The CUDA runtime is linked in, so that the library loads on machines without a GPU, too."""

    suffix, library = "cuda", "libmxq_cuda.so"
    defines = ["-DMXQ_CUDA"]

    def __init__(self, nvcc):
        self.nvcc = nvcc
        self.home = find_home(nvcc)
        self.includes = ["-isystem", os.path.join(self.home, "include")]
        known = subprocess.check_output([nvcc, "--list-gpu-code"], universal_newlines=True)
        known = {int(n) for n in re.findall(r"^sm_(\d+)$", known, re.M)}
        asked = os.environ.get("MXQ_CUDA_ARCHS")
        archs = [int(n) for n in re.findall(r"\d+", asked)] if asked else [n for n in ARCHS if n in known]
        if not archs or set(archs) - known:
            raise SetupError(f"MXQ_CUDA_ARCHS={asked!r}: {nvcc} makes code for {', '.join(map(str, sorted(known)))}")
        self.archs = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in archs]
        self.archs.append(f"-gencode=arch=compute_{max(archs)},code=compute_{max(archs)}")

    def compile_command(self, source, out):
        if source.endswith(".cc"):
            return None
        deps = ["-MMD", "-MF", out[:-2] + ".d"]
        return [self.nvcc, *NVCC_FLAGS, *self.archs, *deps, "-c", source, "-o", out]

    def link_flags(self):
        folders = [os.path.join(self.home, "lib64"), os.path.join(self.home, "targets", "x86_64-linux", "lib")]
        for folder in folders:
            path = os.path.join(folder, "libcudart_static.a")
            if os.path.exists(path):
                return [path, "-ldl", "-lrt"]
        raise SetupError(f"the CUDA toolkit in {self.home} has no libcudart_static.a (looked in {', '.join(folders)})")

    def more_sources(self):
        return sources()


class Emulated:
    """By g++, for tests of the kernels on machines without a GPU."""

    suffix, library = "emulated", "libmxq_emulated.so"
    folder = os.path.join("tests", "cuda_emulation")
    defines = ["-DMXQ_CUDA", "-DMXQ_EMULATED"]
    includes = ["-I", folder]

    def __init__(self, cxx):
        self.cxx = cxx

    def compile_command(self, source, out):
        flags = ["-x", "c++", *EMULATED_FLAGS, *self.defines, *self.includes, "-MMD"]
        return [*self.cxx, *flags, "-c", source, "-o", out]

    def link_flags(self):
        return []

    def more_sources(self):
        return sources() + [os.path.join(self.folder, "emulation.cc")]
