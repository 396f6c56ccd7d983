"""A progress bar for people, nothing for log files."""

import sys
from typing import Optional


class Progress:
    """Counts steps; shows a tqdm bar if there is someone to look at it.

    Args:
        total: number of steps, None if unknown.
        text: what is going on.
        show: True or False; None shows a bar if stderr is a terminal.
        unit: what a step is.

    >>> with Progress(3, "calibrating", show=False) as bar:
    ...     bar.step(3)
    """

    def __init__(self, total: Optional[int], text: str, *, show: Optional[bool] = None, unit: str = "image"):
        self._bar = None
        if show or (show is None and sys.stderr.isatty()):
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=text, unit=unit, leave=False, file=sys.stderr)

    def step(self, n: int = 1) -> None:
        if self._bar is not None:
            self._bar.update(n)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc) -> None:
        if self._bar is not None:
            self._bar.close()
