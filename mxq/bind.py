"""Binding float networks operator by operator."""

import contextlib
import os
from typing import Iterator

_SWITCH = "MXNET_SUBGRAPH_BACKEND"


@contextlib.contextmanager
def unfused() -> Iterator[None]:
    """Binds inside the block leave operators as they are, whatever the user's setting of MXNET_SUBGRAPH_BACKEND.

    MXNet 1.9.1's own fusion fails to bind ``x + f(x)`` where x is a convolution, or a network whose inner values are
    outputs too, and it adds a residual in place, over a value that somebody may want to see.
    """
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "NONE"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before
