"""Writes what pages of the documentation include and mxq itself says: the operator table, the help of every command.

python ci/docs_pages.py FOLDER
"""

import argparse
import contextlib
import io
import os
import sys

os.environ["COLUMNS"] = "100"  # argparse's width

from mxq.cli.main import COMMANDS, main  # noqa: E402


def said(*words: str) -> str:
    """What ``mxq WORDS`` prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main(list(words))
    return output.getvalue().rstrip()


def names() -> list:
    """Commands in the order of `mxq --help`."""
    commands = argparse.ArgumentParser().add_subparsers()
    for command in COMMANDS:
        command.add_command(commands)
    return list(commands.choices)


def pages() -> dict:
    """File name -> text."""
    helps = [f"```text\n$ mxq --help\n{said('--help')}\n```"]
    helps += [f"## {name}\n\n```text\n$ mxq {name} --help\n{said(name, '--help')}\n```" for name in names()]
    return {"operators.md": said("support"), "commands.md": "\n\n".join(helps)}


if __name__ == "__main__":
    (folder,) = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    for name, text in pages().items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
