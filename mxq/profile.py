"""Where the time of an int8 network goes: every operator by itself, also those inside regions.

>>> import mxq.profile
>>> with mxq.profile.record() as times:
...     for _ in range(20):
...         net(images).wait_to_read()  # doctest: +SKIP
>>> print(times)  # doctest: +SKIP
"""

import contextlib
import ctypes
import json
from typing import Iterator, List, NamedTuple, Tuple

from .native.library import library_path, load
from .network.regions import REGION


class OpTime(NamedTuple):
    """One operator of a network.

    Attributes:
        region: name of the node that it is part of; empty where it is a node itself.
        name: its own name.
        op: the operator, such as ``mxq_conv``.
        implementation: what ran: ``onednn``, ``avx``, ``ref``.
        dtype, shape: of its first output, as the operator stores it (channels last).
        macs: multiplications of one run; 0 for what is no convolution or matrix product.
        calls: runs while it was recorded. Where threads share a batch by examples, each runs some of the examples at
            once: shape, macs and microseconds are those of one such part on one thread.
        microseconds: of one run, in the mean.
        least: of the quickest run.
    """

    region: str
    name: str
    op: str
    implementation: str
    dtype: str
    shape: Tuple[int, ...]
    macs: int
    calls: int
    microseconds: float
    least: float

    @property
    def gmacs(self) -> float:
        """Billions of multiplications a second in the mean."""
        return self.macs / self.microseconds / 1e3 if self.microseconds else 0.0


class Times:
    """What :func:`record` fills. ``print`` shows a table.

    Attributes:
        rows: every operator, in the order in which they first ran.
        regions: the nodes ``mxq_region`` as wholes; what they hold is among `rows`.
    """

    def __init__(self) -> None:
        self.rows: List[OpTime] = []
        self.regions: List[OpTime] = []

    def __iter__(self) -> Iterator[OpTime]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def microseconds(self) -> float:
        """Of all operators together, one run of each."""
        return sum(row.microseconds for row in self.rows)

    def __str__(self) -> str:
        head = ("us", "share", "GMAC/s", "operator", "by", "output", "name")
        cells = [
            (
                f"{row.microseconds:.1f}",
                f"{100 * row.microseconds / (self.microseconds or 1):.1f} %",
                f"{row.gmacs:.0f}" if row.macs else "",
                row.op,
                row.implementation,
                "x".join(map(str, row.shape)),
                row.name,
            )
            for row in self.rows
        ]
        widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
        lines = ["  ".join(c.rjust(w) if i < 3 else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths)))
                 for row in [head, *cells]]  # fmt: skip
        return "\n".join(line.rstrip() for line in [*lines, f"{self.microseconds:.1f} us"])


@contextlib.contextmanager
def record() -> Iterator[Times]:
    """Times every int8 operator of the process while the block runs; costs about 0.1 us an operator.

    >>> with record() as times:
    ...     pass
    >>> times.rows
    []

    MXNet runs operators in threads of its own: wait for the last output before the block ends. A second recording at
    the same time forgets what the first one has.

    Returns:
        Times, which has its rows once the block has ended.

    Raises:
        LibraryError: the native library is missing.
    """
    load()
    library = ctypes.CDLL(library_path())
    library.mxq_profile_rows.restype = ctypes.c_char_p
    times = Times()
    library.mxq_profile_start()
    try:
        yield times
    finally:
        library.mxq_profile_stop()
    for row in json.loads(library.mxq_profile_rows().decode()):
        row.update(region=row.pop("owner"), shape=tuple(row["shape"]))
        row["microseconds"] /= row["calls"]
        (times.regions if row["op"] == REGION else times.rows).append(OpTime(**row))
