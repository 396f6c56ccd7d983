"""What is said to people who hold it wrong, and what is not said at all."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.data.batches import total_of
from mxq.network.files import load_symbol, save_model
from mxq.network.host_noise import without_lines
from tests.networks import conv, fill, head, relu
from tests.refusals import refused

DATA = np.random.RandomState(0).normal(0, 1, (6, 3, 12, 12)).astype(np.float32)


def _network():
    x = relu(conv(relu(conv(mx.sym.var("data"), "conv0", 6), "relu0"), "conv1", 5), "relu1")
    return fill(head(x, 3), {"data": (4, 3, 12, 12)})[:3]


@contextlib.contextmanager
def _logged():
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("mxq").addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger("mxq").removeHandler(handler)


@parameterized.expand([("region", True), ("operators", False)])
def test_an_int8_network_fed_in_another_layout_speaks_of_that(_name, regions):
    symbol, args, aux = _network()
    model = mxq.quantize_model(symbol, (args, aux), DATA, regions=regions)
    for data, said in (
        (DATA.transpose(0, 2, 3, 1), "is it fed (N, H, W, C)? data.transpose((0, 3, 1, 2))"),
        (DATA[0], "3 dimensions, not the 4 of (N, C, H, W) that the network takes; is the axis of examples missing?"),
        (DATA[:, :1], "are the images grey? data.repeat(3, axis=1)"),
    ):
        try:
            model.symbol.bind(mx.cpu(), {**model.arg_params, "data": mx.nd.array(data)}).forward()[0].wait_to_read()
        except mx.MXNetError as error:
            assert said in str(error) and "channels-last" not in str(error), error
        else:
            raise AssertionError(f"data of shape {data.shape} was accepted")


def test_parameters_of_another_network():
    symbol, args, aux = _network()
    other = {f"net2_{name}": array for name, array in args.items()}
    refused(
        lambda: mxq.quantize_model(symbol, (other, aux), DATA),
        "none of the 6 names",
        "needs conv0_weight",
        "have net2_conv0_bias",
        error=mxq.GraphError,
    )
    other["fc_bias"] = args["fc_bias"]
    refused(lambda: mxq.quantize_model(symbol, (other, aux), DATA), "only 1 of the 7 names", error=mxq.GraphError)
    more = {**args, **{f"more{i}": args["fc_bias"] for i in range(20)}}  # what a Module trained besides
    assert mxq.quantize_model(symbol, (more, aux), DATA).report.count("int8")


@parameterized.expand([("calib.rec",), ("photos",), ("some/photos/",), ("data.npy",)])
def test_a_path_as_data_names_what_reads_it(path):
    symbol, args, aux = _network()
    reader = "np.load('data.npy')" if path.endswith(".npy") else "mxq.data.images('"
    refused(lambda: mxq.quantize_model(symbol, (args, aux), path), repr(path), reader, error=mxq.CalibrationError)


def test_a_symbol_for_quantize_net_names_quantize_model():
    symbol, args, _ = _network()
    refused(lambda: mxq.quantize_net(symbol, DATA), "mxq.quantize_model(sym, params, calib_data)")
    refused(lambda: mxq.quantize_net(symbol, args, DATA), "mxq.quantize_model takes a symbol and parameters")
    refused(lambda: mxq.quantize_net("net-symbol.json", DATA), "mxq.quantize_model(sym, params, calib_data)")


def test_one_example_warns():
    symbol, args, aux = _network()
    with _logged() as lines:
        mxq.quantize_model(symbol, (args, aux), DATA[:1])
    assert [line for line in lines if "calibrated with one example" in line], lines
    with _logged() as lines:
        mxq.quantize_model(symbol, (args, aux), DATA[:2])
    assert not [line for line in lines if "one example" in line], lines


def test_preflight_says_what_it_could_not_check():
    symbol, args, aux = _network()
    assert "no data was given" in str(mxq.preflight(symbol, (args, aux)))
    found = mxq.preflight(symbol, (args, aux), DATA)
    assert len(found.unchecked) == 1 and "no BatchNorm of the network remembers" in str(found)
    x = mx.sym.BatchNorm(mx.sym.var("data"), fix_gamma=False, name="bn")
    symbol, args, aux, _ = fill(head(conv(x, "conv0", 6), 3), {"data": (4, 3, 12, 12)})
    found = mxq.preflight(symbol, (args, aux), DATA[:2])
    assert "2 examples say little" in found.unchecked[0]
    assert not mxq.preflight(symbol, (args, aux), DATA).unchecked


def test_how_many_examples_there_are():
    assert total_of(mx.nd.zeros((5, 2))) == 5
    assert total_of({"a": np.zeros((4, 2)), "b": np.zeros(4)}) == 4
    assert total_of((np.zeros((3, 2)), np.zeros(3))) == 3
    assert total_of([(np.zeros((3, 2)), np.zeros(3)), (np.zeros((2, 2)), np.zeros(2))]) == 5
    assert total_of([(np.zeros((3, 2)),), object()]) is None
    assert total_of(mx.io.NDArrayIter(np.zeros((3, 2)))) is None


def test_lines_of_mxnet_are_left_out_and_others_are_not():
    code = (
        "import os; from mxq.network.host_noise import without_lines\n"
        "with without_lines('no(is|t)e'):\n"
        "    os.write(2, b'noise\\nkept\\nnote: gone\\n')\n"
        "os.write(2, b'note after')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=True)
    assert done.stderr == b"kept\nnote after"
    try:
        with without_lines("x"):
            raise KeyError("passes")
    except KeyError:
        pass


def test_old_symbol_files_load_without_a_word():
    symbol, args, aux = _network()
    with tempfile.TemporaryDirectory() as folder:
        path, _ = save_model(os.path.join(folder, "net"), symbol, args, aux)
        with open(path) as file:
            raw = json.load(file)
        raw["attrs"]["mxnet_version"] = ["int", 10300]
        with open(path, "w") as file:
            json.dump(raw, file)
        assert load_symbol(path).list_arguments() == symbol.list_arguments()
        code = f"import mxq.network.files as files; files.load_symbol({path!r})"
        done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=True)
        assert done.stderr == b"", done.stderr


def test_saving_names_what_was_written():
    _, args, aux = _network()
    logging.getLogger("mxq.network.files").setLevel(logging.INFO)
    try:
        with tempfile.TemporaryDirectory() as folder, _logged() as lines:
            prefix = os.path.join(folder, "net")
            save_model(prefix, None, args, aux)
            assert lines == [f"saved {prefix}-0000.params"]
    finally:
        logging.getLogger("mxq.network.files").setLevel(logging.NOTSET)
