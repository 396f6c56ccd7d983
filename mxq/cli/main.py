"""The command line, ``python -m mxq``: info, support, preflight, explain, export, import, table and deliver."""

import argparse
import json
import sys
from typing import Any, Dict, List, Optional

from ..errors import MXQError
from . import delivering, exporting, importing, table
from .network import add_commands


def main(argv: Optional[List[str]] = None) -> int:
    """Runs a sub-command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="mxq", description="int8 post-training quantization for Apache MXNet")
    commands = parser.add_subparsers(dest="command", metavar="command")
    info = commands.add_parser("info", help="versions, processor, native library and operators")
    info.add_argument("--json", action="store_true", help="for programs")
    info.add_argument(
        "--tuning", action="store_true", help="what was measured to choose implementations, from the file MXQ_TUNING"
    )
    info.set_defaults(run=_info)
    support = commands.add_parser("support", help="which MXNet operators have an int8 form, as Markdown")
    support.add_argument("--write", metavar="FILE", help="renew the table between its markers in this file")
    support.set_defaults(run=_support)
    add_commands(commands)
    exporting.add_command(commands)
    importing.add_command(commands)
    table.add_command(commands)
    delivering.add_command(commands)
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    try:
        return args.run(args)
    except (MXQError, OSError) as error:
        print(f"mxq: {error}", file=sys.stderr)
        return 1


def _info(args: argparse.Namespace) -> int:
    from ..native.library import info

    described = info()
    if args.tuning:
        print(json.dumps(described["tuning"], indent=2) if args.json else "\n".join(_tuning_lines(described["tuning"])))
    else:
        print(json.dumps(described, indent=2) if args.json else "\n".join(_info_lines(described)))
    return 0


def _support(args: argparse.Namespace) -> int:
    from ..network.atomic import write_atomically
    from .support import insert_into, support_table

    if args.write is None:
        print(support_table())
        return 0
    with open(args.write, encoding="utf-8") as file:
        text = insert_into(file.read())

    def write(temporary: str) -> None:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)

    write_atomically(args.write, write)
    return 0


def _tuning_lines(rows: List[Dict[str, Any]]) -> List[str]:
    """A line for each layer that was measured, the fastest implementation first."""
    if not rows:
        return ["nothing was measured: name a file by the environment variable MXQ_TUNING and run networks"]
    lines = []
    for row in rows:
        times = sorted(row["microseconds"].items(), key=lambda item: item[1])
        lines.append(f"{row['what']}:  " + "  ".join(f"{name} {time:.1f} us" for name, time in times))
    return lines


def _info_lines(described: Dict[str, Any]) -> List[str]:
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
