"""The networks of the benchmarks: where their float files, preprocessing and images come from.

Real networks and images come from a data folder as tests/realdata.py describes it. Without one, and for the networks
that are not in it, the shapes come from Gluon's model zoo or GluonCV, with random weights and random images: good for
speed, worthless for accuracy. Everything is written into a work folder once, and each engine reads it from there.
"""

import json
import logging
import os
import sys
from typing import Callable, Dict, NamedTuple, Tuple

import mxnet as mx
import numpy as np
from engines import PEERS

import mxq
from mxq.network.atomic import write_atomically
from mxq.network.bind import unfused
from tests import realdata

_log = logging.getLogger(__name__)
#: Version of what is written here: older work folders are made anew.
FORMAT = 2
RANDOM_IMAGES = 32
#: The newest operator set that MXNet 1.9.1 exports.
OPSET = 13


class Shape(NamedTuple):
    """A network without weights: the input's shape and what builds the symbol."""

    shape: Tuple[int, int, int]
    build: Callable[[], mx.sym.Symbol]


def _zoo(name: str, size: int = 224) -> Shape:
    return Shape((3, size, size), lambda: mx.gluon.model_zoo.vision.get_model(name)(mx.sym.var("data")))


def _gluoncv():
    """GluonCV, where it is installed: in this environment, or beside the peers without its own requirements."""
    try:
        import gluoncv
    except ImportError:
        sys.path.append(os.path.join(PEERS, "gluoncv"))
        try:
            import gluoncv
        except ImportError:
            sys.path.pop()
            raise LookupError("GluonCV is not installed; bash ci/peers.sh installs it") from None
    return gluoncv


def _googlenet() -> mx.sym.Symbol:
    return _gluoncv().model_zoo.get_model("googlenet", pretrained=False, pretrained_base=False)(mx.sym.var("data"))


def _ssd() -> mx.sym.Symbol:
    """Class scores and box offsets; anchors and suppression of overlapping boxes are the same for every engine."""
    name = "ssd_512_mobilenet1.0_voc"
    net = _gluoncv().model_zoo.get_model(name, pretrained=False, pretrained_base=False)
    with mx.autograd.train_mode():  # the heads as they are, not the boxes made of them
        scores, boxes, _ = net(mx.sym.var("data"))
    return mx.sym.Group([scores, boxes])


def _deeplab() -> mx.sym.Symbol:
    net = _gluoncv().model_zoo.DeepLabV3(21, backbone="resnet50", aux=False, crop_size=320, pretrained_base=False)
    return net(mx.sym.var("data"))[0]


#: Every network by name. Those of tests/realdata.py have real weights where there is a data folder.
SHAPES: Dict[str, Shape] = {
    "squeezenet1.1": _zoo("squeezenet1.1", 227),
    "googlenet": Shape((3, 224, 224), _googlenet),
    "mobilenet0.75": _zoo("mobilenet0.75"),
    "resnet18": _zoo("resnet18_v1"),
    "resnet50": _zoo("resnet50_v1"),
    "mobilenetv2": _zoo("mobilenetv2_1.0"),
    "ssd-mobilenet-512": Shape((3, 512, 512), _ssd),
    "deeplab-resnet50-320": Shape((3, 320, 320), _deeplab),
}


def make(name: str, work: str) -> dict:
    """The description of a network that engines take, with its files written into ``work/NAME``.

    Raises:
        LookupError: what the network needs is not installed.
    """
    real = name in realdata.NETWORKS and realdata.models_dir() is not None and realdata.images_dir() is not None
    source = realdata.files(name) if real else None
    folder = os.path.join(work, name if real else f"{name}-random")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "network.json")
    if os.path.exists(path):
        with open(path) as file:
            network = json.load(file)
        if network["format"] == FORMAT and network["source"] == (list(source) if source else None):
            return network
    _log.warning("%s: writing the float network and its images to %s", name, folder)
    network = {"format": FORMAT, "name": name, "source": source, "folder": folder}
    network["label"] = name if real else f"{name} (random weights)"
    network["float"] = os.path.join(folder, "float")
    network.update(_real(name, work) if real else _random(name, folder))
    symbol, arguments, auxiliary = realdata.load(name) if real else random_weights(SHAPES[name])
    mx.model.save_checkpoint(network["float"], 0, symbol, arguments, auxiliary)
    write_atomically(path, lambda temporary: _dump(network, temporary))
    return network


def _dump(what: object, path: str) -> None:
    with open(path, "w") as file:
        json.dump(what, file, indent=1)


def _real(name: str, work: str) -> dict:
    preprocessing = realdata.NETWORKS[name]
    size = preprocessing.size
    found = {"shape": (3, size, size), "mean": preprocessing.mean, "std": preprocessing.std}
    stem = os.path.join(work, f"{size}-{'rgb' if preprocessing.rgb else 'bgr'}")
    for split in ("calib", "val"):
        found[split] = f"{stem}-{split}.npy"
        found["labels"] = os.path.join(work, f"{split}-labels.npy")
        if not (os.path.exists(found[split]) and os.path.exists(found["labels"])):
            pixels, classes = zip(*realdata.pixels(name, split))
            write_array(found["labels"], np.array(classes))
            write_array(found[split], np.stack(pixels))
        found[f"{split}_images"] = len(np.load(found[split], mmap_mode="r"))
    return found


def _random(name: str, folder: str) -> dict:
    """Images of random patches, coarse enough to look like something to a network."""
    channels, height, width = shape = SHAPES[name].shape
    patches = np.random.RandomState(0).randint(0, 256, (RANDOM_IMAGES, channels, height // 8 + 1, width // 8 + 1))
    path = os.path.join(folder, "images.npy")
    write_array(path, np.kron(patches, np.ones((8, 8)))[..., :height, :width].astype(np.uint8))
    return {"shape": shape, "mean": (127.5,) * 3, "std": (58.0,) * 3, "calib": path, "calib_images": RANDOM_IMAGES}


def write_array(path: str, array: np.ndarray) -> None:
    """Writes a .npy file, whole or not at all."""

    def write(temporary: str) -> None:
        with open(temporary, "wb") as file:
            np.save(file, array)

    write_atomically(path, write)


def random_weights(network: Shape, seed: int = 0) -> Tuple[mx.sym.Symbol, dict, dict]:
    """Weights that keep activations in range: He's for the convolutions, BatchNorms that normalize random images."""
    symbol = network.build()
    random = np.random.RandomState(seed)
    shape = (2, *network.shape)
    argument_shapes, _, auxiliary_shapes = symbol.infer_shape(data=shape)

    def draw(name: str, shape: Tuple[int, ...]) -> mx.nd.NDArray:
        if name.endswith(("gamma", "var")):
            return mx.nd.ones(shape)
        if len(shape) < 2:
            return mx.nd.zeros(shape)
        return mx.nd.array(random.randn(*shape) * np.sqrt(2 / np.prod(shape[1:])))

    arguments = {n: draw(n, s) for n, s in zip(symbol.list_arguments(), argument_shapes) if n != "data"}
    auxiliary = {n: draw(n, s) for n, s in zip(symbol.list_auxiliary_states(), auxiliary_shapes)}
    with unfused():  # fused operators cannot learn statistics
        executor = symbol.simple_bind(mx.cpu(), data=shape, grad_req="null")
    executor.copy_params_from(arguments, auxiliary)
    for _ in range(30):  # each takes a tenth of the distance to the statistics of what it saw
        executor.forward(is_train=True, data=mx.nd.array(random.randn(*shape)))
        executor.outputs[0].wait_to_read()
    return symbol, arguments, {name: array.copy() for name, array in executor.aux_dict.items()}


def export_onnx(network: dict) -> str:
    """Writes the network as ONNX beside its float files, once, and returns the path.

    As the peers' documentation wants it: initializers are no inputs of the graph, the batch size is free, the operator
    set is the one that MXNet's exporter writes. It cannot write most networks of owners; theirs are mxq's, of one batch
    size.
    """
    path = network["float"] + ".onnx"
    if os.path.exists(path):
        return path
    import mxnet.onnx
    import onnx

    shape = tuple(network["shape"])
    if "task" in network:
        files = network["float"] + "-symbol.json", network["float"] + "-0000.params"
        mxq.export_onnx(*files, path, {"data": (network["batch"], *shape)})
        return path
    symbol, arguments, auxiliary = mx.model.load_checkpoint(network["float"], 0)

    def write(temporary: str) -> None:
        mxnet.onnx.export_model(
            symbol,
            [arguments, auxiliary],
            [(1, *shape)],
            np.float32,
            temporary,
            dynamic=True,
            dynamic_input_shapes=[(None, *shape)],
        )
        model = onnx.load(temporary)
        initializers = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in initializers]
        inputs[0].type.tensor_type.shape.dim[0].dim_param = "batch"
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        del model.opset_import[:]
        model.opset_import.extend([onnx.helper.make_opsetid("", OPSET)])
        onnx.checker.check_model(model)
        onnx.save(model, temporary)

    write_atomically(path, write)
    return path


def batches_of(network: dict, sizes: Tuple[int, ...]) -> Tuple[int, ...]:
    """Batch sizes that a network is measured with: the large inputs are left out of large batches."""
    return tuple(size for size in sizes if size == 1 or max(network["shape"]) <= 256)
