"""What owners of networks get wrong, or leave to mxq, is told or found: by the names that they know."""

import logging
import os
import tempfile

import mxnet as mx
import numpy as np

import mxq
from mxq.contrib import quantization
from mxq.errors import GraphError
from mxq.network.files import save_model

from .blocks import OptionalInput, images, initialized, sqnr
from .networks import NETWORKS, batch, bn, conv, fill, forward, head, relu
from .refusals import refused

SYM, ARGS, AUX, SHAPES = NETWORKS["residual"]()
DATA = batch(SHAPES)["data"]


class Logged(logging.Handler):
    """The messages of mxq inside the block."""

    def __enter__(self):
        self.messages = []
        logging.getLogger("mxq").addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger("mxq").removeHandler(self)

    def emit(self, record):
        self.messages.append(record.getMessage())

    def about(self, part: str) -> list:
        return [text for text in self.messages if part in text]


def test_a_network_that_mxnet_has_fused_is_taken_apart():
    sym, args, aux, shapes = NETWORKS["plain"]()
    data = batch(shapes)["data"]
    fused = sym.get_backend_symbol("MKLDNN_QUANTIZE")
    model = mxq.quantize_model(fused, (args, aux), data)
    assert np.array_equal(
        forward(model, {"data": data})[0], forward(mxq.quantize_model(sym, (args, aux), data), {"data": data})[0]
    )


def test_a_network_that_is_int8_already_is_refused_by_name():
    model = mxq.quantize_model(SYM, (ARGS, AUX), DATA, regions=False)
    refused(
        lambda: mxq.quantize_model(*model[:1], model[1:], DATA), "quantized already, by mxq", "float", error=GraphError
    )
    theirs = mx.contrib.quantization.quantize_model_mkldnn(SYM, ARGS, AUX, calib_mode="none", label_names=None)
    refused(
        lambda: mxq.quantize_model(theirs[0], theirs[1:], DATA), "_contrib_quantize_v2", "quantized already, by MXNet"
    )
    refused(lambda: quantization.quantize_model(*theirs, calib_mode="none"), "quantized already, by MXNet")
    block = mxq.quantize_net(initialized(mx.gluon.nn.Conv2D(4, 3, in_channels=3)), images((2, 3, 6, 6)))
    refused(lambda: mxq.quantize_net(block, images((2, 3, 6, 6))), "quantized already, by mxq")


def test_excluded_batchnorms_say_which_layers_stay_float_with_them():
    with Logged() as log:
        model = mxq.quantize_model(SYM, (ARGS, AUX), DATA, excluded_op_names=["BatchNorm"])
    (told,) = log.about("stay float, too")
    assert told.startswith("6 Convolution (conv0, a_conv1, a_conv2, ...)"), told
    assert {row.node: row.precision for row in model.report}["conv0"] == "float"
    with Logged() as log:
        mxq.quantize_model(SYM, (ARGS, AUX), DATA, excluded_op_names=["BatchNorm", "Convolution"])
        mxq.quantize_model(SYM, (ARGS, AUX), DATA, excluded_sym_names=["fc"])
    assert not log.about("stay float, too")


def test_a_batchnorm_that_folds_into_the_last_layer_is_folded_in_the_report():
    x = mx.sym.FullyConnected(relu(conv(mx.sym.var("data"), "conv0", 6), "relu0"), num_hidden=5, name="fc")
    sym, args, aux, shapes = fill(bn(x, "last"), {"data": (2, 3, 9, 9)})
    report = mxq.quantize_model(sym, (args, aux), batch(shapes)["data"]).report
    row = {row.node: row for row in report}["last"]
    assert (row.op, row.precision, row.reason) == ("BatchNorm", "folded", "folded into 'fc'")


def test_a_normalization_inside_the_network_names_input_dtype():
    x = (mx.sym.var("data") - 127.5) * 0.0078125
    sym, args, aux, shapes = fill(head(relu(conv(x, "conv0", 6), "relu0")), {"data": (4, 3, 9, 9)})
    pixels = np.random.RandomState(0).randint(0, 256, shapes["data"]).astype(np.uint8)
    report = mxq.quantize_model(sym, (args, aux), pixels.astype(np.float32)).report
    first = next(iter(report))
    assert first.precision == "float" and "input_dtype='uint8'" in first.reason, first
    report = mxq.quantize_model(sym, (args, aux), pixels, input_dtype="uint8").report
    assert next(iter(report)).precision == "int8"


def test_channels_at_the_wrong_end_are_named():
    turned = np.ascontiguousarray(DATA.transpose(0, 2, 3, 1))
    parts = "are the channels last (NHWC)?", "(2, 3, 9, 9) fits", "transpose(0, 3, 1, 2)"
    refused(lambda: mxq.quantize_model(SYM, (ARGS, AUX), turned), *parts)
    refused(lambda: mxq.preflight(SYM, (ARGS, AUX), turned), *parts)
    try:
        mxq.quantize_model(SYM, (ARGS, AUX), np.zeros((2, 5, 9, 9), np.float32))
    except GraphError as error:
        assert "channels" not in str(error), error


def test_grey_images_and_single_ones_are_named():
    grey = np.ascontiguousarray(DATA[:, :1])
    asked = "are the images grey, for a network that takes color?", "(2, 3, 9, 9) fits"
    refused(lambda: mxq.quantize_model(SYM, (ARGS, AUX), grey), *asked, "np.repeat(data, 3, axis=1)")
    refused(lambda: mxq.quantize_model(SYM, (ARGS, AUX), grey[:, 0]), *asked, "np.repeat(data[:, None], 3, axis=1)")
    asked = "is it one image, without the axis of examples?", "(1, 3, 9, 9) fits: data[None]"
    refused(lambda: mxq.quantize_model(SYM, (ARGS, AUX), [DATA[0]]), *asked)
    asked = "is it one image, with its channels last (HWC)?", "(1, 3, 9, 9) fits: data.transpose(2, 0, 1)[None]"
    refused(lambda: mxq.quantize_model(SYM, (ARGS, AUX), [DATA[0].transpose(1, 2, 0)]), *asked)
    sym, args, aux, _ = fill(head(relu(conv(mx.sym.var("data"), "conv0", 4), "relu0")), {"data": (2, 1, 9, 9)})
    refused(
        lambda: mxq.quantize_model(sym, (args, aux), grey[:, 0]), "is the axis of channels missing?", "(2, 1, 9, 9)"
    )


def test_parameters_in_the_place_of_data_are_named():
    """``quantize_model(*mx.model.load_checkpoint(prefix, 0), data)``, as MXNet's own function takes them."""
    together = "params=(arg_params, aux_params)"
    refused(lambda: mxq.quantize_model(SYM, ARGS, AUX, DATA), "sym, params, calib_data by position, 4", together)
    refused(lambda: mxq.quantize_model(SYM, ARGS, dict(ARGS)), "calib_data is a dict of parameters (", together)
    refused(lambda: mxq.quantize_model(SYM, ARGS, AUX), "calib_data is a dict of parameters (", together)
    refused(lambda: mxq.quantize_model(SYM, (ARGS, AUX), {}), "calib_data is an empty dict", together)
    refused(lambda: mxq.quantize_net(1, 2, 3, 4, 5, 6, 7, 8), "by position, 8 arguments were given")


def test_a_prefix_that_is_no_name_is_refused():
    model = mxq.quantize_model(SYM, (ARGS, AUX), DATA)
    with tempfile.TemporaryDirectory() as folder:
        for prefix in ("", folder + "/"):
            refused(lambda prefix=prefix: model.save(prefix), "a prefix ends in a name")
        assert not os.listdir(folder)


def test_a_prefix_stands_for_both_files():
    wanted = forward(mxq.quantize_model(SYM, (ARGS, AUX), DATA), {"data": DATA})[0]
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "net[1]")
        save_model(prefix, SYM, ARGS, AUX, epoch=7)
        for given in ((prefix,), (prefix, prefix), (f"{prefix}-symbol.json",), (f"{prefix}-symbol.json", prefix)):
            model = mxq.quantize_model(*given, calib_data=DATA)
            assert np.array_equal(forward(model, {"data": DATA})[0], wanted), given
        assert not [f for f in mxq.preflight(prefix, data=DATA) if f.severity == "error"]
        save_model(prefix, None, ARGS, AUX, epoch=8)
        refused(lambda: mxq.quantize_model(prefix, calib_data=DATA), "net[1]-0007.params", "net[1]-0008.params")
        refused(lambda: mxq.quantize_model(prefix + "x", calib_data=DATA), "cannot read", "net[1]x")
    refused(lambda: mxq.quantize_model(SYM, calib_data=DATA), "params is a NoneType")


def test_an_int8_classifier_needs_no_label():
    sym, args, aux, shapes = NETWORKS["plain"]()
    data = batch(shapes)["data"]
    # What ranges cost is measured at the probabilities, and with a head that trains in front of it.
    options = {"range_headroom": 0, "precision_budget": 0}
    model = mxq.quantize_model(sym, (args, aux), data, **options)
    assert "softmax_label" not in model.symbol.list_arguments()
    assert model.symbol.list_outputs() == ["softmax_output"]
    assert sqnr(forward((sym, args, aux), {"data": data})[0], forward(model, {"data": data})[0]) > 25
    with tempfile.TemporaryDirectory() as folder:
        model.save(os.path.join(folder, "net"))
        paths = [os.path.join(folder, f"net{ending}") for ending in ("-symbol.json", "-0000.params")]
        block = mx.gluon.SymbolBlock.imports(paths[0], ["data"], paths[1])
        assert np.array_equal(block(mx.nd.array(data)).asnumpy(), forward(model, {"data": data})[0])
    kept = mxq.quantize_model(sym, (args, aux), data, keep_labels=True, **options)
    assert "softmax_label" in kept.symbol.list_arguments()
    module = mx.mod.Module(kept.symbol)
    module.bind([("data", shapes["data"])], [("softmax_label", shapes["data"][:1])], for_training=False)
    module.set_params(kept.arg_params, kept.aux_params)
    module.forward(mx.io.DataBatch([mx.nd.array(data)], []), is_train=False)
    assert sqnr(forward(model, {"data": data})[0], module.get_outputs()[0].asnumpy()) > 60  # two softmax kernels


def test_an_optional_input_that_is_left_out_is_named():
    net = initialized(OptionalInput())
    with Logged() as log:
        mxq.quantize_net(net, images((2, 3, 8, 8)))
    (told,) = log.about("can be left out")
    assert told.startswith("'scale' of the network's forward") and "takes 1 input;" in told
    with Logged() as log:
        mxq.quantize_net(net, [(images((2, 3, 8, 8)), images((2, 4, 1, 1)))], data_shapes=[(2, 3, 8, 8), (2, 4, 1, 1)])
    assert not log.about("can be left out")


def test_what_is_good_to_know_of_many_tensors_is_one_line():
    x = mx.sym.var("data")
    for i in range(6):
        x = relu(conv(x, f"conv{i}", 8), f"relu{i}")
    sym, args, aux, shapes = fill(x, {"data": (4, 3, 6, 6)})
    for i in range(6):
        args[f"conv{i}_bias"][:2] = -1e3  # two channels that are never active
    findings = mxq.preflight(sym, (args, aux), batch(shapes)["data"])
    dead = [finding for finding in findings if finding.check == "dead"]
    assert len(dead) == 5, findings
    lines = [line for line in str(findings).splitlines() if "never active" in line]
    assert len(lines) == 1 and "and 4 more like this: relu1, relu2, relu3, relu4)" in lines[0], findings
