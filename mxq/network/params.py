"""Parameters as people hand them over: one dict or two, names with or without ``arg:`` and ``aux:``."""

from typing import Dict, Iterable, List, Mapping, Optional, Tuple, Union

import numpy as np

from ..errors import GraphError, nearest
from .graph import Graph

Params = Mapping[str, object]

#: Operators whose inputs after the first are parameters in every real network.
WEIGHTED_LAYERS = frozenset(
    "Convolution Deconvolution FullyConnected BatchNorm BatchNorm_v1 LayerNorm GroupNorm InstanceNorm Embedding".split()
)
_PREFIXES = ("arg", "aux")

#: Operators with a label among their inputs, and its index. A label needs no value for inference.
LABEL_INPUT = {
    "SoftmaxOutput": 1,
    "Softmax": 1,
    "LinearRegressionOutput": 1,
    "LogisticRegressionOutput": 1,
    "MAERegressionOutput": 1,
    "SVMOutput": 1,
    "softmax_cross_entropy": 1,
    "CTCLoss": 1,
    "MultiBoxTarget": 1,
}


def split_params(params: Union[Params, Tuple[Params, Params]], sym=None) -> Tuple[Dict[str, object], Dict[str, object]]:
    """Returns ``(arg_params, aux_params)`` with plain names.

    >>> split_params({"arg:w": w, "aux:mean": m}) == ({"w": w}, {"mean": m})  # doctest: +SKIP

    Args:
        params: a dict, or a pair (arg_params, aux_params); names with or without ``arg:`` / ``aux:``.
        sym: tells auxiliary states from arguments among names without prefix; without it those count as arguments.

    Raises:
        GraphError: not such a dict or pair, a value that is no array, or two values for one name.
    """
    aux_names = set(sym.list_auxiliary_states()) if sym is not None else set()
    if isinstance(params, Mapping):
        parts: List[Tuple[Params, str]] = [(params, "")]
    elif (
        isinstance(params, (tuple, list)) and len(params) == 2 and all(isinstance(p, Mapping) or not p for p in params)
    ):
        parts = [(params[0] or {}, "arg"), (params[1] or {}, "aux")]
    else:
        raise GraphError(
            f"params is a {type(params).__name__}: give a dict of arrays or a pair (arg_params, aux_params)"
        )
    found: Dict[str, Dict[str, object]] = {"arg": {}, "aux": {}}
    for part, default in parts:
        for key, array in part.items():
            if not isinstance(key, str):
                raise GraphError(f"parameter name {key!r} is a {type(key).__name__}, not a string")
            head, colon, tail = key.partition(":")
            prefixed = bool(colon) and head in _PREFIXES
            name = tail if prefixed else key
            kind = head if prefixed else default or ("aux" if name in aux_names else "arg")
            if not (isinstance(array, np.ndarray) or hasattr(array, "asnumpy")):
                raise GraphError(f"parameter {name!r} is a {type(array).__name__}: give an NDArray or a numpy array")
            if any(name in group for group in found.values()):
                raise GraphError(f"parameter {name!r} is given twice (with and without a prefix?)")
            found[kind][name] = array
    return found["arg"], found["aux"]


def check_names_match(sym, params) -> None:
    """Raises GraphError where hardly any of the parameters is one of the network's, and it lacks others.

    Args:
        sym, params: as of `split_params`.
    """
    given = {name for part in split_params(params, sym) for name in part}
    wanted = set(sym.list_inputs())
    known = given & wanted
    if given and 2 * len(known) < len(given) and 2 * len(known) < len(wanted):
        others, lacking = (
            _some(sorted(given - wanted)),
            _some([n for n in sym.list_inputs() if n not in given | {"data"}]),
        )
        how_many = f"only {len(known)} of the {len(given)} names" if known else f"none of the {len(given)} names"
        raise GraphError(
            f"{how_many} of the parameters are the network's: they are those of another one, or renamed. The network "
            f"needs {lacking}; the parameters have {others}"
        )


def _some(names: List[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def require_params(graph: Graph, data_names: Iterable[str], label_names: Iterable[str] = ()) -> None:
    """Raises GraphError unless the inputs of the network are the data, plus labels.

    Args:
        graph: with the parameters that there are.
        data_names: the inputs that data is given for; each must exist.
        label_names: inputs that may lack a value; they need not exist. Label inputs of loss operators count without.
    """
    data_names = list(data_names)
    inputs = [node.name for node in graph.inputs]
    listed = f"inputs: {', '.join(inputs) or 'none'}"
    for name in data_names:
        if name in inputs:
            continue
        if name in graph.params:
            raise GraphError(f"data name {name!r} is a parameter of the network; {listed}")
        raise GraphError(f"data name {name!r} is no input of the network{nearest(name, inputs)}; {listed}")
    allowed = set(data_names) | set(label_names) | label_inputs(graph)
    missing = [name for name in inputs if name not in allowed]
    if missing:
        shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise GraphError(
            f"no values for {shown}: parameters are missing, or these are inputs that data_names "
            f"({', '.join(data_names) or 'empty'}) should list"
        )


def without_data(graph: Graph, data_names: Optional[Iterable[str]], label_names: Iterable[str] = ()) -> Graph:
    """The graph without values of data and labels, which dicts such as ``executor.arg_dict`` hold beside parameters.

    Args:
        data_names: the inputs that are data; None: those that nothing is given for, or else ``data`` by its name.
        label_names: inputs that are labels; those of loss operators count without.
    """
    weights, labels = _weights(graph), set(label_names) | _only_labels(graph)
    given = {"data"} if data_names is None else set(data_names)
    if data_names is None and default_data_names(graph, labels):
        given = set()
    dropped = [name for name in graph.params if name in (given - weights) | labels and name not in graph.aux]
    if not dropped:
        return graph
    twin = graph.copy()
    for name in dropped:
        del twin.params[name]
    return twin


def default_data_names(graph: Graph, label_names: Iterable[str] = ()) -> List[str]:
    """Inputs that are data if nobody says which are: no labels, nothing that stands where weights belong."""
    skipped = set(label_names) | label_inputs(graph) | _weights(graph)
    return [node.name for node in graph.inputs if node.name not in skipped]


def label_inputs(graph: Graph) -> set:
    """Names of inputs that only serve as labels of loss operators."""
    return _only_labels(graph) - set(graph.params)


def _only_labels(graph: Graph) -> set:
    """Variables that nothing reads but loss operators as their label."""
    labels, others = set(), set()
    for node in graph.nodes:
        for i, value in enumerate(node.inputs):
            if value.node.is_variable:
                (labels if LABEL_INPUT.get(node.op) == i else others).add(value.node.name)
    return labels - others


def _weights(graph: Graph) -> set:
    """Variables that stand where weights belong."""
    return {value.node.name for node in graph.nodes if node.op in WEIGHTED_LAYERS for value in node.inputs[1:]}
