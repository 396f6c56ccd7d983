"""Does MXNet's own fusion change what the float network computes?

mxq calibrates on and compares with the network operator by operator. Who runs the float network in an executor
(Module, bind, the C predict API) gets MXNet's fusion, and what it computes wrongly is no baseline.
"""

import os
from typing import Dict, List

import mxnet as mx
import numpy as np

from ..arithmetic.noise import Noise
from ..choice.decisions import decides
from ..data.batches import Batch
from ..network.bind import fused_silently
from ..network.graph import TYPE_FLAGS, Graph
from ..network.part import Runner
from ..report.finding import Finding

#: dB below which it is no question of the last digits any more: those are above 100.
LAST_DIGITS = 60.0
_ADVICE = (
    "set MXNET_SUBGRAPH_BACKEND=NONE before the float network is bound; mxq does not fuse it, and keeps MXNet from "
    "fusing what stays float"
)
_DTYPES = {flag: name for name, flag in TYPE_FLAGS.items()}


def fusion(graph: Graph, batch: Batch) -> List[Finding]:
    """A finding if the network is another one when MXNet fuses its operators, as executors do by default.

    Args:
        graph: the float network as it came.
        batch: of at least one example; one is enough.
    """
    if os.environ.get("MXNET_SUBGRAPH_BACKEND") == "NONE":
        return []
    dtypes = {node.name: _DTYPES[node.get("__dtype__", 0)] for node in graph.inputs}
    some = batch.arrays if batch.whole else {name: array[:1] for name, array in batch.arrays.items()}
    arrays = {name: array.astype(dtypes[name]) for name, array in some.items()}
    plain = [output.asnumpy() for output in Runner([graph]).part(graph, {}, graph.outputs).run(arrays)]
    try:
        fused = _fused(graph, arrays)
    except (mx.MXNetError, RuntimeError) as error:  # simple_bind raises the latter
        last = str(error).strip().splitlines()[-1]
        return [Finding("warning", "fusion", "network", f"with its fusion MXNet does not run it: {last}", _ADVICE)]
    worst, name = np.inf, ""
    for value, a, b in zip(graph.outputs, plain, fused):
        noise = Noise()
        noise.add(a, b)
        if noise.db < worst and not decides(value):
            worst, name = noise.db, value.node.name
    if worst >= LAST_DIGITS:
        return []
    told = f"MXNet's fusion changes it: the SQNR beside operators one by one is {worst:.0f} dB"
    return [Finding("warning", "fusion", name, told, _ADVICE)]


def _fused(graph: Graph, arrays: Dict[str, mx.nd.NDArray]) -> List[np.ndarray]:
    symbol, args, aux = graph.to_symbol()
    known = {name: array for name, array in arrays.items() if name in symbol.list_arguments()}
    with fused_silently():
        executor = symbol.simple_bind(
            mx.cpu(),
            grad_req="null",
            type_dict={name: array.dtype for name, array in known.items()},
            **{name: array.shape for name, array in known.items()},
        )
    executor.copy_params_from(args, aux, allow_extra_params=True)
    return [output.asnumpy() for output in executor.forward(is_train=False, **known)]
