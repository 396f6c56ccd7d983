"""``python -m mxq explain``: what is int8, what it costs where, and why."""

from . import arguments
from .arguments import Result


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "explain",
        help="quantize a network and say what is int8, what it costs where, and why",
        description="Quantizes the network with default settings and the options given, and compares it with float.",
    )
    arguments.add_words(command, "DATA", help="float network, then examples to compare on")
    source = command.add_mutually_exclusive_group()
    source.add_argument("--calibration", metavar="DATA", help="calibration data (default: the same examples)")
    source.add_argument("--table", metavar="FILE", help="a saved calibration table instead")
    command.add_argument("--calib-mode", default="mse", help="how ranges are chosen (default: mse)")
    command.add_argument("--exclude", nargs="+", default=[], metavar="NODE", help="nodes that stay float")
    command.add_argument("--layer-examples", type=int, default=32, help="how many examples layers are measured on")
    command.add_argument("--effect-examples", type=int, default=16, help="how many effects are measured on; 0: none")
    command.add_argument("--title", default="", help="of the page")
    arguments.add_output(command, "--html", metavar="FILE", help="write the page")
    arguments.add_data(command)
    arguments.add_json(command)
    command.set_defaults(run=_explain)


def _explain(args) -> Result:
    from ..api import quantize_model
    from ..explanation import explain

    symbol, params, (path,) = arguments.network_and(args)
    examples = arguments.read_data(path, args, args.examples)
    calibration = None if args.table else examples.data
    if args.calibration:
        calibration = arguments.read_data(args.calibration, args, args.examples).data
    model = quantize_model(
        *arguments.float_network(symbol, params),
        calibration,
        calib_mode=args.calib_mode,
        calib_table=args.table,
        weight_rounding="nearest" if args.table else "adaptive",
        excluded_sym_names=args.exclude,
    )
    explanation = explain(
        model,
        examples.data,
        labels=examples.labels,
        images=examples.images,
        class_names=arguments.lines(args.classes),
        layer_examples=args.layer_examples,
        effect_examples=args.effect_examples,
        title=args.title or symbol,
    )
    if args.html:
        explanation.to_html(args.html)
    return Result(explanation.to_json(), str(explanation))
