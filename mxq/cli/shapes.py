"""Shapes of inputs where there is no data to tell, for commands that run networks on made-up data."""

from typing import Dict, Sequence

from ..evaluation import Network
from . import arguments
from .arguments import UsageError


def add_shapes(parser) -> None:
    """Adds the options that say what shapes networks take."""
    parser.add_argument(
        "--shape", type=arguments.sizes, metavar="C,H,W", help="of one example, for networks of one input"
    )
    arguments.add_data_shapes(parser, help="shape of an input, for each, with the axis of examples first")


def shapes_for(network: Network, batch_size: int, args) -> Dict[str, Sequence[int]]:
    """Shapes of a network's inputs, as those options say. Raises UsageError where they say nothing of one."""
    given: Dict[str, Sequence[int]] = dict(args.data_shape)
    if args.shape is not None and len(network.data_names) == 1:
        given.setdefault(network.data_names[0], (1, *args.shape))
    missing = [name for name in network.data_names if name not in given]
    if missing:
        flag = "--shape 3,224,224" if len(network.data_names) == 1 else f"--data-shape {missing[0]}=1,3,224,224"
        raise UsageError(f"{network.name}: the shape of its input {missing[0]!r} is needed, such as {flag}")
    return dict(network.shapes(batch_size, given))
