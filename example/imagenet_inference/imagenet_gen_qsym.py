"""Quantizes a float network to int8 with calibration images from a RecordIO file.

    imagenet_gen_qsym.py --symbol-file net-symbol.json --param-file net-0000.params --calib-dataset calib.rec \\
        --rgb-mean 123.675,116.28,103.53 --rgb-std 58.395,57.12,57.375
    imagenet_gen_qsym.py --model resnet50_v1 --calib-dataset calib.rec
    imagenet_gen_qsym.py --model resnet50_v1 --no-pretrained --calib-mode none

The network comes from two files, from a checkpoint PREFIX-symbol.json / PREFIX-0000.params that --model names, or from
Gluon's model zoo (GluonCV's too where it is installed). The result is PREFIX-quantized-...-symbol.json and
PREFIX-quantized-0000.params, for imagenet_inference.py or any program that imports mxq.

With --input-dtype uint8 the network takes raw pixels and normalizes them itself; with int8 it takes pixels minus the
rounded mean, as the int8 iterators make them.
"""

import argparse
import logging
import os
import sys

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")

import models
import mxq

logger = logging.getLogger("imagenet_gen_qsym")


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_argument_group("network")
    source.add_argument("--model", default="resnet50_v1", help="prefix of a checkpoint, or a name in the model zoo")
    source.add_argument("--epoch", type=int, default=0, help="number in the checkpoint's file name")
    source.add_argument("--symbol-file", help="network from this file instead of --model")
    source.add_argument("--param-file", help="parameters for --symbol-file")
    source.add_argument("--no-pretrained", action="store_true", help="model zoo: random weights, nothing is downloaded")
    source.add_argument("--seed", type=int, default=0, help="of the random weights")

    data = parser.add_argument_group("calibration data")
    data.add_argument("--calib-dataset", default="data/val_256_q90.rec", help="RecordIO file")
    data.add_argument("--num-calib-batches", type=int, default=10)
    models.add_data_options(parser)
    data.add_argument("--rgb-mean", type=models.numbers, help="default: the zoo's for its networks, else 0,0,0")
    data.add_argument("--rgb-std", type=models.numbers, help="default: the zoo's for its networks, else 1,1,1")

    how = parser.add_argument_group("quantization")
    how.add_argument(
        "--calib-mode",
        default="entropy",
        choices=["none", "naive", "minmax", "entropy", "percentile", "mse"],
        help="how ranges are chosen; none: at run time, without images; naive is minmax",
    )
    how.add_argument("--quantized-dtype", default="auto", choices=["auto", "int8", "uint8"])
    how.add_argument("--quantize-mode", default="smart", choices=["smart", "full"])
    how.add_argument("--granularity", default="channel-wise", choices=["channel-wise", "tensor-wise"])
    how.add_argument("--exclude-first-conv", action="store_true", help="keep the first convolution in float")
    how.add_argument("--exclude", nargs="+", default=[], metavar="NAME", help="nodes that stay float")
    how.add_argument("--exclude-ops", nargs="+", default=[], metavar="OP", help="operators that stay float")
    how.add_argument(
        "--enable-calib-quantize",
        type=models.yes,
        default=True,
        nargs="?",
        const=True,
        help="accepted for old command lines; calibrated networks always quantize their input with calibrated ranges",
    )
    how.add_argument(
        "--input-dtype", default="float32", choices=["float32", "int8", "uint8"], help="input of the result"
    )
    how.add_argument("--calib-table", help="ranges from this file instead of calibration images")

    result = parser.add_argument_group("result")
    result.add_argument("--output", help="prefix of the files (default: that of the network)")
    result.add_argument("--save-calib-table", metavar="FILE", help="write the chosen ranges to this file")
    result.add_argument("--report", action="store_true", help="say for every node whether it became int8, and why not")
    result.add_argument("--quiet", action="store_true")
    options = parser.parse_args(arguments)
    if bool(options.symbol_file) != bool(options.param_file):
        parser.error("--symbol-file and --param-file belong together")
    return options, models.context(options, parser), parser


def load(options) -> models.Model:
    if options.symbol_file:
        return models.from_files(options.symbol_file, options.param_file)
    found = models.from_checkpoint(options.model, options.epoch)
    return found or models.from_zoo(options.model, not options.no_pretrained, options.image_shape, options.seed)


def input_options(options, mean, std) -> dict:
    """What the quantized network does with its input, and the images that calibrate it."""
    if options.input_dtype == "float32":
        return {"dtype": "float32", "images": (mean, std), "fold": {}}
    if options.input_dtype == "uint8":
        fold = {"mean": mean, "std": std, "input_dtype": "uint8"}
        return {"dtype": "uint8", "images": (models.NO_MEAN, models.NO_STD), "fold": fold}
    # int8 pixels have the rounded mean off already; the network takes off the rest of it.
    rest = [m - round(m) for m in mean]
    fold = {"mean": rest, "std": std, "input_dtype": "int8"}
    return {"dtype": "int8", "images": ([round(m) for m in mean], models.NO_STD), "fold": fold}


def main(arguments=None) -> None:
    options, ctx, parser = parse(arguments)
    logging.basicConfig(level=logging.WARNING if options.quiet else logging.INFO, format="%(message)s")
    model = load(options)
    mean, std = options.rgb_mean or model.mean, options.rgb_std or model.std
    logger.info("network %s, mean %s, std %s", model.prefix, mean, std)
    into = input_options(options, mean, std)

    calib_data = None
    uses_images = options.calib_mode != "none" and not options.calib_table
    if uses_images:
        calib_data = models.images(options.calib_dataset, options, into["dtype"], *into["images"])
    excluded = options.exclude + (models.first_convolution(model.symbol) if options.exclude_first_conv else [])
    logger.info("excluded: %s", ", ".join(excluded + options.exclude_ops) or "nothing")
    try:
        quantized = mxq.quantize_model(
            model.symbol,
            (model.arg_params, model.aux_params),
            calib_data,
            calib_mode=options.calib_mode,
            calib_table=options.calib_table,
            num_calib_examples=options.num_calib_batches * options.batch_size if uses_images else None,
            quantized_dtype=options.quantized_dtype,
            quantize_mode=options.quantize_mode,
            quantize_granularity=options.granularity,
            excluded_sym_names=excluded,
            excluded_op_names=options.exclude_ops,
            data_shapes={"data": (options.batch_size, *options.image_shape)},
            label_names=(options.label_name,),
            ctx=ctx,
            **into["fold"],
        )
    except mxq.errors.MXQError as error:
        parser.exit(1, f"{type(error).__name__}: {error}\n")
    logger.info("%s", quantized.report.summary())
    if options.report:
        print(quantized.report)

    prefix = f"{options.output or os.path.basename(model.prefix)}-quantized"
    suffix = "" if not uses_images else f"-{options.num_calib_batches}batches-{options.calib_mode}"
    symbol_path = f"{prefix}{suffix}-symbol.json"
    mxq.network.atomic.write_atomically(
        symbol_path, lambda path: mxq.network.files.write_symbol(path, quantized.symbol)
    )
    mxq.network.files.save_model(prefix, None, quantized.arg_params, quantized.aux_params, epoch=options.epoch)
    logger.info("wrote %s and %s-%04d.params", symbol_path, prefix, options.epoch)
    if options.save_calib_table:
        if quantized.table is None:
            parser.exit(1, "--save-calib-table: --calib-mode none has no ranges to save\n")
        quantized.table.save(options.save_calib_table)


if __name__ == "__main__":
    sys.exit(main())
