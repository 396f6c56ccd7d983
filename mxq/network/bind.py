"""Binding float networks operator by operator."""

import contextlib
import os
from typing import Iterator

# MXNet says on stderr that it does not fuse, once a bind, unless it is told not to.
_SETTINGS = {"MXNET_SUBGRAPH_BACKEND": "NONE", "MXNET_SUBGRAPH_VERBOSE": "0"}


@contextlib.contextmanager
def unfused() -> Iterator[None]:
    """Binds inside the block leave operators as they are, whatever the user's setting of MXNET_SUBGRAPH_BACKEND.

    MXNet 1.9.1's own fusion fails to bind ``x + f(x)`` where x is a convolution, or a network whose inner values are
    outputs too, and it adds a residual in place, over a value that somebody may want to see.
    """
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
