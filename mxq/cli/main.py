"""The command line, ``python -m mxq`` and ``mxq``: a module for each command."""

import argparse
import os
import sys
from typing import List, Optional

from ..errors import MXQError
from ..version import __version__
from . import (
    arguments,
    benchmark,
    delivering,
    evaluate,
    explain,
    exporting,
    importing,
    info,
    preflight,
    profile,
    quantize,
    support,
    table,
)

COMMANDS = (
    quantize, evaluate, benchmark, profile, explain, preflight, exporting, importing, table, delivering, support, info,
)  # fmt: skip
EPILOG = """exit status:
  0    done
  1    an error, said in one line on stderr, or a check that found something: warnings of preflight, a file of
       export that differs from MXNet, a target of deliver that refuses the network
  2    a command line that cannot be understood
  130  interrupted

Every command has --json: its result for programs. `mxq COMMAND --help` says more.
"""


def main(argv: Optional[List[str]] = None) -> int:
    """Runs a sub-command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="mxq",
        description="int8 post-training quantization for Apache MXNet",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mxq {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    for command in COMMANDS:
        command.add_command(commands)
    args, more = parser.parse_known_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    chosen = commands.choices[args.command]
    unknown = [word for word in more if word.startswith("-") or not hasattr(args, "words")]
    if unknown:
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}")
    if more:  # words behind options
        args.words += more
    arguments.log_to_stderr()
    try:
        arguments.check_outputs(args)
        return arguments.say(args, args.run(args))
    except arguments.UsageError as error:
        print(f"mxq: {error}\n{chosen.format_usage().strip()}", file=sys.stderr)
        return 2
    except (MXQError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # such as `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        print(f"mxq: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mxq: interrupted", file=sys.stderr)
        return 130
