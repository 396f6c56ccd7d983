"""Threads for work that numpy and the native library do outside Python's lock: as many as operators use."""

import concurrent.futures
import contextlib
from typing import Callable, Iterable, Iterator

from .loops import native_library


@contextlib.contextmanager
def thread_pool() -> Iterator[Callable[[Callable, Iterable], None]]:
    """A function that calls another one for every item, side by side, and returns when all have returned.

    The first call, in order, that raised an exception raises it.

    >>> found = []
    >>> with thread_pool() as for_all:
    ...     for_all(found.append, [1, 2])
    >>> sorted(found)
    [1, 2]
    """
    library = native_library()
    workers = 1 if library is None else library.mxq_num_threads()
    if workers <= 1:

        def one_by_one(function: Callable, items: Iterable) -> None:
            for item in items:
                function(item)

        yield one_by_one
        return

    def alone() -> None:  # every worker is one thread, also inside the native library
        library.mxq_use_threads(1)

    with concurrent.futures.ThreadPoolExecutor(workers, "mxq", alone) as pool:

        def for_all(function: Callable, items: Iterable) -> None:
            calls = [pool.submit(function, item) for item in items]
            concurrent.futures.wait(calls)
            for call in calls:
                call.result()

        yield for_all
