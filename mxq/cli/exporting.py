"""``python -m mxq export``: a float MXNet network as an ONNX file, or ncnn's, in float or quantized."""

import argparse
import logging
from typing import Dict, List, Tuple

from ..errors import ConfigError
from .network import add_data, add_network, read_data


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "export",
        help="write a network as ONNX, in float or int8, and compare the file with MXNet",
        description="With data the network is quantized with default settings and written for the target, unless "
        "--float says otherwise; the file is then compared with MXNet, value by value. Exit status 1 if one differs.",
    )
    add_network(command)
    command.add_argument("out", help="the ONNX file to write; for ncnn the prefix of its two files")
    command.add_argument("data", nargs="?", help="examples, for calibration and for the comparison")
    command.add_argument("--float", action="store_true", help="do not quantize")
    command.add_argument(
        "--target", default="onnxruntime", help="onnxruntime (default), openvino, tensorrt, generic, ncnn"
    )
    command.add_argument("--opset", type=int, default=13, help="version of ONNX's operators (default: 13)")
    command.add_argument(
        "--data-shape",
        action="append",
        default=[],
        metavar="NAME=1,3,224,224",
        help="shape of an input, for each; for int8 by default that of the data, with one example",
    )
    command.add_argument("--no-check", action="store_true", help="do not compare the file with MXNet")
    add_data(command)
    command.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from ..interchange import check_onnx, export_onnx

    logging.basicConfig(format="mxq: %(message)s")
    shapes = _shapes(args.data_shape)
    data = None if args.data is None else read_data(args.data, args).data
    if args.target == "ncnn":
        return _to_ncnn(args, data, shapes)
    if data is None or args.float:
        if not shapes:
            raise ConfigError("a float network needs --data-shape NAME=1,3,224,224 for each of its inputs")
        export_onnx(args.symbol, args.params, args.out, shapes, opset=args.opset)
        print(f"wrote {args.out}, float")
        found = None if data is None or args.no_check else check_onnx(args.symbol, args.params, args.out, data)
    else:
        from ..api import quantize_model

        dtype = "int8" if args.target == "tensorrt" else "auto"
        model = quantize_model(args.symbol, args.params, data, quantized_dtype=dtype, precision_budget=0)
        model.export_onnx(args.out, target=args.target, data_shapes=shapes or None, calib_data=data, opset=args.opset)
        print(f"wrote {args.out}, int8 for {args.target}: {model.report.summary()}")
        optimize = args.target == "onnxruntime"
        found = None if args.no_check else model.check_onnx(args.out, data, optimize=optimize)
    if found is not None:
        print(found)
    return 0 if found is None or found.ok else 1


def _to_ncnn(args: argparse.Namespace, data, shapes: Dict[str, Tuple[int, ...]]) -> int:
    """ncnn's two files; `python -m mxq deliver` compares them with MXNet."""
    prefix = args.out[: -len(".param")] if args.out.endswith(".param") else args.out
    if data is None or args.float:
        if not shapes:
            raise ConfigError("a float network needs --data-shape NAME=1,3,224,224 for each of its inputs")
        from ..interchange import export_ncnn

        export_ncnn(args.symbol, args.params, prefix, shapes)
        print(f"wrote {prefix}.param and {prefix}.bin, float")
        return 0
    from ..api import quantize_model

    model = quantize_model(args.symbol, args.params, data, quantized_dtype="int8", precision_budget=0)
    net = model.export_ncnn(prefix, data_shapes=shapes or None)
    print(f"wrote {prefix}.param and {prefix}.bin, {len(net.int8)} layers are int8")
    for name, reason in net.left_float.items():
        print(f"{name} is float: {reason}")
    return 0


def _shapes(texts: List[str]) -> Dict[str, Tuple[int, ...]]:
    shapes = {}
    for text in texts:
        name, _, sizes = text.partition("=")
        if not sizes or not all(part.strip().isdigit() for part in sizes.split(",")):
            raise ConfigError(f"--data-shape {text}: accepted is NAME=1,3,224,224")
        shapes[name] = tuple(int(part) for part in sizes.split(","))
    return shapes
