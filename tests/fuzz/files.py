"""Files that are damaged or made by somebody else: read, or refused by an error of mxq's that names them."""

import os
import random
import re
import tempfile

import mxnet as mx
import numpy as np

import mxq
from mxq.calib.statistics import Statistics
from mxq.calib.table import CalibTable
from mxq.choice.state import SearchState
from mxq.data.recordio import check_recordio
from mxq.errors import MXQError, OutOfMemoryError
from mxq.network.files import load_params, load_symbol

from . import hostile

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?")


class Files:
    """One whole file of each kind, and what reads it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.kinds = {
            "table.json": (self._table, CalibTable.load),
            "search.json": (self._search, lambda path: SearchState(path, {"network": "a"}, {"data": (-1.0, 1.0)})),
            "statistics.npz": (self._statistics, Statistics.load),
            "net-0000.params": (self._params, load_params),
            "net-symbol.json": (self._symbol, load_symbol),
            "images.rec": (self._records, check_recordio),
        }
        self.whole = {}
        for name, (write, read) in self.kinds.items():
            path = self.path(name)
            write(path)
            read(path)
            with open(path, "rb") as file:
                self.whole[name] = file.read()

    def path(self, name: str) -> str:
        return os.path.join(self._folder.name, name)

    def case(self, seed: int) -> str:
        rng = random.Random(seed)
        name = rng.choice(sorted(self.kinds))
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(damaged(rng, self.whole[name]))
        try:
            self.kinds[name][1](path)
        except MXQError as error:
            assert not isinstance(error, OutOfMemoryError), f"{name}, of a few hundred bytes: {error}"
            assert os.path.basename(path) in str(error), f"{name}: the error does not name the file: {error}"
            return "refused"
        return "read"

    def _table(self, path: str) -> None:
        ranges = {"data": (-1.5, 2.25), "conv_output": (0.0, 6.0)}
        CalibTable(ranges, "minmax", "ab" * 20, 8, channel_means={"data": [0.5, 0.25]}).save(path)

    def _search(self, path: str) -> None:
        state = SearchState(path, {"network": "a"}, {"data": (-1.0, 1.0)})
        state.noise = {"conv": 0.25, "fc": 1e-3}
        state.scores[frozenset(["conv"])] = 71.5
        state.float_score = 72.25
        state.save()

    def _statistics(self, path: str) -> None:
        data = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=4, name="conv")
        net = mx.sym.FullyConnected(mx.sym.Activation(data, act_type="relu"), num_hidden=3, name="fc")
        rng = np.random.RandomState(0)
        shapes = dict(zip(net.list_arguments(), net.infer_shape(data=(2, 3, 6, 6))[0]))
        params = {n: mx.nd.array(rng.randn(*s) / 4) for n, s in shapes.items() if n != "data"}
        mxq.collect_statistics(net, params, [rng.randn(2, 3, 6, 6).astype(np.float32)], data_names=["data"]).save(path)

    def _params(self, path: str) -> None:
        arrays = {"arg:w": mx.nd.arange(24).reshape((2, 3, 4)), "aux:m": mx.nd.array([1], dtype="int8")}
        mx.nd.save(path, arrays)

    def _symbol(self, path: str) -> None:
        mx.sym.FullyConnected(mx.sym.flatten(mx.sym.var("data")), num_hidden=3, name="fc").save(path)

    def _records(self, path: str) -> None:
        writer = mx.recordio.MXRecordIO(path, "w")
        for content in (b"first", b"the second", np.uint32(0xCED7230A).tobytes() * 2 + b"third", b""):
            writer.write(content)
        writer.close()


def damaged(rng: random.Random, content: bytes) -> bytes:
    """The content with bytes or numbers changed, parts cut out, doubled or put elsewhere."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        kind, at = rng.random(), rng.randrange(len(content) or 1)
        numbers = list(_NUMBER.finditer(content)) if kind < 0.3 and content[:1] in b"{[" else []
        if numbers:
            found = rng.choice(numbers)
            new = rng.choice(hostile.NUMBERS + ["{}", "[]", "null", "true", '"text"', "[" * 5000]).encode()
            content = content[: found.start()] + new + content[found.end() :]
        elif kind < 0.6:
            content = (
                content[:at] + bytes([rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])]) + content[at + 1 :]
            )
        elif kind < 0.7:
            value = rng.choice([0, 1, -1, 2**31 - 1, 2**31, 2**40, 2**63 - 1]) % 2**64
            content = content[:at] + value.to_bytes(8, "little") + content[at + 8 :]
        elif kind < 0.8:
            content = content[:at]
        elif kind < 0.9:
            content = content[:at] + content[at + rng.randint(1, 64) :]
        else:
            start = rng.randrange(len(content) or 1)
            content = content[:at] + content[start : start + rng.randint(1, 64)] + content[at:]
    return content
