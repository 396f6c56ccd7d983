"""``python -m mxq preflight`` and ``python -m mxq explain``: commands that read a float network and data."""

import argparse
import logging
from typing import List, Optional

from ..data.files import ACCEPTED, Images, read_examples


def add_commands(commands) -> None:
    """Adds the commands to argparse's sub-parsers."""
    preflight = commands.add_parser(
        "preflight",
        help="look for what would spoil an int8 network, before there is one",
        description="Exit status 1 if there are errors or warnings.",
    )
    add_network(preflight)
    preflight.add_argument("data", nargs="?", help=f"calibration data: {ACCEPTED}; without it only parameters")
    add_data(preflight)
    preflight.add_argument("--json", action="store_true", help="for programs")
    preflight.set_defaults(run=_preflight)

    explain = commands.add_parser(
        "explain",
        help="quantize a network and say what is int8, what it costs where, and why",
        description="Quantizes the network with default settings and the options given, and compares it with float.",
    )
    add_network(explain)
    explain.add_argument("data", help=f"examples to compare on: {ACCEPTED}")
    source = explain.add_mutually_exclusive_group()
    source.add_argument("--calibration", metavar="FILE", help="calibration data (default: the same examples)")
    source.add_argument("--table", metavar="FILE", help="a saved calibration table instead")
    explain.add_argument("--calib-mode", default="mse", help="how ranges are chosen (default: mse)")
    explain.add_argument("--exclude", nargs="+", default=[], metavar="NODE", help="nodes that stay float")
    explain.add_argument("--layer-examples", type=int, default=32, help="how many examples layers are measured on")
    explain.add_argument("--effect-examples", type=int, default=16, help="how many effects are measured on; 0: none")
    explain.add_argument("--classes", metavar="FILE", help="names of the classes, one a line")
    explain.add_argument("--title", default="", help="of the page")
    explain.add_argument("--html", metavar="FILE", help="write the page")
    explain.add_argument("--json", metavar="FILE", help="write everything for programs")
    add_data(explain)
    explain.set_defaults(run=_explain)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that name a float network."""
    parser.add_argument("symbol", help="float network: NAME-symbol.json")
    parser.add_argument("params", help="its parameters: NAME-0000.params")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say how data files are read."""
    parser.add_argument("--examples", type=int, default=256, help="use so many examples of each file (default: 256)")
    group = parser.add_argument_group("images in RecordIO files")
    group.add_argument("--shape", type=_integers, help="channels,height,width of the network's input")
    group.add_argument("--resize", type=int, help="shorter side before the centre is cropped")
    group.add_argument("--mean", type=_numbers, default=[0.0], help="subtracted from pixels: one number or three")
    group.add_argument("--std", type=_numbers, default=[1.0], help="what is left is divided by it")
    group.add_argument("--bgr", action="store_true", help="the network wants blue first")


def _numbers(text: str) -> List[float]:
    return [float(part) for part in text.split(",")]


def _integers(text: str) -> List[int]:
    return [int(part) for part in text.split(",")]


def read_data(path: str, args: argparse.Namespace):
    """Examples of a data file, as those arguments say."""
    return read_examples(path, args.examples, Images(args.shape, args.mean, args.std, args.bgr, args.resize))


def _preflight(args: argparse.Namespace) -> int:
    from ..explanation.preflight import preflight

    data = None if args.data is None else read_data(args.data, args).data
    findings = preflight(args.symbol, args.params, data)
    print(findings.to_json() if args.json else findings)
    return 1 if findings.warnings else 0


def _explain(args: argparse.Namespace) -> int:
    from ..api import quantize_model
    from ..explanation import explain

    logging.basicConfig(format="mxq: %(message)s")
    examples = read_data(args.data, args)
    calibration = None if args.table else read_data(args.calibration, args).data if args.calibration else examples.data
    model = quantize_model(
        args.symbol,
        args.params,
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
        class_names=_lines(args.classes),
        layer_examples=args.layer_examples,
        effect_examples=args.effect_examples,
        title=args.title or args.symbol,
    )
    print(explanation)
    if args.json:
        explanation.to_json(args.json)
    if args.html:
        explanation.to_html(args.html)
    return 0


def _lines(path: Optional[str]) -> Optional[List[str]]:
    if path is None:
        return None
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()
