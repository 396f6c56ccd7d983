"""The version of the package and of its native library, which must be the same."""

__version__ = "0.2.0"
