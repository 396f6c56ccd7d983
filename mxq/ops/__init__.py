"""What mxq knows about each operator. Importing this package fills the op table."""

from . import (
    affine,  # noqa: F401  (each registers its rows)
    lrn,  # noqa: F401  (each registers its rows)
    merge,  # noqa: F401  (each registers its rows)
    movement,  # noqa: F401  (each registers its rows)
    pooling,  # noqa: F401  (each registers its rows)
    resize,  # noqa: F401  (each registers its rows)
    split,  # noqa: F401  (each registers its rows)
    unary,  # noqa: F401  (each registers its rows)
    weighted,  # noqa: F401  (each registers its rows)
)
from .spec import COMPUTE, MERGE, REDUCE, SELECT, TABLE, UNARY, UNIT, OpSpec, Unit, lookup

__all__ = ["COMPUTE", "MERGE", "REDUCE", "SELECT", "TABLE", "UNARY", "UNIT", "OpSpec", "Unit", "lookup"]
