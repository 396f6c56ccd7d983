"""A network to ncnn's two files."""

import functools
from typing import Mapping, Sequence

from ...network.atomic import write_together
from ...network.graph import Graph
from ...network.params import default_data_names
from ...network.shapes import infer_shapes
from ...passes import run
from ...passes.drop_noops import drop_noops
from ...passes.fold_batchnorm import fold_batchnorm
from ...passes.fold_pad import fold_pad
from ...passes.inference_heads import inference_heads
from ...passes.join_clips import join_clips
from .net import Net
from .walk import walk


def write_ncnn(graph: Graph, prefix: str, data_shapes: Mapping[str, Sequence[int]]) -> Net:
    """Writes ``prefix.param`` and ``prefix.bin``, both whole or none.

    Args:
        graph: float, or with explicit quantization.
        data_shapes: input name -> shape with one example.

    Raises:
        GraphError: what has no exact form in ncnn, with node and reason.
    """
    net = walk(graph, data_shapes)
    write_together([(f"{prefix}.param", _writer(net.param().encode())), (f"{prefix}.bin", _writer(net.bin()))])
    return net


def simplified(graph: Graph, data_shapes: Mapping[str, Sequence[int]]) -> Graph:
    """A float network without labels, and with BatchNorm and padding in the layers, as ncnnoptimize leaves them."""
    shapes = {name: tuple(shape) for name, shape in data_shapes.items()}
    heads = functools.partial(inference_heads, keep=default_data_names(graph), shapes=infer_shapes(graph, shapes))
    return run(graph, [heads, drop_noops, fold_pad, fold_batchnorm, join_clips])


def _writer(content: bytes):
    def write(temporary: str) -> None:
        with open(temporary, "wb") as file:
            file.write(content)

    return write
