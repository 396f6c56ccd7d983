"""The examples in docstrings run, and give what they say."""

import doctest
import importlib
import pkgutil

from parameterized import parameterized

import mxq

MODULES = sorted(m.name for m in pkgutil.walk_packages(mxq.__path__, "mxq.") if m.name != "mxq.__main__")


@parameterized.expand([(name,) for name in MODULES])
def test_examples_of(name):
    found = doctest.testmod(importlib.import_module(name))
    assert not found.failed, f"{found.failed} of {found.attempted} examples in {name} fail; see the output"


def test_examples_are_found():
    assert len(MODULES) > 50
    assert doctest.testmod(importlib.import_module("mxq.network.graph")).attempted > 0
