"""Tables for the terminal."""

from typing import Sequence


def columns(rows: Sequence[Sequence[object]]) -> str:
    """Rows of cells, aligned: the first row is the header, the first column stands left, the others right.

    >>> print(columns([("", "float"), ("MB", 46.8)]))
        float
    --  -----
    MB   46.8
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]) for row in cells]
    return "\n".join(line.rstrip() for line in (lines[0], "  ".join("-" * w for w in widths), *lines[1:]))
