"""What folding needs to know of layers that are linear in their input: where channels lie in data and weight."""

from typing import Callable, Dict, NamedTuple, Optional

import numpy as np

from ..network.graph import Node


class Linear(NamedTuple):
    """A row: the attribute with the number of output channels, and how channels meet the weight."""

    channels: str
    #: (layer, axis, rank of the output or None) -> is `axis` of the output surely the channel axis
    is_channel_axis: Callable[[Node, int, Optional[int]], bool]
    #: (weight, per output channel, groups) -> weight
    scale_outputs: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    #: (layer, weight, axis, channels, has shift) -> why per-channel factors of the input cannot move into the weight
    refuses_input_side: Callable[[Node, np.ndarray, int, int, bool], Optional[str]]
    #: (layer, weight, per input channel, groups) -> weight
    scale_inputs: Optional[Callable[[Node, np.ndarray, np.ndarray, int], np.ndarray]] = None
    #: (layer, weight, per input channel, groups) -> what a constant input adds per output channel
    sum_inputs: Optional[Callable[[Node, np.ndarray, np.ndarray, int], np.ndarray]] = None


def kernel_of(layer: Node) -> tuple:
    kernel = layer.get("kernel", ())
    return tuple(kernel) if isinstance(kernel, (tuple, list)) else (kernel,)


def channel_axis(layer: Node) -> int:
    """Channel axis of the data of a (de)convolution or pooling: MXNet's layout names it; without one it is 1."""
    layout = layer.get("layout")
    return layout.index("C") if isinstance(layout, str) and "C" in layout else 1


def _column(factors: np.ndarray, ndim: int) -> np.ndarray:
    return factors.reshape((-1,) + (1,) * (ndim - 1))


# -- convolution: weight (O, I / groups, spatial...), channels-last layouts (O, spatial..., I / groups) --------------


def _conv_axis(layer: Node, axis: int, rank: Optional[int] = None) -> bool:
    rank = len(kernel_of(layer)) + 2
    return -rank <= axis < rank and axis % rank == channel_axis(layer)


def _conv_outputs(weight: np.ndarray, factors: np.ndarray, groups: int) -> np.ndarray:
    return weight * _column(factors, weight.ndim)


def _conv_inputs(layer: Node, weight: np.ndarray, factors: np.ndarray, groups: int) -> np.ndarray:
    axis = channel_axis(layer)
    per_row = np.repeat(factors.reshape(groups, -1), weight.shape[0] // groups, axis=0)  # (O, I / groups)
    shape = [weight.shape[0]] + [1] * (weight.ndim - 1)
    shape[axis] = weight.shape[axis]
    return weight * per_row.reshape(shape)


def _conv_sum(layer: Node, weight: np.ndarray, factors: np.ndarray, groups: int) -> np.ndarray:
    return _conv_inputs(layer, weight, factors, groups).reshape(weight.shape[0], -1).sum(axis=1)


def _conv_refuses(layer: Node, weight: np.ndarray, axis: int, channels: int, has_shift: bool) -> Optional[str]:
    if not _conv_axis(layer, axis):
        return f"axis {axis} is not the channel axis"
    if weight.shape[channel_axis(layer)] * int(layer.get("num_group", 1)) != channels:
        return f"weight of shape {weight.shape} does not fit {channels} channels"
    pad = layer.get("pad", ())
    if has_shift and any(pad if isinstance(pad, (tuple, list)) else (pad,)):
        return f"pad {pad} puts zeros where the shift should be"
    return None


# -- deconvolution: weight (I, O / groups, spatial...) --------------------------------------------------------------


def _deconv_outputs(weight: np.ndarray, factors: np.ndarray, groups: int) -> np.ndarray:
    per_row = np.repeat(factors.reshape(groups, -1), weight.shape[0] // groups, axis=0)  # (I, O / groups)
    return weight * per_row.reshape(per_row.shape + (1,) * (weight.ndim - 2))


def _deconv_inputs(layer: Node, weight: np.ndarray, factors: np.ndarray, groups: int) -> np.ndarray:
    return weight * _column(factors, weight.ndim)


def _deconv_refuses(layer: Node, weight: np.ndarray, axis: int, channels: int, has_shift: bool) -> Optional[str]:
    return "a deconvolution adds a different share of the shift at its borders"


# -- fully connected: weight (O, K) ---------------------------------------------------------------------------------


def _fc_axis(layer: Node, axis: int, rank: Optional[int] = None) -> bool:
    rank = 2 if layer.get("flatten", True) else rank
    return axis == -1 or (rank is not None and axis == rank - 1)


def _fc_inputs(layer: Node, weight: np.ndarray, factors: np.ndarray, groups: int) -> np.ndarray:
    # flatten puts the channel first: each has K / C neighbouring columns
    return weight * np.repeat(factors, weight.shape[1] // len(factors))[None, :]


def _fc_sum(layer: Node, weight: np.ndarray, factors: np.ndarray, groups: int) -> np.ndarray:
    return _fc_inputs(layer, weight, factors, groups).sum(axis=1)


def _fc_refuses(layer: Node, weight: np.ndarray, axis: int, channels: int, has_shift: bool) -> Optional[str]:
    columns = weight.shape[1]
    flatten = layer.get("flatten", True)
    if axis == -1 and columns == channels:
        return None
    if axis == 1 and flatten and columns % channels == 0:
        return None
    return f"axis {axis} with {channels} channels does not lie plainly in {columns} inputs (flatten={flatten})"


LINEAR: Dict[str, Linear] = {
    "Convolution": Linear("num_filter", _conv_axis, _conv_outputs, _conv_refuses, _conv_inputs, _conv_sum),
    "Deconvolution": Linear("num_filter", _conv_axis, _deconv_outputs, _deconv_refuses, _deconv_inputs),
    "FullyConnected": Linear("num_hidden", _fc_axis, _conv_outputs, _fc_refuses, _fc_inputs, _fc_sum),
}
