"""``python -m mxq deliver``: one calibration, files for several runtimes, and a page that compares them."""

from typing import Any, Dict

from . import arguments
from .arguments import Result, decibels


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "deliver",
        help="quantize a network, write it for MXNet, ONNX Runtime, OpenVINO and ncnn, and compare them",
        description="Writes files, a golden example and report.txt and report.html into the folder. Runtimes that are "
        "not installed are named and skipped. Exit status 1 if a target refuses the network.",
    )
    arguments.add_words(command, "FOLDER", "DATA", help="float network, where the files go, examples to compare on")
    command.add_argument("--calibration", metavar="DATA", help="calibration data (default: the same examples)")
    command.add_argument(
        "--targets", default="mxnet,onnxruntime,openvino,ncnn", help="a list with commas; also tensorrt, generic"
    )
    command.add_argument("--compare", type=int, default=64, help="use so many examples to compare (default: 64)")
    arguments.add_data(command)
    arguments.add_json(command)
    command.set_defaults(run=_deliver)


def _deliver(args) -> Result:
    from ..api import quantize_model
    from ..delivery import deliver

    symbol, params, (folder, path) = arguments.network_and(args)
    data = arguments.read_data(path, args, args.examples).data
    calibration = arguments.read_data(args.calibration, args, args.examples).data if args.calibration else data
    model = quantize_model(*arguments.float_network(symbol, params), calibration)
    targets = args.targets.split(",")
    found = deliver(model, folder, data, targets=targets, calib_data=calibration, num_examples=args.compare)
    rows = [_row(row) for row in found.rows]
    document = {"folder": found.folder, "examples": found.examples, "targets": rows}
    return Result(document, str(found), int(any(row.refused for row in found.rows)))


def _row(row) -> Dict[str, Any]:
    outputs = [{**o._asdict(), "sqnr": decibels(o.sqnr), "to_int8": decibels(o.to_int8)} for o in row.outputs]
    levels = None if row.levels is None else str(row.levels)
    return {**row._asdict(), "outputs": outputs, "levels": levels}
