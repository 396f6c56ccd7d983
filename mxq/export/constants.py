"""What does not depend on the data is computed by MXNet when the network is written."""

from typing import List

import numpy as np

from ..network.bind import unfused
from ..network.graph import VARIABLE, Graph, Node


def evaluate(node: Node, arrays: List[np.ndarray], outputs: int) -> List[np.ndarray]:
    """The outputs of one MXNet operator, given its inputs.

    >>> evaluate(Node("negative", "n", {}, [Node(VARIABLE, "x").out()]), [np.float32([1, -2])], 1)
    [array([-1.,  2.], dtype=float32)]
    """
    import mxnet as mx

    variables = [Node(VARIABLE, f"input{i}") for i in range(len(arrays))]
    alone = Node(node.op, node.name, node.attrs, [variable.out() for variable in variables], node.subgraphs)
    symbol = Graph([*variables, alone], [alone.out(i) for i in range(outputs)], {}).symbol()
    given = {variable.name: mx.nd.array(array, dtype=array.dtype) for variable, array in zip(variables, arrays)}
    with unfused():
        executor = symbol.bind(mx.cpu(), args=given, grad_req="null")
    return [output.asnumpy() for output in executor.forward(is_train=False)]
