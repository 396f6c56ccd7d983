"""The table of emitters of ncnn's layers; see mxq.export.table."""

import functools
from typing import Dict

from ..table import Emitter, Refused
from ..table import emits as _emits

TABLE: Dict[str, Emitter] = {}
emits = functools.partial(_emits, table=TABLE)

__all__ = ["TABLE", "Refused", "emits"]
