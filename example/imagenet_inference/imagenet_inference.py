"""Scores a float or int8 network on a RecordIO file, or measures its speed on dummy data (--benchmark).

    imagenet_inference.py --symbol-file net-quantized-10batches-entropy-symbol.json \\
        --param-file net-quantized-0000.params --dataset val.rec --num-inference-batches 50 \\
        --rgb-mean 123.675,116.28,103.53 --rgb-std 58.395,57.12,57.375
    imagenet_inference.py --symbol-file net-symbol.json --benchmark --batch-size 1 --num-inference-batches 200

For a network made with --input-dtype uint8 give --data-layer-type uint8 and no mean or std: the network has them. For
int8 give --data-layer-type int8 and --rgb-mean only.
"""

import argparse
import json
import logging
import os
import sys
import time

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")

import mxnet as mx
import numpy as np

import models
import mxq
from mxq.network.graph import Node
from mxq.network.regions import REGION, packed_params, seal

logger = logging.getLogger("imagenet_inference")
WARM_UP = 5


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbol-file", required=True)
    parser.add_argument("--param-file", help="needed except with --benchmark, where random parameters serve too")
    parser.add_argument("--benchmark", type=models.yes, nargs="?", const=True, default=False, help="dummy data")
    parser.add_argument("--num-inference-batches", type=int, required=True, help="batches to score or to time")
    parser.add_argument("--dataset", help="RecordIO file to score")
    parser.add_argument("--num-skipped-batches", type=int, default=0, help="batches to leave out at the start")
    parser.add_argument("--rgb-mean", type=models.numbers, default=models.NO_MEAN, help="default 0,0,0")
    parser.add_argument("--rgb-std", type=models.numbers, default=models.NO_STD, help="default 1,1,1")
    parser.add_argument("--data-layer-type", default="float32", choices=["float32", "int8", "uint8"])
    parser.add_argument(
        "--low-precision",
        default="",
        choices=["", "float16", "bfloat16"],
        help="convert a float network with MXNet's AMP first (the CPU has bfloat16 only)",
    )
    models.add_data_options(parser)
    options = parser.parse_args(arguments)
    if not options.benchmark and not options.param_file:
        parser.error("--param-file is needed to score images")
    if options.low_precision == "float16":
        parser.error("--low-precision float16: not on the CPU; use bfloat16")
    return options, models.context(options, parser), parser


def convert(options, symbol, arg_params, aux_params):
    """The network in another float precision, by MXNet's automatic mixed precision."""
    if not options.low_precision:
        return symbol, arg_params, aux_params
    from mxnet.contrib import amp

    if any(array.dtype == np.int8 for array in arg_params.values()):
        raise SystemExit(f"--low-precision {options.low_precision} is for float networks; this one is int8")
    excluded = models.first_convolution(symbol)
    return amp.convert_model(
        symbol,
        arg_params,
        aux_params,
        target_dtype=options.low_precision,
        excluded_sym_names=excluded,
        cast_optional_params=True,
    )


def bind(symbol, ctx, shape, options, arg_params, aux_params):
    """An executor with its parameters; labels, if the network has any, are left as they are."""
    types = {"data": options.data_layer_type}
    executor = symbol.simple_bind(ctx, data=shape, type_dict=types, grad_req="null")
    executor.copy_params_from(arg_params, aux_params, allow_extra_params=True)
    return executor


def score(options, ctx, model) -> dict:
    """Top-1 and top-5 accuracy and images/s with decoding, over the batches asked for."""
    data = models.images(options.dataset, options, options.data_layer_type, options.rgb_mean, options.rgb_std)
    for _ in range(options.num_skipped_batches):
        data.next()
    shape = (options.batch_size, *options.image_shape)
    network = convert(options, model.symbol, model.arg_params, model.aux_params)
    executor = bind(network[0], ctx, shape, options, *network[1:])
    top1, top5, images = 0, 0, 0
    start = time.time()
    for number, batch in enumerate(data):
        if number == options.num_inference_batches:
            break
        used = options.batch_size - batch.pad  # what fills up the last batch does not count
        scores = executor.forward(is_train=False, data=batch.data[0])[0].asnumpy()[:used]
        labels = batch.label[0].asnumpy()[:used].reshape(-1, 1)
        best = np.argsort(-scores.reshape(used, -1), axis=1)[:, :5] == labels
        top1, top5, images = top1 + best[:, 0].sum(), top5 + best.any(axis=1).sum(), images + used
    if not images:
        raise SystemExit(f"no images left in {options.dataset} after {options.num_skipped_batches} batches")
    seconds = time.time() - start
    return {"images": images, "top1": top1 / images, "top5": top5 / images, "speed": images / seconds}


def random_parameters(symbol, shape, options):
    """Parameters that are right in shape and type and harmless in value: only the speed matters.

    Returns:
        ``(symbol, arg_params, aux_params)``: the symbol knows the digests of its packed parameters.
    """
    types = {"data": options.data_layer_type}
    names, auxiliary = symbol.list_arguments(), symbol.list_auxiliary_states()
    shapes = symbol.infer_shape(data=shape)
    dtypes = symbol.infer_type(**types)
    shapes = dict(zip(names + auxiliary, shapes[0] + shapes[2]))
    dtypes = dict(zip(names + auxiliary, dtypes[0] + dtypes[2]))
    random = np.random.RandomState(0)

    def value(name):
        extent, dtype = shapes[name], np.dtype(dtypes[name])
        if dtype == np.int8:
            return random.randint(-127, 128, extent)
        if dtype.kind == "f" and len(extent) > 1:
            return random.randn(*extent) * gain(extent)
        return np.full(extent, 0 if dtype.kind in "iu" or name.endswith(("bias", "beta", "mean")) else 1)

    def gain(extent):  # keeps the size of activations about the same from layer to layer
        return np.sqrt(2 / max(1, np.prod(extent[1:])))

    values = {name: value(name) for name in shapes if name != "data"}
    content = json.loads(symbol.tojson())
    nodes = content["nodes"]
    for node in nodes:  # an int8 weight is followed by its scales
        inputs = [nodes[i[0]]["name"] for i in node["inputs"]]
        for weight, scale in zip(inputs, inputs[1:]):
            if weight in values and scale in values and dtypes[weight] == np.int8:
                values[scale] = np.full(shapes[scale], gain(shapes[weight]) / values[weight].std())
        if node["op"] == REGION:  # the parameters of its operators are in its last input, each scale behind its weight
            array, shape_before = np.zeros(shapes[inputs[-1]], np.int8), None
            for param in packed_params(Node(node["op"], node["name"], node["attrs"])):
                if param.dtype == "int8":
                    param.of(array)[:] = random.randint(-127, 128, param.shape)
                elif param.dtype == "float32":
                    param.of(array)[:] = gain(shape_before) / 73 if shape_before else 1
                shape_before = param.shape if param.dtype == "int8" else None
            node["attrs"]["digest"] = seal(array)
            values[inputs[-1]] = array
    arrays = {name: mx.nd.array(array, dtype=dtypes[name]) for name, array in values.items()}
    symbol = mx.sym.load_json(json.dumps(content))
    return symbol, {n: arrays[n] for n in names if n != "data"}, {n: arrays[n] for n in auxiliary}


def benchmark(options, ctx, symbol, arg_params, aux_params) -> float:
    """Images per second on dummy data; the network alone, after a warm-up."""
    shape = (options.batch_size, *options.image_shape)
    executor = bind(symbol, ctx, shape, options, arg_params, aux_params)
    if options.data_layer_type == "float32":
        data = mx.nd.random.uniform(-1, 1, shape)
    else:
        data = mx.nd.full(shape, 127, dtype=options.data_layer_type)
    executor.arg_dict["data"][:] = data
    for number in range(WARM_UP + options.num_inference_batches):
        if number == WARM_UP:
            start = time.time()
        for output in executor.forward(is_train=False):
            output.wait_to_read()
    return options.num_inference_batches * options.batch_size / (time.time() - start)


def main(arguments=None) -> None:
    options, ctx, parser = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.benchmark:
            symbol = mxq.network.files.load_symbol(models.find(options.symbol_file))
            if options.param_file:
                params = models.from_files(options.symbol_file, options.param_file)[2:4]
            else:
                shape = (options.batch_size, *options.image_shape)
                symbol, *params = random_parameters(symbol, shape, options)
            network = convert(options, symbol, *params)
            speed = benchmark(options, ctx, *network)
            print(f"batch size {options.batch_size:2d}, image/sec: {speed:.2f}")
        else:
            found = score(options, ctx, models.from_files(options.symbol_file, options.param_file))
            print(f"Finished inference with {found['images']} images, {found['speed']:.2f} images per second")
            print(f"accuracy: {found['top1']:.4f}")
            print(f"top_k_accuracy_5: {found['top5']:.4f}")
    except mxq.errors.MXQError as error:
        parser.exit(1, f"{type(error).__name__}: {error}\n")


if __name__ == "__main__":
    sys.exit(main())
