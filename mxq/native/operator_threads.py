"""How many threads operators use."""

from ..errors import ConfigError
from .library import opened

_MOST = 4096


def num_threads() -> int:
    """How many threads an operator of mxq uses.

    As `set_num_threads` or the environment variable ``OMP_NUM_THREADS`` says; else as many as there are physical cores
    that the process may use (its affinity, the quotas of its control groups). MXNet's own operators use what MXNet
    gives them: half of the processors.

    >>> import mxq
    >>> mxq.num_threads() >= 1
    True

    Raises:
        LibraryError: the native library is missing or does not load.
    """
    return opened().mxq_num_threads()


def set_num_threads(count: int) -> None:
    """Sets how many threads operators use from now on, for all of the process.

    >>> import mxq
    >>> before = mxq.num_threads()
    >>> mxq.set_num_threads(1)
    >>> mxq.num_threads()
    1
    >>> mxq.set_num_threads(before)

    Networks that are bound already share their work as they did then: bind again for the full speed.

    Raises:
        ConfigError: `count` is no number from 1 to 4096.
        LibraryError: as `num_threads`.
    """
    whole = isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= _MOST
    if not whole or not opened().mxq_set_num_threads(count):
        raise ConfigError(f"count={count!r} threads: accepted is an integer from 1 to {_MOST}")
