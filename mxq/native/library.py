"""Finds, loads and explains the native library that holds the int8 operators."""

import ctypes
import json
import logging
import os
import sys
from importlib import metadata
from typing import Any, Dict, List

from ..errors import LibraryError
from ..version import __version__

#: The only version whose extension interface the library is built for (MXNet compares for equality).
MXNET_VERSION = "1.9.1"
ONEDNN_WHEEL = "onednn-cpu-gomp"
ONEDNN_LIBRARY = "libdnnl.so.3"
#: An operator that every build has: where MXNet knows it, the library is loaded.
KNOWN_OP = "mxq_quantize_v2"
CPU_LIBRARY, GPU_LIBRARY = "libmxq_cpu.so", "libmxq_cuda.so"

_CPU_FLAGS = ("sse4_1", "avx2", "fma", "avx512f", "avx512bw", "avx512vbmi", "avx_vnni", "avx512_vnni", "amx_int8")

logger = logging.getLogger(__name__)


def library_path() -> str:
    """Absolute path of the native library; any MXNet program can load it, without this package.

    >>> import mxnet as mx
    >>> mx.library.load("/path/printed/by/mxq.library_path()/libmxq_cpu.so", verbose=False)  # doctest: +SKIP

    A program that imports mxq has loaded it: MXNet refuses to load a library twice. The file need not exist:
    :func:`load` explains what to do then.

    There are two flavours: ``libmxq_cpu.so``, and ``libmxq_cuda.so``, which has everything of the other and operators
    for NVIDIA GPUs. The second is taken where it was built and MXNet has GPU support. The environment variable
    ``MXQ_LIBRARY`` names another file.
    """
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib")
    with_gpus = os.path.join(folder, GPU_LIBRARY)
    if os.environ.get("MXQ_LIBRARY"):
        return os.path.abspath(os.environ["MXQ_LIBRARY"])
    if os.path.exists(with_gpus) and _mxnet_has_gpus():
        return with_gpus
    return os.path.join(folder, CPU_LIBRARY)


def load() -> None:
    """Registers the operators with MXNet, once per process; further calls do nothing.

    Raises:
        LibraryError: the library is missing, does not load, or belongs to another version of mxq or MXNet.
    """
    import mxnet as mx

    if mx.__version__ != MXNET_VERSION:
        raise LibraryError(
            f"mxq works with MXNet {MXNET_VERSION}; found {mx.__version__} in {os.path.dirname(mx.__file__)}. "
            f"Install it: {sys.executable} -m pip install mxnet=={MXNET_VERSION}"
        )
    if hasattr(mx.sym, KNOWN_OP):  # by an earlier call, or by mx.library.load of the same file
        return
    path = library_path()
    _check_version(_open(path))
    try:
        mx.library.load(path, verbose=False)
    except mx.MXNetError as error:
        raise LibraryError(f"MXNet does not load {path}: {error}\n{_how_to_build()}") from error
    logger.debug("loaded %s", path)


def info() -> Dict[str, Any]:
    """What is installed and in use: versions, processor features, the library, operators and their implementations.

    >>> import mxq.native
    >>> sorted(mxq.native.info()["versions"])
    ['mxnet', 'mxq', 'numpy', 'onednn', 'onednn_compiled', 'python']

    Raises:
        LibraryError: as :func:`load`, and where the file that MXQ_TUNING names is not one that mxq wrote.
    """
    import mxnet as mx
    import numpy as np

    load()
    described = _describe(opened())
    if "error" in described["tuning"]:
        raise LibraryError(described["tuning"]["error"])
    return {
        "versions": {
            "mxq": described["version"],
            "python": sys.version.split()[0],
            "mxnet": mx.__version__,
            "numpy": np.__version__,
            "onednn": described["onednn"],
            "onednn_compiled": described["onednn_compiled"],
        },
        "library": library_path(),
        "compiler": described["compiler"],
        "cpu": {"features": _cpu_features(), "onednn_isa": described["onednn_isa"], "threads": described["threads"]},
        "cache": described["cache"],
        "ops": described["ops"],
        "tuning": described["tuning"],
        "gpu_ops": described.get("gpu_ops", {}),
    }


def opened() -> ctypes.CDLL:
    """The library that `load` gives to MXNet, for its functions beside operators. Raises LibraryError as `load`."""
    return _open(library_path())


def _open(path: str) -> ctypes.CDLL:
    """The library as ctypes has it, or the reason why it does not load."""
    if not os.path.exists(path):
        folder = os.path.dirname(path)
        there = ", ".join(sorted(os.listdir(folder))) if os.path.isdir(folder) else ""
        raise LibraryError(
            f"the native library of mxq is missing.\n  looked for: {path}\n"
            f"  found there: {there or 'nothing'}\n{_how_to_build()}"
        )
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        if ONEDNN_LIBRARY not in str(error):
            raise LibraryError(f"{path} does not load: {error}\n{_how_to_build()}") from error
    # The folder recorded in the library holds where the wheels lie as pip puts them; elsewhere ask the oneDNN wheel.
    _preload_onednn(path)
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise LibraryError(f"{path} does not load: {error}\n{_how_to_build()}") from error


def _preload_onednn(path: str) -> None:
    try:
        wheel = metadata.distribution(ONEDNN_WHEEL)
    except metadata.PackageNotFoundError:
        raise LibraryError(
            f"{path} needs oneDNN.\n  looked for: {ONEDNN_LIBRARY} beside the library's environment, and the "
            f"distribution {ONEDNN_WHEEL}\n  found: neither\n"
            f"  fix: {sys.executable} -m pip install {ONEDNN_WHEEL}==2023.2.0"
        ) from None
    files = [str(wheel.locate_file(f)) for f in wheel.files or [] if f.name == ONEDNN_LIBRARY]
    present = [f for f in files if os.path.exists(f)]
    if not present:
        raise LibraryError(
            f"{path} needs oneDNN.\n  looked for: {', '.join(files) or ONEDNN_LIBRARY}\n"
            f"  found: {ONEDNN_WHEEL} {wheel.version} without that file\n"
            f"  fix: {sys.executable} -m pip install --force-reinstall {ONEDNN_WHEEL}==2023.2.0"
        )
    ctypes.CDLL(os.path.normpath(present[0]))  # stays loaded, and is then found by its name


def _mxnet_has_gpus() -> bool:
    import mxnet as mx

    return mx.runtime.Features().is_enabled("CUDA")


def _describe(library: ctypes.CDLL) -> Dict[str, Any]:
    library.mxq_describe.restype = ctypes.c_char_p
    return json.loads(library.mxq_describe().decode())


def _check_version(library: ctypes.CDLL) -> None:
    try:
        version = _describe(library)["version"]
    except AttributeError:
        version = "unknown (it has no mxq_describe)"
    if version != __version__:
        raise LibraryError(
            f"the native library does not belong to this mxq.\n  looked for: version {__version__}\n"
            f"  found: version {version} in {library_path()}\n{_how_to_build()}"
        )


def _how_to_build() -> str:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if os.path.exists(os.path.join(root, "setup.py")):
        return f"  build it: cd {root} && {sys.executable} setup.py build_ext --inplace   (or: pip install .)"
    return f"  build it: {sys.executable} -m pip install --force-reinstall --no-cache-dir mxq   (needs g++)"


def _cpu_features() -> List[str]:
    try:
        with open("/proc/cpuinfo") as f:
            flags = next((line.partition(":")[2].split() for line in f if line.startswith("flags")), [])
    except OSError:
        return []
    return [flag for flag in _CPU_FLAGS if flag in flags]
