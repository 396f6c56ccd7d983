"""Images as the engines get them: read from the arrays that networks.py wrote, normalized as the network wants."""

import functools

import numpy as np


@functools.lru_cache(maxsize=4)
def _array(path: str) -> np.ndarray:
    return np.load(path, mmap_mode="r")


def normalized(network: dict, split: str, count: int, first: int = 0) -> np.ndarray:
    """`count` images of a split ('calib' or 'val') from `first` on, as float32 NCHW; fewer where there are no more."""
    raw = np.asarray(_array(network[split])[first : first + count], np.float32)
    mean, std = (np.float32(network[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    return (raw - mean) / std


def labels(network: dict) -> np.ndarray:
    """The classes of the evaluation images."""
    return np.load(network["labels"])
