"""Markdown pages as programs: their blocks of code run in the order of the page, in one folder and one process."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from typing import Iterator, List, NamedTuple

import mxq
from mxq.cli import main

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: Languages of blocks that are no programs.
SHOWN = ("text", "")
#: A block behind such a comment is not run; the comment is not seen on the page.
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_FILE = re.compile(r"`([\w.-]+\.cc)`")


class Block(NamedTuple):
    """A fenced block: its language, its text, where it stands, and why it is not run; '' where it is."""

    language: str
    text: str
    line: int
    reason: str
    before: str


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page. Raises ValueError where a fence stays open."""
    lines = text.splitlines()
    start, before = None, ""
    for number, line in enumerate(lines):
        if line.startswith("```") and start is None:
            start = number
        elif line.startswith("```"):
            reason = NOT_RUN.match(before)
            body = "\n".join(lines[start + 1 : number])
            yield Block(lines[start][3:].strip(), body, start + 2, reason.group(1) if reason else "", before)
            start = None
        elif start is None and line.strip():
            before = line
    if start is not None:
        raise ValueError(f"line {start + 1} begins a block that never ends")


def commands(text: str) -> List[List[str]]:
    """The words of each command of a shell block, comments left out; one goes on behind a backslash."""
    joined = text.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in joined) if words]


def run(path: str) -> List[str]:
    """Runs a page in the present folder; returns what each of its blocks printed.

    Python blocks share their names. Commands of mxq run in this process, which saves importing MXNet for each; other
    shell blocks run in bash. Raises AssertionError with the block that fails.
    """
    with open(path, encoding="utf-8") as file:
        found = list(blocks(file.read()))
    names = {"__name__": "__main__"}
    printed = []
    threads = mxq.num_threads()
    try:
        for block in found:
            if block.reason or block.language in SHOWN:
                continue
            output = io.StringIO()
            try:
                with contextlib.redirect_stdout(output):
                    _run(block, names)
            except BaseException as error:
                where = f"{os.path.relpath(path, REPO)}:{block.line}"
                raise AssertionError(f"the block at {where} fails: {error!r}\n{output.getvalue()}") from error
            printed.append(output.getvalue())
    finally:
        mxq.set_num_threads(threads)
    return printed


def _run(block: Block, names: dict) -> None:
    if block.language == "python":
        exec(compile(block.text, f"<block at line {block.line}>", "exec"), names)
    elif block.language == "console":
        _transcript(block.text)
    elif block.language == "bash":
        _shell(block.text)
    elif block.language == "cpp":
        with open(_FILE.findall(block.before)[-1], "w") as file:
            file.write(block.text + "\n")
    else:
        raise AssertionError(f"blocks are python, bash, console, cpp or text, this one is {block.language!r}")


def _shell(text: str) -> None:
    found = commands(text)
    if not all(_is_ours(words) for words in found):
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "PYTHONPATH": REPO}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, env=environment, timeout=300
        )
        print(done.stdout, end="")
        assert done.returncode == 0, done.stderr
        return
    for words in found:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            status = main(words[1:] if words[0] == "mxq" else words[3:])
        assert status == 0, f"{words} ends with {status}: {errors.getvalue()}"


def _is_ours(words: List[str]) -> bool:
    return words[0] == "mxq" or words[:3] == ["python", "-m", "mxq"]


def _transcript(text: str) -> None:
    """Commands behind "$ " with what they print: the lines of tables have to begin with the same words."""
    command, _, shown = text.replace("\\\n", " ").partition("\n")
    assert command.startswith("$ "), command
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        _shell(command[2:])

    def labels(text: str) -> List[str]:
        return [re.split(r" {2,}|: | of ", line)[0] for line in text.splitlines() if re.match(r"[a-z].*  ", line)]

    assert labels(shown) == labels(output.getvalue()), output.getvalue()
