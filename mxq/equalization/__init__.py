"""Which factors per channel make the noise of rounding the least; mxq.passes.equalize applies them."""

from .factors import channel_factors

__all__ = ["channel_factors"]
