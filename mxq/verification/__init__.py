"""The int8 network is looked at before it is handed over: it binds, runs, and is near the float one."""

from ..report.verification import CheckedOutput, Verification, Worst
from .few import FewExamples
from .verify import FEW_EXAMPLES, verify

__all__ = ["FEW_EXAMPLES", "CheckedOutput", "FewExamples", "Verification", "Worst", "verify"]
