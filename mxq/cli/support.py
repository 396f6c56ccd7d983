"""The support table of the README, generated from the op table."""

from typing import List

from ..errors import MXQError
from ..ops import COMPUTE, MERGE, REDUCE, SELECT, TABLE, UNARY
from ..ops.spec import OpSpec

BEGIN, END = "<!-- support table: begin -->", "<!-- support table: end -->"


def support_table() -> str:
    """Markdown: one row per operator family."""
    rows = ["| MXNet operators | int8 operator | without calibration | remarks |", "|---|---|---|---|"]
    for spec in sorted(TABLE, key=_rank):
        names = ", ".join(f"`{n}`" for n in _main_names(spec.mx_names)) or "(among the others)"
        native = ", ".join(f"`{n}`" for n in spec.native)
        rows.append(f"| {names} | {native} | {'yes' if spec.runtime_range else 'float'} | {spec.note} |")
    return "\n".join(rows)


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
