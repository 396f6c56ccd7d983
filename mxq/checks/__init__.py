"""What to know about a network and its data before it is quantized: mxq.preflight."""

from .finding import Finding, Findings

__all__ = ["Finding", "Findings"]
