"""Turns the bilinear resize of a single pixel into a repetition, which has an int8 form.

A segmentation network pools whole images to one pixel and resizes it to join it with what other branches see there:
``BilinearResize2D`` of one pixel is that pixel everywhere, as ``UpSampling`` with nearest neighbours makes it.
"""

from typing import Optional

from ..graph import Graph, Node, Value
from .linear import channel_axis, kernel_of

RESIZE = "_contrib_BilinearResize2D"
#: What UpSampling takes.
LARGEST = 1000
#: Operators that make one pixel of one pixel.
_POINTWISE = (
    "Activation", "BatchNorm", "BlockGrad", "Dropout", "LeakyReLU", "_copy", "clip", "hard_sigmoid", "identity", "relu",
    "sigmoid", "tanh",
)  # fmt: skip


def resize_one_pixel(graph: Graph) -> Graph:
    """Returns a graph where bilinear resizes of what global pooling leaves are ``UpSampling``.

    Args:
        graph: a float graph; stays as it is.

    Returns:
        the graph with equal outputs. ``notes`` says for each resize what became of it.
    """
    graph = graph.copy()
    for node in [n for n in graph.nodes if n.op == RESIZE]:
        reason = _refuse(node)
        if reason is None:
            node.op = "UpSampling"
            node.attrs = {"scale": node.attrs["height"], "sample_type": "nearest", "num_args": "1"}
            graph.notes[node.name] = "its input is one pixel: it repeats it"
        else:
            graph.notes[node.name] = f"bilinear resize: {reason}"
    return graph


def _refuse(node: Node) -> Optional[str]:
    scaled = {"scale_height", "scale_width"} & set(node.attrs)
    height, width = node.get("height"), node.get("width")
    if node.get("mode", "size") != "size" or len(node.inputs) != 1 or scaled or None in (height, width):
        return "only one to a fixed size has an int8 form"
    if height != width or not 1 <= height <= LARGEST:
        return f"{height}x{width}; squares of up to {LARGEST} pixels a side have an int8 form"
    if not _is_one_pixel(node.inputs[0]):
        return "its input is more than one pixel"
    return None


def _is_one_pixel(value: Value) -> bool:
    """Whether the value is an image of one pixel, whatever the size of the network's input."""
    while value.index == 0 and not value.node.is_variable:
        node = value.node
        if node.op == "Pooling" and node.get("global_pool", False):
            return channel_axis(node) == 1
        narrow = node.op == "Convolution" and set(kernel_of(node)) == {1} and not any(node.get("pad") or ())
        if not narrow and node.op not in _POINTWISE:
            return False
        value = node.inputs[0]
    return False
