"""Reading Gluon networks: shapes that wait for data, several inputs, nested outputs, blocks of every kind."""

import os
import tempfile

import mxnet as mx
import numpy as np
from mxnet.gluon import nn
from parameterized import parameterized

import mxq

from . import blocks
from .networks import batch, fill
from .refusals import refused
from .test_gluon import IMAGES, MODES


@parameterized.expand([("calibration data",), ("data_shapes",)])
def test_shapes_that_wait_for_data_are_found(source):
    net = blocks.initialized(blocks.classifier())
    if source == "data_shapes":
        block = mxq.quantize_net(net, calib_mode="none", data_shapes=[(1, 3, 12, 10)])
    else:
        block = mxq.quantize_net(net, IMAGES)
    x = mx.nd.array(IMAGES)
    assert blocks.sqnr(net(x).asnumpy(), block(x).asnumpy()) > 20


def test_a_generator_is_calibration_data_too_and_loses_nothing():
    parts = [IMAGES[i : i + 5] for i in range(0, 24, 5)]
    for net in (blocks.trained(), blocks.initialized(blocks.classifier())):
        block = mxq.quantize_net(net, (mx.nd.array(part) for part in parts), calib_mode="minmax")
        assert block.table.num_examples == 24
        assert block.table.range("data") == (float(IMAGES.min()), float(IMAGES.max()))


@parameterized.expand([("no label",), ("label",), ("iterator",)])
def test_loaders_with_and_without_labels(kind):
    labels = np.arange(len(IMAGES), dtype=np.float32)
    net = blocks.trained()
    expected = mxq.quantize_net(net, IMAGES, calib_mode="minmax").table.ranges
    if kind == "iterator":
        data = mx.io.NDArrayIter(IMAGES, labels, batch_size=7)
    else:
        dataset = mx.gluon.data.ArrayDataset(IMAGES, labels) if kind == "label" else mx.gluon.data.ArrayDataset(IMAGES)
        data = mx.gluon.data.DataLoader(dataset, 7)
    table = mxq.quantize_net(net, data, calib_mode="minmax").table
    assert table.ranges == expected and table.num_examples == len(IMAGES)


def _two_inputs():
    net = blocks.initialized(blocks.TwoInputs(prefix="two_"))
    x, y = blocks.images((6, 3, 8, 8)), blocks.images((6, 1, 8, 8), 1)
    return net, x, y


def test_several_inputs_and_nested_outputs():
    net, x, y = _two_inputs()
    block = mxq.quantize_net(net, (x, y))
    assert block.input_names == ("data0", "data1")
    outputs = block(mx.nd.array(x), mx.nd.array(y))
    logits, (a, (b, parts)) = net(mx.nd.array(x), mx.nd.array(y))
    expected = [logits, a, b, *parts]
    assert len(outputs) == len(expected) == 5  # left to right
    for have, want in zip(outputs, expected):
        assert have.shape == want.shape and blocks.sqnr(want.asnumpy(), have.asnumpy()) > 20
    before = [o.asnumpy() for o in outputs]
    for mode in MODES:
        block.hybridize(**mode)
        again = block(mx.nd.array(x), mx.nd.array(y))
        assert all(np.array_equal(p.asnumpy(), q) for p, q in zip(again, before))
    with tempfile.TemporaryDirectory() as folder:
        block.export(os.path.join(folder, "two"))
        loaded = mx.gluon.SymbolBlock.imports(
            os.path.join(folder, "two-symbol.json"), ["data0", "data1"], os.path.join(folder, "two-0000.params")
        )
        again = loaded(mx.nd.array(x), mx.nd.array(y))
        assert all(np.array_equal(p.asnumpy(), q) for p, q in zip(again, before))


def test_several_inputs_from_a_loader_with_labels():
    net, x, y = _two_inputs()
    loader = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(x, y, np.zeros(6, np.float32)), 2)
    block = mxq.quantize_net(net, loader, calib_mode="minmax")
    assert block.table.range("data1") == (float(y.min()), float(y.max()))


def test_an_optional_input_is_left_out():
    net = blocks.initialized(blocks.OptionalInput())
    block = mxq.quantize_net(net, IMAGES)
    assert block.input_names == ("data",)
    assert blocks.sqnr(net(mx.nd.array(IMAGES)).asnumpy(), block(mx.nd.array(IMAGES)).asnumpy()) > 25


def test_data_shapes_say_how_many_inputs_there_are():
    net = blocks.initialized(blocks.OptionalInput())
    block = mxq.quantize_net(net, calib_mode="none", data_shapes=[(2, 3, 8, 8), (1, 4, 1, 1)])
    assert block.input_names == ("data0", "data1")


def test_symbol_blocks_are_networks_too():
    left = mx.sym.var("left")
    heads = [mx.sym.Convolution(left, kernel=(3, 3), num_filter=4, name=name) for name in ("a", "b")]
    sym, args, aux, shapes = fill(mx.sym.Group(heads), {"left": (2, 3, 8, 8)})
    net = mx.gluon.SymbolBlock(sym, [mx.sym.var("left")])
    for name, parameter in net.collect_params().items():
        parameter.initialize(ctx=mx.cpu())
        parameter.set_data({**args, **aux}[name])
    data = batch(shapes)["left"]
    block = mxq.quantize_net(net, data)
    for have, want in zip(block(mx.nd.array(data)), net(mx.nd.array(data))):
        assert blocks.sqnr(want.asnumpy(), have.asnumpy()) > 25


def test_block_called_twice_shares_its_weight():
    class Twice(mx.gluon.HybridBlock):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.conv = nn.Conv2D(3, 3, padding=1, activation="relu")

        def hybrid_forward(self, F, x):
            return self.conv(self.conv(x))

    net = blocks.initialized(Twice())
    block = mxq.quantize_net(net, IMAGES)
    assert blocks.sqnr(net(mx.nd.array(IMAGES)).asnumpy(), block(mx.nd.array(IMAGES)).asnumpy()) > 20
    weights = [n for n in block.operators.params if n.endswith("weight_quantize")]
    assert len(weights) == 1


def test_networks_that_cannot_be_quantized_say_why():
    refused(lambda: mxq.quantize_net(blocks.classifier(), IMAGES), "initialize")
    refused(lambda: mxq.quantize_net(blocks.Shaped(), IMAGES), "cannot be traced")
    refused(lambda: mxq.quantize_net(nn.Sequential(), IMAGES), "Sequential", "HybridBlock")
    refused(lambda: mxq.quantize_net("resnet", IMAGES), "str")
    waiting = blocks.initialized(blocks.classifier())
    refused(lambda: mxq.quantize_net(waiting, calib_mode="none"), "data_shapes")
    refused(lambda: mxq.quantize_net(waiting, blocks.images((4, 12))), "(1, 12)")


def test_other_types_and_structures_arerefused():
    half = blocks.trained()
    half.cast("float16")
    refused(lambda: mxq.quantize_net(half, IMAGES), "float16", "cast")

    class ReturnsDict(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return {"x": F.relu(x)}

    refused(lambda: mxq.quantize_net(ReturnsDict(), IMAGES), "dict", "arrays")
    net = blocks.trained()
    refused(lambda: mxq.quantize_net(net, IMAGES.astype(complex)), "complex", error=mxq.CalibrationError)
    refused(lambda: mxq.quantize_net(net, IMAGES[:0]), "empty", error=mxq.CalibrationError)
    refused(lambda: mxq.quantize_net(net, [IMAGES, IMAGES[:, :, :5]]), "batch 1", error=mxq.CalibrationError)
    two, x, _ = _two_inputs()
    refused(lambda: mxq.quantize_net(two, x), "2 inputs", error=mxq.CalibrationError)
