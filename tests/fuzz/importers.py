"""Files of other formats, damaged: read, or refused by an error of mxq's. Memory is limited: nothing is allocated on a
file's word.

Whole files are those of the importers' tests, exported networks, and what stands in the folder that the environment
variable MXQ_INTEROP names.
"""

import glob
import os
import random
import resource
import tempfile
from typing import Dict, Iterator, List, NamedTuple, Tuple

import mxnet as mx

import mxq
from mxq.errors import MXQError
from mxq.network.graph import Graph
from tests.importers import caffe_files, onnx_files, test_caffe, test_tflite
from tests.importers.caffe_files import caffemodel
from tests.networks import NETWORKS

from .files import damaged

#: Address space of the process: what MXNet and its threads take, and 3 GB.
_MEMORY = 3 << 30
_LARGEST = 1 << 18  # bytes of a file that is taken along
_EXPORTED = ("plain", "residual", "inception", "upsampled", "squeeze_excite", "fully_connected")


class Whole(NamedTuple):
    """A file that is right, and what belongs to it."""

    name: str
    content: bytes
    prototxt: bytes = b""


def _caffe() -> Iterator[Whole]:
    yield Whole("good.caffemodel", caffemodel(caffe_files.BLOBS), caffe_files.GOOD.encode())
    for name, (layers, blobs) in test_caffe.CASES.items():
        text = caffe_files.head(2, 6, 9, 7) + layers
        yield Whole(f"{name}.caffemodel", caffemodel(blobs or caffe_files.BLOBS), text.encode())


def _onnx() -> Iterator[Whole]:
    nodes, constants = onnx_files.block(1, False, 128)
    model = onnx_files.model_of(nodes, {"x": onnx_files.X}, constants, outputs=("h_dq",))
    yield Whole("pairs.onnx", model.SerializeToString())
    from mxq.export.write import build_onnx

    for name in _EXPORTED:
        symbol, args, aux, shapes = NETWORKS[name]()
        built, _ = build_onnx(Graph.from_symbol(symbol, args, aux), shapes)
        yield Whole(f"{name}.onnx", built.SerializeToString())


def _tflite() -> Iterator[Whole]:
    for dtype in ("int8", "uint8"):
        yield Whole(f"{dtype}.tflite", test_tflite.Network(1, dtype).bytes())


def _of_others(ending: str) -> Iterator[Whole]:
    for path in sorted(
        glob.glob(os.path.join(os.environ.get("MXQ_INTEROP", "none"), "**", f"*{ending}"), recursive=True)
    ):
        if os.path.getsize(path) > _LARGEST:
            continue
        text, beside = b"", os.path.splitext(path)[0] + ".prototxt"
        if ending == ".caffemodel" and os.path.exists(beside):
            with open(beside, "rb") as file:
                text = file.read()
        with open(path, "rb") as file:
            yield Whole(os.path.basename(path), file.read(), text)


FORMATS = {".caffemodel": _caffe, ".onnx": _onnx, ".tflite": _tflite}


class Importers:
    """Whole files of each format.

    Args:
        limit: whether the memory of the process is limited.
    """

    def __init__(self, limit: bool = True) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.whole: Dict[str, List[Whole]] = {ending: [*own(), *_of_others(ending)] for ending, own in FORMATS.items()}
        mx.nd.zeros(1).wait_to_read()  # its threads stand
        if limit:
            self._limit()

    def _limit(self) -> None:
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (min(taken + _MEMORY, most) if most > 0 else taken + _MEMORY, most))

    def case(self, seed: int) -> str:
        rng = random.Random(seed)
        ending = sorted(self.whole)[seed % len(self.whole)]
        found = rng.choice(self.whole[ending])
        content, text = self._damaged(rng, found)
        path = os.path.join(self._folder.name, f"net{ending}")
        for name, part in ((path, content), (path.replace(ending, ".prototxt"), text)):
            with open(name, "wb") as file:
                file.write(part)
        try:
            mxq.load(path)
        except MXQError:
            return f"{ending[1:]}-refused"
        return f"{ending[1:]}-read"

    def _damaged(self, rng: random.Random, found: Whole) -> Tuple[bytes, bytes]:
        if found.prototxt and rng.random() < 0.5:
            return found.content, damaged(rng, found.prototxt)
        return damaged(rng, found.content), found.prototxt
