"""Shapes and dtypes of every value of a graph, from MXNet's own inference."""

import contextlib
import io
import json
import warnings
from typing import Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from ..errors import GraphError, nearest
from .graph import TYPE_FLAGS, Graph, upstream

Key = Tuple[str, int]
#: Operators whose output dtype is their attribute `dtype`.
CASTS = ("Cast", "cast", "amp_cast")


def infer_shapes(graph: Graph, data_shapes: Mapping[str, Sequence[int]]) -> Dict[Key, Tuple[int, ...]]:
    """Shapes of all values that follow from the shapes of the data.

    >>> infer_shapes(graph, {"data": (1, 3, 224, 224)})["fc1", 0]  # doctest: +SKIP
    (1, 1000)

    Args:
        graph: any stage; parameters give their own shapes.
        data_shapes: input name -> shape. Labels need none.

    Returns:
        ``(node name, output index) -> shape``, variables included. A value whose shape does not follow is missing.

    Raises:
        GraphError: a name is no input; a shape does not fit (names the operator); or an input that an extension
            operator depends on has no shape.
    """
    return Shapes(graph).infer(data_shapes)


class Shapes:
    """Infers the shapes of a graph's values again and again; the graph must stay as it is. See infer_shapes."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._internals, self._keys = _internals(graph)
        self._variables = set(self._internals.list_arguments()) | set(self._internals.list_auxiliary_states())

    def infer(self, data_shapes: Mapping[str, Sequence[int]]) -> Dict[Key, Tuple[int, ...]]:
        from mxnet.base import MXNetError

        graph = self._graph
        _check_names(graph, data_shapes, "shape")
        shapes = {name: tuple(int(n) for n in shape) for name, shape in data_shapes.items()}
        _guard_extensions(graph, shapes)
        known = dict(shapes)
        known.update((name, graph.params[name].shape) for name in graph.aux if name in graph.params)
        given = {k: v for k, v in known.items() if k in self._variables}
        try:
            with _quiet():
                found = self._internals.infer_shape_partial(**given)[1] or []
        except MXNetError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            text = next((line for line in lines if "Error in operator" in line), (lines or ["unknown error"])[-1])
            text = next((line[len("[0]") :].strip() for line in lines if line.startswith("[0]")), text)  # mxq's own
            absent = [node.name for node in graph.inputs if node.name not in shapes]
            hint = f"; no shape was given for {', '.join(absent)}" if absent else ""
            hint += _other_layout(self._internals, given, shapes)
            raise GraphError(f"the shapes of the network do not fit together, given {shapes}: {text}{hint}") from error
        pairs = zip(self._keys, found)
        return {k: tuple(shape) for k, shape in pairs if shape and all(n is not None and n > 0 for n in shape)}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MXNet prints the arguments of an inference that fails, and warns of what is missing; both become errors here."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)
        yield


def _other_layout(internals, known: Mapping[str, tuple], shapes: Mapping[str, tuple]) -> str:
    """A hint where images with their channels at another place, or in color, would fit."""
    from mxnet.base import MXNetError

    guesses = []
    for name, shape in shapes.items():
        if len(shape) == 4:
            last, first = (0, 3, 1, 2), (0, 2, 3, 1)
            guesses += [
                (name, tuple(shape[i] for i in order), f"are the channels {told}?", f"data.transpose{order}")
                for order, told in ((last, "last (NHWC)"), (first, "first (NCHW)"))
            ]
        if len(shape) == 3:
            turned = (1, shape[2], *shape[:2])
            how = "data.transpose(2, 0, 1)[None]"
            guesses.append((name, turned, "is it one image, with its channels last (HWC)?", how))
            guesses.append((name, (1, *shape), "is it one image, without the axis of examples?", "data[None]"))
        if len(shape) == 3 or (len(shape) == 4 and shape[1] == 1):
            color = (shape[0], 3, *shape[-2:])
            how = f"np.repeat(data{'[:, None]' if len(shape) == 3 else ''}, 3, axis=1)"
            guesses.append((name, color, "are the images grey, for a network that takes color?", how))
            guesses.append((name, (shape[0], 1, *shape[-2:]), "is the axis of channels missing?", "data[:, None]"))
    for name, guess, question, how in guesses:
        try:
            with _quiet():
                fits = guess != shapes[name] and bool(internals.infer_shape_partial(**{**known, name: guess})[1])
            if fits:
                return f"; {question} {guess} fits: {how}"
        except MXNetError:
            continue
    return ""


def complete_shapes(symbol, shapes: Mapping[str, Sequence[int]]) -> Tuple[Dict[str, tuple], List[tuple]]:
    """Shapes of all arguments of an MXNet symbol by name, and of all its outputs.

    >>> import mxnet as mx
    >>> complete_shapes(mx.sym.FullyConnected(mx.sym.var("x"), num_hidden=2, name="fc"), {"x": (1, 3)})
    ({'x': (1, 3), 'fc_weight': (2, 3), 'fc_bias': (2,)}, [(1, 2)])

    Raises:
        GraphError: the shapes do not fit, or not all follow; the text is the reason alone.
    """
    from mxnet.base import MXNetError

    try:
        with _quiet():
            arguments, outputs, _ = symbol.infer_shape(**shapes)
    except (MXNetError, ValueError) as error:
        raise GraphError((str(error).strip().splitlines() or [type(error).__name__])[-1]) from error
    if arguments is None:
        raise GraphError("the shapes of all its tensors cannot be inferred")
    return dict(zip(symbol.list_arguments(), arguments)), outputs


def infer_types(graph: Graph, data_types: Mapping[str, object]) -> Dict[Key, np.dtype]:
    """Dtypes of values that follow from the dtypes of the data and the parameters.

    Args:
        graph: a graph without extension operators.
        data_types: input name -> dtype; may be empty.

    Returns:
        ``(node name, output index) -> numpy dtype``; a value whose dtype does not follow is missing. MXNet's inference
        stops at the first operator whose input type is open: then only parameters, casts and the data are known.

    Raises:
        GraphError: a name is no input.
    """
    from mxnet.base import MXNetError

    _check_names(graph, data_types, "dtype")
    found: Dict[Key, np.dtype] = {(name, 0): array.dtype for name, array in graph.params.items()}
    found.update(((name, 0), np.dtype(dtype)) for name, dtype in data_types.items())
    for node in graph.nodes:
        if node.op in CASTS and node.get("dtype") in TYPE_FLAGS:
            found[node.name, 0] = np.dtype(node.get("dtype"))
    internals, keys = _internals(graph)
    variables = set(internals.list_arguments())
    known = {name: np.dtype(dtype).type for name, dtype in data_types.items() if name in variables}
    try:
        inferred = internals.infer_type_partial(**known)[1] or []
    except MXNetError:  # an open type, or types that contradict each other: binding tells
        inferred = []
    found.update((key, np.dtype(dtype)) for key, dtype in zip(keys, inferred) if dtype is not None)
    return found


def _internals(graph: Graph):
    """The group of all values, and the key of each."""
    internals = graph.symbol().get_internals()
    raw = json.loads(internals.tojson())
    keys: List[Key] = [(raw["nodes"][head[0]]["name"], head[1]) for head in raw["heads"]]
    return internals, keys


def _check_names(graph: Graph, given: Mapping[str, object], what: str) -> None:
    names = [node.name for node in graph.nodes if node.is_variable and node.name not in graph.params]
    for name in given:
        if name not in names:
            raise GraphError(
                f"a {what} is given for {name!r}, which is no input of the network{nearest(name, names)}; "
                f"inputs: {', '.join(names) or 'none'}"
            )


def _guard_extensions(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> None:
    """MXNet 1.9.1 writes past a buffer when an extension operator meets an input of unknown shape: refuse before."""
    for node in upstream(node for node in graph.nodes if node.op.startswith("mxq_")):
        if node.is_variable and node.name not in graph.params and node.name not in shapes:
            raise GraphError(f"int8 operators depend on input {node.name!r}: give its shape")
