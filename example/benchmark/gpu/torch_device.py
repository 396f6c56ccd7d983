"""Memory, streams and clocks of a GPU by way of PyTorch, for the host of tests/host."""

import os
import sys
from typing import Any, Callable, List

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from tests.host.abi import Array, Library, Shape  # noqa: E402

TYPES = {"int8": torch.int8, "uint8": torch.uint8, "int32": torch.int32, "float32": torch.float32}
REPEATS, WARM_UP = 15, 3


class Buffer:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self.dtype, self.shape = str(tensor.dtype).replace("torch.", ""), tuple(tensor.shape)
        self.array = Array(tensor.data_ptr(), self.dtype, self.shape)

    def numpy(self) -> np.ndarray:
        return self.tensor.cpu().numpy()


class TorchDevice:
    """Operators run on PyTorch's current stream, so that its graphs record them."""

    context = "gpu"
    index = 0

    def __init__(self) -> None:
        self._space = torch.empty(1 << 20, dtype=torch.uint8, device="cuda")

    @property
    def stream(self) -> int:
        return torch.cuda.current_stream().cuda_stream

    def empty(self, dtype: str, shape: Shape) -> Buffer:
        return Buffer(torch.empty(tuple(shape), dtype=TYPES[dtype], device="cuda"))

    def put(self, values: np.ndarray) -> Buffer:
        return Buffer(torch.from_numpy(np.array(values)).cuda())

    def host_workspace(self, size: int) -> int:
        return 0

    def workspace(self, size: int) -> int:
        if size > self._space.numel():
            if torch.cuda.is_current_stream_capturing():
                raise RuntimeError("an operator asks for more temporary memory than in its first runs")
            torch.cuda.synchronize()
            self._space = torch.empty(size, dtype=torch.uint8, device="cuda")
        return self._space.data_ptr()

    def synchronize(self) -> None:
        torch.cuda.synchronize()


def microseconds(runs: List[Callable[[], Any]]) -> float:
    """Device time of one run: the median over replays of a graph in which all of them follow each other."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            for run in runs:
                run()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for run in runs:
            run()
    graph.replay()
    torch.cuda.synchronize()
    times = []
    for _ in range(REPEATS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / len(runs))
    return float(np.median(times))


def bandwidth() -> float:
    """Bytes read and written per microsecond by a large copy on the device."""
    source = torch.randint(0, 255, (1 << 31,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / microseconds([lambda: target.copy_(source)])


def int8_peak() -> float:
    """Multiplications per microsecond of a large int8 matrix product by cuBLAS."""
    n = 8192
    a = torch.randint(-128, 127, (n, n), dtype=torch.int8, device="cuda")
    b = torch.randint(-128, 127, (n, n), dtype=torch.int8, device="cuda").t()
    return n**3 / microseconds([lambda: torch._int_mm(a, b)])


def load(path: str) -> Library:
    return Library(path)
