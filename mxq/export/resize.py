"""Larger and smaller images: UpSampling and bilinear resizing."""

from typing import List

from ..network.graph import Node
from .builder import Builder
from .table import Refused, emits


def _nearest(b: Builder, x: str, factor: int) -> str:
    scales = b.constant([1, 1, factor, factor], name="scales")
    return b(
        "Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )


@emits("UpSampling", scale=1, num_filter=0, sample_type="", multi_input_mode="concat")
def upsampling(b: Builder, node: Node, a) -> str:
    """'nearest' brings all inputs to one size; 'bilinear' is a Deconvolution with the weights that are given."""
    shape = b.shape(node.inputs[0])
    if a.sample_type == "bilinear":
        kernel, pad = 2 * a.scale - a.scale % 2, a.scale // 2
        return b(
            "ConvTranspose",
            b.inputs(node),
            kernel_shape=[kernel, kernel],
            strides=[a.scale, a.scale],
            pads=[pad] * 4,
            group=shape[1],
        )
    out = b.shape(node.out())
    parts: List[str] = []
    for value in node.inputs:
        factors = [m / n for n, m in zip(b.shape(value)[2:], out[2:])]
        if factors[0] != factors[1] or factors[0] != int(factors[0]):
            raise Refused(f"an input of shape {b.shape(value)} is no whole part of its output")
        parts.append(_nearest(b, b.read(value), int(factors[0])))
    if len(parts) == 1:
        return parts[0]
    return b("Concat", parts, axis=1) if a.multi_input_mode == "concat" else b("Sum", parts)


@emits(
    "_contrib_BilinearResize2D", height=1, width=1, scale_height=None, scale_width=None, mode="size",
    align_corners=True,
)  # fmt: skip
def bilinear_resize(b: Builder, node: Node, a) -> str:
    sizes = b.constant(b.shape(node.out()), "int64", "sizes")
    # What becomes one pixel is the first one: of the two half-pixel modes, that is this one.
    corners = "align_corners" if a.align_corners else "pytorch_half_pixel"
    return b("Resize", [b.read(node.inputs[0]), "", "", sizes], mode="linear", coordinate_transformation_mode=corners)
