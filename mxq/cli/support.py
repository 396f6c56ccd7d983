"""``python -m mxq support``: the support table of the README, generated from the op table."""

from typing import Any, Dict, List

from ..errors import MXQError
from ..network.atomic import write_atomically
from ..ops import COMPUTE, MERGE, REDUCE, SELECT, TABLE, UNARY
from ..ops.spec import OpSpec
from . import arguments
from .arguments import Result

BEGIN, END = "<!-- support table: begin -->", "<!-- support table: end -->"


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser("support", help="which MXNet operators have an int8 form, as Markdown")
    arguments.add_output(command, "--write", metavar="FILE", help="renew the table between its markers in this file")
    arguments.add_json(command)
    command.set_defaults(run=_support)


def _support(args) -> Result:
    if args.write is None:
        return Result(_rows(), support_table())
    with open(args.write, encoding="utf-8") as file:
        text = insert_into(file.read())

    def write(temporary: str) -> None:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)

    write_atomically(args.write, write)
    return Result(_rows(), "")


def support_table() -> str:
    """Markdown: one row per operator family."""
    rows = ["| MXNet operators | int8 operator | without calibration | remarks |", "|---|---|---|---|"]
    for row in _rows():
        names = ", ".join(f"`{n}`" for n in row["operators"]) or "(among the others)"
        native = ", ".join(f"`{n}`" for n in row["int8"])
        rows.append(f"| {names} | {native} | {'yes' if row['without_calibration'] else 'float'} | {row['remarks']} |")
    return "\n".join(rows)


def _rows() -> List[Dict[str, Any]]:
    return [
        {
            "operators": _main_names(spec.mx_names),
            "int8": list(spec.native),
            "without_calibration": bool(spec.runtime_range),
            "remarks": spec.note,
        }
        for spec in sorted(TABLE, key=_rank)
    ]


def _rank(spec: OpSpec) -> int:
    """What people look for first comes first; pooling, whose kind depends, stands with the reductions."""
    order = (COMPUTE, REDUCE, MERGE, UNARY, SELECT)
    return order.index(spec.kind if isinstance(spec.kind, str) else REDUCE)


def _main_names(names) -> List[str]:
    """Without spellings that only old symbol files have."""
    return [n for n in names if not (n.startswith("_") and n[1:2].isupper()) and n not in ("_plus", "_minus", "_mul")]


def insert_into(text: str) -> str:
    """The README's text with the table between its markers renewed. Raises MXQError where there are no markers."""
    if BEGIN not in text or END not in text:
        raise MXQError(f"no support table to renew: put the lines {BEGIN} and {END} where it belongs")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{support_table()}\n{END}{rest.split(END)[1]}"
