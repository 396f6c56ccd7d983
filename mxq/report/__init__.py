"""What became int8, what stayed float and why."""

from .nodes import NodeReport, Report

__all__ = ["NodeReport", "Report"]
