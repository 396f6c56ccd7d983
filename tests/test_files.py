import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.errors import GraphError
from mxq.network.atomic import write_atomically
from mxq.network.files import load_params, load_symbol, save_model
from mxq.network.params import split_params
from tests import networks, realdata
from tests.networks import NETWORKS, batch, forward
from tests.test_graph import raised


def folder():
    return tempfile.TemporaryDirectory(prefix="mxq_test_")


def write(path, data):
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    return path


@parameterized.expand([("plain",), ("shared",), ("multi_output",)])
def test_saved_models_come_back(name):
    net = NETWORKS[name]()
    with folder() as where:
        symbol_path, params_path = save_model(os.path.join(where, "net"), *net[:3])
        assert sorted(os.listdir(where)) == ["net-0000.params", "net-symbol.json"]
        sym = load_symbol(symbol_path)
        loaded = (sym, *split_params(load_params(params_path)))
        data = batch(net[3])
        for x, y in zip(forward(net, data), forward(loaded, data)):
            assert np.array_equal(x, y)
        again = mx.model.load_checkpoint(os.path.join(where, "net"), 0)  # MXNet's own reader
        assert np.array_equal(forward(again, data)[0], forward(net, data)[0])


def test_saving_over_a_link_and_with_an_epoch():
    net = networks.plain()
    with folder() as where:
        os.mkdir(os.path.join(where, "real"))
        target = write(os.path.join(where, "real", "weights"), b"old")
        link = os.path.join(where, "net-0007.params")
        os.symlink(target, link)
        save_model(os.path.join(where, "net"), None, net[1], net[2], epoch=7)
        assert os.path.islink(link) and len(load_params(target)) == len(net[1]) + len(net[2])
        assert not os.path.exists(os.path.join(where, "net-symbol.json"))


def test_files_have_the_permissions_of_any_new_file():
    with folder() as where:
        save_model(os.path.join(where, "net"), *networks.plain()[:3])
        plain = write(os.path.join(where, "plain"), b"")
        modes = {os.stat(os.path.join(where, name)).st_mode for name in os.listdir(where)}
        assert modes == {os.stat(plain).st_mode}


def test_missing_folder():
    message = raised(save_model, "/no/such/folder/net", *networks.plain()[:3])
    assert "/no/such/folder" in message and "create" in message


# -- a save that fails -----------------------------------------------------------------------------------------------


def test_a_failing_write_leaves_the_old_file_and_nothing_else():
    with folder() as where:
        path = write(os.path.join(where, "file"), b"old")

        def half(temporary):
            write(temporary, b"ha")
            raise OSError("disk full")

        try:
            write_atomically(path, half)
        except OSError as error:
            assert "disk full" in str(error)
        else:
            raise AssertionError("no error")
        with open(path, "rb") as file:
            assert file.read() == b"old"
        assert os.listdir(where) == ["file"]


# -- files that do not load ------------------------------------------------------------------------------------------


def test_missing_files_show_what_lies_near():
    with folder() as where:
        save_model(os.path.join(where, "resnet"), *networks.plain()[:3])
        message = raised(load_symbol, os.path.join(where, "resnet-symbol.jsn"))
        assert "No such file" in message and "resnet-symbol.json" in message
        message = raised(load_params, os.path.join(where, "resnet-0001.params"))
        assert "resnet-0001.params" in message and "resnet-0000.params" in message
        assert "no/dir" in raised(load_symbol, os.path.join(where, "no/dir/x.json"))
        assert "directory" in raised(load_symbol, where)


def _symbol_text():
    return networks.plain()[0].tojson()


@parameterized.expand(
    [
        ("empty", lambda: "", "no JSON"),
        ("cut", lambda: _symbol_text()[:700], "cut off"),
        ("binary", lambda: b"\x12\x01\x00\xff\xfe", "no JSON"),
        ("list", lambda: "[]", "no MXNet symbol"),
        ("object", lambda: "{}", "nodes, arg_nodes, heads"),
        ("no_nodes", lambda: '{"nodes": [], "arg_nodes": [], "heads": []}', "nodes missing or empty"),
        ("number", lambda: "3", "no MXNet symbol"),
        ("strange_nodes", lambda: '{"nodes": [1, 2], "arg_nodes": [0], "heads": [[1, 0]]}', "does not load"),
        ("bad_attribute", lambda: _symbol_text().replace("(3, 3)", "(3, x)"), "does not load"),
        ("missing_attribute", lambda: _symbol_text().replace('"num_filter"', '"num_filters"'), "num_filter"),
    ]
)
def test_broken_symbols(_, text, words):
    with folder() as where:
        path = write(os.path.join(where, "net-symbol.json"), text())
        message = raised(load_symbol, path)
        assert words in message and path in message, message


def test_an_operator_that_nobody_registered():
    raw = json.loads(_symbol_text())
    node = next(n for n in raw["nodes"] if n["name"] == "conv1")
    with folder() as where:
        path = os.path.join(where, "net-symbol.json")
        node["op"] = "Convolutoin"
        message = raised(load_symbol, write(path, json.dumps(raw)))
        assert "'Convolutoin'" in message and "'conv1'" in message and "nearest: Convolution" in message
        node["op"] = "mxq_of_the_future"
        message = raised(load_symbol, write(path, json.dumps(raw)))
        assert "import mxq" in message and "python -m mxq info" in message


def test_an_unknown_operator_inside_a_loop():
    data = mx.sym.var("data")
    out, _ = mx.sym.contrib.foreach(lambda x, s: (x + s[0], [s[0] * 2]), data, [mx.sym.var("state")], name="loop")
    with folder() as where:
        text = out.tojson().replace("elemwise_add", "elemwise_odd").replace("_Plus", "elemwise_odd")
        path = write(os.path.join(where, "net-symbol.json"), text)
        assert "elemwise_odd" in raised(load_symbol, path)


def test_parameters_cut_off_anywhere():
    with folder() as where:
        path = os.path.join(where, "net-0000.params")
        mx.nd.save(path, {"arg:w": mx.nd.ones((3, 5)), "aux:m": mx.nd.ones((4,), dtype="int8")})
        with open(path, "rb") as file:
            whole = file.read()
        assert set(load_params(path)) == {"arg:w", "aux:m"}
        for length in range(len(whole)):
            message = raised(load_params, write(path, whole[:length]))
            assert path in message and ("cut off" in message or "empty" in message)


def test_parameters_with_a_changed_byte_never_crash():
    rng = random.Random(0)
    with folder() as where:
        path = os.path.join(where, "net-0000.params")
        mx.nd.save(path, {"arg:w": mx.nd.ones((3, 5)), "aux:m": mx.nd.ones((4,))})
        with open(path, "rb") as file:
            whole = file.read()
        for _ in range(300):
            changed = bytearray(whole)
            changed[rng.randrange(len(changed))] = rng.randrange(256)
            try:
                load_params(write(path, bytes(changed)))
            except GraphError as error:
                assert path in str(error)


def test_the_error_says_where_a_file_ends():
    with folder() as where:
        path = os.path.join(where, "net-0000.params")
        mx.nd.save(path, {"a": mx.nd.ones((3, 5)), "b": mx.nd.ones((4, 100))})
        with open(path, "rb") as file:
            whole = file.read()
        message = raised(load_params, write(path, whole[:400]))
        assert "array 2 of 2 of shape (4, 100) takes 1600 bytes" in message
        huge = whole.replace(struct.pack("<qq", 4, 100), struct.pack("<qq", 4, 10**12))
        assert "takes 16000000000000 bytes" in raised(load_params, write(path, huge))


def test_old_arrays_without_axes_and_names_of_other_arrays():
    """MXNet reads a number behind an old array without axes, and takes for a count of names what stands there."""
    names = struct.pack("<QQ5s", 1, 5, b"arg:w")
    with folder() as where:
        path = os.path.join(where, "net-0000.params")
        for array, words in ((struct.pack("<I", 0), "has no axes"), (struct.pack("<Ii", 0xF993FAC8, 0), "has no axes")):
            message = raised(load_params, write(path, struct.pack("<QQQ", 0x112, 0, 1) + array + names))
            assert path in message and words in message, message
        mx.nd.save(path, {"arg:w": mx.nd.ones((2,)), "arg:v": mx.nd.ones((2,))})
        with open(path, "rb") as file:
            whole = file.read()
        for count in (1, 3):
            at = whole.index(struct.pack("<QQ", 2, 5))
            changed = whole[:at] + struct.pack("<Q", count) + whole[at + 8 :] + struct.pack("<Q5s", 5, b"arg:u")
            assert f"{count} names for 2 arrays" in raised(load_params, write(path, changed))


@parameterized.expand([("float64",), ("float16",), ("uint8",), ("int32",), ("int8",), ("int64",), ("bool",)])
def test_every_dtype_loads(dtype):
    with folder() as where:
        path = os.path.join(where, "x.params")
        mx.nd.save(path, {"a": mx.nd.ones((2, 3), dtype=dtype), "b": mx.nd.ones((1,), dtype=dtype)})
        assert load_params(path)["a"].dtype == np.dtype(dtype)


def test_sparse_arrays_load():
    with folder() as where:
        path = os.path.join(where, "x.params")
        mx.nd.save(path, {"a": mx.nd.sparse.row_sparse_array(([[1.0, 2.0]], [1]), shape=(3, 2)), "b": mx.nd.ones((1,))})
        assert np.array_equal(load_params(path)["a"].asnumpy(), [[0, 0], [1, 2], [0, 0]])


def _old(version, shape, values):
    """A file as MXNet before 1.0 wrote it: one array, "a", that begins with its rank or with a magic number."""
    rank = len(shape)
    head = struct.pack(f"<Ii{rank}q", 0xF993FAC8, rank, *shape) if version else struct.pack(f"<I{rank}I", rank, *shape)
    array = head + struct.pack("<iii", 1, 0, 0) + np.float32(values).tobytes()
    return struct.pack("<QQQ", 0x112, 0, 1) + array + struct.pack("<QQ", 1, 1) + b"a"


@parameterized.expand([(0,), (1,)])
def test_files_of_old_versions(version):
    with folder() as where:
        path = write(os.path.join(where, "x.params"), _old(version, (2, 3), range(6)))
        assert load_params(path)["a"].asnumpy().tolist() == [[0, 1, 2], [3, 4, 5]]
        assert "array 1 of 1 of shape (4, 100) takes 1600 bytes" in raised(
            load_params, write(path, _old(version, (4, 100), range(6)))
        )


def test_what_begins_as_no_array_does_is_not_read_as_one_of_an_old_version():
    with folder() as where:
        path = os.path.join(where, "x.params")
        mx.nd.save(path, {"a": mx.nd.ones((20,)), "b": mx.nd.ones((400,))})
        with open(path, "rb") as file:
            whole = file.read()
        assert "array 2 of 2 begins with 0x3f800000" in raised(load_params, write(path, whole[:60] + whole[100:]))


def test_sparse_arrays_that_are_cut_off():
    sparse = mx.nd.sparse
    rows = sparse.row_sparse_array(([[1.0, 2.0]], [1]), shape=(3, 2))
    csr = sparse.csr_matrix(([1.0, 2.0, 3.0], [0, 2, 1], [0, 1, 2, 3]), shape=(3, 4))
    with folder() as where:
        path = os.path.join(where, "x.params")
        mx.nd.save(path, {"rows": rows, "csr": csr})
        assert {name: array.stype for name, array in load_params(path).items()} == {"rows": "row_sparse", "csr": "csr"}
        with open(path, "rb") as file:
            whole = file.read()
        for length in range(len(whole)):
            message = raised(load_params, write(path, whole[:length]))
            assert path in message and ("it ends within" in message or "bytes, but only" in message or not length)


def test_numpy_arrays_load():
    with folder() as where:
        path = os.path.join(where, "x.params")
        with mx.util.np_shape(True), mx.util.np_array(True):
            mx.npx.save(path, {"a": mx.np.ones((2, 3)), "scalar": mx.np.array(3.0), "none": mx.np.ones((0, 2))})
            assert sorted(load_params(path)) == ["a", "none", "scalar"]


def test_other_parameter_files():
    with folder() as where:
        path = os.path.join(where, "x.params")
        mx.nd.save(path, [mx.nd.ones((1,))])
        assert "without names" in raised(load_params, path)
        assert "mx.nd.save" in raised(load_params, write(path, b"PK\x03\x04 a zip archive" * 10))
        assert "mx.nd.save" in raised(load_params, write(path, _symbol_text()))


@parameterized.expand(sorted(realdata.NETWORKS))
def test_real_files(name):
    realdata.need()
    symbol_path, params_path = realdata.files(name)
    sym = load_symbol(symbol_path)
    args, aux = split_params(load_params(params_path))
    assert set(sym.list_arguments()) - {"data"} == set(args)
    assert set(sym.list_auxiliary_states()) == set(aux)


# -- what killed writers leave -----------------------------------------------------------------------------------------

_STUCK = """
import sys, time
from mxq.network.atomic import write_atomically
def write(path):
    with open(path, "w") as file:
        file.write("new")
        file.flush()
        print(path, flush=True)
        time.sleep(1000)
write_atomically(sys.argv[1], write)
"""


def test_the_next_writer_removes_what_a_killed_one_left_and_no_more():
    with folder() as where:
        path = os.path.join(where, "file")
        others = [f".file.{'0' * 31}.tmp", f".file2.{'0' * 32}.tmp", f".file.{'0' * 32}.tmp.txt", "file.tmp"]
        for name in others:
            write(os.path.join(where, name), b"")
        command = [sys.executable, "-c", _STUCK, path]
        stuck = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=realdata.REPO, text=True) for _ in range(2)]
        try:
            temporaries = [process.stdout.readline().strip() for process in stuck]
            stuck[0].kill()
            stuck[0].wait()
            assert sorted(os.listdir(where)) == sorted([*others, *map(os.path.basename, temporaries)])
            write_atomically(path, lambda temporary: write(temporary, b"mine"))
            # The other one still writes: its file is not for others to remove.
            assert sorted(os.listdir(where)) == sorted([*others, "file", os.path.basename(temporaries[1])])
        finally:
            for process in stuck:
                process.kill()
                process.wait()
                process.stdout.close()
        write_atomically(path, lambda temporary: write(temporary, b"again"))
        assert sorted(os.listdir(where)) == sorted([*others, "file"])
