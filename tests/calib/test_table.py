import json
import os
import subprocess
import sys
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.calib import CalibTable, graph_hash, tensor_key
from mxq.errors import CalibrationError, ConfigError
from mxq.network.graph import Graph

from ..refusals import refused

HASH = "0" * 64
TABLE = CalibTable(
    {"conv0": (0.0, float(np.float32(0.1))), "fc:1": (-1e-30, 3.4e38)}, "mse", HASH, 256, dtypes={"fc:1": "int8"}
)


def network(bias=0.0, name="conv0", stride=1):
    data = mx.sym.var("data")
    sym = mx.sym.Convolution(data, kernel=(3, 3), num_filter=2, stride=(stride, stride), name=name)
    relu, tanh = (mx.sym.Activation(sym, act_type=kind, name=f"{kind}0") for kind in ("relu", "tanh"))
    sym = mx.sym.elemwise_sub(relu, tanh, name="sub0")
    params = {
        f"{name}_weight": mx.nd.array(np.arange(54).reshape(2, 3, 3, 3)),
        f"{name}_bias": mx.nd.array([0.0, bias]),
    }
    return Graph.from_symbol(sym, params)


def raises(function, *parts, error=CalibrationError):
    try:
        function()
    except error as caught:
        assert all(part in str(caught) for part in parts), str(caught)
        return
    raise AssertionError(f"no {error.__name__}")


def saved(content):
    path = os.path.join(tempfile.mkdtemp(), "table.json")
    with open(path, "w") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))
    return path


def as_json(**changes):
    path = saved("")
    TABLE.save(path)
    with open(path) as file:
        return {**json.load(file), **changes}


def test_tensor_key():
    split = mx.sym.SliceChannel(mx.sym.var("data"), num_outputs=2, name="split")
    node = Graph.from_symbol(split, {}).node("split")
    assert [tensor_key(node.out(i)) for i in range(2)] == ["split", "split:1"]


def test_round_trip_keeps_every_bit():
    path = saved("")
    TABLE.save(path)
    loaded = CalibTable.load(path)
    assert loaded == TABLE
    assert loaded.ranges == TABLE.ranges and loaded.range("conv0") == (0.0, float(np.float32(0.1)))
    assert (loaded.mode, loaded.graph_hash, loaded.num_examples) == ("mse", HASH, 256)


def test_the_file_is_readable():
    content = as_json()
    assert content["ranges"]["fc:1"] == {"min": -1e-30, "max": 3.4e38}
    assert content["format"] == "mxq-calibration-table" and content["version"] == 1


def test_a_failed_save_leaves_the_old_file():
    path = saved("")
    TABLE.save(path)
    broken = CalibTable({}, "mse", HASH, 1)
    broken.ranges["x"] = (0.0, float("nan"))  # as a bug of ours would
    raises(lambda: broken.save(path), error=ValueError)
    assert CalibTable.load(path) == TABLE
    assert os.listdir(os.path.dirname(path)) == ["table.json"]


def test_missing_key_names_the_nearest():
    raises(lambda: TABLE.range("conv1"), "'conv1'", "conv0", "calibrate again")
    assert "conv0" in TABLE and "conv1" not in TABLE and len(TABLE) == 2


@parameterized.expand([((1.0, 0.0),), ((float("nan"), 1.0),), ((0.0, float("inf")),), ((0.0, 1e300),)])
def test_a_range_is_finite_and_ordered(entry):
    raises(lambda: CalibTable({"conv0": entry}, "mse", HASH, 1), "'conv0'")


@parameterized.expand([("channel_means", float("nan")), ("channel_means", 1e300), ("channel_factors", 0.0)])
def test_channels_are_finite_and_factors_positive(what, value):
    raises(lambda: CalibTable({}, "mse", HASH, 1, **{what: {"conv0": (1.0, value)}}), "'conv0'", "finite")


def test_saving_into_a_folder_that_does_not_exist_names_it():
    refused(lambda: TABLE.save("/no/such/folder/table.json"), "/no/such/folder", "create it", error=ConfigError)


BAD_FILES = {
    "cut short": lambda: json.dumps(as_json())[:150],
    "empty": lambda: "",
    "binary": lambda: "\x00\x01",
    "a list": lambda: [1, 2],
    "other JSON": lambda: {"nodes": []},
    "later version": lambda: as_json(version=2),
    "no ranges": lambda: {k: v for k, v in as_json().items() if k != "ranges"},
    "ranges of another form": lambda: as_json(ranges={"conv0": [0, 1]}),
    "range without max": lambda: as_json(ranges={"conv0": {"min": 0}}),
    "range as text": lambda: as_json(ranges={"conv0": {"min": "a", "max": 1}}),
    "range not ordered": lambda: as_json(ranges={"conv0": {"min": 2, "max": 1}}),
    "NaN": lambda: json.dumps(as_json()).replace("3.4e+38", "NaN"),
    "ranges is a list": lambda: as_json(ranges=[1]),
    "an unknown type": lambda: as_json(dtypes={"conv0": "int4"}),
    "num_examples as text": lambda: as_json(num_examples="many"),
}


@parameterized.expand([(name,) for name in BAD_FILES])
def test_bad_file(name):
    path = saved(BAD_FILES[name]())
    raises(lambda: CalibTable.load(path), path)


def test_version_is_named():
    raises(lambda: CalibTable.load(saved(as_json(version=7))), "version 7", "reads version 1")


def test_no_file():
    raises(lambda: CalibTable.load("/nonexistent/table.json"), error=FileNotFoundError)


# -- the hash ----------------------------------------------------------------------------------------------------------


def test_hash_ignores_how_the_graph_is_stored():
    graph = network()
    expected = graph_hash(graph)
    assert len(expected) == 64 and graph_hash(graph.copy()) == expected
    assert graph_hash(Graph.from_symbol(*graph.to_symbol())) == expected  # shape and type hints are added there
    shuffled = graph.copy()
    shuffled.nodes.reverse()
    assert graph_hash(shuffled) == expected
    shuffled.sort()
    assert graph_hash(shuffled) == expected


def test_hash_sees_what_changes_the_result():
    graph = network()
    swapped = graph.copy()
    node = swapped.outputs[0].node
    node.inputs.reverse()
    moved = graph.copy()
    moved.outputs = [moved.node("relu0").out()]
    retyped = graph.copy()
    retyped.params["conv0_bias"] = graph.params["conv0_bias"].view(np.int32)
    others = [network(bias=1e-7), network(name="conv1"), network(stride=2), swapped, moved, retyped]
    hashes = {graph_hash(g) for g in [graph, *others]}
    assert len(hashes) == len(others) + 1


def test_hash_is_the_same_in_every_process():
    program = "from tests.calib.test_table import network, graph_hash; print(graph_hash(network()))"
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for seed in ("1", "2"):
        command = [sys.executable, "-W", "ignore", "-c", program]
        env = {**os.environ, "PYTHONHASHSEED": seed}
        output = subprocess.check_output(command, cwd=root, env=env, text=True)
        assert output.split()[-1] == graph_hash(network())


def test_check_refuses_another_network():
    graph, other = network(), network(bias=1.0)
    table = CalibTable({}, "minmax", graph_hash(graph), 1)
    table.check(graph)
    raises(lambda: table.check(other), graph_hash(graph), graph_hash(other), "calibrate again")
