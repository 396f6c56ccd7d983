"""One calibration, several deliverables: files for other runtimes, compared on the same examples."""

from .deliver import Delivery, deliver
from .result import Delivered

__all__ = ["Delivered", "Delivery", "deliver"]
