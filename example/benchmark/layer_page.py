"""Layer by layer tables: where the time of the int8 networks goes, and which layers gain."""

from typing import Callable, Dict, List, Optional

import markdown
from results import Results

import measure

WHOLE = ["network", "GMAC", "GMAC/s", "of VNNI peak %", "of peak %", "the peak itself beside the fastest peer"]
HEADER = ["int8, µs", "share %", "GMAC/s", "of peak %", "float, µs", "gain"]


def by_operator(rows: List[dict]) -> List[dict]:
    """The same summed up by operator, the most expensive first."""
    found: Dict[str, dict] = {}
    for row in rows:
        one = found.setdefault(row["op"], {"name": row["op"], "count": 0, "macs": 0, "us": 0.0, "float_us": 0.0})
        one["count"] += 1
        for key in ("macs", "us", "float_us"):
            one[key] += row[key] or 0
    return sorted(found.values(), key=lambda row: -row["us"])


def cells(row: dict, total: float, peak: float, label: Callable[[dict], str]) -> List[str]:
    """A row of a table: time, share of the network, GMAC/s, share of the peak, float time, gain."""
    rate = row["macs"] / row["us"] / 1e3 if row["us"] and row["macs"] else None
    return [
        label(row),
        f"{row['us']:.0f}" if row["us"] else "gone",
        f"{100 * row['us'] / total:.1f}",
        f"{rate:.0f}" if rate else "",
        f"{100 * rate / peak:.0f}" if rate else "",
        f"{row['float_us']:.0f}" if row["float_us"] else "",
        f"{row['float_us'] / row['us']:.1f}" if row["float_us"] and row["us"] else "",
    ]


def _peak(results: Results) -> Optional[float]:
    found = results.get("peak")
    return found and found["peak"]


def summary(results: Results, network: str) -> str:
    """A network by operator, for the terminal; empty where it was not measured."""
    found, peak = results.get(f"{network}/layers"), _peak(results)
    if not (found and peak):
        return ""
    rows = by_operator(found["rows"])
    total = sum(row["us"] for row in rows)
    table = [cells(row, total, peak, lambda r: f"{r['name']} x {r['count']}") for row in rows]
    return measure.table([("operator", *HEADER), *map(tuple, table)])


def _share(found: dict, layers: dict, peaks: dict, fastest_peer: Callable) -> List[str]:
    """GMAC, GMAC/s, shares of both peaks, and how far ahead of the fastest peer the peak itself would be."""
    times = sorted(found["ms"]["mxq"])
    gmacs = sum(row["macs"] for row in layers["rows"]) / 1e9
    rate = gmacs / (times[len(times) // 2] / 1e3)
    peer = fastest_peer(found)
    return [
        f"{gmacs:.2f}",
        f"{rate:.0f}",
        *(f"{100 * rate / peaks[key]:.0f}" for key in ("vnni", "peak")),
        f"{peer[1].median * peaks['peak'] / rate:.2f}" if peer else "",
    ]


def sections(results: Results, scenario: str, fastest_peer: Callable) -> List[str]:
    """Of the page: the peak, what each network reaches of it from end to end, and its time by operator."""
    peaks = results.get("peak")
    entries = [(n, results.get(f"{n['name']}/layers")) for n in results.about["networks"]]
    entries = [(network, found) for network, found in entries if found]
    if not (peaks and entries):
        return []
    whole = []
    for network, layers in entries:
        found = results.get(f"{network['name']}/{scenario}")
        if found and found["ms"].get("mxq"):
            whole.append([network["label"], *_share(found, layers, peaks, fastest_peer)])
    parts = [
        "## Beside what the processor can do",
        f"The quickest large int8 convolution reached {peaks['peak']:.0f} GMAC/s, and {peaks['vnni']:.0f} GMAC/s "
        f"without AMX, in the same run. Networks from end to end ({scenario}); multiplications with padding count, "
        "though kernels may skip them. The last column: as many times as fast as the fastest peer would be a network "
        "whose multiplications all run at that peak, and in which nothing else takes time.",
        markdown.table(WHOLE, whole),
        "## Where the time goes",
        "By operator of the int8 network, one image, and what the same layers take in MXNet's fused float network. "
        "Operators without a float time are conversions; 'gone' are float layers that int8 does not have any more.",
    ]
    for network, found in entries:
        rows = by_operator(found["rows"])
        total = sum(row["us"] for row in rows)
        table = [cells(row, total, peaks["peak"], lambda r: f"`{r['name']}` x {r['count']}") for row in rows]
        parts += [f"### {network['label']}", markdown.table(["operator", *HEADER], table)]
    return parts


def page(results: Results) -> str:
    """A page of its own with every layer of every network."""
    peak = _peak(results)
    parts = ["# Speed layer by layer", f"`{results.about['command']}` on {results.about['machine']}."]
    for network in results.about["networks"]:
        found = results.get(f"{network['name']}/layers")
        if found and peak:
            total = sum(row["us"] for row in found["rows"])
            table = [cells(row, total, peak, _named) for row in found["rows"]]
            parts += [f"## {network['label']}", markdown.table(["layer", *HEADER], table)]
    return "\n\n".join(parts) + "\n"


def _named(row: dict) -> str:
    return f"{row['name']} (`{row['op']}`)"
