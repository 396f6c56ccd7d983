"""Where the time of an int8 network goes, beside that of the float layers in the place of each operator.

MXNet's profiler tells when each operator of an executor began and ended. It wants MXNet to run one after the other,
which is decided when MXNet is loaded: so a float network is measured in a process of its own, this module as a program.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import MXQError
from ..flow import SIMPLIFICATIONS
from ..network.graph import Graph
from ..ops import UNIT
from ..passes import run
from ..passes.annotate import annotate
from ..profile import Times
from .network import Network

ENVIRONMENT = {"MXNET_ENGINE_TYPE": "NaiveEngine", "MXNET_EXEC_BULK_EXEC_INFERENCE": "0"}
RUNS, _WARM_UP = 20, 3
_EVENT = re.compile(r'"name": "([^"]*)",\s*"cat": "operator",\s*"ph": "([BE])",\s*"ts": (\d+)')


class FloatLayer(NamedTuple):
    """A layer as MXNet fuses it: name, operator, microseconds, and the nodes that it is made of."""

    name: str
    op: str
    us: float
    nodes: Sequence[str]


class LayerTime(NamedTuple):
    """An operator of the int8 network with what it takes in float, or a float layer that int8 has no more.

    Attributes:
        float_us, int8_us: microseconds; None: float does not have it (a conversion), or int8.
        op: of the int8 network, or of the float one.
        shape: of the output in int8; () for float layers.
        name: of the operator.
    """

    float_us: Optional[float]
    int8_us: Optional[float]
    op: str
    shape: Tuple[int, ...]
    name: str


def float_layers(symbol: str, params: Optional[str], shapes: Mapping[str, Sequence[int]]) -> List[FloatLayer]:
    """Times of the layers of a saved float network on made-up data, medians over runs, in a process of its own.

    Raises MXQError where MXNet's profiler does not tell them.
    """
    command = [sys.executable, "-m", __name__, json.dumps([symbol, params, {k: list(v) for k, v in shapes.items()}])]
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise MXQError(f"layers of {symbol}: {lines[-1] if lines else f'exit status {done.returncode}'}")
    return [FloatLayer(*row) for row in json.loads(done.stdout.decode().splitlines()[-1])]


def beside_float(times: Times, floats: Sequence[FloatLayer], graph: Graph) -> List[LayerTime]:
    """Joins both by the units that become int8 operators.

    Args:
        times: of the int8 network's operators.
        floats: of the float network's layers.
        graph: the float network.
    """
    annotated = annotate(run(graph, SIMPLIFICATIONS))
    units = {node.name: node.attrs[UNIT] for node in annotated.nodes if UNIT in node.attrs}
    rows = {row.name: LayerTime(None, row.microseconds, row.op, tuple(row.shape), row.name) for row in times}
    for layer in floats:
        owners = [owner for owner in (units.get(node, node) for node in layer.nodes) if owner in rows]
        name = owners[0] if owners else layer.name
        row = rows.setdefault(name, LayerTime(None, None, layer.op, (), name))
        rows[name] = row._replace(float_us=(row.float_us or 0.0) + layer.us)
    return list(rows.values())


def traced(symbol, step: Callable[[], None]) -> List[FloatLayer]:
    """Times of the operators of a symbol that `step` runs, medians over RUNS, in a process that has ENVIRONMENT.

    Raises MXQError where MXNet's profiler does not tell them.
    """
    from mxnet import profiler

    nodes = [node for node in json.loads(symbol.tojson())["nodes"] if node["op"] != "null"]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        profiler.set_config(profile_symbolic=True, profile_imperative=False, profile_memory=False, filename=path)
        profiler.set_state("run")
        for _ in range(RUNS):
            step()
        profiler.set_state("stop")
        profiler.dump()
        with open(path) as file:
            events = _EVENT.findall(file.read())  # the file is not always valid JSON
    began = [(name, int(when)) for name, what, when in events if what == "B"]
    ended = [int(when) for _, what, when in events if what == "E"]
    if [name for name, _ in began] != [node["op"] for node in nodes] * RUNS or len(ended) != len(began):
        raise MXQError(f"MXNet's profiler told of {len(began)} operators where {len(nodes) * RUNS} ran")
    taken = np.array([end - begin for (_, begin), end in zip(began, ended)]).reshape(RUNS, len(nodes))
    return [
        FloatLayer(node["name"], node["op"], us, _inside(node)) for node, us in zip(nodes, np.median(taken, 0).tolist())
    ]


def _layers(network: Network, shapes: Mapping[str, Sequence[int]]) -> List[FloatLayer]:
    """Those of a network, as MXNet fuses it."""
    bound = network.bound(shapes)
    for _ in range(_WARM_UP):
        bound.step()
    return traced(bound.symbol if bound.note else bound.symbol.get_backend_symbol("MKLDNN"), bound.step)


def _inside(node: Dict) -> List[str]:
    """Names of the nodes of the network that a node is made of."""
    graphs = node.get("subgraphs", [])
    return [inner["name"] for graph in graphs for inner in graph["nodes"] if inner["op"] != "null"] or [node["name"]]


if __name__ == "__main__":
    _symbol, _params, _shapes = json.loads(sys.argv[1])
    _shapes = {name: tuple(shape) for name, shape in _shapes.items()}
    print(json.dumps(_layers(Network.open(_symbol, _params), _shapes)))
