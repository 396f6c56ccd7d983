"""Symbols that MXNet has fused are taken apart into what they were."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.contrib.quantization import quantize_model
from mxq.errors import GraphError
from mxq.network.fused import inner_names, unfuse

from ..blocks import sqnr
from ..networks import NETWORKS, batch, forward
from ..refusals import refused

#: MXNet 1.9.1's fusion changes what these compute: x + f(x), and outputs in the middle.
BROKEN = ("preactivation", "middle_output")


@parameterized.expand([(name,) for name in NETWORKS if name not in BROKEN])
def test_unfused_computes_what_the_network_did(name):
    sym, args, aux, shapes = NETWORKS[name]()
    fused = sym.get_backend_symbol("MKLDNN_QUANTIZE")
    found = unfuse(fused)
    assert not inner_names(found)
    assert set(found.list_arguments()) <= set(sym.list_arguments())
    data = batch(shapes)
    for p, q in zip(forward((sym, args, aux), data), forward((found, args, aux), data)):
        assert np.array_equal(p, q)
    model = quantize_model(fused, args, aux, list(shapes), calib_data=data, calib_mode="naive", quantized_dtype="auto")
    for p, q in zip(forward((sym, args, aux), data), forward(model, data)):
        assert sqnr(p, q) > 20


def test_inner_names_end_with_the_one_that_gives_the_output():
    sym, *_ = NETWORKS["residual"]()
    names = inner_names(sym.get_backend_symbol("MKLDNN_QUANTIZE"))
    assert ["conv0", "bn0", "relu0"] in names.values()
    assert ["a_conv2", "a_bn2", "a_add", "a_relu2"] in names.values()


def test_a_float_symbol_comes_back_itself():
    sym, *_ = NETWORKS["plain"]()
    assert unfuse(sym) is sym and not inner_names(sym)


def test_a_connection_that_mxnet_lost_is_refused():
    sym, *_ = NETWORKS["preactivation"]()
    refused(lambda: unfuse(sym.get_backend_symbol("MKLDNN_QUANTIZE")), "before", "get_backend_symbol", error=GraphError)


def test_fused_nodes_that_share_a_value():
    x = mx.sym.Convolution(mx.sym.var("data"), num_filter=4, kernel=(1, 1), name="a")
    x = mx.sym.Activation(x, act_type="relu", name="r")
    b = mx.sym.Convolution(x, num_filter=4, kernel=(1, 1), name="b")
    c = mx.sym.Convolution(x, num_filter=4, kernel=(1, 1), name="c")
    sym = b + c
    found = unfuse(sym.get_backend_symbol("MKLDNN_QUANTIZE"))
    assert sorted(found.list_arguments()) == sorted(sym.list_arguments())
    assert found.list_outputs() == sym.list_outputs()
