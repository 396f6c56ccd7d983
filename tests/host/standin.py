"""A module that stands in for mxnet where there is none: ``mx.nd.<operator>`` by way of the host, and nothing else.

The tests of operators are written for MXNet. With the stand-in they run unchanged on any context of the library. What
they ask of MXNet beyond mxq's operators (its own operators, symbols) skips the test that asks.
"""

import contextlib
import os
import sys
import threading
import types
import unittest
from typing import Any, Callable

import numpy as np

from . import abi

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


#: Implementations that tests name. On a GPU the best one there takes their place.
FOR_PROCESSORS = ("ref", "avx", "tiles", "vnni")


class MXNetError(RuntimeError):
    pass


class NDArray:
    """Values on the host; an operator has them copied to its device at each call."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape, self.dtype, self.size = values.shape, values.dtype.type, values.size

    def asnumpy(self) -> np.ndarray:
        return self._values.copy()

    def astype(self, dtype: Any) -> "NDArray":
        return NDArray(self._values.astype(dtype))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unittest.SkipTest(f"needs MXNet itself: NDArray.{name}")

    def __setitem__(self, where: Any, values: Any) -> None:
        raise unittest.SkipTest("needs MXNet itself: writing into an NDArray")


class _Absent(types.ModuleType):
    """Raises a skip for whatever is not there."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unittest.SkipTest(f"needs MXNet itself: {self.__name__}.{name}")


class _Operators(_Absent):
    def __init__(self, library: abi.Library, make_device: Callable[[], Any]) -> None:
        super().__init__("mxnet.nd")
        self._library, self._make_device, self._thread = library, make_device, threading.local()

    def _device(self) -> Any:
        """One for each thread, with its stream and temporary space, as MXNet has it."""
        if not hasattr(self._thread, "device"):
            self._thread.device = self._make_device()
        return self._thread.device

    def array(self, values: Any, dtype: Any = np.float32) -> NDArray:
        return NDArray(np.ascontiguousarray(np.asarray(values).astype(dtype)))

    def zeros(self, shape: Any, dtype: Any = np.float32) -> NDArray:
        return NDArray(np.zeros(shape, dtype))

    def ones(self, shape: Any, dtype: Any = np.float32) -> NDArray:
        return NDArray(np.ones(shape, dtype))

    def __getattr__(self, name: str) -> Any:
        if name not in self._library.operators:
            return super().__getattr__(name)

        def run(*arrays: NDArray, **attrs: Any) -> Any:
            attrs.pop("name", None)
            device = self._device()
            if device.context == "gpu" and attrs.get("backend") in FOR_PROCESSORS:
                attrs["backend"] = "auto"
            try:
                values = [a._values for a in arrays]
                outputs = abi.call(device, self._library, name, values, attrs)
            except abi.HostError as error:
                raise MXNetError(f"Error in operator {name}: {error}") from error
            results = [NDArray(buffer.numpy()) for buffer in outputs]
            return results if len(results) > 1 else results[0]

        return run


def install(library_path: str, make_device: Callable[[], Any]) -> abi.Library:
    """Makes ``import mxnet`` and ``import mxq`` give the stand-ins; to be called before either is imported."""
    assert "mxnet" not in sys.modules, "the stand-in has to come before MXNet"
    # Submodules of mxq that need no MXNet import as usual, without the package's __init__, which needs it.
    package = types.ModuleType("mxq")
    package.__path__ = [os.path.join(REPO, "mxq")]
    sys.modules["mxq"] = package
    from mxq.native import library as native
    from mxq.version import __version__

    package.__version__ = __version__

    native._open(library_path)  # finds what the library needs, and says what is missing
    library = abi.Library(library_path)
    mxnet = _Absent("mxnet")
    mxnet.__version__ = native.MXNET_VERSION
    mxnet.__file__ = __file__
    mxnet.MXNetError = MXNetError
    mxnet.base = _Absent("mxnet.base")
    mxnet.base.MXNetError = MXNetError
    mxnet.nd = _Operators(library, make_device)
    mxnet.util = _Absent("mxnet.util")
    mxnet.util.np_shape = lambda active=True: contextlib.nullcontext()  # shapes with zeros are taken as they are
    mxnet.sym = _Absent("mxnet.sym")
    for name in library.operators:
        setattr(mxnet.sym, name, _symbol)
    sys.modules.update({"mxnet": mxnet, "mxnet.base": mxnet.base, "mxnet.nd": mxnet.nd, "mxnet.sym": mxnet.sym})
    mxnet.host = types.SimpleNamespace(library=library, make_device=make_device)
    package.native = sys.modules["mxq.native"]
    package.library_path = lambda: library_path
    described = native._describe(library.lib)
    context = make_device().context
    operators = described["ops"] if context == "cpu" else described["gpu_ops"]
    # The package has names of its own for what its module has.
    package.native.load = native.load = lambda: None
    package.native.info = native.info = lambda: dict(described, ops=operators, context=context)
    return library


def _symbol(*unused: Any, **options: Any) -> Any:
    raise unittest.SkipTest("needs MXNet itself: symbols")
