"""How the inputs of a layer's weights vary together: what rounding needs to know to let errors cancel.

For a layer with K weights per output, ``H = sum x x^T`` over sampled patches x of length K. Collected beside the
statistics in the same pass, as an observer of `collect`.
"""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

#: Output positions sampled per example and layer.
POSITIONS = 32
#: Layers with more weights per output and group are rounded to nearest: K^2 numbers, K^3 operations.
MAX_WEIGHTS = 2304


class Layer(NamedTuple):
    """A layer to observe. `stride`, `dilate`, `begin`, `end` are empty for fully connected layers."""

    name: str
    key: str
    groups: int
    kernel: Tuple[int, ...] = ()
    stride: Tuple[int, ...] = ()
    dilate: Tuple[int, ...] = ()
    begin: Tuple[int, ...] = ()
    end: Tuple[int, ...] = ()


class SecondMoments(Mapping):
    """Layer name -> float32 array (groups, K, K). Call it with each watched tensor."""

    def __init__(self, layers: Sequence[Layer]):
        self._by_key: Dict[str, List[Layer]] = {}
        for layer in layers:
            self._by_key.setdefault(layer.key, []).append(layer)
        self._moments: Dict[str, np.ndarray] = {}
        # One generator a layer, drawn from example by example: the same patches however examples come in batches.
        self._random = {layer.name: np.random.RandomState(0) for layer in layers}

    def __call__(self, key: str, array: np.ndarray) -> None:
        for layer in self._by_key.get(key, ()):
            rows = sample_patches(array, layer, self._random[layer.name])
            by_group = rows.reshape(len(rows), layer.groups, -1).transpose(1, 0, 2)
            moment = np.matmul(by_group.transpose(0, 2, 1), by_group)
            seen = self._moments.get(layer.name)
            self._moments[layer.name] = moment if seen is None else seen + moment

    def __getitem__(self, name: str) -> np.ndarray:
        return self._moments[name]

    def __iter__(self):
        return iter(self._moments)

    def __len__(self) -> int:
        return len(self._moments)


def sample_patches(x: np.ndarray, layer: Layer, random: np.random.RandomState) -> np.ndarray:
    """Rows (n, C * taps) that the layer multiplies by its weights, at random output positions.

    Args:
        x: input of the layer, (N, C, spatial...).
    """
    x = np.asarray(x, np.float32)
    if not layer.kernel:
        return x.reshape(len(x), -1)
    padded = np.pad(x, [(0, 0), (0, 0), *zip(layer.begin, layer.end)])
    count = POSITIONS * len(x)
    example = np.repeat(np.arange(len(x)), POSITIONS)
    index = [example.reshape((-1,) + (1,) * len(layer.kernel))]
    where = random.random_sample((count, len(layer.kernel)))
    for axis, (kernel, stride, dilate) in enumerate(zip(layer.kernel, layer.stride, layer.dilate)):
        outputs = (padded.shape[2 + axis] - dilate * (kernel - 1) - 1) // stride + 1
        start = (where[:, axis] * outputs).astype(np.int64) * stride
        taps = start[:, None] + np.arange(kernel) * dilate
        index.append(taps.reshape((count,) + (1,) * axis + (kernel,) + (1,) * (len(layer.kernel) - axis - 1)))
    patches = padded[(index[0], slice(None), *index[1:])]  # (n, taps..., C)
    return np.moveaxis(patches, -1, 1).reshape(count, -1)
