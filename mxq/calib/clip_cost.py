"""What clipping costs beside rounding, in the layers that read a tensor: measured, for calib_mode='auto'."""

from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from .samples import Layer, Rows

#: Rows of the sample that are looked at, and the share of their values that is clipped to see what happens.
ROWS = 512
SHARE = 0.01


class ClipCost:
    """How many times as much clipping errors count in a tensor's readers as rounding errors of the same size.

    Rounding errors of the inputs of a sum are independent: their squares add up to ``sum w^2`` times the square of one.
    Clipping errors come together and point the same way. The cost is the mean square of ``W e``, for the errors e that
    clipping the largest values of sampled inputs makes, over what independent errors of the same size would give.

    Args:
        layers: those that read tensors.
        weights: layer -> weight (O, I / groups, taps...).
        samples: by `Layer.source`.
        scales: tensor key -> factor per channel of the samples.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        weights: Mapping[str, np.ndarray],
        samples: Mapping[str, Rows],
        scales: Mapping[str, np.ndarray],
    ):
        self._readers: Dict[str, List[Layer]] = {}
        for layer in layers:
            if layer.source in samples:
                self._readers.setdefault(layer.key, []).append(layer)
        self._weights, self._samples, self._scales = weights, samples, scales

    def __call__(self, key: str) -> Optional[float]:
        """The largest cost over the tensor's readers; None for a tensor that no sampled layer reads."""
        costs = []
        for layer in self._readers.get(key, ()):
            x = self._samples[layer.source].rows(None if layer.rows else self._scales.get(key))[:ROWS]
            threshold = np.quantile(np.abs(x), 1 - SHARE)
            errors = x - np.clip(x, -threshold, threshold)
            errors = errors.reshape(len(errors), layer.groups, -1).transpose(1, 0, 2)
            w = np.asarray(self._weights[layer.name], np.float32).reshape(layer.groups, -1, errors.shape[2])
            together = np.square(np.matmul(errors, w.transpose(0, 2, 1))).mean(dtype=np.float64)
            alone = np.square(errors).mean(dtype=np.float64) * np.square(w).sum(axis=2).mean(dtype=np.float64)
            if alone > 0:
                costs.append(float(together / alone))
        return max(costs) if costs else None
