"""A network to an ONNX file."""

from typing import Mapping, Sequence

from ..errors import ConfigError
from ..network.atomic import write_atomically
from ..network.graph import Graph
from .open_batch import is_open, walk_open
from .package import onnx_package
from .serialize import OPSETS, to_model
from .targets import find_target
from .walk import Network, walk


def build_onnx(graph: Graph, data_shapes: Mapping[str, Sequence[int]], *, target: str = "generic", opset: int = 13):
    """The network as an ``onnx.ModelProto``, and its records.

    Args:
        graph: float, or with explicit quantization.
        data_shapes: input name -> shape of every input that is no label; 0 examples stand for any number.

    Raises:
        ConfigError: an argument that is not accepted, or no package onnx.
        GraphError: what has no exact form for the target, with node and reason.
    """
    onnx_package()
    row = find_target(target)
    if isinstance(opset, bool) or opset not in OPSETS:
        raise ConfigError(f"opset={opset!r}: accepted are {OPSETS[0]} to {OPSETS[-1]}")
    network = (walk_open if is_open(data_shapes) else walk)(graph, data_shapes, row, opset)
    return to_model(network, opset, {"mxq.target": target}), network


def write_onnx(graph: Graph, path: str, data_shapes, *, target: str = "generic", opset: int = 13) -> Network:
    """Writes the network; see build_onnx. The file is whole or not there."""
    model, network = build_onnx(graph, data_shapes, target=target, opset=opset)
    data = model.SerializeToString(deterministic=True)

    def write(temporary: str) -> None:
        with open(temporary, "wb") as file:
            file.write(data)

    write_atomically(path, write)
    return network
