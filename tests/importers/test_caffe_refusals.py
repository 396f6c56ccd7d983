"""Caffe files that are refused, with what the error says."""

import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq

from ..refusals import refused
from .caffe_files import BLOBS, GOOD, caffemodel, floats, head, layer, write

POOL = head(1, 3, 8, 8) + 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param '


@parameterized.expand(
    [
        ("unknown_layer", GOOD.replace('"Convolution"', '"Convolutoin"'), {}, ["'conv'", "nearest: Convolution"]),
        ("unknown_field", GOOD.replace("kernel_size", "kernel_sise"), {}, ["'kernel_sise'", "line", "kernel_size"]),
        ("unknown_param", GOOD + layer("ReLU", "r", "conv", "quirk_param { a: 1 }"), {}, ["'r'", "quirk_param"]),
        ("unread", GOOD.replace('bottom: "data"', 'bottom: "dato"'), {}, ["'conv'", "reads 'dato'"]),
        ("no_weights", GOOD, {"other": [floats(1, 2)]}, ["'conv'", "0 arrays", "needs 1"]),
        ("wrong_weights", GOOD, {"conv": [floats(1, 2, 3, 4)]}, ["(2, 3, 4)", "needs (2, 3, 3, 3)"]),
        ("no_shape", GOOD.replace("dim: 8", "dim: 0"), {}, ["'data'", "(1, 3, 0, 0)", "data_shapes"]),
        ("huge", GOOD.replace("dim: 8", "dim: 900000"), {}, ["'conv'", "at most"]),
        ("no_text", "layer { name: 'a' ", {}, ["line 1", "the end of the file", "'}'"]),
        ("no_number", GOOD.replace("num_output: 2", "num_output: two"), {}, ["num_output", "'two'", "int"]),
        ("pool", POOL + "{ pool: STOCHASTIC kernel_size: 2 } }", {}, ["'p'", "STOCHASTIC", "MAX and AVE"]),
        ("empty_window", POOL + "{ kernel_size: 1 stride: 2 } }", {}, ["behind an image of 8", "kernel 1, stride 2"]),
        ("written_twice", GOOD + layer("ReLU", "r", "data", tops="conv"), {}, ["'r'", "'conv'", "another layer wrote"]),
        ("rule", GOOD + layer("ReLU", "r", "conv", "include { quirk: 1 }"), {}, ["rule", "'quirk'", "min_level"]),
        ("batch_statistics", GOOD + layer("BatchNorm", "b", "conv", "batch_norm_param { use_global_stats: false }"), {},
         ["'b'", "use_global_stats: false"]),
        ("window", POOL + "{ kernel_size: 9 } }", {}, ["window of 9"]),
    ]
)  # fmt: skip
def test_refusals(_name, text, blobs, parts):
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, text, blobs or BLOBS)
        refused(lambda: mxq.load(path), *parts, error=mxq.MXQError)


def test_cut_and_missing_files():
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, GOOD, BLOBS)
        whole = caffemodel(BLOBS)
        for size in (1, 20, len(whole) // 2, len(whole) - 1):
            with open(path, "wb") as file:
                file.write(whole[:size])
            refused(lambda: mxq.load(path), "net.caffemodel", error=mxq.MXQError)
        refused(lambda: mxq.load(folder), "is a folder", error=mxq.MXQError)
        refused(lambda: mxq.load(path, prototxt=folder + "/none.prototxt"), "none.prototxt", error=FileNotFoundError)
        with open(path, "wb") as file:
            file.write(b"PK\x03\x04 something else")
        refused(lambda: mxq.load(path), "net.caffemodel", error=mxq.MXQError)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30), st.booleans())
def test_damaged_files_are_refused_or_read(seed, of_text):
    """Never a crash, a hang or another error."""
    random = np.random.RandomState(seed)
    model, text = bytearray(caffemodel(BLOBS)), bytearray(GOOD.encode())
    damaged = text if of_text else model
    for _ in range(random.randint(1, 6)):
        at = random.randint(len(damaged))
        if random.rand() < 0.3:
            del damaged[at : at + random.randint(1, 30)]
        elif random.rand() < 0.3:
            damaged[at:at] = bytes(random.randint(0, 256, random.randint(1, 8)).tolist())
        else:
            damaged[at] = random.randint(256)
        if not damaged:
            damaged += b"x"
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, "", BLOBS)
        with open(path, "wb") as file:
            file.write(bytes(model))
        with open(path.replace("caffemodel", "prototxt"), "wb") as file:
            file.write(bytes(text))
        try:
            mxq.load(path)
        except mxq.MXQError:
            pass
