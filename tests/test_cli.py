"""The command line."""

import contextlib
import io
import os
import tempfile

from mxq.cli import main
from mxq.cli.support import BEGIN, END, support_table


def _run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(list(arguments))
    return status, out.getvalue(), err.getvalue()


def test_support_prints_the_table_with_multiplying_operators_first():
    status, out, _ = _run("support")
    rows = out.splitlines()
    assert status == 0 and "`Convolution`" in rows[2] and "`FullyConnected`" in rows[3]


def test_support_renews_the_table_in_a_file_and_nothing_else():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "README.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"before\n{BEGIN}\nold\n{END}\nafter\n")
        assert _run("support", "--write", path)[0] == 0
        with open(path, encoding="utf-8") as file:
            assert file.read() == f"before\n{BEGIN}\n{support_table()}\n{END}\nafter\n"


def test_support_needs_the_markers():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "notes.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write("no markers\n")
        status, _, err = _run("support", "--write", path)
        assert status == 1 and BEGIN in err


def test_without_a_command_the_help():
    status, out, _ = _run()
    assert status == 2 and "info" in out and "support" in out
