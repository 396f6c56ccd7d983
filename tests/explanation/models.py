"""Quantized small networks to explain."""

import functools

import numpy as np

import mxq
from tests.networks import NETWORKS


@functools.lru_cache(maxsize=None)
def quantized(name: str, **options):
    """(model, data by input name) of a small network; its last input decides how many examples there are."""
    symbol, args, aux, shapes = NETWORKS[name]()
    n = 1 if name in ("multi_output", "upsampled") else 6
    rng = np.random.RandomState(5)
    data = {key: rng.normal(0, 1, (n, *shape[1:])).astype(np.float32) for key, shape in shapes.items()}
    return mxq.quantize_model(symbol, (args, aux), data, sub_batch=None, **options), data
