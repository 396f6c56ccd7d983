"""Networks as their owners have them, in a folder of networks with inputs for them, and the task of each.

    FOLDER/models/NAME-symbol.json, NAME-EPOCH.params    those of RECIPES; the rest is left alone
    FOLDER/photos/SET/*.jpg                              for detectors, all of a set of one size
    FOLDER/faces.npz                                     calib, eval: uint8 (n, h, w); rows 2i, 2i+1 are one person
    FOLDER/mtcnn-det2-crops.npz                          calib, eval: uint8 (n, 3, 24, 24)

Everything is written into the work folder once, uint8 pixels in the network's order of channels, and each engine reads
it from there. Heads that train are replaced by what they compute at inference, for all engines alike: MXNet's exporter
and `SymbolBlock.imports` ask for no label then.
"""

import glob
import json
import os
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import mxnet as mx
import numpy as np
from networks import FORMAT, write_array

from mxq.network.atomic import write_atomically
from mxq.network.files import load_params, load_symbol
from mxq.network.graph import Graph
from mxq.network.params import split_params
from mxq.passes.inference_heads import inference_heads

Split = Tuple[np.ndarray, np.ndarray]


class Recipe(NamedTuple):
    """How a network is fed and judged.

    Attributes:
        task: a row of tasks.TASKS.
        read: the calibration and the evaluation pixels, uint8 (n, channels, height, width), of a folder.
        mean, std: ``(pixel - mean) / std`` is the network's input.
        options: of the task.
    """

    task: str
    read: Callable[[str], Split]
    mean: float = 0.0
    std: float = 1.0
    options: Dict[str, object] = {}


def _faces(folder: str) -> Split:
    with np.load(os.path.join(folder, "faces.npz")) as file:
        return tuple(np.repeat(file[split][:, None], 3, axis=1) for split in ("calib", "eval"))


def _crops(folder: str) -> Split:
    with np.load(os.path.join(folder, "mtcnn-det2-crops.npz")) as file:
        return file["calib"], file["eval"]


def photos(folder: str, name: str, *, rgb: bool, size: Sequence[int] = ()) -> np.ndarray:
    """The photos of a set, (n, 3, height, width), resized to `size` (width, height) if given.

    Raises LookupError where there are none.
    """
    found: List[np.ndarray] = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "photos", name, "*.jpg"))):
        image = mx.image.imread(path, to_rgb=rgb)
        found.append((mx.image.imresize(image, *size, interp=1) if size else image).asnumpy().transpose(2, 0, 1))
    if not found:
        raise LookupError(f"no photos in {os.path.join(folder, 'photos', name)}")
    return np.stack(found)


def _photos(*, rgb: bool, size: Sequence[int] = ()) -> Callable[[str], Split]:
    return lambda folder: tuple(photos(folder, name, rgb=rgb, size=size) for name in ("calib", "eval"))


def _plates(folder: str) -> Split:
    plates = photos(folder, "plates", rgb=False)
    return np.concatenate([plates[:3], photos(folder, "calib", rgb=False)[:13]]), plates[3:]


RECIPES: Dict[str, Recipe] = {
    "mobilefacenet-y1": Recipe("pairs", _faces),
    "mobileface-v2": Recipe("pairs", _faces),
    "gender-age": Recipe("gender-age", _faces),
    "retinaface-mnet25": Recipe("boxes", _photos(rgb=True), options={"decoder": "retinaface"}),
    "yolo-fastest-1.1": Recipe("boxes", _photos(rgb=True, size=(320, 320)), std=255.0, options={"decoder": "yolo"}),
    "mtcnn-det1": Recipe(
        "boxes", _photos(rgb=False, size=(320, 240)), mean=127.5, std=128.0, options={"decoder": "pnet"}
    ),
    "mtcnn-det2": Recipe("boxes", _crops, mean=127.5, std=128.0, options={"decoder": "rnet"}),
    "lffd-plate-small": Recipe("boxes", _plates, options={"decoder": "lffd"}),
}


def names(folder: str) -> List[str]:
    """The networks of RECIPES that a folder has."""
    return [name for name in RECIPES if os.path.exists(os.path.join(folder, "models", f"{name}-symbol.json"))]


def make(name: str, folder: str, work: str) -> dict:
    """The description of a network that engines take, with its files written into ``work/NAME``.

    Raises:
        LookupError: inputs that it needs are missing.
    """
    recipe, own = RECIPES[name], os.path.join(work, name)
    prefix = os.path.join(os.path.abspath(folder), "models", name)
    os.makedirs(own, exist_ok=True)
    path = os.path.join(own, "network.json")
    if os.path.exists(path):
        with open(path) as file:
            network = json.load(file)
        if network["format"] == FORMAT and network["source"] == prefix:
            return network
    try:
        splits = dict(zip(("calib", "val"), recipe.read(folder)))
    except OSError as error:
        raise LookupError(f"inputs cannot be read: {error}") from error
    network = {"format": FORMAT, "name": name, "label": name, "source": prefix, "folder": own}
    network.update(task=recipe.task, task_options=recipe.options, batch=1)
    network.update(mean=[recipe.mean] * 3, std=[recipe.std] * 3, shape=list(splits["val"].shape[1:]))
    for split, pixels in splits.items():
        network[split], network[f"{split}_images"] = os.path.join(own, f"{split}.npy"), len(pixels)
        write_array(network[split], pixels)
    network["float"] = os.path.join(own, "float")
    symbol = load_symbol(prefix)
    graph = inference_heads(Graph.from_symbol(symbol, *split_params(load_params(prefix), symbol)))
    mx.model.save_checkpoint(network["float"], 0, *graph.to_symbol())

    def dump(temporary: str) -> None:
        with open(temporary, "w") as file:
            json.dump(network, file, indent=1)

    write_atomically(path, dump)
    return network
