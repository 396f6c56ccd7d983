"""The native library from Python: where it is, what it can do, its loops and its threads.

>>> import mxq.native
>>> mxq.native.load()
>>> mxq.native.info()["ops"]["mxq_quantize_v2"]
['avx', 'ref']
"""

from .library import info, library_path, load
from .nan import check_nan
from .operator_threads import num_threads, set_num_threads

__all__ = ["check_nan", "info", "library_path", "load", "num_threads", "set_num_threads"]
