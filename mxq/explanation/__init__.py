"""Why the int8 network is what it is, and where it differs from float: mxq.explain."""

from .explanation import Explanation
from .measure import explain

__all__ = ["Explanation", "explain"]
