"""What became int8, what stayed float and why, and what to know about a network and its data before."""

from .finding import Finding, Findings
from .nodes import NodeReport, Report
from .precision import FinerTensor, Precision

__all__ = ["Finding", "Findings", "FinerTensor", "NodeReport", "Precision", "Report"]
