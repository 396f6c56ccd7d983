"""``python -m mxq info``: what is installed, and what this processor can do."""

from typing import Any, Dict, List

from . import arguments
from .arguments import Result


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser("info", help="versions, processor, native library and operators")
    command.add_argument(
        "--tuning", action="store_true", help="what was measured to choose implementations, from the file MXQ_TUNING"
    )
    arguments.add_json(command)
    command.set_defaults(run=_info)


def _info(args) -> Result:
    from ..native.library import info

    described = info()
    if args.tuning:
        return Result(described["tuning"], "\n".join(_tuning(described["tuning"])))
    return Result(described, "\n".join(_lines(described)))


def _tuning(rows: List[Dict[str, Any]]) -> List[str]:
    """A line for each layer that was measured, the fastest implementation first."""
    if not rows:
        return ["nothing was measured: name a file by the environment variable MXQ_TUNING and run networks"]
    lines = []
    for row in rows:
        times = sorted(row["microseconds"].items(), key=lambda item: item[1])
        lines.append(f"{row['what']}:  " + "  ".join(f"{name} {time:.1f} us" for name, time in times))
    return lines


def _lines(described: Dict[str, Any]) -> List[str]:
    versions, cpu = described["versions"], described["cpu"]
    rows = [
        ("mxq", versions["mxq"]),
        ("library", described["library"]),
        ("compiler", f"g++ {described['compiler']}"),
        ("Python", versions["python"]),
        ("MXNet", versions["mxnet"]),
        ("NumPy", versions["numpy"]),
        ("oneDNN", f"{versions['onednn']} (compiled with {versions['onednn_compiled']})"),
        ("oneDNN uses", cpu["onednn_isa"]),
        ("threads", cpu["threads"]),
        ("processor", " ".join(cpu["features"]) or "unknown"),
    ]
    lines = [f"{name:<12} {value}" for name, value in rows]
    backends = []
    for names in described["ops"].values():
        backends += [name for name in names if name not in backends]
    backends.sort(key=lambda name: (name == "ref", name))
    width = max([len(name) for name in described["ops"]] + [8])
    lines += ["", f"{'operator':<{width}}  " + "  ".join(f"{name:<6}" for name in backends)]
    for op, names in sorted(described["ops"].items()):
        marks = "  ".join(f"{'yes' if name in names else '-':<6}" for name in backends)
        lines.append(f"{op:<{width}}  {marks}".rstrip())
    return lines
