"""Threads for work that numpy and the native library do outside Python's lock: as many as OpenMP would use."""

import concurrent.futures
import contextlib
import functools
from typing import Callable, Iterable, Iterator, List

from .calib.histogram import native_library


@contextlib.contextmanager
def thread_pool() -> Iterator[Callable[[Callable, Iterable], Callable[[], List]]]:
    """A function like `map` that starts calls side by side and returns a function that waits for their results.

    The first call, in order, that raised an exception raises it when its results are waited for.

    >>> with thread_pool() as start:
    ...     results = start(abs, [-1, 2])
    ...     results()
    [1, 2]
    """
    library = native_library()
    workers = 1 if library is None else library.mxq_use_threads(0)
    if workers <= 1:
        yield lambda function, items: functools.partial(list, [function(item) for item in items])
        return

    def alone() -> None:  # every worker is one thread, also inside the native library
        library.mxq_use_threads(1)

    with concurrent.futures.ThreadPoolExecutor(workers, "mxq", alone) as pool:

        def start(function: Callable, items: Iterable) -> Callable[[], List]:
            calls = [pool.submit(function, item) for item in items]

            def results() -> List:
                concurrent.futures.wait(calls)
                return [call.result() for call in calls]

            return results

        yield start
