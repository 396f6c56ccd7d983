"""The part of the page of accuracy that is about networks as their owners have them: SQNR and task beside float."""

from typing import Dict, List, Tuple

import markdown
from engines import ENGINES
from results import Results
from tasks import TASKS

OURS = ("mxq", "mxq-best")
HEADER = ["network", "engine", "SQNR of each output, dB", "task", "parameters / float", "seconds"]


def networks_of(results: Results) -> List[dict]:
    return [network for network in results.about["networks"] if network.get("task")]


def cells(network: dict, found: dict) -> List[str]:
    """SQNR, task, size and seconds; of an engine that fails its reason."""
    if "failed" in found:
        return ["-", found["failed"], "-", "-"]
    ratios = " ".join("inf" if ratio is None else f"{ratio:.1f}" for ratio in found["sqnr"])
    seconds = "-" if found["seconds"] is None else f"{found['seconds']:.1f}"
    return [ratios, TASKS[network["task"]].told(found["task"]), f"{found['size']:.2f}", seconds]


def every(results: Results) -> Tuple[List[str], List[List[str]]]:
    """Header and rows: each engine on each network."""
    rows = []
    for network in networks_of(results):
        for engine, label in results.about["labels"].items():
            found = results.get(f"{network['name']}/{engine}")
            if found and ENGINES[engine].bits == 8:
                rows.append([network["label"], label, *cells(network, found)])
    return HEADER, rows


def comparison(results: Results) -> Tuple[List[str], List[List[str]]]:
    """mxq beside the other toolkit that is best at the task, and the one with the best SQNR of the worst output."""
    rows = []
    ours = [engine for engine in OURS if engine in results.about["engines"]]
    for network in networks_of(results):
        task, values = TASKS[network["task"]], _values(results, network)
        peers = [engine for engine in values if engine not in OURS]
        if not all(engine in values for engine in ours):
            continue
        row = [network["label"], *(f"{_worst(values[e]):.1f} dB; {task.told(values[e]['task'])}" for e in ours)]
        ranks = ({e: task.rank(values[e]["task"]) for e in peers}, {e: (_worst(values[e]),) for e in peers})
        for rank in ranks:
            best = max(peers, key=rank.__getitem__, default=None)
            told = "" if best is None else f"{results.about['labels'][best]}: {_worst(values[best]):.1f} dB; "
            row.append("-" if best is None else told + task.told(values[best]["task"]))
        rows.append(row)
    labels = [results.about["labels"][engine] for engine in ours]
    return [
        "network",
        *(f"{label}: worst SQNR; task" for label in labels),
        "best peer by task",
        "best peer by SQNR",
    ], rows


def _values(results: Results, network: dict) -> Dict[str, dict]:
    """What was measured of each int8 engine that runs the network."""
    found = {engine: results.get(f"{network['name']}/{engine}") for engine in results.about["engines"]}
    return {e: v for e, v in found.items() if v and "failed" not in v and ENGINES[e].bits == 8}


def _worst(found: dict) -> float:
    return min(float("inf") if ratio is None else ratio for ratio in found["sqnr"])


def section(results: Results) -> List[str]:
    """The paragraphs and tables of the page."""
    if not networks_of(results):
        return []
    seen = {task: TASKS[task].title for task in (network["task"] for network in networks_of(results))}
    titles = "; ".join(seen.values())
    parts = [
        "## Networks as their owners have them",
        "Embeddings, ages and detectors on inputs of their own (example/benchmark/owned.py), int8 beside float MXNet "
        f"without fusion. What they are for: {titles}.",
    ]
    for header, rows in (comparison(results), every(results)):
        if rows:
            parts.append(markdown.table(header, rows))
    return parts
