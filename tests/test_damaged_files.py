"""Networks, data and outputs of a search that are damaged: an error names the file. Low memory is no damage."""

import io
import os
import random
import resource
import tempfile

import mxnet as mx
import numpy as np

from mxq.choice.adapters import as_metric
from mxq.choice.running import Reference
from mxq.data.files import Images, read_examples
from mxq.errors import ConfigError, GraphError, OutOfMemoryError
from mxq.network.files import load_params, load_symbol
from tests.damaging import MORE, NESTED, put
from tests.refusals import refused


def test_symbols_that_are_nested_too_deeply():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net-symbol.json")
        put(path, NESTED)
        refused(lambda: load_symbol(path), path, "no JSON", error=GraphError)


def test_little_memory_is_not_a_damaged_file():
    """A file that is whole, and promises no more than it has: a hole of 2 GB."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net-0000.params")
        mx.nd.save(path, {"arg:w": mx.nd.zeros((2, 1))})
        with open(path, "rb") as file:
            content = file.read()
        at = content.index(np.array([2, 1], "<i8").tobytes())
        head, tail = content[: at + 28], content[at + 36 :]
        with open(path, "wb") as file:
            file.write(head[:at] + np.array([1 << 29, 1], "<i8").tobytes() + head[at + 16 :])
            file.seek(4 << 29, os.SEEK_CUR)
            file.write(tail)
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), hard))
        try:
            refused(lambda: load_params(path), path, "not enough memory", error=OutOfMemoryError)
            refused(lambda: load_params(path), error=MemoryError)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_data_files_that_are_no_arrays():
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".npy", ".npz"):
            path = os.path.join(folder, f"a{ending}")
            np.savez(os.path.join(folder, "good.npz"), x=np.zeros(100))
            with open(os.path.join(folder, "good.npz"), "rb") as file:
                whole = file.read()
            plain = io.BytesIO()
            np.save(plain, np.zeros(100))
            other = whole if ending == ".npy" else plain.getvalue()
            for content in (b"", b"PK\x03\x04 x", whole[:300], whole[:-30], plain.getvalue()[:200], other):
                put(path, content)
                refused(lambda path=path: read_examples(path, 4, Images()), path, error=ConfigError)


class _OneBatch:
    arrays, labels, n_valid = {"data": mx.nd.ones((2, 3))}, (), 2


def test_outputs_of_a_search_that_are_damaged_name_their_file():
    results = [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)]
    rng = random.Random(0)

    def network(_):
        return results

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "search.json.outputs")
        with open(path, "w+b") as file:
            reference = Reference(file)
            written = reference.write([_OneBatch()], network, as_metric("sqnr"), show=False)
            assert written == reference.score([_OneBatch()], network, as_metric("sqnr"), "", show=False) == float("inf")
        with open(path, "rb") as file:
            whole = file.read()
        for _ in range(200 * MORE):
            damaged = bytearray(whole)
            damaged[rng.randrange(32, len(damaged))] = rng.randrange(256)
            put(path, bytes(damaged))
            with open(path, "r+b") as file:
                score = Reference(file, reference.written).score
                try:
                    score([_OneBatch()], network, as_metric("sqnr"), "", show=False)
                except ConfigError as error:
                    assert path in str(error)
