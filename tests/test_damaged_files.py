"""Files of ours with one thing changed: they load and work, or an MXQError names the file and the field.

MXQ_FUZZ multiplies the number of random changes.
"""

import copy
import io
import json
import os
import random
import resource
import tempfile
import zipfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.calib import CalibTable
from mxq.calib.samples import Layer, example_hashes
from mxq.calib.statistics import Statistics
from mxq.choice.adapters import as_metric
from mxq.choice.running import Reference, Written
from mxq.choice.state import SearchState
from mxq.costs.result import Classes, Histogram, Measured, Output, Prediction, Tensor
from mxq.costs.result import Layer as ExplainedLayer
from mxq.data.files import Images, read_examples
from mxq.errors import ConfigError, GraphError, MXQError, OutOfMemoryError
from mxq.explanation.explanation import Explanation
from mxq.network.files import load_params, load_symbol
from mxq.report import Finding, NodeReport
from tests.refusals import refused

MORE = int(os.environ.get("MXQ_FUZZ", "1"))
#: What stands where something else should.
MARKUP = '"><script>'
STRANGE = [
    None, True, -1, 0, 3, 1e400, float("nan"), 10**400, 2**63, -(2**70), 0.5, 1e300, -1e300, "inf", "-inf", MARKUP, "",
    "x", "9" * 5000, "nan", "\ud800", [], [1], [[]], ["a", "b", "c"], {}, {"min": 1}, {"": {}},
]  # fmt: skip
NESTED = "[" * 100_000


def table(path):
    return CalibTable(
        {"conv0": (0.0, 6.0), "fc:1": (-1e-30, 3.4e38)},
        "auto",
        "0" * 64,
        256,
        channel_means={"conv0": (1.0, -2.0)},
        channel_factors={"conv0": (0.5, 2.0)},
        data_shapes={"data": (1, 3, 8, 8), "row": (4,)},
        modes={"conv0": "mse"},
        dtypes={"conv0": "uint8"},
    ).save(path)


IDENTITY = {"network": "ab12", "layers": ["conv0"]}
RANGES = {"conv0": (-1.0, 2.0)}


def state(path):
    found = SearchState(path, IDENTITY, RANGES)
    found.float_score, found.reference = 71.5, Written(3, 1000, "cd34")
    found.noise = {"conv0": 0.25, "fc": float("inf")}
    found.scores = {frozenset(): 60.0, frozenset(["conv0"]): 71.0}
    found.save()


def explanation(path):
    tensor = Tensor(
        "x", "int8", 8, 0.1, 0, (-1.0, 2.0), (-1.0, 1.0), None, 0.0, float("inf"), ("c",), Histogram(-1.0, 1.0, (3, 4))
    )
    layer = ExplainedLayer("c", "Convolution", ("c", "r"), ("x",), "r", 40.0, 41.0, None, float("inf"), None, 39.0)
    picture = Prediction(0, None, "cat", "cat", "dog", 0.5, 0.4, 0.1)
    outputs, classes = [Output("r", 38.0, 0.5)], Classes("r", 1.0, 0, None, None, None, None)
    measured = Measured(2, 2, 1, outputs, classes, [layer], [tensor], [picture])
    found = Explanation(
        measured,
        [NodeReport("c", "Convolution", "int8", "")],
        [Finding("info", "dead", "c", "1 of 8", "nothing")],
        title="t",
    )
    found.to_json(path)


def show(path):
    found = Explanation.load(path)
    assert isinstance(found.worst(3), list) and isinstance(f"{found}{found.report()}{found.to_json()}", str)
    page = found.to_html()
    assert len(page) < 100_000 and MARKUP not in page  # axes are short, texts are no code


JSON = {
    "table": (table, lambda path: str(CalibTable.load(path).extended())),
    "state": (state, lambda path: SearchState(path, IDENTITY, RANGES).save()),
    "explanation": (explanation, show),
}


def places(document, path=()):
    """Where something stands in a document: keys, one after the other."""
    below = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in below:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(document, path, value):
    document = copy.deepcopy(document)
    at = document
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


def loads_or_explains(load, path, *parts):
    try:
        load(path)
    except MXQError as error:
        assert all(part in str(error) for part in (path, *parts)), f"{error}: no {parts}"
        return False
    return True


def put(path, content):
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


@parameterized.expand([(name,) for name in JSON])
def test_every_field_of_a_document_is_checked(name):
    save, load = JSON[name]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file.json")
        save(path)
        load(path)
        with open(path) as file:
            document = json.load(file)
        refusals = 0
        for place in places(document):
            for value in [..., *STRANGE]:
                put(path, json.dumps(changed(document, place, value)))
                refusals += not loads_or_explains(load, path)
        assert refusals > 5 * len(list(places(document)))  # most of it cannot be right


@parameterized.expand([(name,) for name in JSON])
def test_documents_that_are_cut_or_changed_anywhere(name):
    save, load = JSON[name]
    rng = random.Random(name)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file.json")
        save(path)
        with open(path, "rb") as file:
            whole = file.read()
        for _ in range(150 * MORE):
            damaged = bytearray(whole)
            for _ in range(rng.randint(1, 3)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            put(path, bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])]))
            loads_or_explains(load, path)
        for text in (NESTED, '{"a":' * 100_000, "", "null", "\xff", "9" * 10**5):
            put(path, text)
            assert not loads_or_explains(load, path)


FIELDS = [
    ("table", ("ranges", "conv0", "min"), "a", "ranges/conv0/min is 'a'", "a finite number"),
    ("table", ("ranges", "fc:1"), [0, 1], "ranges/fc:1 is [0, 1]", "an object"),
    ("table", ("ranges", "conv0", "max"), ..., "ranges/conv0/max is missing"),
    ("table", ("num_examples",), -3, "num_examples is -3", "an integer from 0"),
    ("table", ("channel_means", "conv0"), "1 x", "channel_means/conv0 is '1 x'", "numbers"),
    ("table", ("data_shapes", "data"), "(" * 9000, "data_shapes/data is", "a shape"),
    ("table", ("modes",), [1], "modes is [1]", "an object"),
    ("state", ("noise", "conv0"), -0.5, "noise/conv0 is -0.5", "from 0"),
    ("state", ("noise", "conv0"), float("nan"), "noise/conv0 is nan"),
    ("state", ("scores", 1, "metric"), "good", "scores/1/metric is 'good'"),
    ("state", ("reference", "bytes"), 2**63, "reference/bytes is 9223372036854775808"),
    ("state", ("float",), None, "float is None", "a number"),
    ("state", ("ranges", "conv0"), [1], "ranges/conv0 is [1]", "a list of 2"),
    ("explanation", ("layers", 0, "local"), [], "layers/0/local is []", "a finite number"),
    ("explanation", ("tensors", 0, "histogram", "counts", 1), "4", "tensors/0/histogram/counts/1 is '4'"),
    ("explanation", ("findings", 0, "severity"), "bad", "findings/0/severity is 'bad'", "error, warning, info"),
    ("explanation", ("classes", "size"), 3, "classes/size is 3", "nothing"),
]


@parameterized.expand([(f"{name}_{'_'.join(map(str, place))}", name, place, *rest) for name, place, *rest in FIELDS])
def test_the_error_names_the_field(_, name, place, value, *parts):
    save, load = JSON[name]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file.json")
        save(path)
        with open(path) as file:
            put(path, json.dumps(changed(json.load(file), place, value)))
        assert not loads_or_explains(load, path, *parts)


# -- statistics --------------------------------------------------------------------------------------------------------


def statistics():
    layers = [Layer("conv0", "x", 1, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)), Layer("fc", "flat", 1)]
    found = Statistics(["x", "flat", "none"], layers=layers)
    rng = np.random.RandomState(0)
    x, flat = rng.randn(4, 2, 5, 5).astype(np.float32), rng.randn(4, 50).astype(np.float32)
    hashes = example_hashes({"data": x})
    found["x"].update(x, hashes), found["flat"].update(flat.ravel())
    found.samples.update("x", x, hashes), found.samples.update("flat", flat, hashes)
    found.num_examples, found.graph_hash, found.data_shapes = 4, "ab", {"data": (4, 2, 5, 5)}
    return found


def use(path):
    """Everything that somebody does with statistics."""
    found = Statistics.load(path)
    for tensor in found.values():
        if tensor.count:
            assert tensor.histogram().counts.sum() >= 0 and np.isfinite([tensor.sum, tensor.sum_of_squares]).all()
            if tensor.channel_mean is not None:
                scale = np.linspace(0.5, 2, len(tensor.channel_mean))
                assert tensor.scaled(scale).histogram().counts.sum() >= 0 and tensor.channel_peak(4).min() >= 0
    for rows in found.samples.values():
        rows.rows()
    again = Statistics.load(path)
    again.merge(found)
    again.save(os.path.join(os.path.dirname(path), "again.npz"))


def archive(path, arrays):
    np.savez(path, **arrays)


def unpacked():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s.npz")
        statistics().save(path)
        use(path)
        with np.load(path) as file:
            return {name: file[name] for name in file.files}


def strange_arrays(array):
    yield from (
        array[..., :-1] if array.ndim else array.reshape(1),
        array[None],
        array.astype("<U8"),
        array.astype("c8"),
    )
    yield from (array.astype(np.float64), array.astype(np.int64), np.zeros_like(array), -np.ones(array.shape, np.int64))
    if array.dtype.kind == "f":
        yield from (np.full_like(array, value) for value in (np.nan, np.inf, -np.inf, -1.0))
        yield np.full(array.shape, 1e300)
        yield array[::-1].copy() if array.ndim else -array
    else:
        yield from (np.full(array.shape, value) for value in (2**63 - 1, 2**62, -(2**63), 10**6))


def test_every_array_of_statistics_is_checked():
    arrays = unpacked()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s.npz")
        refusals = tried = 0
        for name, array in arrays.items():
            if name == "header":
                continue
            for strange in strange_arrays(array):
                archive(path, {**arrays, name: strange})
                tried, refusals = tried + 1, refusals + (not loads_or_explains(use, path))
            archive(path, {key: value for key, value in arrays.items() if key != name})
            empty = name.startswith("tensor2/") and name.partition("/")[2] not in ("count", "counts")
            assert empty or not loads_or_explains(Statistics.load, path, name), name
        assert refusals > tried / 2, (refusals, tried)


def test_every_field_of_the_header_is_checked():
    arrays = unpacked()
    header = json.loads(arrays["header"].tobytes())
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s.npz")
        for place in places(header):
            for value in [..., *STRANGE]:
                text = json.dumps(changed(header, place, value)).encode()
                archive(path, {**arrays, "header": np.frombuffer(text, np.uint8)})
                loads_or_explains(Statistics.load, path)
        for text in (NESTED, "", "[]", "9" * 10**5):
            archive(path, {**arrays, "header": np.frombuffer(text.encode(), np.uint8)})
            assert not loads_or_explains(use, path)


def test_archives_changed_anywhere():
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s.npz")
        statistics().save(path)
        with open(path, "rb") as file:
            whole = file.read()
        for _ in range(150 * MORE):
            damaged = bytearray(whole)
            for _ in range(rng.randint(1, 3)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            put(path, bytes(damaged[: rng.choice([len(damaged), len(damaged), rng.randrange(len(damaged))])]))
            loads_or_explains(use, path)


def test_what_an_array_promises_is_not_allocated():
    """A shape of terabytes, in a member that is as short as before and whose checksum is right."""
    arrays = unpacked()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s.npz")
        for shape in ("(8192, 1000000000)", "(18446744073709551616,)", "(" * 20 + ")" * 20, "(-1,)"):
            with zipfile.ZipFile(path, "w") as out:
                for name, array in arrays.items():
                    content = io.BytesIO()
                    np.save(content, array)
                    data = content.getvalue()
                    if name == "tensor0/counts":
                        text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
                        data = data[:8] + b"\x76\x00" + text.encode() + data[128:]
                    out.writestr(f"{name}.npy", data)
            assert not loads_or_explains(use, path, "tensor0/counts")


# -- networks and data -------------------------------------------------------------------------------------------------


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
