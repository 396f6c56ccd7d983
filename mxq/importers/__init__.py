"""Networks of other formats as MXNet networks: one module a format, `load` finds which."""

from .load import load
from .model import ImportedModel

__all__ = ["ImportedModel", "load"]
