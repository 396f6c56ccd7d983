"""Layer by layer: the int8 network of mxq beside MXNet's fused float network, and beside what the processor can do."""

import json
import os
from typing import Dict, List

from processes import Prepared, Process

from mxq.evaluation.layers import ENVIRONMENT

#: oneDNN without AMX: what the same convolutions reach with VNNI.
VNNI_ONLY = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}


def measure_layers(network: dict, prepared: Prepared, repetitions: int, priority: bool) -> dict:
    """Both networks in turns, each time in a new process; the medians of each layer, joined by `join`."""
    found: Dict[str, List[List[dict]]] = {"float": [], "mxq": []}
    for _ in range(repetitions):
        for engine, rows in found.items():
            folder = prepared(engine, network)["folder"]
            log = prepared.log(engine)
            with Process(engine, prepared.threads, log, priority=priority, environment=ENVIRONMENT) as process:
                rows.append(process.ask("layers", network=network, folder=folder)["rows"])
    with open(os.path.join(prepared("mxq", network)["folder"], "units.json")) as file:
        units = json.load(file)
    floats, integers = (middle(rows) for rows in found.values())
    return {"rows": join(floats, integers, units)}


def measure_peak(prepared: Prepared, priority: bool) -> dict:
    """Billions of multiplications a second of large int8 convolutions, as the processor is and without AMX."""
    found = {"peak": 0.0, "vnni": 0.0}
    for _ in range(2):  # a machine that is shared has better and worse moments
        for name, environment in (("peak", {}), ("vnni", VNNI_ONLY)):
            log = prepared.log("mxq")
            with Process("mxq", prepared.threads, log, priority=priority, environment=environment) as process:
                found[name] = max(found[name], process.ask("peak")["gmacs"])
    return found


def middle(repetitions: List[List[dict]]) -> List[dict]:
    """Rows with the median of their times over the repetitions."""
    return [{**rows[0], "us": sorted(row["us"] for row in rows)[len(rows) // 2]} for rows in zip(*repetitions)]


def join(floats: List[dict], integers: List[dict], units: Dict[str, str]) -> List[dict]:
    """A row for every operator of the int8 network with what it took in float, and for the float layers it has no more.

    Args:
        floats: name, op, us, nodes: the nodes of the network that a fused float layer is made of.
        integers: name, op, us, macs.
        units: node of the network -> int8 operator that it is part of.

    Returns:
        list: name, op, macs, us (0: gone), float_us (None: a conversion that float does not need).
    """
    rows = {row["name"]: {"name": row["name"], "op": row["op"], "macs": row["macs"], "us": row["us"], "float_us": None}
            for row in integers}  # fmt: skip
    for layer in floats:
        owners = [owner for owner in (units.get(node, node) for node in layer["nodes"]) if owner in rows]
        name = owners[0] if owners else layer["name"]
        row = rows.setdefault(name, {"name": name, "op": layer["op"], "macs": 0, "us": 0.0, "float_us": None})
        row["float_us"] = (row["float_us"] or 0.0) + layer["us"]
    return list(rows.values())
