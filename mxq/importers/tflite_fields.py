"""What many of TFLite's operators share: the function behind them, and how they pad."""

from typing import Optional, Tuple

import numpy as np

from ..arithmetic.qmath import QParams
from .builder import Top
from .tflite_net import Op, TfNet

#: Functions that are part of an operator, by TFLite's number.
RELU, RELU_N1, RELU6 = 1, 2, 3
ACTIVATIONS = {
    RELU: ("Activation", {"act_type": "relu"}),
    RELU_N1: ("clip", {"a_min": -1.0, "a_max": 1.0}),
    RELU6: ("clip", {"a_min": 0.0, "a_max": 6.0}),
}
_SAME = 0


def activated(net: TfNet, op: Op, emitted, number: int, shape) -> object:
    """An operator and the function behind it; `emitted` is called with the suffix of its name."""
    if number == 0 or _is_implied(number, net.stored[op.outputs[0]][1]):
        return emitted("")
    if number not in ACTIVATIONS:
        raise op.error(f"has the activation {number}", "accepted are none, RELU, RELU_N1_TO_1 and RELU6")
    name, attrs = ACTIVATIONS[number]
    return net.emit(op, name, [emitted("_linear")], attrs, shape)


def _is_implied(number: int, qparams: Optional[QParams]) -> bool:
    """Whether rounding to the 8 bits of the output cuts where the function does."""
    if qparams is None or qparams.dtype != "uint8" or qparams.zero_point != 0:
        return False
    return number == RELU or (number == RELU6 and np.rint(6.0 / qparams.scale) >= 255)


def spans(op: Op, sizes, kernel, stride, dilation, padding: int) -> Tuple[Tuple, Tuple, Tuple]:
    """(output sizes, padding at the begin, at the end) as TFLite counts them."""
    out, begin, end = [], [], []
    for n, k, s, d in zip(sizes, kernel, stride, dilation):
        wide = d * (k - 1) + 1
        if min(k, s, d) < 1 or (padding != _SAME and n < wide):
            raise op.error(f"has kernel {kernel}, stride {stride} on {tuple(sizes)}", "it must fit")
        count = -(-n // s) if padding == _SAME else (n - wide) // s + 1
        total = max((count - 1) * s + wide - n, 0) if padding == _SAME else 0
        out.append(count)
        begin.append(total // 2)
        end.append(total - total // 2)
    return tuple(out), tuple(begin), tuple(end)


def spread(net: TfNet, op: Op, x: Top, begin, end, value: float = 0.0, suffix: str = ""):
    """The value with padding around it, where an operator cannot pad so itself."""
    if begin == end:
        return x.value
    pairs = (0, 0, 0, 0, begin[0], end[0], begin[1], end[1])
    shape = (*x.shape[:2], *(n + b + e for n, b, e in zip(x.shape[2:], begin, end)))
    attrs = {"mode": "constant", "constant_value": value, "pad_width": pairs}
    return net.emit(op, "Pad", [x.value], attrs, shape, f"{suffix}_pad")
