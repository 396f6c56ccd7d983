"""The checked mode of the native operators."""

import ctypes

from ..errors import LibraryError
from .library import library_path, load


def check_nan(enabled: bool = True) -> bool:
    """Makes NaN in what an int8 operator reads an error that names the operator, or lets it pass again.

    Without it NaN becomes an integer without a word, because 8 bits have none: the smallest of the type where a range
    was calibrated, so that a network fed with NaN answers with finite numbers. Costs a pass over every float32 input of
    every operator. On processors only. The environment variable ``MXQ_CHECK_NAN=1`` turns it on from the start, without
    this package too.

    >>> import mxq.native
    >>> before = mxq.native.check_nan()
    >>> mxq.native.check_nan(before)
    True

    Returns:
        whether it was on.

    Raises:
        LibraryError: the library does not load, or is older than this function.
    """
    load()
    try:
        return bool(ctypes.CDLL(library_path()).mxq_check_nan(int(enabled)))
    except AttributeError as error:
        raise LibraryError(f"{library_path()} has no checked mode: build it again") from error
