"""Weights that a file has as unsigned integers with a zero point: centred, they may lie beyond int8.

The sum of products stays exact where the layer reads its input twice, side by side, with weights that add up to the
file's: ``w = a + b``, both int8. Layers of groups cannot do that and stay float, which is exact as well.
"""

from typing import Tuple

import numpy as np

from .builder import Top
from .onnx_net import OnnxNet, Op


def along(values: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """One number for each index of an axis, so that it broadcasts; a single number as it is."""
    return values if values.size == 1 else values.reshape([-1 if i == axis else 1 for i in range(rank)])


def fitted(net: OnnxNet, op: Op, x: Top, weight: Top, *, inputs: int, axis: int, groups: int = 1) -> Tuple[Top, Top]:
    """The input and the weights of a layer, weights in int8.

    Args:
        inputs: the axis of the weights that the input's channels lie on.
        axis: that of the channels in the input.
    """
    kept = weight.integers
    if kept is None or kept.integers.dtype != np.int16:
        return x, weight
    whole = kept.integers
    if groups == 1 and x.qparams is not None and whole.max() - 127 <= 127 and whole.min() + 128 >= -128:
        first = np.clip(whole, -128, 127)
        both = np.concatenate([first, whole - first], axis=inputs).astype(np.int8)
        name = f"{op.name}_twice"
        shape = tuple(2 * n if i == axis else n for i, n in enumerate(x.shape))
        value = net.emit(op, "Concat", [x.value, x.value], {"dim": axis, "num_args": 2}, shape, "_twice")
        net.set(name, Top(value, shape, qparams=x.qparams))
        doubled = net.valued(name)
        del net.tops[name]
    else:
        others = tuple(i for i in range(whole.ndim) if i != kept.axis)
        count = int(((whole > 127) | (whole < -128)).any(axis=others).sum())
        net.beyond[op.name] = net.beyond[f"{op.name}_linear"] = count  # with a function behind it or without
        return x, weight._replace(integers=None)
    real = both.astype(np.float32) * along(kept.scale, kept.axis, both.ndim)
    return doubled, weight._replace(constant=real, shape=both.shape, integers=kept._replace(integers=both))
