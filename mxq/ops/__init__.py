"""What mxq knows about each operator. Importing this package fills the op table."""

from . import lrn, merge, movement, pooling, resize, split, unary, weighted  # noqa: F401  (each registers its rows)
from .spec import COMPUTE, MERGE, REDUCE, SELECT, TABLE, UNARY, UNIT, OpSpec, Unit, lookup

__all__ = ["COMPUTE", "MERGE", "REDUCE", "SELECT", "TABLE", "UNARY", "UNIT", "OpSpec", "Unit", "lookup"]
