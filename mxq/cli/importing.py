"""``python -m mxq import``: a network of another format as an MXNet network."""

from . import arguments
from .arguments import Result


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "import",
        help="read a network of another format (ONNX, TFLite, Caffe) and write MXNet's two files",
        description="Writes PREFIX-symbol.json and PREFIX-0000.params and prints what was found.",
    )
    command.add_argument("file", help="NAME.onnx, NAME.tflite, or NAME.caffemodel with NAME.prototxt beside it")
    arguments.add_output(command, "--out", metavar="PREFIX", required=True, help="of the two files")
    command.add_argument("--prototxt", metavar="FILE", help="of a Caffe network, if it stands elsewhere")
    arguments.add_data_shapes(
        command, "--shape", help="shape of an input, in place of that in the file; may be given for each"
    )
    arguments.add_json(command)
    command.set_defaults(run=_import)


def _import(args) -> Result:
    from ..importers import load

    model = load(args.file, prototxt=args.prototxt, data_shapes=dict(args.shape) or None)
    model.save(args.out)
    lines = [f"{model.format}, {'int8' if model.quantized else 'float'}"]
    lines += [f"input {name} {shape}" for name, shape in model.shapes.items()]
    lines += [f"output {name}" for name in model.outputs]
    lines.append(f"wrote {args.out}-symbol.json and {args.out}-0000.params")
    document = {
        "format": model.format,
        "int8": model.quantized,
        "inputs": {name: list(shape) for name, shape in model.shapes.items()},
        "outputs": list(model.outputs),
        "out": args.out,
    }
    return Result(document, "\n".join(lines))
