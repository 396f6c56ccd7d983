"""The functions that the native library has beside its operators: the inner loops of calibration and rounding."""

import ctypes
import functools
import logging
import os
from typing import Optional

from . import library as native

logger = logging.getLogger(__name__)


@functools.lru_cache(maxsize=None)
def native_library() -> Optional[ctypes.CDLL]:
    """The native library with the functions of src_ops/calib; None, said once, if it is missing or older than them."""
    path, number, pointer = native.library_path(), ctypes.c_int64, ctypes.c_void_p
    try:
        if not os.path.exists(path):
            raise OSError(f"{path} does not exist")
        library = ctypes.CDLL(path)
        library.mxq_measure.argtypes = [pointer, number, number, pointer, pointer, pointer, pointer]
        library.mxq_count.argtypes = [
            pointer, number, number, number, number, pointer, ctypes.c_float, ctypes.c_int32, pointer, pointer,
            ctypes.c_int32, pointer, pointer,
        ]  # fmt: skip
        library.mxq_add_extremes.argtypes = [
            pointer, pointer, pointer, number, number, pointer, pointer, pointer, pointer, number, pointer, number,
            pointer,
        ]  # fmt: skip
        library.mxq_patches.argtypes = [pointer, number, pointer, pointer, pointer, pointer, number, pointer]
        library.mxq_round_to.argtypes = (
            [pointer] + 3 * [number] + 3 * [pointer] + 2 * [number] + [ctypes.c_float, pointer]
        )
        library.mxq_num_threads.restype = ctypes.c_int
        library.mxq_use_threads.argtypes, library.mxq_use_threads.restype = [ctypes.c_int], ctypes.c_int
        for name in ("measure", "count", "add_extremes", "patches", "round_to"):
            getattr(library, f"mxq_{name}").restype = None
        return library
    except (OSError, AttributeError) as error:
        logger.info("calibration and rounding run in numpy, which is slower than the native library: %s", error)
        return None
