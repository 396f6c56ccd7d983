"""Statistics collected once: files, merging, resuming, and every choice made from them afterwards."""

import functools
import os
import signal
import subprocess
import sys
import tempfile
import time

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq
from mxq.calib import MODES, Statistics, batches
from mxq.calib.collect import SUB_BATCH
from mxq.calib.statistics_file import VERSION

from .networks import NETWORKS, bn, conv, fill, relu
from .refusals import refused

SYM, ARGS, AUX, SHAPES = NETWORKS["inception"]()
DATA = np.random.RandomState(3).randn(21, *SHAPES["data"][1:]).astype(np.float32)


def collect(data=DATA, path=None, **options):
    return mxq.collect_statistics(SYM, (ARGS, AUX), data, path, **options)


def quantize(**options):
    return mxq.quantize_model(SYM, (ARGS, AUX), **options)


def arrays(statistics):
    """Everything that statistics hold, bit for bit."""
    found = {}
    for key in statistics:
        found.update((f"{key} {name}", a) for name, a in statistics[key].arrays().items())
    for source, rows in statistics.samples.items():
        found.update((f"{source} {name}", a) for name, a in rows.arrays().items())
    return found


def assert_same(first, second):
    ours, theirs = arrays(first), arrays(second)
    assert list(ours) == list(theirs) and len(ours) > 50
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], name)
    assert (first.num_examples, first.graph_hash) == (second.num_examples, second.graph_hash)


@functools.lru_cache(maxsize=None)
def whole():
    return collect()


@settings(derandomize=True, deadline=None, max_examples=12)
@given(
    order=st.permutations(range(21)),
    cuts=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    size=st.sampled_from([1, 3, 8, 32]),
)
def test_shards_merge_to_one_pass_bit_for_bit(order, cuts, size):
    parts = np.split(DATA[list(order)], sorted(set(cuts)))
    merged = collect(parts[0], batch_size=size)
    for part in parts[1:]:
        merged.merge(collect(part, batch_size=size))
    assert_same(merged, whole())
    assert merged.stream is None


def test_four_processes_merge_to_one_pass():
    """Each with a file of its own, merged here."""
    with tempfile.TemporaryDirectory() as folder:
        program = (
            "import sys; sys.path[:0] = [sys.argv[1]]\n"
            "from tests.test_collection import DATA, collect\n"
            "i = int(sys.argv[2])\n"
            "collect(DATA[i::4], sys.argv[3])\n"
        )
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        paths = [os.path.join(folder, f"{i}.npz") for i in range(4)]
        children = [
            subprocess.Popen([sys.executable, "-c", program, root, str(i), path]) for i, path in enumerate(paths)
        ]
        assert [child.wait() for child in children] == [0] * 4
        merged = Statistics.load(paths[0])
        for path in paths[1:]:
            merged.merge(Statistics.load(path))
    assert_same(merged, whole())
    for mode in MODES:
        ours, theirs = (quantize(statistics=statistics, calib_mode=mode).table for statistics in (merged, whole()))
        assert ours.ranges == theirs.ranges and ours.channel_means == theirs.channel_means
        assert ours.channel_factors == theirs.channel_factors and ours.num_examples == theirs.num_examples


def test_a_file_keeps_everything():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.npz")
        whole().save(path)
        loaded = Statistics.load(path)
        assert_same(loaded, whole())
        assert (loaded.data_shapes, loaded.stream) == (whole().data_shapes, whole().stream)
        assert os.listdir(folder) == ["net.npz"]
        first, second = quantize(statistics=path), quantize(statistics=whole())
        assert first.symbol.tojson() == second.symbol.tojson()
        loaded.merge(whole())  # still goes on
        assert loaded.num_examples == 42


@parameterized.expand([(mode,) for mode in MODES])
def test_afterwards_is_what_it_would_have_been_at_once(mode):
    at_once = quantize(calib_data=DATA, calib_mode=mode)
    afterwards = quantize(statistics=whole(), calib_mode=mode)
    assert at_once.table == afterwards.table and at_once.table.mode == mode
    assert at_once.symbol.tojson() == afterwards.symbol.tojson()
    for name, array in at_once.arg_params.items():
        np.testing.assert_array_equal(array.asnumpy(), afterwards.arg_params[name].asnumpy(), name)
    assert at_once.statistics["relu_a"].histogram().counts.tolist() == (
        afterwards.statistics["relu_a"].histogram().counts.tolist()
    )


@parameterized.expand(
    [
        ("smart", {}),
        ("full", {"quantize_mode": "full"}),
        ("a_layer_float", {"excluded_sym_names": ["conv0"]}),
        ("branches_float", {"excluded_sym_names": ["a", "b_reduce"]}),
        ("sums_float", {"excluded_op_names": ["Concat"], "quantize_mode": "full"}),
        ("not_equalized", {"equalize": False}),
        ("nearest", {"weight_rounding": "nearest"}),
        ("integers", {"quantized_dtype": "int8"}),
    ]
)
def test_one_file_serves_every_choice(_, options):
    assert quantize(statistics=whole(), **options).table == quantize(calib_data=DATA, **options).table


def test_functions_on_their_own_need_the_mode_full():
    """Where a layer is float and the activation behind it is not, its output becomes integers: twice the tensors."""
    options = {"excluded_sym_names": ["a", "b_reduce"], "quantize_mode": "full"}
    refused(lambda: quantize(statistics=whole(), **options), "lack", "quantize_mode", error=mxq.CalibrationError)
    statistics = collect(quantize_mode="full")
    assert quantize(statistics=statistics, **options).table == quantize(calib_data=DATA, **options).table


@parameterized.expand([(name,) for name in ("residual", "depthwise", "squeeze_excite", "conv1d", "fully_connected")])
def test_networks_of_every_kind(name):
    sym, args, aux, shapes = NETWORKS[name]()
    data = np.random.RandomState(3).randn(9, *shapes["data"][1:]).astype(np.float32)
    statistics = mxq.collect_statistics(sym, (args, aux), data)
    for mode in ("smart", "full"):
        offline = mxq.quantize_model(sym, (args, aux), statistics=statistics, quantize_mode=mode)
        assert offline.table == mxq.quantize_model(sym, (args, aux), data, quantize_mode=mode).table


def test_the_view_of_an_equalized_network_has_its_values():
    model = quantize(statistics=whole())
    assert model.table.channel_factors
    again = mxq.calib.collect(
        model.floats, {key: model.floats.node(key).out() for key in model.table.ranges}, batches(DATA, ["data"])
    )
    for key in model.table.ranges:
        seen, derived = again[key], model.statistics[key]
        assert np.isclose(seen.min, derived.min, rtol=1e-4) and np.isclose(seen.max, derived.max, rtol=1e-4), key
        assert np.isclose(seen.sum_of_squares, derived.sum_of_squares, rtol=1e-4), key
        np.testing.assert_allclose(seen.channel_mean, derived.channel_mean, rtol=1e-3, atol=1e-5)
        # The histograms agree as distributions: of channels only small ones are known.
        width = (seen.max - min(seen.min, 0)) / 16
        for edge in np.arange(1, 16) * width + min(seen.min, 0):
            shares = [_share_below(stats.histogram(), edge) for stats in (seen, derived)]
            assert abs(shares[0] - shares[1]) < 0.01, (key, edge, shares)


def _share_below(histogram, edge):
    edges = histogram.edges()
    inside = np.clip((edge - edges[:-1]) / np.maximum(np.diff(edges), 1e-30), 0, 1)
    return (histogram.counts * inside).sum() / histogram.counts.sum()


# -- interrupted runs --------------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


def interrupted(count):
    """Batches of two, until it breaks off."""
    for start in range(0, count, 2):
        yield DATA[start : start + 2]
    raise Stop


@parameterized.expand([(8,), (10,), (18,)])
def test_an_interrupted_run_goes_on(count):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.npz")
        try:
            collect(interrupted(count), path, checkpoint_seconds=0)
            raise AssertionError("it was to break off")
        except Stop:
            pass
        assert Statistics.load(path).num_examples == count // SUB_BATCH * SUB_BATCH
        assert_same(collect(DATA, path), whole())
        assert_same(Statistics.load(path), whole())


def test_a_killed_run_goes_on():
    program = (
        "import sys, time; sys.path[:0] = [sys.argv[1]]\n"
        "from tests.test_collection import DATA, collect\n"
        "def slowly():\n"
        "    for i, start in enumerate(range(0, 21, 4)):\n"
        "        if i == 3: print('half', flush=True); time.sleep(600)\n"
        "        yield DATA[start:start + 4]\n"
        "collect(slowly(), sys.argv[2], checkpoint_seconds=0)\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.npz")
        child = subprocess.Popen([sys.executable, "-c", program, root, path], stdout=subprocess.PIPE)
        try:
            assert child.stdout.readline() == b"half\n"
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
        assert Statistics.load(path).num_examples == 12 // SUB_BATCH * SUB_BATCH
        started = time.time()
        assert_same(collect(DATA, path), whole())
        assert os.path.getmtime(path) >= started - 1


def test_more_of_the_same_data_is_added():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.npz")
        collect(DATA, path, num_calib_examples=16)
        assert_same(collect(DATA, path), whole())
        assert_same(collect(DATA, path), whole())  # nothing is left to do
        assert collect(DATA[:5], path, resume=False).num_examples == 5


def test_other_data_or_networks_are_not_resumed():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.npz")
        collect(DATA[:16], path)
        error = mxq.CalibrationError
        refused(lambda: collect(DATA[::-1], path), "first 16 examples", "resume=False", error=error)
        refused(lambda: collect(DATA[:8], path), "holds 8", "seen 16", error=error)
        refused(lambda: collect(DATA, path, mean=0.5), "another network", error=error)
        merged = Statistics.load(path)
        merged.merge(collect(DATA[16:]))
        merged.save(path)
        refused(lambda: collect(DATA, path), "merged", error=error)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_wrong_statistics_are_refused():
    other = NETWORKS["residual"]()
    foreign = mxq.collect_statistics(other[0], other[1:3], {"data": np.zeros((2, 3, 9, 9), np.float32)})
    error = mxq.CalibrationError
    refused(lambda: quantize(statistics=foreign), "another network", "collect_statistics", error=error)
    refused(lambda: quantize(statistics=Statistics()), "unknown", error=error)
    refused(lambda: foreign.merge(whole()), "different tensors", error=error)
    shifted = collect(DATA[:2], mean=1.0)
    refused(lambda: shifted.merge(collect(DATA[:2], mean=2.0)), "different networks", error=error)
    lean = quantize(calib_data=DATA, excluded_sym_names=["conv1"]).statistics
    refused(lambda: quantize(statistics=lean, quantize_mode="full"), "lack", "collect_statistics", error=error)
    refused(lambda: quantize(statistics=7), "statistics is a int", error=mxq.ConfigError)
    refused(lambda: quantize(statistics=whole(), calib_data=DATA), "both", error=mxq.ConfigError)
    refused(lambda: collect(DATA, calib_mode="mse"), "calib_mode", error=mxq.ConfigError)
    refused(lambda: collect(None), "needs data", error=mxq.ConfigError)
    refused(lambda: collect(DATA, "/nowhere/at/all.npz"), "does not exist", error=mxq.ConfigError)


def test_damaged_and_foreign_files_are_refused():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.npz")
        whole().save(path)
        with open(path, "rb") as file:
            content = file.read()
        error = mxq.CalibrationError
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        for damaged in (b"", b"{}", content[:1000], content[:-100], flipped):
            with open(path, "wb") as file:
                file.write(damaged)
            refused(lambda: Statistics.load(path), path, "collect again", error=error)
            refused(lambda: quantize(statistics=path), path, error=error)
        np.savez(path, a=np.zeros(3))
        refused(lambda: Statistics.load(path), path, error=error)
        for header in ('{"format": "other"}', f'{{"format": "mxq-statistics", "version": {VERSION + 1}}}'):
            np.savez(path, header=np.frombuffer(header.encode(), np.uint8))
            refused(lambda: Statistics.load(path), path, error=error)
        np.savez(path, header=np.frombuffer(b'{"format": "mxq-statistics", "version": 1}', np.uint8))
        refused(lambda: Statistics.load(path), "damaged", error=error)
    refused(lambda: Statistics.load(path), "No such file", error=FileNotFoundError)


def test_statistics_have_what_a_batchnorm_with_slopes_behind_an_activation_reads():
    """It reads what the layer computed as float, but in a smaller selection of layers those are integers."""
    x = relu(conv(mx.sym.var("data"), "a", 6), "a_relu")
    x = mx.sym.LeakyReLU(bn(x, "norm"), act_type="prelu", name="slopes")
    x = mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg", name="pool")
    net = fill(mx.sym.FullyConnected(x, num_hidden=5, name="fc"), {"data": (4, 3, 9, 9)})
    data = np.random.RandomState(3).randn(8, 3, 9, 9).astype(np.float32)
    statistics = mxq.collect_statistics(net[0], net[1:3], data)
    found = mxq.quantize_model(net[0], net[1:3], statistics=statistics, verify=False)
    assert found.table.ranges == mxq.quantize_model(net[0], net[1:3], data, verify=False).table.ranges
