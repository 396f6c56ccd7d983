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

from ..native.loops import native_library
from ..native.threads import thread_pool
from .qmath import weight_levels

#: Added to the diagonal, relative to its mean: the sample is finite.
DAMPING = 0.01
#: Mean squares between which float32 has digits enough.
SMALLEST, LARGEST = 1e-30, 1e30
_OUTPUTS = 32  # that the native library rounds together
_CUTS = 8  # of the work, among threads


def round_weight(weight: np.ndarray, scale: np.ndarray, moments: np.ndarray, bits: int = 8) -> np.ndarray:
    """int8 weights with a small error on inputs of the given second moments.

    Args:
        weight: float array (O, I / groups, taps...).
        scale: float32 (O,), see `mxq.arithmetic.qmath.quantize_weight`.
        moments: (groups, K, K), K the weights per output; or (groups * blocks, K, K): blocks of K weights each, those
            of different blocks count as independent.
        bits: of the weights; the scale is for so many.

    Returns:
        int8 array of the weight's shape, from -127 to 127 with 8 bits.
    """
    parts, columns = moments.shape[:2]
    blocks = weight.size // len(weight) // columns
    # Columns that matter most come first, while many others can still make up for them.
    order = np.argsort(-np.einsum("gkk->gk", moments), axis=1, kind="stable")
    factor = _factor(moments, order)
    by_column = np.ascontiguousarray(weight, np.float32).reshape(parts // blocks, -1, blocks, columns)
    scales = np.ascontiguousarray(scale, np.float32).reshape(by_column.shape[:2])
    return _nearest_plane(by_column, scales, order, factor, weight_levels(bits)).reshape(weight.shape)


def _factor(moments: np.ndarray, order: np.ndarray) -> np.ndarray:
    """``U^T``, U upper triangular and ``U U^T = moments`` in the given order, each row divided by its diagonal."""
    backwards = order[:, ::-1]
    matrix = np.stack([part[rows][:, rows] for part, rows in zip(moments, backwards)])
    diagonal = np.einsum("gkk->gk", matrix)  # a view
    mean = diagonal.mean(axis=1, keepdims=True)
    says = (mean > SMALLEST) & (mean < LARGEST)  # inputs that were always zero say nothing: round to nearest
    matrix[~says[:, 0]] = 0
    diagonal += np.where(says, DAMPING * mean, 1)
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:  # moments of very different size need more digits
        lower = np.linalg.cholesky(matrix.astype(np.float64))
    transposed = lower[:, ::-1, ::-1].transpose(0, 2, 1)
    return np.ascontiguousarray(transposed / np.einsum("gkk->gk", lower)[:, ::-1, None], np.float32)


def _nearest_plane(
    weight: np.ndarray, scales: np.ndarray, order: np.ndarray, factor: np.ndarray, levels: int
) -> np.ndarray:
    """Rounds column after column, each corrected by the errors of those before it.

    Args:
        weight: float32 (groups, outputs, blocks, K).
        scales: float32 (groups, outputs).
        order: int64 (groups * blocks, K), in which the columns are rounded.
        factor: what `_factor` returns.
        levels: largest integer.

    Returns:
        int8 array of the weight's shape.
    """
    library = native_library()
    if library is None:
        return nearest_plane_in_numpy(weight, scales, order, factor, levels)
    rounded = np.empty(weight.shape, np.int8)
    _, outputs, blocks, columns = weight.shape
    tasks = len(order) * -(-outputs // _OUTPUTS)
    with thread_pool() as for_all:
        cuts = np.linspace(0, tasks, _CUTS + 1).astype(int).tolist()
        for_all(
            lambda task: library.mxq_round_to(
                weight.ctypes.data, outputs, blocks, columns, scales.ctypes.data, order.ctypes.data,
                factor.ctypes.data, *task, levels, rounded.ctypes.data,
            ),
            zip(cuts, cuts[1:]),
        )  # fmt: skip
    return rounded


def nearest_plane_in_numpy(
    weight: np.ndarray, scales: np.ndarray, order: np.ndarray, factor: np.ndarray, levels: int
) -> np.ndarray:
    """The meaning of the native library's mxq_round_to."""
    groups, outputs, blocks, columns = weight.shape
    part = np.arange(groups * blocks)[:, None]
    targets = weight.transpose(0, 2, 3, 1).reshape(groups * blocks, columns, outputs)[part, order]
    scales = np.repeat(scales, blocks, axis=0)
    errors, rounded = np.empty_like(targets), np.empty_like(targets)
    for j in range(columns):
        wanted = targets[:, j] + np.einsum("gi,gio->go", factor[:, j, :j], errors[:, :j])
        rounded[part[:, 0], order[:, j]] = level = np.clip(np.rint(wanted / scales), -levels, levels)
        errors[:, j] = targets[:, j] - level * scales
    return rounded.reshape(groups, blocks, columns, outputs).transpose(0, 3, 1, 2).astype(np.int8)
