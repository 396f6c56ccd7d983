"""What each runtime wants of an int8 file, as plain data. All of it was found by running files there.

A row that a runtime does not need is a row that costs nothing; what a target cannot hold is refused.
"""

from dataclasses import dataclass
from typing import Dict, Tuple

from ..errors import ConfigError, nearest


@dataclass(frozen=True)
class Target:
    """One runtime.

    Attributes:
        name: for people.
        signed: type that activations with negative values get: 'int8' with zero point 0, or 'uint8' with zero point
            128, which are the same levels under other names.
        unsigned: whether uint8 activations are taken at all.
        zero_points: whether a zero point may be another than 0.
        int32_bias: whether biases are int32 behind a DequantizeLinear; else float constants, the same numbers.
        needs_q: MXNet layers that are int8 only with a QuantizeLinear behind them, an activation that it implies
            between the two at most. Where a network has something else there, a pair is put between.
        drops_implied: whether a ReLU or clip that the next QuantizeLinear does anyway is left out.
        truncates: MXNet operators that the runtime computes on the integers and rounds down, where scales are equal
            before and behind. Their results get scales that differ in the last digit, which makes them float.
        parts: whether tensors of 11 bits can be written.
    """

    name: str
    signed: str = "int8"
    unsigned: bool = True
    zero_points: bool = True
    int32_bias: bool = True
    needs_q: Tuple[str, ...] = ()
    drops_implied: bool = False
    truncates: Tuple[str, ...] = ()
    parts: bool = False


TARGETS: Dict[str, Target] = {
    # What the standard says, as mxq computes it: for tools, and for runtimes that have no row.
    "generic": Target("generic"),
    # A QLinearConv reads and writes one type, and is formed of DQ -> Conv -> [what Q implies] -> Q only.
    "onnxruntime": Target(
        "onnxruntime",
        signed="uint8",
        needs_q=("Convolution",),
        drops_implied=True,
        truncates=("_contrib_BilinearResize2D",),
    ),
    # Signed int8 through a Concat into a convolution is computed wrongly (2 dB); it sums and activates by itself,
    # but a limit by channel in front of a QuantizeLinear is a pass of its own: MobileNet takes 1.4 times as long.
    "openvino": Target("openvino", signed="uint8", int32_bias=False, drops_implied=True, parts=True),
    # Its layers read signed int8 only, without zero points, and DequantizeLinear takes no int32.
    "tensorrt": Target("tensorrt", unsigned=False, zero_points=False, int32_bias=False),
}


def find_target(name: str) -> Target:
    """The row of a target. Raises ConfigError for an unknown one.

    >>> find_target("openvino").signed
    'uint8'
    """
    if name not in TARGETS:
        raise ConfigError(f"target={name!r}: accepted are {', '.join(TARGETS)}{nearest(str(name), TARGETS)}")
    return TARGETS[name]
