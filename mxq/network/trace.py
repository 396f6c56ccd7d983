"""Reads a Gluon network as a Graph."""

import inspect
import itertools
import logging
import os
from typing import Dict, Iterable, List, Mapping, NamedTuple, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon.parameter import DeferredInitializationError

from ..data.batches import batches
from ..errors import ConfigError, MXQError
from .fused import unfuse
from .graph import Graph
from .params import split_params

_log = logging.getLogger(__name__)

#: A SymbolBlock does not say how many inputs it takes; so many are tried.
_MAX_INPUTS = 16


class Traced(NamedTuple):
    """A Gluon network as a graph."""

    graph: Graph
    names: List[str]
    shapes: Dict[str, Tuple[int, ...]]


def trace(net: mx.gluon.HybridBlock, calib_data=None, data_shapes=None) -> Tuple[Traced, object]:
    """Reads the network; returns it with the calibration data, whose first batch may have been looked at."""
    if not isinstance(net, mx.gluon.HybridBlock):
        of_files = isinstance(net, (mx.sym.Symbol, str, os.PathLike))
        hint = "; mxq.quantize_model(sym, params, calib_data) takes a symbol and parameters, or files" * of_files
        raise ConfigError(f"net is a {type(net).__name__}; quantize_net takes a HybridBlock or a SymbolBlock{hint}")
    names, symbol = _symbol_of(net, _input_counts(net, data_shapes))
    shapes = _shapes_by_name(data_shapes, names)
    if _deferred(net):
        calib_data = _finish_initialization(net, names, shapes, calib_data)
        _, symbol = _symbol_of(net, [len(names)])  # its variables know their shapes now
    symbol = unfuse(symbol)
    arrays = _arrays(net, symbol)
    return Traced(Graph.from_symbol(symbol, *split_params(arrays, symbol)), names, shapes), calib_data


def _symbol_of(net, counts: Iterable[int]) -> Tuple[List[str], mx.sym.Symbol]:
    """Input names as ``net.export`` has them, and the symbol, for the first number of inputs that the network takes."""
    failure = None
    for count in counts:
        names = ["data"] if count == 1 else [f"data{i}" for i in range(count)]
        try:
            # A fresh name manager: the same names each time, and no effect on the caller's next symbols.
            with mx.name.NameManager(), mx.autograd.pause():
                outputs = _flatten(net(*[mx.sym.var(name) for name in names]))
        except MXQError:
            raise
        except Exception as error:  # whatever user code raises when it meets a symbol
            failure = error
            continue
        return names, outputs[0] if len(outputs) == 1 else mx.sym.Group(outputs)
    raise ConfigError(
        f"the network cannot be traced: {type(failure).__name__}: {failure}. It must run on symbols, as for hybridize; "
        "data_shapes tells how many inputs it has"
    ) from failure


def _input_counts(net, data_shapes) -> Iterable[int]:
    if data_shapes is not None:
        return [len(_shape_list(data_shapes))]
    overridden = type(net).forward is not mx.gluon.HybridBlock.forward
    parameters = list(inspect.signature(net.forward if overridden else net.hybrid_forward).parameters.values())
    if not overridden:
        parameters = parameters[1:]  # F
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return range(1, _MAX_INPUTS + 1)
    needed = [
        p
        for p in parameters
        if p.kind is p.POSITIONAL_OR_KEYWORD
        and p.default is p.empty
        and not isinstance(getattr(net, p.name, None), mx.gluon.Parameter)
    ]
    left = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p not in needed]
    left = [name for name in left if not isinstance(getattr(net, name, None), mx.gluon.Parameter)]
    if left and needed:
        _log.warning(
            "%s of the network's forward can be left out, and is: the int8 network takes %d input%s; data_shapes with "
            "a shape for each input brings more in",
            ", ".join(map(repr, left)),
            len(needed),
            "s" * (len(needed) > 1),
        )
    return [max(len(needed), 1)]


def _flatten(outputs) -> List[mx.sym.Symbol]:
    """Symbols of one output each, in the order of reading `outputs` from left to right."""
    if isinstance(outputs, mx.sym.Symbol):
        return list(outputs) if len(outputs.list_outputs()) > 1 else [outputs]
    if isinstance(outputs, (list, tuple)):
        return list(itertools.chain.from_iterable(map(_flatten, outputs)))
    raise ConfigError(f"the network returns a {type(outputs).__name__}; accepted are arrays and lists of them")


def _deferred(net) -> bool:
    """Whether a parameter waits for its shape. Raises ConfigError if one was never initialized."""
    for name, parameter in net.collect_params().items():
        try:
            parameter.data(parameter.list_ctx()[0])
        except DeferredInitializationError:
            return True
        except RuntimeError as error:
            raise ConfigError(
                f"parameter {name!r} of the network has no value: call net.initialize() or net.load_parameters() first"
            ) from error
    return False


def _finish_initialization(net, names: List[str], shapes: Dict[str, Tuple[int, ...]], calib_data):
    """Runs the network on zeros, which gives waiting parameters their shapes; returns the calibration data."""
    if set(names) <= set(shapes):
        zeros = [mx.nd.zeros(tuple(max(int(n), 1) for n in shapes[name])) for name in names]
    elif calib_data is None:
        raise ConfigError("some parameters wait for the shape of the data: give data_shapes or calib_data")
    else:
        one_shot = iter(calib_data) is calib_data and not hasattr(calib_data, "reset")
        first = list(itertools.islice(calib_data, 1)) if one_shot else calib_data
        example = next(batches(first, names, batch_size=1, num_examples=1)).arrays
        calib_data = itertools.chain(first, calib_data) if one_shot else calib_data
        zeros = [mx.nd.zeros_like(example[name]) for name in names]
    ctx = next(iter(net.collect_params().values())).list_ctx()[0]
    try:
        with mx.autograd.pause():
            net(*[array.as_in_context(ctx) for array in zeros])
    except Exception as error:  # whatever user code raises
        given = ", ".join(str(array.shape) for array in zeros)
        raise ConfigError(f"the network does not run on data of shapes {given}: {error}") from error
    return calib_data


def _arrays(net, symbol) -> Dict[str, mx.nd.NDArray]:
    needed = set(symbol.list_inputs())
    arrays = {n: p.data(p.list_ctx()[0]) for n, p in net.collect_params().items() if n in needed}
    for name, array in arrays.items():
        if np.dtype(array.dtype).name in ("float16", "float64"):
            raise ConfigError(
                f"parameter {name!r} is {np.dtype(array.dtype).name}; quantize the float32 network: net.cast('float32')"
            )
    return arrays


def _shape_list(data_shapes) -> list:
    if isinstance(data_shapes, Mapping):
        return list(data_shapes.values())
    if not isinstance(data_shapes, (list, tuple)) or not data_shapes:
        raise ConfigError(f"data_shapes={data_shapes!r}: give a list with the shape of each input")
    alone = isinstance(data_shapes, mx.io.DataDesc) or not isinstance(data_shapes[0], (list, tuple))
    return [data_shapes] if alone else list(data_shapes)


def _shapes_by_name(data_shapes, names: List[str]) -> Dict[str, Tuple[int, ...]]:
    """Shapes from any form of `data_shapes`; by position, since DataIters have names of their own."""
    if data_shapes is None:
        return {}
    if isinstance(data_shapes, Mapping) and set(data_shapes) != set(names):
        raise ConfigError(f"data_shapes is for {', '.join(data_shapes)}; the inputs are {', '.join(names)}")
    items = [data_shapes[name] for name in names] if isinstance(data_shapes, Mapping) else _shape_list(data_shapes)
    shapes = []
    for item in items:
        if isinstance(item, mx.io.DataDesc):
            item = item.shape
        elif len(item) == 2 and isinstance(item[0], str):
            item = item[1]
        if not isinstance(item, (list, tuple)) or not all(isinstance(n, int) for n in item):
            raise ConfigError(f"data_shapes has {item!r}: a shape is a tuple of integers")
        shapes.append(tuple(item))
    return dict(zip(names, shapes))
