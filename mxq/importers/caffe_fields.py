"""Fields that many of Caffe's layers have, checked."""

from typing import Optional, Tuple

from .builder import Top
from .caffe_net import Layer, Net
from .prototext import Message

#: How weights are made before training, and by which code layers run: nothing about what they compute.
FILLERS = ("weight_filler", "bias_filler", "engine", "force_nd_im2col")
WINDOW = (
    "pad", "pad_h", "pad_w", "stride", "stride_h", "stride_w", "kernel_size", "kernel_h", "kernel_w",
)  # fmt: skip


def window(it: Layer, param: Message) -> Tuple[Tuple[int, int], Tuple[int, int], Tuple[int, int]]:
    """Kernel, stride and padding, each (height, width)."""
    kernel, stride = pair(it, param, "kernel_size", None, "kernel"), pair(it, param, "stride", 1)
    return kernel, stride, pair(it, param, "pad", 0)


def pair(it: Layer, param: Message, name: str, default: Optional[int], short: Optional[str] = None) -> Tuple[int, int]:
    """A size by height and width: ``NAME`` once or twice, or ``SHORT_h`` and ``SHORT_w``."""
    found = list(param.all(name))
    short = short or name
    if param.all(f"{short}_h") or param.all(f"{short}_w"):
        found = [param.one(f"{short}_h", default or 0), param.one(f"{short}_w", default or 0)]
    if not found and default is not None:
        found = [default]
    least = 0 if name == "pad" else 1
    if len(found) not in (1, 2) or any(not isinstance(n, int) or not least <= n < 1 << 20 for n in found):
        raise it.error(f"has {name} {found}", f"accepted are one or two integers from {least}")
    return found[0], found[-1]


def count(it: Layer, param: Message, name: str) -> int:
    found = param.one(name, 0)
    if not 1 <= found < 1 << 24:
        raise it.error(f"has {name} {found}", "accepted is an integer from 1")
    return found


def image(net: Net, it: Layer, param: Message) -> Top:
    x = net.bottom(it)
    if len(x.shape) != 4 or param.one("axis", 1) != 1:
        raise it.error(f"reads a tensor of shape {x.shape}", "accepted are batch, channels, height, width")
    return x


def _channels(x: Top) -> int:
    return x.shape[1] if len(x.shape) > 1 else 1
