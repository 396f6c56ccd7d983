"""Rounding a layer's weights so that their errors cancel on real inputs.

Rounding to nearest minimizes the error of each weight; what counts is that of their sum, ``|(w' - w) x|^2`` over the
inputs x. Column by column, a weight is rounded and the error is taken up by the columns that are still free, as the
second moments of the inputs say.

Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022, and
before it Hassibi and Stork, "Optimal Brain Surgeon", 1993.
"""

import numpy as np

from .qmath import LEVELS

#: Added to the diagonal, relative to its mean: the sample is finite.
DAMPING = 0.01
_BLOCK = 64


def round_weight(weight: np.ndarray, scale: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """int8 weights with a small error on inputs of the given second moments.

    Args:
        weight: float array (O, I / groups, taps...).
        scale: float32 (O,), see `mxq.qmath.quantize_weight`.
        moments: (groups, K, K), K the weights per output.

    Returns:
        int8 array of the weight's shape, in [-127, 127].
    """
    groups = len(moments)
    by_group = np.asarray(weight, np.float64).reshape(groups, weight.shape[0] // groups, -1)
    scales = np.asarray(scale, np.float64).reshape(groups, -1)
    rounded = [_round_group(*arguments) for arguments in zip(by_group, scales, moments)]
    return np.concatenate(rounded).reshape(weight.shape).astype(np.int8)


def _round_group(weight: np.ndarray, scale: np.ndarray, moment: np.ndarray) -> np.ndarray:
    levels = LEVELS["int8"]
    diagonal = np.diag(moment).astype(np.float64)
    if not diagonal.any():  # inputs that were always zero say nothing
        return np.clip(np.rint(weight / scale[:, None]), -levels, levels)
    # Columns that matter most come first, while many others can still make up for them.
    order = np.argsort(-diagonal, kind="stable")
    moment = moment.astype(np.float64)[np.ix_(order, order)]
    moment[np.diag_indices_from(moment)] += DAMPING * diagonal.mean()
    factor = np.linalg.cholesky(np.linalg.inv(moment)).T  # upper: row j says who takes up the error of column j
    free, rounded = weight[:, order], np.empty_like(weight)
    columns = free.shape[1]
    for start in range(0, columns, _BLOCK):
        stop = min(start + _BLOCK, columns)
        errors = np.empty((len(free), stop - start))
        for j in range(start, stop):
            rounded[:, j] = np.clip(np.rint(free[:, j] / scale), -levels, levels)
            error = (free[:, j] - rounded[:, j] * scale) / factor[j, j]
            free[:, j + 1 : stop] -= np.outer(error, factor[j, j + 1 : stop])
            errors[:, j - start] = error
        free[:, stop:] -= errors @ factor[start:stop, stop:]
    return rounded[:, np.argsort(order, kind="stable")]
