"""What became int8, what stayed float and why, and what to know about a network and its data before."""

from .finding import Finding, Findings
from .nodes import NodeReport, Report

__all__ = ["Finding", "Findings", "NodeReport", "Report"]
