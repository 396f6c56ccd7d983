"""Times of single layers: of MXNet's fused float network, and of every operator of the int8 network.

MXNet's profiler tells when each operator of an executor began and ended, and mxq.profile what happened inside the
operators of mxq. Both want MXNet to run one operator after the other: ENVIRONMENT belongs to the process that does it.
"""

import json
import os
import re
import tempfile
from typing import Dict, List, Tuple

import mxnet as mx
import numpy as np
from mxnet import profiler

import measure
import mxq.profile
from mxq.network.bind import unfused

ENVIRONMENT = {"MXNET_ENGINE_TYPE": "NaiveEngine", "MXNET_EXEC_BULK_EXEC_INFERENCE": "0"}
RUNS, WARM_UP = 20, 5
_EVENT = re.compile(r'"name": "([^"]*)",\s*"cat": "operator",\s*"ph": "([BE])",\s*"ts": (\d+)')
#: Convolutions that reach the processor's limit: (height and width, channels, filters, kernel), by batch of 1.
LARGE = ((28, 512, 512, 1), (56, 256, 256, 3), (28, 512, 512, 3), (56, 64, 256, 3))


def of_float(prefix: str, images: np.ndarray) -> List[dict]:
    """The layers of a float network as MXNet fuses them: name, op, microseconds, and the nodes each is made of."""
    symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, 0)
    times, nodes = _traced(symbol.get_backend_symbol("MKLDNN"), arguments, auxiliary, images)
    return [
        {"name": node["name"], "op": node["op"], "us": us, "nodes": _inside(node)} for node, us in zip(nodes, times)
    ]


def of_int8(prefix: str, images: np.ndarray) -> List[dict]:
    """The operators of an int8 network, those inside regions too: name, op, microseconds, macs."""
    recorded: Dict[str, List[float]] = {}
    found: Dict[str, dict] = {}

    def run(forward) -> None:
        with mxq.profile.record() as rows:
            forward()
        for row in rows:
            found[row.name] = {"name": row.name, "op": row.op, "macs": row.macs, "shape": row.shape}
            recorded.setdefault(row.name, []).append(row.microseconds)

    times, nodes = _traced(*mx.model.load_checkpoint(prefix, 0), images, run)
    rows = [{**row, "us": float(np.median(recorded[name][-RUNS:]))} for name, row in found.items()]
    for node, us in zip(nodes, times):
        if not node["op"].startswith("mxq_"):
            rows.append({"name": node["name"], "op": node["op"], "macs": 0, "us": us})
    return rows


def int8_peak(seconds: float = 0.5) -> float:
    """Billions of multiplications a second of the quickest large int8 convolution, each tried for `seconds`."""
    best = 0.0
    for side, channels, filters, kernel in LARGE:
        random = np.random.RandomState(0)
        data = mx.nd.array(random.randint(0, 256, (1, side, side, channels)), dtype="uint8")
        weight = mx.nd.array(random.randint(-127, 128, (filters, channels, kernel, kernel)), dtype="int8")
        options = {"kernel": (kernel, kernel), "pad_begin": (kernel // 2,) * 2, "pad_end": (kernel // 2,) * 2}
        options.update(num_filter=filters, no_bias=True, out_type="int8", in_scale=0.1, out_scale=100.0)
        scale = mx.nd.ones(filters)
        with mxq.profile.record() as times:
            measure.turn(lambda: mx.nd.mxq_conv(data, weight, scale, **options).wait_to_read(), seconds)  # noqa: B023
        best = max(best, times.rows[0].macs / times.rows[0].least / 1e3)
    return best


def _traced(symbol, arguments: dict, auxiliary: dict, images: np.ndarray, run=lambda forward: forward()) -> Tuple:
    """Microseconds of each node of a network (medians over runs), and the nodes."""
    nodes = [node for node in json.loads(symbol.tojson())["nodes"] if node["op"] != "null"]
    with unfused():
        executor = symbol.simple_bind(mx.cpu(), data=images.shape, grad_req="null")
    executor.copy_params_from(arguments, auxiliary)
    executor.forward(is_train=False, data=mx.nd.array(images))

    def forward() -> None:
        executor.forward(is_train=False)
        mx.nd.waitall()

    for _ in range(WARM_UP):
        forward()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        profiler.set_config(profile_symbolic=True, profile_imperative=False, profile_memory=False, filename=path)
        profiler.set_state("run")
        for _ in range(RUNS):
            run(forward)
        profiler.set_state("stop")
        profiler.dump()
        with open(path) as file:
            events = _EVENT.findall(file.read())  # the file is not always valid JSON
    began = [(name, int(when)) for name, what, when in events if what == "B"]
    ended = [int(when) for _, what, when in events if what == "E"]
    expected = [node["op"] for node in nodes] * RUNS
    if [name for name, _ in began] != expected or len(ended) != len(began):
        raise RuntimeError(f"MXNet's profiler told of {len(began)} operators where {len(expected)} ran")
    taken = np.array([end - begin for (_, begin), end in zip(began, ended)]).reshape(RUNS, len(nodes))
    return np.median(taken, axis=0).tolist(), nodes


def _inside(node: dict) -> List[str]:
    """Names of the nodes of the network that a node is made of."""
    graphs = node.get("subgraphs", [])
    return [inner["name"] for graph in graphs for inner in graph["nodes"] if inner["op"] != "null"] or [node["name"]]
