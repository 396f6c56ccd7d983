"""Puts the normalization of pixels in front of a network, so that raw integers are its input.

``x = (float32(raw) - mean) / std`` per channel, each step rounded to float32: exactly what
``(image.astype("float32") - mean) / std`` gives in numpy or in ``mx.nd``. Not ``* (1 / std)``, which rounds twice.
"""

from typing import Sequence, Union

import numpy as np

from ..errors import ConfigError, GraphError, nearest
from ..network.graph import TYPE_FLAGS, Graph, Value

Numbers = Union[float, Sequence[float]]
INPUT_TYPES = ("uint8", "int8", "float32")


def prepend_normalization(
    graph: Graph,
    data_name: str,
    mean: Numbers,
    std: Numbers,
    dtype: str = "uint8",
    *,
    ndim: int = 4,
    axis: int = 1,
) -> Graph:
    """Returns a graph whose input `data_name` takes raw values.

    >>> prepend_normalization(graph, "data", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # doctest: +SKIP

    Nodes ``{data}_cast`` (Cast to float32; none for float32 input), ``{data}_centered`` (broadcast_sub) and
    ``{data}_normalized`` (broadcast_div) follow the input, in that order; a subtraction of zeros or a division by ones
    is left out.

    Args:
        graph: a float graph; stays as it is.
        data_name: the input; other inputs stay as they are.
        mean: what to subtract: a number, or one per channel.
        std: what to divide by, positive: a number, or one per channel.
        dtype: type of the raw values: 'uint8', 'int8' or 'float32'.
        ndim: rank of the input.
        axis: channel axis of the input.

    Raises:
        GraphError: `data_name` is no input of the network.
        ConfigError: mean, std, dtype or axis is out of range.
    """
    if dtype not in INPUT_TYPES:
        raise ConfigError(f"dtype {dtype!r} of the raw input {data_name!r}: accepted are {', '.join(INPUT_TYPES)}")
    if not -ndim <= axis < ndim:
        raise ConfigError(f"channel axis {axis}: the input {data_name!r} has rank {ndim}")
    shift, scale = _channels("mean", mean), _channels("std", std)
    if not (scale > 0).all():
        raise ConfigError(f"std {std!r}: every value must be positive")
    if shift.size > 1 and scale.size > 1 and shift.size != scale.size:
        raise ConfigError(f"mean has {shift.size} values and std has {scale.size}: give one number or one per channel")
    graph = graph.copy()
    names = [node.name for node in graph.inputs]
    if data_name not in names:
        raise GraphError(
            f"{data_name!r} is no input of the network{nearest(data_name, names)}; inputs: {', '.join(names)}"
        )
    data = graph.node(data_name)
    data.attrs["__dtype__"] = str(TYPE_FLAGS[dtype])
    uses = graph.uses_of(data.out())
    value = data.out()
    if dtype != "float32":
        value = graph.add("Cast", f"{data_name}_cast", [value], {"dtype": "float32"}).out()
    if shift.any():
        value = _step(graph, "broadcast_sub", value, f"{data_name}_centered", f"{data_name}_mean", shift, ndim, axis)
    if (scale != 1).any():
        value = _step(graph, "broadcast_div", value, f"{data_name}_normalized", f"{data_name}_std", scale, ndim, axis)
    graph.replace(data.out(), value, only=uses)
    graph.sort()
    return graph


def _channels(what: str, numbers: Numbers) -> np.ndarray:
    try:
        array = np.asarray(numbers, np.float32).reshape(-1)
    except (TypeError, ValueError):
        raise ConfigError(f"{what} {numbers!r}: give one number or one per channel") from None
    if not array.size or not np.isfinite(array).all():
        raise ConfigError(f"{what} {numbers!r}: give finite numbers, one or one per channel")
    return array


def _step(graph: Graph, op: str, value: Value, name: str, param: str, array: np.ndarray, ndim: int, axis: int) -> Value:
    shape = [1] * ndim
    shape[axis] = array.size
    return graph.add(op, name, [value, graph.add_param(param, array.reshape(shape))]).out()
