"""Memory and streams of the contexts that the host can run operators in."""

import ctypes
import glob
import os
import sys
from ctypes import byref, c_int, c_size_t, c_void_p
from typing import Any, List

import numpy as np

from .abi import Array, HostError, Library, Shape

GUARD = 256  # bytes before and after every buffer that an operator must leave alone
POISON = 0xA5  # what an output holds before the operator has written it


def _size(dtype: str, shape: Shape) -> int:
    return int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64))


class HostBuffer:
    """64-byte aligned memory of this process between two guards."""

    def __init__(self, dtype: str, shape: Shape) -> None:
        self.dtype, self.shape, self.bytes = dtype, tuple(int(d) for d in shape), _size(dtype, shape)
        self._memory = np.full(self.bytes + 2 * GUARD + 64, POISON, np.uint8)
        self._start = GUARD + -(self._memory.ctypes.data + GUARD) % 64
        self.array = Array(self._memory.ctypes.data + self._start, dtype, self.shape)

    def write(self, values: np.ndarray) -> None:
        self._memory[self._start : self._start + self.bytes] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)

    def numpy(self) -> np.ndarray:
        data = self._memory[self._start : self._start + self.bytes].tobytes()
        return np.frombuffer(data, self.dtype).reshape(self.shape).copy()

    def check(self) -> None:
        outside = np.concatenate([self._memory[: self._start], self._memory[self._start + self.bytes :]])
        if np.any(outside != POISON):
            raise HostError(f"the operator wrote outside an array of shape {self.shape}")


class Cpu:
    """The processor. `context` is what operators are told; a library with emulated CUDA takes 'gpu' here."""

    stream = 0
    index = 0

    def __init__(self, context: str = "cpu") -> None:
        self.context = context
        self._spaces: List[HostBuffer] = []

    def empty(self, dtype: str, shape: Shape) -> HostBuffer:
        return HostBuffer(dtype, shape)

    def put(self, values: np.ndarray) -> HostBuffer:
        buffer = HostBuffer(str(values.dtype), values.shape)
        buffer.write(values)
        return buffer

    def host_workspace(self, size: int) -> int:
        self._spaces = [HostBuffer("uint8", (size,))]
        return self._spaces[0].array.pointer

    def workspace(self, size: int) -> int:
        return self.host_workspace(size) if self.context == "gpu" else 0

    def synchronize(self) -> None:
        for space in self._spaces:
            space.check()

    def take_fault(self, library: Library) -> None:
        if self.context == "gpu":
            _raise_fault(library)


def _raise_fault(library: Library) -> None:
    """What an operator found on the GPU comes up at the next call; the host asks for it at once."""
    library.lib.mxq_cuda_take_fault.restype = ctypes.c_char_p
    text = library.lib.mxq_cuda_take_fault()
    if text:
        raise HostError(text.decode())


def find_cudart() -> str:
    """The CUDA runtime: of the toolkit, or of the wheels that PyTorch brings."""
    folders = [os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/lib64", "/usr/local/cuda/lib64"]
    for path in sys.path:
        folders += glob.glob(os.path.join(path, "nvidia", "*", "lib"))
    for folder in folders:
        for name in sorted(glob.glob(os.path.join(folder, "libcudart.so*")), reverse=True):
            return name
    return "libcudart.so"


class CudaBuffer:
    def __init__(self, device: "Cuda", dtype: str, shape: Shape) -> None:
        self.device, self.dtype, self.shape, self.bytes = device, dtype, tuple(shape), _size(dtype, shape)
        self._base = device.malloc(self.bytes + 2 * GUARD)
        device.call("cudaMemset", c_void_p(self._base), POISON, c_size_t(self.bytes + 2 * GUARD))
        self.array = Array(self._base + GUARD, dtype, self.shape)

    def write(self, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values)
        self.device.copy(self.array.pointer, values.ctypes.data, self.bytes)

    def _read(self, start: int, size: int) -> np.ndarray:
        out = np.empty(size, np.uint8)
        self.device.copy(out.ctypes.data, self._base + start, size)
        return out

    def numpy(self) -> np.ndarray:
        return self._read(GUARD, self.bytes).view(self.dtype).reshape(self.shape)

    def check(self) -> None:
        outside = np.concatenate([self._read(0, GUARD), self._read(GUARD + self.bytes, GUARD)])
        if np.any(outside != POISON):
            raise HostError(f"the operator wrote outside an array of shape {self.shape}")

    def __del__(self) -> None:
        self.device.call("cudaFree", c_void_p(self._base))


class Cuda:
    """An NVIDIA GPU by way of the CUDA runtime, with a stream of its own."""

    context = "gpu"

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.runtime = ctypes.CDLL(find_cudart())
        count = c_int()
        if self.runtime.cudaGetDeviceCount(byref(count)) or count.value <= index:
            raise HostError(f"there is no GPU {index}")
        self.call("cudaSetDevice", index)
        stream = c_void_p()
        self.call("cudaStreamCreateWithFlags", byref(stream), 1)  # does not wait for the default stream
        self.stream = stream.value
        self._space, self._space_size = 0, 0

    def call(self, function: str, *arguments: Any) -> None:
        status = getattr(self.runtime, function)(*arguments)
        if status:
            self.runtime.cudaGetErrorString.restype = ctypes.c_char_p
            raise HostError(f"{function}: {self.runtime.cudaGetErrorString(status).decode()}")

    def malloc(self, size: int) -> int:
        pointer = c_void_p()
        self.call("cudaMalloc", byref(pointer), c_size_t(max(size, 1)))
        return pointer.value or 0

    def copy(self, to: int, source: int, size: int) -> None:
        if size:
            self.call("cudaMemcpy", c_void_p(to), c_void_p(source), c_size_t(size), 4)  # direction by address

    def empty(self, dtype: str, shape: Shape) -> CudaBuffer:
        return CudaBuffer(self, dtype, shape)

    def put(self, values: np.ndarray) -> CudaBuffer:
        buffer = CudaBuffer(self, str(values.dtype), values.shape)
        buffer.write(values)
        return buffer

    def host_workspace(self, size: int) -> int:
        return 0  # a GPU operator must not ask

    def workspace(self, size: int) -> int:
        if size > self._space_size:
            self.synchronize()
            if self._space:
                self.call("cudaFree", c_void_p(self._space))
            self._space, self._space_size = self.malloc(size), size
        return self._space

    def synchronize(self) -> None:
        self.call("cudaStreamSynchronize", c_void_p(self.stream))

    def take_fault(self, library: Library) -> None:
        _raise_fault(library)
