"""Statistics with one thing changed: they load and work, or an MXQError names the file and the array."""

import io
import json
import os
import random
import tempfile
import zipfile

import numpy as np

from mxq.calib.samples import Layer, example_hashes
from mxq.calib.statistics import Statistics
from tests.damaging import MORE, NESTED, STRANGE, changed, damaged_anywhere, loads_or_explains, places, put


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
            put(path, damaged_anywhere(rng, whole, kept=2))
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
