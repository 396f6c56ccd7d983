"""ONNX' Resize and Upsample as MXNet operators.

Each output has a place between the pixels of its axis (`coordinate_transformation_mode`); the nearest of them is chosen
by a rule (`nearest_mode`), or the two beside it are mixed. Which pixels are chosen follows from shapes: they are
constants. Source: ONNX' description of Resize; in float32, as ONNX Runtime counts.
"""

from typing import List, Optional, Sequence, Tuple

import numpy as np

from .builder import Shape, Table, fits
from .onnx_net import OnnxNet, Op

RESIZE = Table()

_HALF_PIXEL = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
_PLACES = (*_HALF_PIXEL, "align_corners", "asymmetric", "tf_half_pixel_for_nn")
_NEAREST = {
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}


@RESIZE.of("Resize", "Upsample")
def resize(net: OnnxNet, op: Op) -> None:
    attrs = op.attrs(
        mode="nearest", coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_floor",
        cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0, scales=None, antialias=0, axes=None,
        keep_aspect_ratio_policy="stretch",
    )  # fmt: skip
    text = {k: v.decode() if isinstance(v, bytes) else v for k, v in attrs.items()}
    mode, place, nearest = text["mode"], text["coordinate_transformation_mode"], text["nearest_mode"]
    if op.type == "Upsample" or op.opset < 11:
        place, nearest = "asymmetric", "floor"
    x = net.read(op)
    shape, scales = _sizes(net, op, x.shape, attrs)
    if place not in _PLACES or nearest not in _NEAREST or text["keep_aspect_ratio_policy"] != "stretch":
        raise op.error(f"has {place}, {nearest}, {text['keep_aspect_ratio_policy']}", f"accepted are {_PLACES}")
    exact = all(m == np.float32(s) * n for n, m, s in zip(x.shape[2:], shape[2:], scales))
    if mode == "nearest" and (exact or place != "half_pixel_symmetric"):
        chosen = [_chosen(n, m, s, place, nearest) for n, m, s in zip(x.shape[2:], shape[2:], scales)]
        _select(net, op, shape, chosen)
        return
    aligned = place == "align_corners"
    half = place in _HALF_PIXEL and exact and (place != "pytorch_half_pixel" or min(shape[2:]) > 1)
    shrinks = attrs["antialias"] and any(s < 1 for s in scales)
    if mode != "linear" or not (aligned or half) or shrinks or op.inputs[0] in net.stored:
        raise op.error(
            f"resizes by {[float(s) for s in scales]}, {mode}, {place}" + (", antialias" if shrinks else ""),
            "accepted are nearest, and linear of real numbers with align_corners or half_pixel",
        )
    mx_attrs = {"height": shape[2], "width": shape[3], "mode": "size", "align_corners": aligned}
    net.write(op, net.emit(op, "_contrib_BilinearResize2D", [x.value], mx_attrs, shape), shape)


def _sizes(net: OnnxNet, op: Op, old: Shape, attrs) -> Tuple[Shape, List[np.float32]]:
    """The new shape, and the scales of the two spatial axes."""
    at = 1 if op.type == "Upsample" or op.opset == 10 else 2
    given = attrs["scales"] if attrs["scales"] is not None else net.constant(op, at, np.zeros(0)).reshape(-1)
    sizes = net.constant(op, 3, np.zeros(0)).reshape(-1) if op.type == "Resize" else np.zeros(0)
    axes = [axis % len(old) for axis in attrs["axes"] or range(len(old))]
    count = len(sizes) or len(given)
    if len(old) != 4 or count != len(axes) or len(set(axes)) != count or (len(sizes) and len(given)):
        raise op.error(f"scales {old} by {list(given)} to {list(sizes)}", "accepted are four axes, one number for each")
    if len(sizes):
        shape = list(old)
        for axis, size in zip(axes, sizes):
            shape[axis] = int(size)
        scales = [np.float32(m) / np.float32(n) for n, m in zip(old, shape)]
    else:
        scales = [np.float32(1)] * 4
        for axis, scale in zip(axes, given):
            scales[axis] = np.float32(scale)
        shape = [int(np.floor(n * s)) for n, s in zip(old, scales)]
    if tuple(shape[:2]) != old[:2] or not all(0 < s < 1 << 20 for s in scales) or not fits(tuple(shape)):
        raise op.error(f"scales {old} to {shape}", "accepted are the two spatial axes of four")
    return tuple(shape), scales[2:]


def _chosen(old: int, new: int, scale: np.float32, place: str, nearest: str) -> np.ndarray:
    """Which pixel of an axis each new one is."""
    i = np.arange(new, dtype=np.float32)
    half = np.float32(0.5)
    if place == "align_corners":
        at = i * np.float32(old - 1) / np.float32(max(new - 1, 1))
    elif place == "asymmetric":
        at = i / scale
    elif place == "tf_half_pixel_for_nn":
        at = (i + half) / scale
    else:
        at = (i + half) / scale - half
        if place == "pytorch_half_pixel" and new == 1:
            at = np.zeros(1, np.float32)
    return np.clip(_NEAREST[nearest](at), 0, old - 1).astype(np.int64)


def _select(net: OnnxNet, op: Op, shape: Shape, chosen: Sequence[np.ndarray]) -> None:
    """Repeats every pixel, or takes one of so many, where it is that; else takes them by their numbers."""
    x = net.read(op)
    factors = {new // old for old, new in zip(x.shape[2:], shape[2:]) if new % old == 0}
    factor = factors.pop() if len(factors) == 1 else 0
    if factor and all((c == np.arange(len(c)) // factor).all() for c in chosen):
        net.moved(op, "UpSampling", {"scale": factor, "sample_type": "nearest", "num_args": 1}, shape)
        return
    cuts = [_cut(c) for c in chosen]
    if all(cuts):
        begin, end, step = zip(*(cut for cut in cuts if cut))
        attrs = {"begin": (None, None, *begin), "end": (None, None, *end), "step": (None, None, *step)}
        net.moved(op, "slice", attrs, shape)
        return
    value, size = x.value, list(x.shape)
    for axis, numbers in zip((2, 3), chosen):
        size[axis] = len(numbers)
        which = net.param(op, numbers, f"rows{axis}")
        attrs = {"axis": axis, "mode": "clip"}
        value = net.emit(op, "take", [value, which], attrs, tuple(size), "" if axis == 3 else "_rows")
    net.write(op, value, shape, x.qparams)


def _cut(chosen: np.ndarray) -> Optional[Tuple[int, int, int]]:
    """(begin, end, step), where the numbers are evenly spaced."""
    steps = set(np.diff(chosen).tolist()) or {1}
    step = steps.pop()
    return (int(chosen[0]), int(chosen[-1]) + 1, step) if not steps and step > 0 else None
