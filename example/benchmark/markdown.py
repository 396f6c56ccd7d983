"""Pages of results: tables, and the file with a picture beside it."""

import os
from typing import Callable, List, Optional

from mxq.network.atomic import write_atomically


def table(header: List[str], rows: List[List[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def versions(found: dict) -> str:
    """Names and versions of what was compared; a digest of sources is no version."""
    return ", ".join(f"{name} {version}" for name, version in found.items() if name != "content")


def write(path: str, page: Callable[[Optional[str]], str], draw: Callable[[str], None]) -> None:
    """Writes ``page(name of the picture)`` to `path`, and the picture beside it where matplotlib is installed."""
    picture = os.path.splitext(path)[0] + ".png"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    try:
        draw(picture)
    except ImportError:
        picture = None
    write_text(path, page(picture and os.path.basename(picture)))


def write_text(path: str, text: str) -> None:
    """Writes a file, whole or not at all."""

    def put(temporary: str) -> None:
        with open(temporary, "w") as file:
            file.write(text)

    write_atomically(path, put)
