"""``python -m mxq table``: the int8 calibration table of ncnn, with the options of the tools that made it so far."""

from typing import Dict, Tuple

from ..data.image_set import images
from ..errors import ConfigError
from . import arguments
from .arguments import Result

#: Names that ncnn2table has for ways to choose a range, and mxq's.
METHODS = {"kl": "entropy"}
ORDERS = ("BGR", "GRAY", "RGB")


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "table",
        help="write the int8 calibration table of ncnn for a Caffe, ONNX or MXNet network",
        description="Calibrates the network on a folder of images and writes the scales of weights and inputs of each "
        "layer as ncnn2int8 reads them, in the format of ncnn2table and of caffe-int8-convert-tools. BatchNorm layers "
        "are folded into the layers in front of them, as ncnnoptimize does.",
    )
    command.add_argument("--proto", help="NAME.prototxt of a Caffe network, or NAME-symbol.json of MXNet's")
    command.add_argument("--model", required=True, help="NAME.caffemodel, NAME.onnx or NAME-0000.params")
    command.add_argument("--mean", type=float, nargs="+", default=[0.0], help="subtracted from pixels (1 or 3 numbers)")
    command.add_argument("--norm", type=float, nargs="+", default=[1.0], help="what is left is multiplied by it")
    command.add_argument("--images", required=True, help="folder of images, or a file that lists them, one a line")
    arguments.add_output(
        command, "--output", default="calibration-dev.table", help="the file to write (calibration-dev.table)"
    )
    command.add_argument(
        "--group", type=int, choices=(0, 1), default=1, help="1: scales of weights by output or group; 0: by layer"
    )
    command.add_argument("--pixel", choices=ORDERS, help="order of channels (default: BGR)")
    command.add_argument("--shape", help="channels,height,width of the input, where the file does not say")
    command.add_argument("--examples", type=int, help="use so many of the images (default: all)")
    command.add_argument(
        "--method", default="mse", help="how ranges are chosen: mse (default), kl, aciq, minmax, percentile, auto"
    )
    arguments.add_json(command)
    command.set_defaults(run=_table)


def _table(args) -> Result:
    from ..api import quantize_model
    from ..export.ncnn.scales import table_of

    symbol, params, shapes = _network(args)
    if len(shapes) != 1 or len(next(iter(shapes.values()))) != 4:
        raise ConfigError(f"the network has inputs {shapes or 'of unknown shape'}: give --shape of the one for images")
    (name, (_, channels, height, width)) = next(iter(shapes.items()))
    order = args.pixel or ("GRAY" if channels == 1 else "BGR")
    if (order == "GRAY") != (channels == 1):
        raise ConfigError(f"--pixel {order}: the network's input has {channels} channels")
    if not all(number > 0 for number in args.norm):
        raise ConfigError(f"--norm {' '.join(map(str, args.norm))}: accepted are numbers above 0")
    pictures = images(
        args.images,
        shape=(channels, height, width),
        mean=args.mean,
        std=[1 / number for number in args.norm],
        bgr=order == "BGR",
        resize="stretch",
        num_examples=args.examples,
        batch_size=16,
    )
    # The network in ncnn is the one in the file: its channels keep their scales, and every tensor has 8 bits.
    model = quantize_model(
        symbol,
        params,
        pictures,
        data_names=[name],
        calib_mode=METHODS.get(args.method, args.method),
        quantized_dtype="int8",
        weight_rounding="nearest",
        equalize=False,
        precision_budget=0,
        verify=False,
    )
    table = table_of(model.qdq, group=bool(args.group))
    table.save(args.output)
    text = f"wrote {args.output}: {len(table)} layers, {len(pictures)} images"
    return Result({"output": args.output, "layers": len(table), "images": len(pictures)}, text)


def _network(args) -> Tuple[object, object, Dict[str, Tuple[int, ...]]]:
    """Symbol, parameters, and shapes of inputs."""
    if args.model.endswith(".params"):
        from ..api import read_network
        from ..network.params import default_data_names

        if args.proto is None:
            raise ConfigError("an MXNet network is two files: give --proto NAME-symbol.json")
        names = default_data_names(read_network(args.proto, args.model))
        shapes = {name: (1, *_shape(args.shape)) for name in names} if args.shape else {}
        return args.proto, args.model, shapes
    from ..importers import load

    given = {"data_shapes": _first_shape(args)} if args.shape else {}
    network = load(args.model, prototxt=args.proto, **given)
    if network.quantized:
        raise ConfigError(f"{args.model} is quantized already: a table is made of a float network")
    return network.symbol, {**network.arg_params, **network.aux_params}, network.shapes


def _first_shape(args) -> Dict[str, Tuple[int, ...]]:
    from ..importers import load

    name = next(iter(load(args.model, prototxt=args.proto).shapes))
    return {name: (1, *_shape(args.shape))}


def _shape(text: str) -> Tuple[int, ...]:
    sizes = text.split(",")
    if len(sizes) != 3 or not all(part.strip().isdigit() and int(part) for part in sizes):
        raise ConfigError(f"--shape {text}: accepted is channels,height,width such as 3,224,224")
    return tuple(int(part) for part in sizes)
