"""The op table, the native library and the tests name the same operators."""

import os

from mxq.cli.support import support_table
from mxq.native import library as native
from mxq.ops import TABLE

#: Operators that passes insert by themselves: no MXNet operator becomes one.
INSERTED = {"mxq_quantize_v2", "mxq_dequantize", "mxq_requantize", "mxq_region"}


def _of_rows():
    return {name for spec in TABLE for name in spec.native}


def test_every_native_operator_has_a_row_and_every_row_an_operator():
    registered = set(native.info()["ops"])
    assert _of_rows() | INSERTED == registered, (_of_rows() | INSERTED) ^ registered


def test_every_operator_has_a_reference_implementation_last():
    for name, implementations in native.info()["ops"].items():
        assert implementations[-1] == "ref", (name, implementations)


def test_every_operator_has_a_test_file():
    here = os.path.dirname(os.path.abspath(__file__))
    for name in native.info()["ops"]:
        short = name[len("mxq_") :]
        short = "elemwise" if short.startswith("elemwise") else short
        assert os.path.exists(os.path.join(here, f"test_{short}.py")), name


def test_the_support_table_shows_every_row():
    text = support_table()
    assert all(f"`{name}`" in text for name in _of_rows())
