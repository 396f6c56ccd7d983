"""Values that the results of operators cannot exceed."""

import math
from typing import Dict, Tuple

from ..network.graph import Graph, Value
from .fuse import LIMIT
from .spec import SELECT, lookup

Bounds = Tuple[float, float]

_ANY: Bounds = (-math.inf, math.inf)
#: Of operators, and of the functions that Activation names.
_OWN: Dict[str, Bounds] = {
    **dict.fromkeys(("relu", "softrelu", "exp", "square", "abs", "sqrt"), (0.0, math.inf)),
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "softmax", "SoftmaxActivation", "SoftmaxOutput"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "softsign", "erf", "sin", "cos", "L2Normalization"), (-1.0, 1.0)),
}


def bounds(value: Value, graph: Graph) -> Bounds:
    """(least, largest) that a value of `graph` can be, infinite where its operator has no limit.

    >>> import mxnet as mx
    >>> from mxq.network.graph import Graph
    >>> relu6 = Graph.from_symbol(mx.sym.clip(mx.sym.var("x"), 0, 6, name="relu6"), {}, {})
    >>> bounds(relu6.outputs[0], relu6)
    (0.0, 6.0)
    """
    node = value.node
    spec = lookup(node)
    while spec is not None and spec.kind_of(node) == SELECT:  # only moves what there is
        node = node.inputs[0].node
        spec = lookup(node)
    if node.op == "clip":
        return float(node.get("a_min")), float(node.get("a_max"))
    if node.op == LIMIT:
        limits = graph.param_of(node.inputs[1])
        return _ANY if limits is None else (-math.inf, float(limits.max()))
    return _OWN.get(node.get("act_type", "") if node.op == "Activation" else node.op, _ANY)
