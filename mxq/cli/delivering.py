"""``python -m mxq deliver``: one calibration, files for several runtimes, and a page that compares them."""

import argparse
import logging

from .network import add_data, add_network, read_data


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "deliver",
        help="quantize a network, write it for MXNet, ONNX Runtime, OpenVINO and ncnn, and compare them",
        description="Writes files, a golden example and report.txt and report.html into the folder. Runtimes that are "
        "not installed are named and skipped. Exit status 1 if a target refuses the network.",
    )
    add_network(command)
    command.add_argument("folder", help="where the files go")
    command.add_argument("data", help="examples to compare on")
    command.add_argument("--calibration", metavar="FILE", help="calibration data (default: the same examples)")
    command.add_argument(
        "--targets", default="mxnet,onnxruntime,openvino,ncnn", help="a list with commas; also tensorrt, generic"
    )
    command.add_argument("--compare", type=int, default=64, help="use so many examples to compare (default: 64)")
    add_data(command)
    command.set_defaults(run=_deliver)


def _deliver(args: argparse.Namespace) -> int:
    from ..api import quantize_model
    from ..delivery import deliver

    logging.basicConfig(format="mxq: %(message)s")
    data = read_data(args.data, args).data
    calibration = read_data(args.calibration, args).data if args.calibration else data
    model = quantize_model(args.symbol, args.params, calibration)
    targets = args.targets.split(",")
    found = deliver(model, args.folder, data, targets=targets, calib_data=calibration, num_examples=args.compare)
    print(found)
    return int(any(row.refused for row in found.rows))
