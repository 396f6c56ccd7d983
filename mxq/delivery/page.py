"""A delivery for people: a table for the terminal, and one HTML page that fetches nothing."""

import os
from html import escape
from typing import Iterator, List, Sequence, Tuple

from ..explanation.page import asset
from ..explanation.text import decibels, percent
from .result import Delivered

_HEADINGS = ("target", "SQNR", "top-1 as float", "SQNR to int8", "top-1 as int8", "output", "runtime", "bytes")
#: Columns of numbers; what counts is beside the target, where a phone shows it.
_NUMBERS = (1, 2, 3, 4, 7)


def text(delivery) -> str:
    """The comparison as a table, with a line for what is not in it."""
    rows = [_HEADINGS, *_rows(delivery)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    lines = [f"{delivery.examples} examples; inputs {_inputs(delivery)}; int8 is mxq's network in MXNet", ""]
    for row in rows:
        cells = [c.rjust(w) if i in _NUMBERS else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    lines += ["", *(f"{target}: {note}" for target, note in _notes(delivery))]
    return "\n".join(lines).rstrip()


def html(delivery) -> str:
    """The comparison as a page: the table, notes, the files, and the levels of every layer."""
    sections = [
        ("outputs", "Outputs", _table("What each runtime computes of the same examples", _HEADINGS, _rows(delivery))),
        ("notes", "Notes", "".join(f"<p><b>{escape(t)}</b>: {escape(note)}</p>" for t, note in _notes(delivery))),
        ("files", "Files", _files(delivery)),
        *(_levels(row) for row in delivery.rows if row.levels is not None),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{key}">{escape(title)}</a></li>' for key, title, _ in sections)
    body = "".join(
        f'<section id="{key}"><h2>{escape(title)}</h2>{content}</section>' for key, title, content in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Deliverables</title><style>{asset('page.css')}</style></head><body><header><h1>Deliverables</h1>"
        f'<p class="soft">{delivery.examples} examples; inputs {escape(_inputs(delivery))}. SQNR in dB; int8 is mxq\'s '
        f'network in MXNet.</p><nav aria-label="Sections"><ul>{links}</ul></nav></header><main>{body}</main></body>'
        "</html>\n"
    )


def _inputs(delivery) -> str:
    return ", ".join(f"{name} {tuple(shape)}" for name, shape in delivery.inputs.items())


def _rows(delivery) -> List[Tuple[str, ...]]:
    rows = []
    for row in delivery.rows:
        runtime = row.version or ("refused" if row.refused else "not run")
        size = str(sum(row.files.values())) if row.files else ""
        if not row.outputs:
            rows.append((row.target, "", "", "", "", "", runtime, size))
        for i, output in enumerate(row.outputs):
            rows.append(
                (
                    row.target if i == 0 else "",
                    decibels(output.sqnr),
                    percent(output.agreement),
                    decibels(output.to_int8),
                    percent(output.same_as_int8),
                    output.name,
                    runtime if i == 0 else "",
                    size if i == 0 else "",
                )
            )
    return rows


def _notes(delivery) -> Iterator[Tuple[str, str]]:
    for row in delivery.rows:
        if row.refused:
            yield row.target, f"not written: {row.refused}"
        if row.skipped:
            yield row.target, f"not run: {row.skipped}"
        if row.levels is not None:
            yield row.target, str(row.levels)
        for note in row.notes:
            yield row.target, note


def _files(delivery) -> str:
    rows = [
        (os.path.basename(path), row.target, str(size))
        for row in delivery.rows
        for path, size in (*row.files.items(), *row.beside.items())
    ]
    return _table("What was written", ("file", "target", "bytes"), rows, numbers=(2,))


def _levels(row: Delivered) -> Tuple[str, str, str]:
    assert row.levels is not None
    rows = [
        (value.name, f"{value.difference:g}" if value.levels else f"{value.difference:.2g}", percent(value.share))
        for value in row.levels.compared
    ]
    title = f"Layer by layer: {row.target}"
    caption = (
        "Largest difference from MXNet in levels (of float outputs as a share of the largest), elements that differ"
    )
    return f"levels-{row.target}", title, _table(caption, ("value", "difference", "share"), rows, numbers=(1, 2))


def _table(
    caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = _NUMBERS
) -> str:
    kinds = [' class="n"' if i in numbers else "" for i in range(len(headings))]
    head = "".join(f'<th scope="col"{kind}>{escape(heading)}</th>' for kind, heading in zip(kinds, headings))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(c)}</td>" for kind, c in zip(kinds, row)) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
