"""Checks of the arguments of quantize_model and quantize_net, before any work is done with them."""

from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Sequence

import numpy as np

from .calib.ncnn_table import NcnnTable
from .calib.statistics import Statistics
from .calib.table import CalibTable
from .errors import ConfigError, GraphError, nearest
from .network.graph import Graph
from .network.params import WEIGHTED_LAYERS
from .options import Options
from .passes.insert_qdq import FINE_STEPS

#: Accepted values by argument.
CHOICES = {
    "quantized_dtype": ("auto", "int8", "uint8"),
    "quantize_mode": ("smart", "full"),
    "quantize_granularity": ("channel-wise", "tensor-wise"),
    "weight_rounding": ("adaptive", "nearest"),
    "activation_bits": tuple(FINE_STEPS),
    "input_dtype": ("float32", "int8", "uint8"),
    "keep_labels": (True, False),
    "verify": (True, False, "warn"),
}
#: Operators whose granularity can be chosen.
GRANULAR = ("Convolution", "FullyConnected")


def check_names(function: str, given: Iterable[str], accepted: Sequence[str]) -> None:
    """Refuses keyword arguments that do not exist."""
    for name in given:
        if name not in accepted:
            raise ConfigError(f"{function} has no option {name!r}{nearest(name, accepted)}")


def check_symbol(sym) -> None:
    """Refuses what is no symbol."""
    import mxnet as mx

    if not isinstance(sym, mx.sym.Symbol):
        kind = f"of type {type(sym).__name__}"
        block = "; for a Gluon network use mxq.quantize_net" if isinstance(sym, mx.gluon.Block) else ""
        raise GraphError(f"sym is {kind}: give an mx.sym.Symbol or the path of its JSON file{block}")


def check_is_data(calib_data, graph: Graph) -> None:
    """Refuses parameters where data are expected: MXNet's functions take those of auxiliary states in that place."""
    if not isinstance(calib_data, Mapping):
        return
    parameters = {*graph.params, *graph.symbol().list_auxiliary_states()}
    if not all(name in parameters for name in calib_data):
        return
    names = ", ".join(sorted(calib_data)[:3])
    what = f"a dict of parameters ({names}{', ...' if len(calib_data) > 3 else ''})" if names else "an empty dict"
    raise ConfigError(
        f"calib_data is {what}: give arg_params and aux_params together, params=(arg_params, aux_params), and data as "
        "calib_data"
    )


def check_options(options: Options) -> None:
    """Checks every option as far as that does not depend on the network."""
    for name, check in _CHECKS.items():
        check(name, getattr(options, name))
    for name, accepted in CHOICES.items():
        given = getattr(options, name)
        by_operator = name == "quantize_granularity" and isinstance(given, Mapping)
        for value in given.values() if by_operator else [given]:
            if value not in accepted:
                raise ConfigError(f"{name}={given!r}: accepted are {', '.join(map(str, accepted))}")


def check_network(graph: Graph, options: Options) -> None:
    """Refuses parameters that are not float32 where that is needed, and inputs and layers that do not exist."""
    for name, array in graph.params.items():
        if array.dtype.name in ("float16", "float64"):
            raise GraphError(
                f"parameter {name!r} is {array.dtype.name}; quantize the float32 network: give every array as "
                "array.astype('float32')"
            )
    layers = [node.name for node in graph.nodes if node.op in WEIGHTED_LAYERS]
    for name in options.weight_bits if isinstance(options.weight_bits, Mapping) else ():
        if name not in layers:
            raise ConfigError(f"weight_bits has {name!r}, which is no layer with weights{nearest(name, layers)}")
    for node in graph.nodes:
        for value in node.inputs[1:] if node.op in WEIGHTED_LAYERS else ():
            array = graph.param_of(value)
            if array is not None and array.dtype != np.float32:
                raise GraphError(
                    f"parameter {value.node.name!r} of {node.op} {node.name!r} is {array.dtype}: give float32"
                    + ("; is this network quantized already?" if array.dtype == np.int8 else "")
                )
    names = [node.name for node in graph.inputs]
    for name in options.data_shapes or {}:
        if name not in names:
            raise ConfigError(
                f"data_shapes has {name!r}, which is no input of the network{nearest(str(name), names)}; "
                f"inputs: {', '.join(names)}"
            )


def check_normalization(data_name: Optional[str], shape: Optional[Sequence[int]], **given) -> None:
    """Refuses a mean or std that does not fit the network's data, whose channels are axis 1.

    Args:
        data_name: the input; None if the network has none.
        shape: its shape, if known.
        given: mean and std as the caller has them.
    """
    if data_name is None:
        raise ConfigError("mean, std and input_dtype concern the network's data, and it has no data input")
    for name, value in given.items():
        if value is None:
            continue
        try:
            array = np.asarray(value, np.float32).reshape(-1)
        except (TypeError, ValueError):
            array = np.full(1, np.nan)
        if not array.size or not np.isfinite(array).all() or (name == "std" and not (array > 0).all()):
            above = " above 0" if name == "std" else ""
            raise ConfigError(f"{name}={value!r}: give one finite number{above}, or one per channel")
        if shape is not None and array.size > 1 and (len(shape) < 2 or shape[1] not in (array.size, 0, -1, None)):
            raise ConfigError(
                f"{name} has {array.size} values; {data_name!r} of shape {tuple(shape)} has "
                f"{shape[1] if len(shape) > 1 else 'no'} channels (axis 1)"
            )


def _count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ConfigError(f"{name}={value!r}: accepted is an integer from 1")


def _share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ConfigError(f"{name}={value!r}: accepted is a number from 0 (nothing) to 1 (all)")


def _bits(name: str, value: Any) -> None:
    for bits in value.values() if isinstance(value, Mapping) else [value]:
        if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 8:
            raise ConfigError(f"{name}={value!r}: accepted is an integer from 2 to 8, or a dict of these by layer")


def _optional_count(name: str, value: Any) -> None:
    if value is not None:
        _count(name, value)


def _names(name: str, value: Any) -> None:
    if isinstance(value, (str, bytes)) or not all(isinstance(item, str) for item in value or ()):
        raise ConfigError(f"{name}={value!r}: give a list of strings")


def _granularity(name: str, value: Any) -> None:
    for op in value if isinstance(value, Mapping) else ():
        if op not in GRANULAR:
            raise ConfigError(f"{name} has operator {op!r}: accepted are {', '.join(GRANULAR)}")


def _shapes(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}={value!r}: give a dict by input name, such as {{'data': (1, 3, 224, 224)}}")
    for key, shape in value.items():
        sizes = shape if isinstance(shape, (tuple, list)) else ("",)
        if not all(n is None or (isinstance(n, (int, np.integer)) and n >= -1) for n in sizes):
            raise ConfigError(f"{name}[{key!r}]={shape!r}: give a shape of integers; 0 or -1 where any size will do")


def _table(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, (CalibTable, NcnnTable)):
        raise ConfigError(f"{name} is a {type(value).__name__}: give a CalibTable or the path of a saved one")


def _statistics(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, Statistics):
        raise ConfigError(f"{name} is a {type(value).__name__}: give Statistics or the path of a saved file")


def _context(name: str, value: Any) -> None:
    import mxnet as mx

    if value is None:
        return
    if not isinstance(value, mx.Context):
        raise ConfigError(f"{name}={value!r}: give one context, such as mx.cpu()")
    try:
        mx.nd.zeros((1,), ctx=value).wait_to_read()
    except mx.MXNetError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(f"{name}={value}: this MXNet cannot use it ({reason}); give mx.cpu()") from error


_CHECKS: Dict[str, Callable[[str, Any], None]] = {
    "num_calib_examples": _optional_count,
    "batch_size": _count,
    "precision_budget": _share,
    "weight_bits": _bits,
    "range_headroom": _share,
    "quantize_granularity": _granularity,
    "sub_batch": _optional_count,
    "data_names": _names,
    "label_names": _names,
    "data_shapes": _shapes,
    "calib_table": _table,
    "statistics": _statistics,
    "ctx": _context,
}
