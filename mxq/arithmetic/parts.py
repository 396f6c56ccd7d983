"""Weights for data in two parts, whole steps and the rests of a step (`qmath.quantize_fine`)."""

import numpy as np


def weights_in_parts(weight: np.ndarray, fine_steps: int) -> np.ndarray:
    """Integer weights for both halves of the channels: the second half counts parts of a step.

    Args:
        weight: ``(outputs, inputs, ...)``, int8.

    Returns:
        np.ndarray: ``(outputs, 2 * inputs, ...)``, int8.

    >>> weights_in_parts(np.int8([[80, -8]]), 8).tolist()
    [[80, -8, 10, -1]]
    """
    rest = round_sums(weight / np.float64(fine_steps)).astype(weight.dtype)
    return np.concatenate([weight, rest], axis=1)


def round_sums(weight: np.ndarray) -> np.ndarray:
    """Rounds to nearest, but for as many as it takes to get the sum of each output channel right.

    Rests are never negative: times weights whose errors have a mean they would shift the output.
    """
    rows = weight.reshape(len(weight), -1)
    rounded = np.rint(rows)
    missing = np.rint((rows - rounded).sum(axis=1)).astype(int)
    for row, (count, error) in enumerate(zip(missing, rows - rounded)):
        chosen = np.argsort(-error * np.sign(count), kind="stable")[: abs(count)]
        rounded[row, chosen] += np.sign(count)
    return rounded.reshape(weight.shape)
