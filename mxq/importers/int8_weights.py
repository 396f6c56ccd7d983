"""Weights that a file has as unsigned integers with a zero point: centred, a few of them may lie beyond int8.

The sum of products stays exact with weights in two parts that add up to the file's, ``w = a + b``, both int8. `b` is
zero but for these few. A layer without groups reads the channels that they need a second time, beside its input. In a
layer of groups those channels would not lie side by side: there the two parts are layers of their own, added before the
activation.
"""

from typing import Callable, List, NamedTuple, Optional, Tuple

import numpy as np

from ..arithmetic.qmath import QParams
from ..network.graph import Value
from .builder import Shape, Top
from .onnx_net import OnnxNet, Op

#: So many runs of channels are read again at most, each by a slice of its own.
_RUNS = 4
#: Kernels read channels by so many.
_ALIGNED = 4


class Fitted(NamedTuple):
    """Input and int8 weights of a layer; `rest` are weights of a second layer on the same input."""

    x: Top
    weight: Top
    rest: Optional[Top] = None


def along(values: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """One number for each index of an axis, so that it broadcasts; a single number as it is."""
    return values if values.size == 1 else values.reshape([-1 if i == axis else 1 for i in range(rank)])


def fitted(net: OnnxNet, op: Op, x: Top, weight: Top, *, inputs: int, axis: int, groups: int = 1) -> Fitted:
    """The input and the weights of a layer, weights in int8.

    Args:
        inputs: the axis of the weights that the input's channels lie on.
        axis: that of the channels in the input.
    """
    kept = weight.integers
    if kept is None or kept.integers.dtype != np.int16:
        return Fitted(x, weight)
    whole = kept.integers
    first = np.clip(whole, -128, 127)
    rest = whole - first
    if x.qparams is None or rest.max() > 127 or rest.min() < -128:
        others = tuple(i for i in range(whole.ndim) if i != kept.axis)
        net.beyond[op.name] = net.beyond[f"{op.name}_linear"] = int((rest != 0).any(axis=others).sum())
        return Fitted(x, weight._replace(integers=None))
    if groups > 1:
        return Fitted(x, _of(weight, first), _of(weight, rest))
    runs = _runs(
        np.flatnonzero((rest != 0).any(axis=tuple(i for i in range(whole.ndim) if i != inputs))), x.shape[axis]
    )
    again = [np.take(rest, np.arange(*run), axis=inputs) for run in runs]
    both = _of(weight, np.concatenate([first, *again], axis=inputs))
    return Fitted(_beside(net, op, x, runs, axis), both)


def _of(weight: Top, whole: np.ndarray) -> Top:
    """The weight with other integers."""
    kept = weight.integers._replace(integers=whole.astype(np.int8))
    real = whole.astype(np.float32) * along(kept.scale, kept.axis, whole.ndim)
    return weight._replace(constant=real, shape=whole.shape, integers=kept)


def _runs(needed: np.ndarray, channels: int) -> List[Tuple[int, int]]:
    """Few runs (begin, end) of channels with all that are needed, so that the sum of channels is aligned."""
    runs = [(int(n), int(n) + 1) for n in needed]
    while len(runs) > 1:
        gaps = [after[0] - before[1] for before, after in zip(runs, runs[1:])]
        least = int(np.argmin(gaps))
        if len(runs) <= _RUNS and gaps[least] > 0:
            break
        runs[least : least + 2] = [(runs[least][0], runs[least + 1][1])]
    begin, end = runs[-1]
    more = -(channels + sum(e - b for b, e in runs)) % _ALIGNED
    end = min(end + more, channels)
    return [*runs[:-1], (begin, end)]


def _beside(net: OnnxNet, op: Op, x: Top, runs: List[Tuple[int, int]], axis: int) -> Top:
    """The input with runs of its channels once more behind it."""
    values, shape = [x.value], list(x.shape)
    for i, (begin, end) in enumerate(runs):
        part = tuple(end - begin if k == axis else n for k, n in enumerate(x.shape))
        attrs = {"axis": axis, "begin": begin, "end": end}
        values.append(
            stored(net, op, net.emit(op, "slice_axis", [x.value], attrs, part, f"_again{i}"), part, x.qparams).value
        )
        shape[axis] += end - begin
    attrs = {"dim": axis, "num_args": len(values)}
    return stored(net, op, net.emit(op, "Concat", values, attrs, tuple(shape), "_beside"), tuple(shape), x.qparams)


def stored(net: OnnxNet, op: Op, value: Value, shape: Shape, qparams: Optional[QParams]) -> Top:
    """A value that is stored in this way, as it is read."""
    name = f"{op.name}_stored"
    net.set(name, Top(value, shape, qparams=qparams))
    found = net.valued(name)
    del net.tops[name]
    return found


def in_parts(
    net: OnnxNet, op: Op, found: Fitted, emit: Callable[[Top, str, bool], Value], shape: Shape, suffix: str = ""
) -> Value:
    """A layer, or the two that add up to it.

    Args:
        emit: writes a layer; its arguments are weights, the end of its name and whether it has the bias.
        suffix: the end of the result's name.
    """
    if found.rest is None:
        return emit(found.weight, suffix, True)
    values = [emit(found.weight, f"{suffix}_whole", True), emit(found.rest, f"{suffix}_rest", False)]
    net.parts.update(value.node.name for value in values)
    return net.emit(op, "elemwise_add", values, {}, shape, suffix)
