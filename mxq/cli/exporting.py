"""``python -m mxq export``: a float MXNet network as an ONNX file, or ncnn's, in float or quantized."""

from typing import Any, Dict, Optional, Tuple

from ..errors import ConfigError
from . import arguments
from .arguments import Result


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "export",
        help="write a network as ONNX, in float or int8, and compare the file with MXNet",
        description="With data the network is quantized with default settings and written for the target, unless "
        "--float says otherwise; the file is then compared with MXNet, value by value. Exit status 1 if one differs.",
    )
    arguments.add_words(
        command,
        "OUT",
        "[DATA]",
        help="float network, the ONNX file to write (for ncnn the prefix of its two files), and "
        "examples for calibration and for the comparison",
    )
    command.add_argument("--float", action="store_true", help="do not quantize")
    command.add_argument(
        "--target", default="onnxruntime", help="onnxruntime (default), openvino, tensorrt, generic, ncnn"
    )
    command.add_argument("--opset", type=int, default=13, help="version of ONNX's operators (default: 13)")
    arguments.add_data_shapes(
        command, help="shape of an input, for each; for int8 by default that of the data, with one example"
    )
    command.add_argument("--no-check", action="store_true", help="do not compare the file with MXNet")
    arguments.add_data(command)
    arguments.add_json(command)
    command.set_defaults(run=_export)


def _export(args) -> Result:
    from ..interchange import check_onnx, export_onnx

    symbol, params, (out, path) = arguments.network_and(args)
    arguments.check_writable(out, "OUT")
    shapes = dict(args.data_shape)
    data = None if path is None else arguments.read_data(path, args, args.examples).data
    files = arguments.float_network(symbol, params)
    if data is None or args.float:
        if not shapes:
            raise ConfigError("a float network needs --data-shape NAME=1,3,224,224 for each of its inputs")
    if args.target == "ncnn":
        return _to_ncnn(args, files, out, data, shapes)
    document: Dict[str, Any] = {"out": out, "target": args.target}
    if data is None or args.float:
        export_onnx(*files, out, shapes, opset=args.opset)
        text = f"wrote {out}, float"
        found = None if data is None or args.no_check else check_onnx(*files, out, data)
    else:
        from ..api import quantize_model

        dtype = "int8" if args.target == "tensorrt" else "auto"
        model = quantize_model(*files, data, quantized_dtype=dtype, precision_budget=0)
        model.export_onnx(out, target=args.target, data_shapes=shapes or None, calib_data=data, opset=args.opset)
        text = f"wrote {out}, int8 for {args.target}: {model.report.summary()}"
        optimize = args.target == "onnxruntime"
        found = None if args.no_check else model.check_onnx(out, data, optimize=optimize)
    if found is None:
        return Result({**document, "ok": None}, text)
    return Result({**document, "ok": found.ok, "check": str(found)}, f"{text}\n{found}", 0 if found.ok else 1)


def _to_ncnn(args, files, out: str, data: Optional[object], shapes: Dict[str, Tuple[int, ...]]) -> Result:
    """ncnn's two files; `python -m mxq deliver` compares them with MXNet."""
    prefix = out[: -len(".param")] if out.endswith(".param") else out
    written = f"wrote {prefix}.param and {prefix}.bin"
    if data is None or args.float:
        from ..interchange import export_ncnn

        export_ncnn(*files, prefix, shapes)
        return Result({"out": prefix, "target": "ncnn"}, f"{written}, float")
    from ..api import quantize_model

    model = quantize_model(*files, data, quantized_dtype="int8", precision_budget=0)
    net = model.export_ncnn(prefix, data_shapes=shapes or None)
    lines = [f"{written}, {len(net.int8)} layers are int8"]
    lines += [f"{name} is float: {reason}" for name, reason in net.left_float.items()]
    document = {"out": prefix, "target": "ncnn", "int8": list(net.int8), "float": dict(net.left_float)}
    return Result(document, "\n".join(lines))
