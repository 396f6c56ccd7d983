"""Classes of examples from a file."""

import numpy as np

from ..errors import ConfigError


def read_labels(path: str, total: int) -> np.ndarray:
    """int64 (total,), from a .npy file or from text with a number a line.

    Raises ConfigError for another number of them, or what is no whole number.
    """
    try:
        if path.endswith(".npy"):
            found = np.load(path, allow_pickle=False)
        else:
            with open(path, encoding="utf-8") as file:
                found = np.array([float(line) for line in file if line.strip()])
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"cannot read the labels {path!r}: {error}") from error
    if found.ndim != 1 or found.dtype.kind not in "iuf" or not np.array_equal(found, np.rint(found)):
        raise ConfigError(f"labels {path!r} of shape {found.shape} and type {found.dtype}: give a class number each")
    if len(found) != total:
        raise ConfigError(f"{path!r} has {len(found)} labels for {total} examples: give one each")
    return found.astype(np.int64)
