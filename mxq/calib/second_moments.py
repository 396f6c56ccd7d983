"""How the inputs of a layer's weights vary together: what rounding needs to know to let errors cancel.

For a layer with K weights per output, ``H = sum x x^T`` over sampled rows x of length K.
"""

from typing import Dict, Mapping, Sequence

import numpy as np

from .samples import Layer, Rows

#: A layer with more weights per output and group counts as several that read some of the channels each: moments are K^2
#: numbers, and rounding with them K^3 operations.
MAX_WEIGHTS = 576


class SecondMoments(Mapping):
    """Layer name -> float32 array (groups * blocks, K, K), made when it is asked for.

    Args:
        layers: those to be rounded.
        samples: by `Layer.source`.
        scales: tensor key -> factor per channel that the samples are multiplied by.
    """

    def __init__(
        self, layers: Sequence[Layer], samples: Mapping[str, Rows], scales: Mapping[str, np.ndarray] = None
    ):  # fmt: skip
        self._layers: Dict[str, Layer] = {layer.name: layer for layer in layers if layer.source in samples}
        self._samples, self._scales = samples, dict(scales or {})

    def __getitem__(self, name: str) -> np.ndarray:
        layer = self._layers[name]
        scale = None if layer.rows else self._scales.get(layer.key)  # channels of rows lie elsewhere, and keep theirs
        return moments_of(self._samples[layer.source].rows(scale), layer.groups)

    def __contains__(self, name: object) -> bool:
        return name in self._layers

    def __iter__(self):
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def moments_of(rows: np.ndarray, groups: int) -> np.ndarray:
    """Sums of outer products of rows (n, channels, taps), for each group and block of channels."""
    count, channels, taps = rows.shape
    parts = groups * blocks_of(channels // groups, taps)
    by_part = rows.reshape(count, parts, -1).transpose(1, 0, 2)
    if by_part.shape[2] < 64:
        return np.matmul(by_part.transpose(0, 2, 1), by_part)
    return np.stack([part.T @ part for part in map(np.ascontiguousarray, by_part)])


def blocks_of(channels: int, taps: int) -> int:
    """The least number of equal blocks of channels with at most MAX_WEIGHTS weights per output each."""
    for blocks in range(1, channels + 1):
        if channels % blocks == 0 and channels // blocks * taps <= MAX_WEIGHTS:
            return blocks
    return channels
