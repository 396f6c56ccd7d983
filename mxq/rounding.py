"""Rounding a layer's weights so that their errors cancel on real inputs.

Rounding to nearest minimizes the error of each weight; what counts is that of their sum, ``|(w' - w) x|^2`` over the
inputs x. Column by column, a weight is rounded and the error is taken up by the columns that are still free, as the
second moments of the inputs say.

Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022, and
before it Hassibi and Stork, "Optimal Brain Surgeon", 1993. Here without an inverse: with second
moments ``U U^T``, U upper triangular, the error is ``|(w' - w) U|^2``, whose column j knows weights up to j only: each
weight is rounded so that its own column is the least. That is Babai's nearest plane, and the same choice.
"""

import numpy as np

from .qmath import LEVELS

#: Added to the diagonal, relative to its mean: the sample is finite.
DAMPING = 0.01
#: Mean squares between which float32 has digits enough.
SMALLEST, LARGEST = 1e-30, 1e30
_BLOCK = 64


def round_weight(weight: np.ndarray, scale: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """int8 weights with a small error on inputs of the given second moments.

    Args:
        weight: float array (O, I / groups, taps...).
        scale: float32 (O,), see `mxq.qmath.quantize_weight`.
        moments: (groups, K, K), K the weights per output; or (groups * blocks, K, K): blocks of K weights each, those
            of different blocks count as independent.

    Returns:
        int8 array of the weight's shape, in [-127, 127].
    """
    groups, columns = moments.shape[:2]
    outputs = len(weight)
    blocks = weight.size // outputs // columns
    groups //= blocks
    # (groups, blocks, K, outputs of a group), and the first two together
    by_column = np.asarray(weight, np.float32).reshape(groups, outputs // groups, blocks, columns).transpose(0, 2, 3, 1)
    targets = by_column.reshape(groups * blocks, columns, -1)
    scales = np.repeat(np.asarray(scale, np.float32).reshape(groups, -1), blocks, axis=0)
    # Columns that matter most come first, while many others can still make up for them.
    order = np.argsort(-np.einsum("gkk->gk", moments), axis=1, kind="stable")
    part = np.arange(groups * blocks)[:, None]
    rounded = np.empty_like(targets)
    rounded[part, order] = _nearest_plane(targets[part, order], scales, _factor(moments, order))
    rounded = rounded.reshape(by_column.shape).transpose(0, 3, 1, 2)
    return rounded.reshape(weight.shape).astype(np.int8)


def _factor(moments: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Upper triangular U of ``U U^T = moments`` in the given order, each column divided by its diagonal."""
    backwards = order[:, ::-1]
    matrix = moments[np.arange(len(order))[:, None, None], backwards[:, :, None], backwards[:, None, :]]
    diagonal = np.einsum("gkk->gk", matrix)  # a view
    mean = diagonal.mean(axis=1, keepdims=True)
    says = (mean > SMALLEST) & (mean < LARGEST)  # inputs that were always zero say nothing: round to nearest
    matrix[~says[:, 0]] = 0
    diagonal += np.where(says, DAMPING * mean, 1)
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:  # moments of very different size need more digits
        lower = np.linalg.cholesky(matrix.astype(np.float64))
    upper = lower[:, ::-1, ::-1]
    return (upper / np.einsum("gkk->gk", upper)[:, None, :]).astype(np.float32)


def _nearest_plane(targets: np.ndarray, scales: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Rounds column after column, each corrected by the errors of those before it.

    Args:
        targets: float32 (groups, K, outputs).
        scales: float32 (groups, outputs).
        factor: what `_factor` returns.
    """
    levels = np.float32(LEVELS["int8"])
    errors, rounded = np.empty_like(targets), np.empty_like(targets)
    columns = targets.shape[1]
    for start in range(0, columns, _BLOCK):
        stop = min(start + _BLOCK, columns)
        wanted = np.matmul(factor[:, :start, start:stop].transpose(0, 2, 1), errors[:, :start])
        wanted += targets[:, start:stop]
        for j in range(start, stop):
            column = wanted[:, j - start]
            if j > start:
                column += np.matmul(factor[:, None, start:j, j], errors[:, start:j])[:, 0]
            np.divide(column, scales, out=column)
            np.rint(column, out=column)
            np.minimum(np.maximum(column, -levels, out=column), levels, out=rounded[:, j])
            np.subtract(targets[:, j], rounded[:, j] * scales, out=errors[:, j])
    return rounded
