"""What accuracy.py measured, as a table in the terminal, as a Markdown page and as a picture."""

from typing import Dict, List, Optional, Tuple

import markdown
import owned_page
from engines import ENGINES
from results import Results

import measure

COLUMNS = (
    ("top-1 %", "top1", "{:.2f}"),
    ("top-5 %", "top5", "{:.2f}"),
    ("agree %", "agreement", "{:.2f}"),
    ("changed", "changed", "{}"),
    ("lost", "lost", "{}"),
    ("won", "won", "{}"),
    ("SQNR dB", "sqnr", "{:.1f}"),
    ("seconds", "seconds", "{:.1f}"),
)
OURS = ("mxq", "mxq-best")


def cells(found: dict) -> List[str]:
    return ["-" if found[key] is None else form.format(found[key]) for _, key, form in COLUMNS]


def line(network: dict, engine: str, found: dict) -> str:
    """A row while it is measured."""
    if network.get("task"):
        return f"{network['name']} {ENGINES[engine].label}: {', '.join(owned_page.cells(network, found))}"
    numbers = ", ".join(f"{name} {cell}" for (name, _, _), cell in zip(COLUMNS, cells(found)))
    return f"{network['name']} {ENGINES[engine].label}: {numbers}"


def classifiers(results: Results) -> List[dict]:
    """The networks that are scored by classes."""
    return [network for network in results.about["networks"] if not network.get("task")]


def rows(results: Results) -> List[List[str]]:
    found = []
    for network in classifiers(results):
        for engine, label in results.about["labels"].items():
            value = results.get(f"{network['name']}/{engine}")
            if value:
                found.append([network["label"], label, *cells(value)])
    return found


def best_peers(results: Results, network: str) -> Dict[str, Tuple[str, float]]:
    """The best of the other toolkits' int8 networks by agreement and by SQNR: (engine, value)."""
    peers = {}
    for engine in results.about["engines"]:
        value = results.get(f"{network}/{engine}")
        if value and value["sqnr"] is not None and engine not in OURS and ENGINES[engine].bits == 8:
            peers[engine] = value
    if not peers:
        return {}
    best = {key: max(peers, key=lambda e: peers[e][key]) for key in ("agreement", "sqnr")}
    return {key: (engine, peers[engine][key]) for key, engine in best.items()}


def comparison(results: Results) -> Tuple[List[str], List[List[str]]]:
    """mxq beside the best other toolkit on each network; header and rows."""
    ours = [engine for engine in OURS if engine in results.about["engines"]]
    labels = results.about["labels"]
    header = ["network", *(f"{labels[engine]}: agree %, SQNR dB" for engine in ours)]
    header += ["best peer by agreement", "best peer by SQNR"]
    found = []
    for network in classifiers(results):
        peers = best_peers(results, network["name"])
        values = [results.get(f"{network['name']}/{engine}") for engine in ours]
        if not peers or not all(values):
            continue
        row = [network["label"], *(f"{v['agreement']:.2f}, {v['sqnr']:.1f}" for v in values)]
        row += [f"{value:.2f} ({labels[e]})" for e, value in (peers["agreement"],)]
        row += [f"{value:.1f} ({labels[e]})" for e, value in (peers["sqnr"],)]
        found.append(row)
    return header, found


def summary(results: Results) -> str:
    """Both tables for the terminal."""
    parts = []
    if classifiers(results):
        parts.append(measure.table([("network", "engine", *(n for n, _, _ in COLUMNS)), *map(tuple, rows(results))]))
    for header, found in (comparison(results), owned_page.comparison(results), owned_page.every(results)):
        if found:
            parts.append(measure.table([tuple(header), *map(tuple, found)]))
    return "\n\n".join(parts)


def page(results: Results, picture: Optional[str]) -> str:
    """The page of results."""
    about = results.about
    counts = {(results.get(f"{n['name']}/{about['engines'][0]}") or {}).get("images") for n in classifiers(results)}
    images = " or ".join(str(count) for count in sorted(counts - {None}))
    parts = [
        "# Accuracy",
        f"`{about['command']}` on {about['machine']}; {markdown.versions(about['versions'])}.",
        f"Every toolkit calibrates with the same {about['calib_images']} images and is scored on the same {images} "
        "others. *Agree*: images with the same class as float MXNet; *changed*: the rest of them; *lost*: float right, "
        "int8 wrong; *won*: the reverse. *SQNR*: signal-to-noise ratio of all logits beside float MXNet's. *Seconds*: "
        "calibration and quantization, without decoding images.",
    ]
    if picture:
        parts.append(f"![SQNR and agreement by network and toolkit]({picture})")
    header, found = comparison(results)
    if found:
        parts += ["## Beside the best of the others", markdown.table(header, found)]
    if classifiers(results):
        parts += ["## All", markdown.table(["network", "engine", *(name for name, _, _ in COLUMNS)], rows(results))]
    parts += owned_page.section(results)
    return "\n\n".join(parts) + "\n"


def draw(results: Results, path: str) -> None:
    """Bars of the SQNR and of the images that changed."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    about = results.about
    engines = [engine for engine in about["engines"] if ENGINES[engine].bits == 8]
    networks = classifiers(results)
    figure, panels = pyplot.subplots(2, 1, figsize=(13, 8))
    width = 0.8 / max(len(engines), 1)
    for axes, key, title in zip(
        panels, ("sqnr", "changed"), ("SQNR of the logits, dB (more is better)", "images with another class than float")
    ):
        for number, engine in enumerate(engines):
            values = [results.get(f"{network['name']}/{engine}") for network in networks]
            points = [(place, value[key]) for place, value in enumerate(values) if value]
            places = [place + (number - (len(engines) - 1) / 2) * width for place, _ in points]
            axes.bar(places, [value for _, value in points], width, label=about["labels"][engine])
        axes.set_title(title)
        axes.set_xticks(range(len(networks)), [network["label"] for network in networks])
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    panels[0].legend(ncol=4, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def write(results: Results, path: str) -> None:
    """Writes the page and its picture."""
    markdown.write(path, lambda picture: page(results, picture), lambda picture: draw(results, picture))
