"""Drives the native library as MXNet does, through the C functions of the extension interface, without MXNet."""
