"""``python -m mxq quantize``: from a float network and data to int8 files, a table beside float, and a page."""

import argparse
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..data.files import Examples
from . import arguments
from .arguments import Result, UsageError

#: Calibration examples in a command of its own; as many others are compared with float.
EXAMPLES, COMPARED = 256, 64


class Flag(NamedTuple):
    """A command-line option that is an option of mxq.quantize_model: its name there, and argparse's arguments."""

    option: str
    text: str
    more: Dict[str, Any] = {}

    @property
    def flag(self) -> str:
        return self.more.get("flag", "--" + self.option.replace("_", "-"))


_RANGES: Tuple[Flag, ...] = (
    Flag("preset", "default, or best: closest to float, for twice the multiplications"),
    Flag("calib_mode", "how ranges are chosen: mse (default), entropy, percentile, minmax, aciq, auto, none"),
    Flag("quantized_dtype", "auto (default), int8 or uint8"),
    Flag("activation_bits", "8 (default) or 11", {"type": int, "choices": (8, 11)}),
    Flag("precision_budget", "share of time and of weights that may be added (default: 0.15)", {"type": float}),
    Flag("range_headroom", "share of noise that may be added for wider ranges (default: 0.05)", {"type": float}),
    Flag("zero_points", "", {"flag": "--no-zero-points", "action": "store_false"}),
    Flag("equalize", "", {"flag": "--no-equalize", "action": "store_false"}),
    Flag("weight_rounding", "adaptive (default) or nearest"),
    Flag("weight_bits", "2 to 8 (default: 8)", {"type": int}),
    Flag("bias_correction", "", {"flag": "--no-bias-correction", "action": "store_false"}),
    Flag("quantize_granularity", "channel-wise (default) or tensor-wise", {"flag": "--granularity"}),
)
_FLOAT: Tuple[Flag, ...] = (
    Flag("quantize_mode", "smart (default) or full: wherever an operator has an int8 form"),
    Flag("excluded_sym_names", "nodes that stay float", {"flag": "--exclude", "nargs": "+", "metavar": "NODE"}),
    Flag("excluded_op_names", "operators that stay float", {"flag": "--exclude-ops", "nargs": "+", "metavar": "OP"}),
    Flag(
        "excluded_patterns",
        "regular expressions on names of nodes that stay float",
        {"flag": "--exclude-matching", "nargs": "+", "metavar": "REGEX"},
    ),
    Flag("float_where_faster", "leave float what is clearly slower in int8 on this machine", {"action": "store_true"}),
    Flag("metric", "keep layers float until this is good enough: top1, top5, cosine, sqnr, detection, miou, accuracy"),
    Flag("max_drop", "how much worse than float the metric may be, in its own unit", {"type": float}),
    Flag("min_metric", "in place of that, its least value", {"type": float}),
    Flag("search_state", "file in which the search goes on where it stopped", {"metavar": "FILE"}),
)
_NETWORK: Tuple[Flag, ...] = (
    Flag(
        "input_dtype", "what the int8 network takes: float32 (default), uint8 pixels or int8; it normalizes them itself"
    ),
    Flag("data_names", "inputs that are data, in the order of the arrays", {"nargs": "+", "metavar": "NAME"}),
    Flag("label_names", "inputs that are labels", {"nargs": "+", "metavar": "NAME"}),
    Flag("keep_labels", "loss heads keep their labels", {"action": "store_true"}),
    Flag("sub_batch", "examples that calibration runs at once (default: 8)", {"type": arguments.count}),
    Flag("regions", "every int8 operator is a node of the symbol", {"flag": "--no-regions", "action": "store_false"}),
    Flag(
        "preflight", "do not look for what would spoil the result", {"flag": "--no-preflight", "action": "store_false"}
    ),
    Flag("verify", "do not look at the result before it is saved", {"flag": "--no-verify", "action": "store_false"}),
)
FLAGS = _RANGES + _FLOAT + _NETWORK
#: Options that the command decides itself or reads from other arguments.
ELSEWHERE = (
    "num_calib_examples", "calib_table", "statistics", "data_shapes", "mean", "std", "batch_size", "ctx", "progress",
    "eval_data",
)  # fmt: skip


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "quantize",
        help="make an int8 network of a float one and compare the two",
        description="Calibrates a float network on some of the data, writes PREFIX-symbol.json and PREFIX-0000.params, "
        "and prints the int8 network beside the float one, on other examples of the data where there are enough.",
    )
    arguments.add_words(command, "[DATA]", help="float network, then images or arrays")
    arguments.add_output(command, "--out", metavar="PREFIX", required=True, help="of the two files to write")
    arguments.add_output(command, "--report", metavar="FILE.html", help="write a page that says what costs what")
    command.add_argument("--eval", metavar="DATA", help="compare on these examples (default: others of DATA)")
    command.add_argument(
        "--compare",
        type=int,
        default=COMPARED,
        metavar="N",
        help=f"compare on so many; 0: do not (default: {COMPARED})",
    )
    command.add_argument("--no-speed", action="store_true", help="do not measure how long the networks take")
    source = command.add_mutually_exclusive_group()
    source.add_argument("--statistics", metavar="FILE", help="calibrate from this file of --save-statistics")
    source.add_argument("--table", metavar="FILE", help="ranges of this calibration table")
    arguments.add_output(command, "--save-statistics", metavar="FILE.npz", help="keep what calibration saw")
    arguments.add_output(command, "--save-table", metavar="FILE.json", help="keep the chosen ranges")
    arguments.add_data_shapes(command, help="shape of an input, where there is no data to tell")
    for title, flags in (("ranges and weights", _RANGES), ("what stays float", _FLOAT), ("the network", _NETWORK)):
        group = command.add_argument_group(title)
        for flag in flags:
            more = {key: value for key, value in flag.more.items() if key != "flag"}
            group.add_argument(flag.flag, dest=flag.option, help=flag.text or argparse.SUPPRESS, default=None, **more)
    arguments.add_data(command, what="calibrate with so many examples")
    arguments.add_json(command)
    command.set_defaults(run=_quantize)


def _quantize(args: argparse.Namespace) -> Result:
    symbol, params, (data,) = arguments.network_and(args)
    dtype = args.input_dtype or "float32"
    if args.compare < 0:
        raise UsageError(f"--compare {args.compare}: accepted is a number from 0")
    calibration, compared, others = _examples(args, data, dtype)
    from ..api import quantize_model

    sym, arrays = arguments.float_network(symbol, params)
    options = {flag.option: getattr(args, flag.option) for flag in FLAGS if getattr(args, flag.option) is not None}
    if dtype != "float32":
        options.update({name: getattr(args, name) for name in ("mean", "std") if getattr(args, name) is not None})
    if args.eval and args.metric:
        options["eval_data"] = _with_labels(compared)
    elif args.metric and calibration is not None:
        options["eval_data"] = _with_labels(calibration)
    shapes = dict(args.data_shape)
    statistics = args.statistics
    used = calibration
    if args.save_statistics:
        statistics, used = _collected(args, sym, arrays, calibration, options), None
    model = quantize_model(
        sym,
        arrays,
        None if used is None else used.data,
        statistics=statistics,
        calib_table=args.table,
        data_shapes=shapes or None,
        **options,
    )
    model.save(args.out)
    if args.save_table:
        if model.table is None:
            raise UsageError("--save-table: --calib-mode none has no ranges to save")
        model.table.save(args.save_table)
    from .beside import beside_float

    return beside_float(args, model, (symbol, params), compared, calibration, others)


def _examples(
    args: argparse.Namespace, data: Optional[str], dtype: str
) -> Tuple[Optional[Examples], Optional[Examples], bool]:
    """Examples to calibrate with, examples to compare on, and whether these are others."""
    if data is None:
        if args.calib_mode != "none" and not args.statistics and not args.table:
            raise UsageError("give DATA to calibrate with, or --statistics, --table, or --calib-mode none")
        found = None
    elif args.statistics or args.eval:
        found = arguments.read_data(data, args, args.examples, dtype)
    else:
        found = arguments.read_data(data, args, args.examples + args.compare, dtype)
    if args.eval:
        compared = arguments.read_data(args.eval, args, args.compare or None, dtype)
        return (None if args.statistics else found), compared, True
    if found is None:
        return None, None, True
    if args.statistics:
        return None, found.take(np.arange(min(found.total, args.compare))), True
    if not args.compare:
        return found, None, True
    return found.split(args.examples, args.compare)


def _with_labels(examples: Examples):
    """Data for a metric: an array with the classes behind it, where there are some."""
    if examples.labels is None or not isinstance(examples.data, np.ndarray):
        return examples.data  # images have their classes, arrays of a .npz too
    return [(examples.data[i : i + 32], examples.labels[i : i + 32]) for i in range(0, examples.total, 32)]


def _collected(args, sym, arrays, calibration: Optional[Examples], options: Dict[str, Any]):
    """Statistics of the calibration examples, in the file that was asked for."""
    from ..collection import OPTIONS, collect_statistics

    if calibration is None:
        raise UsageError("--save-statistics needs DATA")
    chosen = {name: value for name, value in options.items() if name in OPTIONS}
    return collect_statistics(sym, arrays, calibration.data, args.save_statistics, resume=False, **chosen)
