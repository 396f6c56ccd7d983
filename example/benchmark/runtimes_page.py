"""What runtimes.py measured, as a table in the terminal and as a Markdown page."""

from typing import Dict, List, Optional, Tuple

import markdown
from results import Results

import measure

HEADER = ("network", "file", "runs in", "as float, %", "SQNR, dB", "as mxq's int8, %", "int8 layers", "time")
#: Runtime -> mxq's file there, and those of the runtime's own quantizers.
RUNTIMES: Dict[str, Tuple[str, ...]] = {
    "MXNet": ("mxq-8bit", "mxq", "mxq-best"),
    "ONNX Runtime": ("mxq-ort", "ort", "ort-percentile", "ort-float"),
    "OpenVINO": ("mxq-openvino", "mxq-openvino-best", "openvino", "openvino-performance", "openvino-float"),
    "ncnn": ("mxq-ncnn",),
}


def line(found: dict) -> str:
    """A row while it is measured."""
    beside = ", ".join(f"{name} {v['agreement']:.1f} % {v['sqnr']:.1f} dB" for name, v in _beside(found))
    return f"{beside}, int8 layers {_kernels(found)}"


def _beside(found: dict) -> List[Tuple[str, dict]]:
    return [(f"beside {name}", found[name]) for name in ("float", "int8")]


def _kernels(found: dict) -> str:
    kernels = found.get("kernels")
    return "-" if kernels is None else f"{kernels['int8']} of {sum(kernels.values())}"


def _ratio(results: Results, network: str, ours: str, engine: str) -> Optional[measure.Ratio]:
    times = (results.get(f"{network}/{ours}/speed") or {"ms": {}})["ms"]
    return measure.ratio(times[engine], times[ours]) if {ours, engine} <= set(times) and engine != ours else None


def rows(results: Results) -> List[Tuple[str, ...]]:
    found = []
    for network in results.about["networks"]:
        for runtime, engines in RUNTIMES.items():
            for engine in engines:
                row = results.get(f"{network['name']}/{engine}")
                if row is None:
                    continue
                ratio = _ratio(results, network["name"], engines[0], engine)
                agreement, sqnr = row["float"]["agreement"], row["float"]["sqnr"]
                same = f"{row['int8']['agreement']:.1f}" if engine.startswith("mxq") else ""
                cells = (f"{agreement:.1f}", f"{sqnr:.1f}", same, _kernels(row), "" if ratio is None else str(ratio))
                found.append((network["label"], results.about["labels"][engine], runtime, *cells))
    return found


def summary(results: Results) -> str:
    """The table for the terminal."""
    return measure.table([HEADER, *rows(results)])


def page(results: Results) -> str:
    """The page of results."""
    about = results.about
    counts = sorted({row["images"] for row in (results.get(f"{n['name']}/mxq") for n in about["networks"]) if row})
    parts = [
        "# The same int8 network in other runtimes",
        f"`{about['command']}` on {about['machine']}; {markdown.versions(about['versions'])}.",
        f"`mxq.deliver` writes what mxq calibrated with {about['calib_images']} images for each runtime; all files are "
        f"scored on the same {' or '.join(map(str, counts))} others. *As float*: images with the class of float MXNet. "
        "*SQNR*: signal-to-noise ratio of all logits beside float's. *As mxq's int8*: images with the class of mxq's "
        "8-bit network in MXNet. *Int8 layers*: convolutions and fully connected layers that the runtime runs as "
        "integers, read from the graph that it runs (ncnn: from the file). *Time*: as a multiple of what mxq's file "
        "of 8 bits takes in the same runtime, one image, in turns: median (quartiles).",
        markdown.table(list(HEADER), [list(row) for row in rows(results)]),
        "What goes to ONNX Runtime and OpenVINO is of 8 bits (`precision_budget=0`), or of 11 where it says *best*, "
        "which OpenVINO reads in two parts of 8. *mxq* is the default, which spends some time on tensors of 11 bits. "
        "ncnn has no unsigned integers, so what comes from a ReLU has half of the levels there; it gets the default, "
        "and layers that read 11 bits in mxq are float there. OpenVINO runs with the settings of its latency hint: "
        "what is float is bfloat16 where the processor has that, unless `INFERENCE_PRECISION_HINT` is `f32`.",
    ]
    return "\n\n".join(parts) + "\n"


def write(results: Results, path: str) -> None:
    """Writes the page."""
    markdown.write_text(path, page(results))
