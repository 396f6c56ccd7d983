"""Where the two scripts get a network, its normalization and its images from."""

import argparse
import json
import os
from typing import List, NamedTuple, Optional, Tuple

import mxnet as mx

import mxq.data
import mxq.network.files

HERE = os.path.dirname(os.path.abspath(__file__))

#: Mean and standard deviation (RGB, of pixels 0..255) that the networks of the model zoos were trained with.
ZOO_MEAN, ZOO_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NO_MEAN, NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


class Model(NamedTuple):
    """A float network: the prefix that results are named after, and where its pixels should be."""

    prefix: str
    symbol: mx.sym.Symbol
    arg_params: dict
    aux_params: dict
    mean: Tuple[float, ...] = NO_MEAN
    std: Tuple[float, ...] = NO_STD


def numbers(text: str) -> Tuple[float, ...]:
    """An argparse type: ``'123.68,116.78,103.94'`` as a tuple."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between them, got {text!r}") from None


def shape(text: str) -> Tuple[int, ...]:
    """An argparse type: ``'3,224,224'`` as a tuple."""
    found = tuple(int(part) for part in numbers(text))
    if len(found) != 3 or min(found) < 1:
        raise argparse.ArgumentTypeError(f"expected channels,height,width, got {text!r}")
    return found


def yes(text: str) -> bool:
    """An argparse type: ``--flag``, ``--flag=True`` and ``--flag=False`` all mean what they say."""
    if text.lower() in ("1", "true", "yes"):
        return True
    if text.lower() in ("0", "false", "no", ""):
        return False
    raise argparse.ArgumentTypeError(f"expected True or False, got {text!r}")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """The options that both scripts have in common."""
    parser.add_argument("--ctx", default="cpu", choices=["cpu", "gpu"], help="where to run: this version has cpu only")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--label-name", default="softmax_label")
    parser.add_argument("--image-shape", type=shape, default=(3, 224, 224), help="default 3,224,224")
    parser.add_argument("--data-nthreads", type=int, default=os.cpu_count(), help="threads that decode images")
    shuffle = parser.add_mutually_exclusive_group()
    shuffle.add_argument("--shuffle-dataset", action="store_true", default=True, help="shuffle the images (default)")
    shuffle.add_argument("--no-shuffle-dataset", dest="shuffle_dataset", action="store_false")
    parser.add_argument("--shuffle-chunk-seed", type=int, default=3982304)
    parser.add_argument("--shuffle-seed", type=int, default=48564309)


def context(options: argparse.Namespace, parser: argparse.ArgumentParser) -> mx.Context:
    if options.ctx == "gpu":
        parser.error("--ctx gpu: mxq's operators run on the CPU in this version; use --ctx cpu")
    return mx.cpu(0)


def images(
    path: Optional[str], options: argparse.Namespace, dtype: str, mean: Tuple[float, ...], std: Tuple[float, ...]
) -> mxq.data.ImageRecordIter:
    """The images of a RecordIO file as the network takes them."""
    if not path or not os.path.exists(path):
        raise SystemExit(f"no RecordIO file {path!r}; make one with MXNet's tools/im2rec.py")
    normalization = {f"mean_{c}": m for c, m in zip("rgb", mean)}
    normalization.update((f"std_{c}", s) for c, s in zip("rgb", std))
    return mxq.data.ImageRecordIter(
        path_imgrec=path,
        data_shape=options.image_shape,
        batch_size=options.batch_size,
        dtype=dtype,
        label_name=options.label_name,
        preprocess_threads=options.data_nthreads,
        shuffle=options.shuffle_dataset,
        shuffle_chunk_seed=options.shuffle_chunk_seed,
        seed=options.shuffle_seed,
        verbose=False,
        **normalization,
    )


def find(path: str) -> str:
    """`path` itself, or the file of that name beside the scripts."""
    beside = os.path.join(HERE, path)
    return path if os.path.exists(path) or not os.path.exists(beside) else beside


def from_files(symbol_file: str, param_file: str) -> Model:
    """The network of two files."""
    symbol_file, param_file = find(symbol_file), find(param_file)
    arrays = mxq.network.files.load_params(param_file)
    arg_params = {name[4:]: array for name, array in arrays.items() if name.startswith("arg:")}
    aux_params = {name[4:]: array for name, array in arrays.items() if name.startswith("aux:")}
    prefix = symbol_file[: -len("-symbol.json")] if symbol_file.endswith("-symbol.json") else symbol_file
    return Model(prefix, mxq.network.files.load_symbol(symbol_file), arg_params, aux_params)


def from_checkpoint(model: str, epoch: int) -> Optional[Model]:
    """The network of ``MODEL-symbol.json`` and ``MODEL-0000.params`` here, beside the scripts or in their model/."""
    for prefix in (model, os.path.join(HERE, model), os.path.join(HERE, "model", model)):
        files = f"{prefix}-symbol.json", f"{prefix}-{epoch:04d}.params"
        if os.path.exists(files[0]):
            return from_files(*files)._replace(prefix=prefix)
    return None


def from_zoo(name: str, pretrained: bool, image_shape: Tuple[int, ...], seed: int) -> Model:
    """A network of Gluon's model zoo, or of GluonCV's where that is installed."""
    mx.random.seed(seed)
    try:
        net = mx.gluon.model_zoo.vision.get_model(name, pretrained=pretrained)
    except ValueError as error:
        net = _from_gluoncv(name, pretrained, error)
    except Exception as error:  # a download that fails raises what its HTTP library raises
        raise SystemExit(_no_weights(name, error)) from error
    if not pretrained:
        net.initialize(mx.init.Xavier(magnitude=2))
    net.hybridize()
    net(mx.nd.zeros((1, *image_shape)))  # shapes of parameters are known after a forward
    symbol = net(mx.sym.var("data"))
    arrays = {name: parameter.data() for name, parameter in net.collect_params().items()}
    auxiliary = set(symbol.list_auxiliary_states())
    return Model(
        name,
        symbol,
        {n: a for n, a in arrays.items() if n not in auxiliary},
        {n: a for n, a in arrays.items() if n in auxiliary},
        ZOO_MEAN,
        ZOO_STD,
    )


def _from_gluoncv(name: str, pretrained: bool, error: ValueError):
    try:
        import gluoncv
    except ImportError:
        raise SystemExit(f"{str(error).strip()}\nand GluonCV, which knows more models, is not installed") from error
    try:
        return gluoncv.model_zoo.get_model(name, pretrained=pretrained)
    except ValueError as second:
        raise SystemExit(f"neither Gluon's model zoo nor GluonCV's has {name!r}") from second
    except Exception as second:
        raise SystemExit(_no_weights(name, second)) from second


def _no_weights(name: str, error: Exception) -> str:
    return f"could not get the weights of {name!r} ({error}); --no-pretrained quantizes it with random weights"


def first_convolution(symbol: mx.sym.Symbol) -> List[str]:
    """The name of the first convolution, in a list; empty where there is none."""
    nodes = json.loads(symbol.tojson())["nodes"]
    return [node["name"] for node in nodes if node["op"] == "Convolution"][:1]
