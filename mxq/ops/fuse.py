"""Which followers a multiplying operator takes along: activation and residual sum, in the orders of real networks.

    head -> act                      head -> add -> act          (ResNet v1)
    head -> act -> add               head -> add                 (MobileNetV2, EfficientNet)

The native operators apply: scale and bias, sum before the activation, activation, sum after it; one sum, one
activation. The slopes of a PReLU are one float32 number a channel, an input of the operator.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple

from ..network.graph import Graph, Node, Value
from .spec import sole_user

ADD = ("elemwise_add", "_plus", "_Plus", "_add", "broadcast_add", "broadcast_plus")
ACTIVATION = ("Activation", "relu", "clip", "LeakyReLU")
#: With a parameter: what equalizing channels makes of a clip's upper limit, behind a ReLU.
LIMIT = "broadcast_minimum"
FLATTEN = ("Flatten", "flatten")


def is_relu(node: Node) -> bool:
    """Whether a node is a ReLU, under either of its names."""
    return node.op == "relu" or (node.op == "Activation" and node.get("act_type") == "relu")


def is_prelu(node: Node) -> bool:
    """Whether a node multiplies negative values by a slope that is a parameter, one or one for each channel."""
    return node.op == "LeakyReLU" and node.get("act_type", "leaky") == "prelu"


def native_activation(node: Node, graph: Graph) -> Optional[Dict[str, object]]:
    """Attributes of the fused activation, or None where the native operators have no such activation.

    >>> native_activation(Node("Activation", "a", {"act_type": "relu"}), Graph([], [], {}, ()))
    {'act': 'relu'}
    """
    if is_relu(node):
        return {"act": "relu"}
    if node.op == "clip":
        return {"act": "clip", "act_alpha": float(node.get("a_min")), "act_beta": float(node.get("a_max"))}
    if node.op == "LeakyReLU" and node.get("act_type", "leaky") == "leaky":
        return {"act": "leaky", "act_alpha": float(node.get("slope", 0.25))}
    if is_prelu(node):
        slope = graph.param_of(node.inputs[1])
        if slope is None:
            return None
        return {"act": "leaky", "act_alpha": float(slope.reshape(-1)[0])} if slope.size == 1 else {"act": "prelu"}
    return None


def grow_chain(
    head: Node, graph: Graph, uses: Dict, taken: set, *, with_sum: bool = True, channels: int = 0
) -> List[Node]:
    """The head and the followers that fuse with it, in order.

    Args:
        with_sum: whether the operator adds a residual.
        channels: that axis 1 of what the head computes surely has, 0 where that is not known: a PReLU needs as many.
    """
    nodes, have_act, have_sum = [head], False, not with_sum
    while True:
        user = sole_user(nodes[-1].out(), uses)
        if user is None or user.name in taken:
            return nodes
        if not have_act and user.op in ACTIVATION and _fuses(user, graph, channels):
            have_act = True
        elif not have_sum and user.op in ADD and _other(user, nodes[-1]) is not None:
            if graph.param_of(_other(user, nodes[-1])) is not None or not same_shape(user, graph):
                return nodes
            have_sum = True
        else:
            return nodes
        nodes.append(user)


def _fuses(node: Node, graph: Graph, channels: int) -> bool:
    attrs = native_activation(node, graph)
    return attrs is not None and (attrs["act"] != "prelu" or graph.param_of(node.inputs[1]).size == channels)


def with_flatten(nodes: List[Node], uses: Dict, taken: set) -> List[Node]:
    """These nodes, and the Flatten that alone reads them: for units that can write (N, K) themselves."""
    user = sole_user(nodes[-1].out(), uses)
    return nodes + [user] if user is not None and user.op in FLATTEN and user.name not in taken else nodes


def same_shape(add: Node, graph: Graph) -> bool:
    """Whether a sum surely has equal shapes: elementwise operators by definition, broadcasting ones by inference."""
    if not add.op.startswith("broadcast"):
        return True
    a, b = (graph.shapes.get((v.node.name, v.index)) for v in add.inputs)
    return a is not None and a == b


def _other(add: Node, producer: Node) -> Optional[Value]:
    rest = [v for v in add.inputs if v.node is not producer]
    return rest[0] if len(rest) == 1 else None


class Chain(NamedTuple):
    """What a grown chain means for the native operator.

    Attributes:
        attrs: of the native operator.
        residual: the other operand of the sum.
        limits: the parameter with the largest value per channel behind the activation; no native operator has it.
    """

    attrs: Dict[str, object]
    slope: Optional[Value]  # of act=prelu
    residual: Optional[Value]
    limits: Optional[Value] = None


def read_chain(nodes: Tuple[Node, ...], head: Node, graph: Graph) -> Chain:
    """Activation and sum of a unit whose head is `head`; `nodes` in topological order."""
    attrs: Dict[str, object] = {}
    slope = residual = limits = None
    previous = head
    for node in nodes[[n.name for n in nodes].index(head.name) + 1 :]:
        if node.op in ADD:
            attrs["sum"] = "after_act" if "act" in attrs else "before_act"
            residual = _other(node, previous)
        elif node.op == LIMIT:
            limits = node.inputs[1]
        elif node.op not in FLATTEN:
            attrs.update(native_activation(node, graph))
            slope = node.inputs[1] if attrs["act"] == "prelu" else None
        previous = node
    return Chain(attrs, slope, residual, limits)
