"""Parameters as people hand them over: one dict or two, names with or without ``arg:`` and ``aux:``."""

from typing import Dict, Iterable, List, Mapping, Tuple, Union

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


def default_data_names(graph: Graph, label_names: Iterable[str] = ()) -> List[str]:
    """Inputs that are data if nobody says which are: no labels, nothing that stands where weights belong."""
    weights = {value.node.name for node in graph.nodes if node.op in WEIGHTED_LAYERS for value in node.inputs[1:]}
    skipped = set(label_names) | label_inputs(graph) | weights
    return [node.name for node in graph.inputs if node.name not in skipped]


def label_inputs(graph: Graph) -> set:
    """Names of inputs that only serve as labels of loss operators."""
    labels, others = set(), set()
    for node in graph.nodes:
        for i, value in enumerate(node.inputs):
            if value.node.is_variable and value.node.name not in graph.params:
                (labels if LABEL_INPUT.get(node.op) == i else others).add(value.node.name)
    return labels - others
