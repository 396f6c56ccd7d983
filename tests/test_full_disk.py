"""Saving where there is no room: an error that says so, the old files whole, nothing else left.

A limit on the size of files stands for the full disk: writing past it fails in the same way, at any byte. In the folder
that MXQ_FULL_DISK names, such as a small tmpfs, the same is tried with a disk that is really full.
"""

import contextlib
import errno
import os
import resource
import tempfile
import unittest

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.calib import CalibTable
from mxq.choice.state import SearchState
from mxq.network.atomic import write_together
from mxq.network.params_format import write_params
from tests.networks import NETWORKS


@contextlib.contextmanager
def room_for(size):
    """Files end at `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder):
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found


def network(value):
    sym = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=30 + value, name="fc")
    return sym, {"fc_weight": mx.nd.full((30 + value, 700), value), "fc_bias": mx.nd.full((30 + value,), value)}


def block(value):
    net = mx.gluon.nn.Dense(10, in_units=999, prefix="fc_")
    net.initialize(mx.init.Constant(value))
    return mxq.quantize_net(net, [np.full((1, 999), value, np.float32)])


def statistics(value):
    stats = mxq.Statistics(["x", "y"])
    for key in stats:
        stats[key].update(np.arange(600, dtype=np.float32).reshape(2, 10, 30) + value)
    return stats


def search(path, value):
    state = SearchState(None, {"network": "ab12"}, {f"tensor{i}": (-1.0, 1.0) for i in range(500)})
    state.path, state.float_score = path, float(value)
    state.save()


def table(value):
    return CalibTable({f"tensor{i}": (0.0, value + i) for i in range(500)}, "mse", "0" * 64, 256)


SAVERS = {
    "model": lambda prefix, value: mxq.network.files.save_model(prefix, *network(value)),
    "block": lambda prefix, value: block(value).export(prefix),
    "parameters": lambda prefix, value: block(value).save_parameters(prefix),
    "statistics": lambda prefix, value: statistics(value).save(prefix),
    "table": lambda prefix, value: table(value).save(prefix),
    "search": search,
}


def refused(save, code):
    try:
        save()
    except OSError as error:
        assert error.errno == code and "is as it was" in str(error), error
        return
    raise AssertionError("no error: the file is cut off in silence")


@parameterized.expand([(name,) for name in SAVERS])
def test_files_stay_where_there_is_no_room(name):
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "net")
        SAVERS[name](prefix, 1)
        old = contents(folder)
        largest = max(map(len, old.values()))
        for size in (0, 1000, largest // 2, largest - 4096, largest - 1):
            with room_for(size):
                refused(lambda: SAVERS[name](prefix, 2), errno.EFBIG)
            assert contents(folder) == old, size
        SAVERS[name](prefix, 2)
        new = contents(folder)
        assert set(new) == set(old) and new != old


def test_no_file_of_several_moves_before_all_are_written():
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in "ab"]

        def write(text):
            def put(path):
                with open(path, "w") as file:
                    file.write(text)

            return put

        write_together([(paths[0], write("old")), (paths[1], write("old"))])
        with room_for(10):
            refused(lambda: write_together([(paths[0], write("new")), (paths[1], write("far too long"))]), errno.EFBIG)
        assert contents(folder) == {"a": b"old", "b": b"old"}


def test_a_disk_that_is_full():
    folder = os.environ.get("MXQ_FULL_DISK")
    if folder is None:
        raise unittest.SkipTest("MXQ_FULL_DISK names no folder on a small disk")
    for name, save in SAVERS.items():
        prefix = os.path.join(folder, "net")
        save(prefix, 1)
        old = contents(folder)
        ballast = os.path.join(folder, "ballast")
        with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        refused(lambda save=save, prefix=prefix: save(prefix, 2), errno.ENOSPC)
        os.remove(ballast)
        assert contents(folder) == old, name
        for left in old:
            os.remove(os.path.join(folder, left))


# -- what MXNet's own writer writes ------------------------------------------------------------------------------------


@parameterized.expand([(name,) for name in ("plain", "shared", "multi_output")])
def test_parameters_are_those_of_mxnet_byte_for_byte(name):
    _, args, aux, _ = NETWORKS[name]()
    same_as_mxnet({**{f"arg:{k}": v for k, v in args.items()}, **{f"aux:{k}": v for k, v in aux.items()}})


def test_every_type_is_stored_as_mxnet_does():
    types = "float64 float32 float16 uint8 int32 int8 int64 bool".split()
    arrays = {f"größe {name}": mx.nd.arange(6).reshape((2, 3)).astype(name) for name in types}
    arrays["sparse"] = mx.nd.sparse.row_sparse_array(([[1.0, 2.0]], [1]), shape=(3, 2))
    arrays["csr"] = mx.nd.sparse.csr_matrix(([1.0, 2.0], [1, 0], [0, 1, 2]), shape=(2, 3))
    arrays["transposed"] = mx.nd.arange(6).reshape((2, 3)).T
    same_as_mxnet(arrays)
    same_as_mxnet({})
    with mx.util.np_shape(True), mx.util.np_array(True):
        same_as_mxnet({"scalar": mx.np.array(3.0), "empty": mx.np.ones((0, 2))}, mx.npx.save)


def same_as_mxnet(arrays, save=mx.nd.save):
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "ours"), os.path.join(folder, "theirs")
        write_params(ours, arrays)
        save(theirs, arrays)
        found = contents(folder)
        assert found["ours"] == found["theirs"]
