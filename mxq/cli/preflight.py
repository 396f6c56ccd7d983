"""``python -m mxq preflight``: what would spoil an int8 network, before there is one."""

from ..data.files import ACCEPTED
from . import arguments
from .arguments import Result


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "preflight",
        help="look for what would spoil an int8 network, before there is one",
        description=f"Exit status 1 if there are errors or warnings. DATA: {ACCEPTED}; without it only parameters.",
    )
    arguments.add_words(command, "[DATA]", help="float network, then calibration data")
    arguments.add_data(command)
    arguments.add_json(command)
    command.set_defaults(run=_preflight)


def _preflight(args) -> Result:
    from ..explanation.preflight import preflight

    symbol, params, (path,) = arguments.network_and(args)
    data = None if path is None else arguments.read_data(path, args, args.examples).data
    findings = preflight(*arguments.float_network(symbol, params), data)
    return Result(findings.to_json(), str(findings), 1 if findings.warnings else 0)
