"""Binding networks: operator by operator, or as MXNet fuses them."""

import contextlib
import os
from typing import Iterator

#: Without it MXNet says on stderr, once a bind, that it fuses, or that it does not.
_QUIET = {"MXNET_SUBGRAPH_VERBOSE": "0"}


@contextlib.contextmanager
def unfused() -> Iterator[None]:
    """Binds inside the block leave operators as they are, whatever the user's setting of MXNET_SUBGRAPH_BACKEND.

    MXNet 1.9.1's own fusion fails to bind ``x + f(x)`` where x is a convolution, or a network whose inner values are
    outputs too, and it adds a residual in place, over a value that somebody may want to see.
    """
    with _environment(MXNET_SUBGRAPH_BACKEND="NONE", **_QUIET):
        yield


@contextlib.contextmanager
def fused_silently() -> Iterator[None]:
    """Binds inside the block are as the user has set MXNet, which says nothing about it."""
    with _environment(**_QUIET):
        yield


@contextlib.contextmanager
def _environment(**settings: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
