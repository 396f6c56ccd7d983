"""What speed.py measured, as tables in the terminal, as a Markdown page and as a picture."""

import os
from typing import Dict, List, Optional, Tuple

import layer_page
import markdown
from engines import ENGINES
from results import Results

import measure

START_COLUMNS = (
    ("import, s", "import_s", "{:.2f}"),
    ("load, s", "load_s", "{:.3f}"),
    ("first result, s", "first_s", "{:.3f}"),
    ("resident, MB", "resident_mb", "{:.0f}"),
    ("peak, MB", "peak_mb", "{:.0f}"),
    ("process, MB", "process_mb", "{:.0f}"),
    ("files, MB", "files_mb", "{:.1f}"),
)


def base_of(found: dict) -> str:
    """The engine that the others are compared with: mxq, or the first."""
    return "mxq" if "mxq" in found["ms"] else next(iter(found["ms"]))


def ratios(found: dict) -> Dict[str, measure.Ratio]:
    """Engine -> how many times as long as the base it took."""
    base = found["ms"][base_of(found)]
    return {engine: measure.ratio(times, base) for engine, times in found["ms"].items()}


def fastest_peer(found: dict) -> Optional[Tuple[str, measure.Ratio]]:
    """The fastest engine that is not mxq."""
    others = {engine: ratio for engine, ratio in ratios(found).items() if not engine.startswith("mxq")}
    return min(others.items(), key=lambda item: item[1].median) if others else None


def scenario_table(found: dict, labels: Dict[str, str]) -> str:
    """One network in one scenario, an engine a row."""
    if not found["ms"]:
        return "nothing could be run"
    base = base_of(found)
    rows = [("engine", "ms", f"times {labels[base]}")]
    for engine, ratio in ratios(found).items():
        times = found["ms"][engine]
        rows.append((labels[engine], f"{sorted(times)[len(times) // 2]:.2f}", str(ratio)))
    rows += [(labels[engine], "-", "failed") for engine in found["failed"]]
    return measure.table(rows)


def _start_rows(results: Results, network: str, labels: Dict[str, str]) -> List[Tuple[str, ...]]:
    found = [(labels[engine], results.get(f"{network}/start/{engine}")) for engine in labels]
    return [(label, *(form.format(value[key]) for _, key, form in START_COLUMNS)) for label, value in found if value]


def start_table(results: Results, network: str, labels: Dict[str, str]) -> str:
    """Starting from files, an engine a row; empty where that was not measured."""
    rows = _start_rows(results, network, labels)
    return measure.table([("start", *(name for name, _, _ in START_COLUMNS)), *rows]) if rows else ""


def _scenario_rows(results: Results, scenario: str) -> Tuple[List[str], List[List[str]], List[float]]:
    """Header, a row for each network, and mxq's advantage over the fastest peer by network."""
    engines = results.about["engines"]
    rows, advantages = [], []
    for network in results.about["networks"]:
        found = results.get(f"{network['name']}/{scenario}")
        if not found or not found["ms"]:
            continue
        base = base_of(found)
        compared = ratios(found)
        times = sorted(found["ms"][base])
        row = [network["label"], f"{times[len(times) // 2]:.2f}"]
        row += [str(compared[engine]) if engine in compared else "-" for engine in engines if engine != base]
        peer = fastest_peer(found)
        if base == "mxq" and peer:
            advantages.append(peer[1].median)
            row.append(f"{peer[1].median:.2f} ({results.about['labels'][peer[0]]})")
        rows.append(row)
    if not rows:
        return [], [], []
    base = "mxq" if "mxq" in engines else engines[0]
    labels = results.about["labels"]
    header = ["network", f"{labels[base]}, ms", *(labels[e] for e in engines if e != base)]
    return header + ["fastest peer"] * bool(advantages), rows, advantages


def _advantage(advantages: List[float]) -> str:
    ahead = sum(a > 1 for a in advantages)
    mean = measure.geometric_mean(advantages)
    return f"Fastest peer / mxq: {mean:.2f} in the geometric mean, above 1 on {ahead} of {len(advantages)}."


def summary(results: Results) -> str:
    """All scenarios in a few lines each."""
    parts = []
    for scenario in results.about["scenarios"]:
        header, rows, advantages = _scenario_rows(results, scenario)
        if rows:
            parts.append(f"{scenario}\n{measure.table([tuple(header), *map(tuple, rows)])}")
            parts[-1] += f"\n{_advantage(advantages)}" if advantages else ""
    return "\n\n".join(parts)


def page(results: Results, picture: Optional[str]) -> str:
    """The page of results."""
    about = results.about
    parts = [
        "# Speed",
        f"`{about['command']}` on {about['machine']}; {markdown.versions(about['versions'])}.",
        f"Every engine runs in a process of its own and takes a turn of {about['seconds']} s in each of "
        f"{about['rounds']} rounds, with a warm-up at the start of every turn. Numbers are times as a multiple of "
        "mxq's in the same round: median (quartiles). Above 1, mxq is faster. Milliseconds are for a batch; of several "
        "processes, for a batch of all together.",
    ]
    if picture:
        parts.append(f"![Times as multiples of mxq's]({picture})")
    for scenario in about["scenarios"]:
        header, rows, advantages = _scenario_rows(results, scenario)
        if rows:
            parts += [f"## {scenario[0].upper()}{scenario[1:]}", markdown.table(header, rows)]
            parts += [_advantage(advantages)] if advantages else []
    parts += layer_page.sections(results, about["scenarios"][0], fastest_peer)
    parts += _starts(results)
    failures = _failures(results)
    if failures:
        parts += ["## Not run", "\n".join(f"- {line}" for line in failures)]
    return "\n\n".join(parts) + "\n"


def _starts(results: Results) -> List[str]:
    rows = [
        [network["label"], *row]
        for network in results.about["networks"]
        for row in _start_rows(results, network["name"], results.about["labels"])
    ]
    if not rows:
        return []
    return [
        "## From files to the first result",
        "Batch 1 in a new process. *First result* includes loading; *resident* is what loading and one inference add "
        "to the memory of the process, *peak* the highest of it, *process* the highest of the whole process.",
        markdown.table(["network", "engine", *(name for name, _, _ in START_COLUMNS)], rows),
    ]


def _failures(results: Results) -> List[str]:
    found = {}
    for network in results.about["networks"]:
        for scenario in results.about["scenarios"]:
            value = results.get(f"{network['name']}/{scenario}") or {"failed": {}}
            for engine, reason in value["failed"].items():
                found[f"{network['label']}, {ENGINES[engine].label}"] = reason.partition(" (more in ")[0]
    return [f"{what}: {reason}" for what, reason in found.items()]


def draw(results: Results, path: str) -> None:
    """A panel for each of the first two scenarios: the engines' times as multiples of mxq's."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    drawn = [s for s in results.about["scenarios"] if _scenario_rows(results, s)[1]][:2]
    figure, panels = pyplot.subplots(len(drawn), 1, figsize=(13, 4.2 * len(drawn)), squeeze=False)
    for axes, scenario in zip(panels[:, 0], drawn):
        entries = [(n["label"], results.get(f"{n['name']}/{scenario}")) for n in results.about["networks"]]
        entries = [(label, found) for label, found in entries if found and found["ms"]]
        engines = [e for e in results.about["engines"] if e != base_of(entries[0][1])]
        width = 0.8 / len(engines)
        for number, engine in enumerate(engines):
            points = [(place, ratios(found).get(engine)) for place, (_, found) in enumerate(entries)]
            points = [(place, ratio) for place, ratio in points if ratio]
            if not points:
                continue
            middle = [ratio.median for _, ratio in points]
            spread = [[r.median - r.low for _, r in points], [r.high - r.median for _, r in points]]
            places = [place + (number - (len(engines) - 1) / 2) * width for place, _ in points]
            axes.errorbar(places, middle, spread, fmt="o", capsize=3, label=results.about["labels"][engine])
        axes.axhline(1, color="black", linewidth=1)
        axes.set_yscale("log")
        axes.set_yticks([0.25, 0.5, 1, 2, 4, 8, 16], ["0.25", "0.5", "1", "2", "4", "8", "16"])
        axes.minorticks_off()
        axes.set_xticks(range(len(entries)), [label for label, _ in entries])
        axes.set_title(f"{scenario}: time as a multiple of mxq's (above 1: mxq is faster)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    panels[0, 0].legend(ncol=4, fontsize=8)
    figure.suptitle(results.about["machine"], fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def write(results: Results, path: str) -> None:
    """Writes the page, its picture and, where they were measured, a page of single layers."""
    markdown.write(path, lambda picture: page(results, picture), lambda picture: draw(results, picture))
    if results.get("peak"):
        markdown.write_text(os.path.splitext(path)[0] + "-layers.md", layer_page.page(results))
