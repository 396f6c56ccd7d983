"""``python -m mxq profile``: where the time of an int8 network goes, operator by operator."""

from typing import Any, Dict, List, Mapping, Sequence

from ..errors import ConfigError
from ..evaluation import Network
from ..profile import Times, record
from . import arguments, shapes
from .arguments import Result

_RUNS = 30


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser("profile", help="where the time of an int8 network goes, operator by operator")
    arguments.add_words(command, help="int8 network")
    shapes.add_shapes(command)
    command.add_argument("--batch-size", type=arguments.count, default=1, help="(default: 1)")
    command.add_argument("--runs", type=arguments.count, default=_RUNS, help=f"(default: {_RUNS})")
    arguments.add_json(command)
    command.set_defaults(run=_profile)


def _profile(args) -> Result:
    symbol, params, _ = arguments.network_and(args)
    network = Network.open(symbol, params)
    if not network.int8:
        raise ConfigError(f"{network.name} has no int8 operators of mxq: `python -m mxq quantize` makes such a network")
    times = recorded(network, shapes.shapes_for(network, args.batch_size, args), args.runs)
    return Result(document(times), str(times))


def recorded(network: Network, given: Mapping[str, Sequence[int]], runs: int = _RUNS) -> Times:
    """Times of every int8 operator on made-up data, after a few runs to warm up."""
    bound = network.bound(given)
    for _ in range(3):
        bound.step()
    with record() as times:
        for _ in range(runs):
            bound.step()
    return times


def document(times: Times) -> Dict[str, Any]:
    """For programs."""
    rows: List[Dict[str, Any]] = [row._asdict() for row in times]
    return {"microseconds": times.microseconds, "operators": rows}
