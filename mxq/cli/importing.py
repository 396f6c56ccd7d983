"""``python -m mxq import``: a network of another format as an MXNet network."""

import argparse


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "import",
        help="read a network of another format (ONNX, TFLite, Caffe) and write MXNet's two files",
        description="Writes PREFIX-symbol.json and PREFIX-0000.params and prints what was found.",
    )
    command.add_argument("file", help="NAME.onnx, NAME.tflite, or NAME.caffemodel with NAME.prototxt beside it")
    command.add_argument("--out", metavar="PREFIX", required=True, help="of the two files")
    command.add_argument("--prototxt", metavar="FILE", help="of a Caffe network, if it stands elsewhere")
    command.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1,3,224,224",
        help="shape of an input, in place of that in the file; may be given for each",
    )
    command.set_defaults(run=_import)


def _import(args: argparse.Namespace) -> int:
    from ..errors import ConfigError
    from ..importers import load

    shapes = {}
    for text in args.shape:
        name, _, sizes = text.partition("=")
        if not sizes or not all(part.strip().isdigit() for part in sizes.split(",")):
            raise ConfigError(f"--shape {text}: accepted is NAME=1,3,224,224")
        shapes[name] = tuple(int(part) for part in sizes.split(","))
    model = load(args.file, prototxt=args.prototxt, data_shapes=shapes or None)
    model.save(args.out)
    print(f"{model.format}, {'int8' if model.quantized else 'float'}")
    for name, shape in model.shapes.items():
        print(f"input {name} {shape}")
    for name in model.outputs:
        print(f"output {name}")
    print(f"wrote {args.out}-symbol.json and {args.out}-0000.params")
    return 0
