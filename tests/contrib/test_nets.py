"""quantize_net and quantize_net_v2: MXNet's flow for Gluon networks."""

import ctypes
import os
import tempfile
import warnings

import mxnet as mx
import numpy as np
from mxnet.base import py_str
from mxnet.gluon.model_zoo import vision
from parameterized import parameterized

from mxq.contrib.quantization import CalibrationCollector, quantize_net, quantize_net_v2

from .. import blocks
from ..blocks import images, sqnr
from ..refusals import refused

IMAGES = images((12, 3, 12, 10))


def _loader(batch_size=4, labels=True):
    arrays = [IMAGES, np.arange(len(IMAGES), dtype=np.float32)] if labels else [IMAGES]
    return mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(*arrays), batch_size)


def _resnet():
    mx.random.seed(0)
    net = vision.get_resnet(1, 18, classes=10, thumbnail=True)
    net.initialize(mx.init.MSRAPrelu(slope=0.0))
    return net


@parameterized.expand([("int8",), ("uint8",), ("auto",)])
def test_resnet_with_and_without_calibration(dtype):
    net = _resnet()
    data = mx.nd.array(images((4, 3, 32, 32)))
    dataset = mx.gluon.data.ArrayDataset(data, mx.nd.zeros(4))
    loader = mx.gluon.data.DataLoader(dataset, batch_size=1)
    net(data)
    blocks.randomized(net)
    reference = net(data).asnumpy()
    shapes = [mx.io.DataDesc("data", (4, 3, 32, 32))]
    for options in (
        {"calib_mode": "none", "data_shapes": shapes},
        {"calib_mode": "naive", "calib_data": loader, "num_calib_examples": 3},
        {"calib_mode": "entropy", "calib_data": loader, "num_calib_examples": 3},
    ):
        block = quantize_net(net, quantized_dtype=dtype, exclude_layers=None, exclude_layers_match=[], ctx=mx.cpu(),
                             **options)  # fmt: skip
        plain = block(data).asnumpy()
        block.hybridize(static_alloc=True, static_shape=True)
        assert np.array_equal(block(data).asnumpy(), plain)
        assert sqnr(reference, plain) > (15 if options["calib_mode"] == "naive" else 5)
        assert block.report.count("float") == 0 or options["calib_mode"] == "none"


def test_arguments_reach_the_result():
    net = blocks.trained()
    block = quantize_net_v2(net, "int8", "smart", "channel-wise", ["classifier_conv0_fwd"], ["dense"], ["Pooling"],
                            _loader(), None, "naive", 8, mx.cpu(), None, None)  # fmt: skip
    rows = {row.node: row.precision for row in block.report}
    assert rows["classifier_conv0_fwd"] == rows["classifier_dense0_fwd"] == rows["classifier_pool0_fwd"] == "float"
    assert block.table.num_examples == 8 and block.table.mode == "minmax"
    assert sqnr(net(mx.nd.array(IMAGES)).asnumpy(), block(mx.nd.array(IMAGES)).asnumpy()) > 25


@parameterized.expand([("Convolution",), ("_sg_mkldnn_conv",), ("quantized_conv",)])
def test_operators_by_any_of_their_names(name):
    block = quantize_net(blocks.trained(), exclude_operators=[name], calib_data=_loader(), calib_mode="naive")
    assert all(row.precision == "float" for row in block.report if row.op == "Convolution")
    assert block.report.count("int8") > 0


def test_granularity():
    net = blocks.trained()
    scales = {}
    for granularity in ("tensor-wise", "channel-wise"):
        block = quantize_net_v2(net, quantize_granularity=granularity, calib_data=_loader(), calib_mode="naive")
        arrays = block.operators.params
        scales[granularity] = {n: len(np.unique(a)) for n, a in arrays.items() if n.endswith("weight_scale")}
    assert scales["tensor-wise"]["classifier_dense0_weight_scale"] == 1
    assert scales["channel-wise"]["classifier_dense0_weight_scale"] > 1
    assert scales["tensor-wise"]["classifier_conv0_weight_scale"] > 1


@parameterized.expand([(True,), (False,)])
def test_calibration_data_with_and_without_labels(labels):
    net = blocks.trained()
    loader = quantize_net(net, calib_data=_loader(labels=labels), calib_mode="naive")
    data = mx.io.NDArrayIter(IMAGES, np.zeros(12) if labels else None, batch_size=5)
    iterator = quantize_net(net, calib_data=data, calib_mode="naive")
    assert loader.table.ranges == iterator.table.ranges
    assert loader.table.num_examples == iterator.table.num_examples == 12


@parameterized.expand(
    [
        ([mx.io.DataDesc("data", (2, 3, 12, 10))],),
        ([("data", (2, 3, 12, 10))],),
        ([(2, 3, 12, 10)],),
        ((2, 3, 12, 10),),
    ]
)
def test_forms_of_data_shapes(shapes):
    net = blocks.initialized(blocks.classifier())
    block = quantize_net(net, data_shapes=shapes)
    x = mx.nd.array(IMAGES)
    assert sqnr(net(x).asnumpy(), block(x).asnumpy()) > 20


def test_several_inputs():
    net = blocks.initialized(blocks.TwoInputs(prefix="two_"))
    x, y = images((6, 3, 8, 8)), images((6, 1, 8, 8), 1)
    loader = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(x, y, np.zeros(6, np.float32)), 3)
    block = quantize_net_v2(net, calib_data=loader, calib_mode="naive", data_shapes=[(1, 3, 8, 8), (1, 1, 8, 8)])
    for have, want in zip(block(mx.nd.array(x), mx.nd.array(y)), [net(mx.nd.array(x), mx.nd.array(y))[0]]):
        assert sqnr(want.asnumpy(), have.asnumpy()) > 20


class Old:
    """As scripts for MXNet 1.9 have it: bytes, raw handles, clipped ranges."""

    def __init__(self, limit):
        self.min_max_dict, self.limit, self.names = {}, limit, set()

    def collect(self, name, arr):
        name = py_str(name)
        self.names.add(name)
        arr = mx.nd.NDArray(ctypes.cast(arr, mx.base.NDArrayHandle), writable=False).asnumpy()
        low, high = self.min_max_dict.get(name, (0.0, 0.0))
        self.min_max_dict[name] = max(min(low, arr.min()), -self.limit), min(max(high, arr.max()), self.limit)


class New(CalibrationCollector):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def collect(self, name, op_name, arr):
        self.calls += 1
        if name in self.include_layers:
            self.min_max_dict[name] = (-3.0, 3.0)

    def post_collect(self):
        self.min_max_dict = {name: (-2.0, 2.0) for name in self.min_max_dict}
        return self.min_max_dict


def test_own_collectors():
    net = blocks.trained()
    old = Old(1.5)
    block = quantize_net_v2(net, calib_data=_loader(), calib_mode="customize", LayerOutputCollector=old)
    assert block.table.mode == "customize" and block.table.num_examples == 12
    assert block.table.range("data") == (-1.5, 1.5)
    assert "classifier_conv0_fwd_output" in old.names  # nothing is fused
    new = New()
    block = quantize_net(net, calib_data=_loader(), calib_mode="custom", LayerOutputCollector=new)
    assert new.calls and set(block.table.ranges.values()) == {(-2.0, 2.0)}
    x = mx.nd.array(IMAGES)
    assert sqnr(net(x).asnumpy(), block(x).asnumpy()) > 3  # clipped at 2, but working


def test_collectors_and_modes_that_do_not_go_together():
    net = blocks.trained()
    refused(lambda: quantize_net_v2(net, calib_data=_loader(), calib_mode="customize"), "LayerOutputCollector")
    refused(
        lambda: quantize_net_v2(net, calib_data=_loader(), calib_mode="custom", LayerOutputCollector=print), "collect"
    )
    block = quantize_net_v2(net, calib_data=_loader(), calib_mode="naive", LayerOutputCollector=Old(1.0))
    assert block.table.range("data") == (float(IMAGES.min()), float(IMAGES.max()))  # as MXNet: not used, but said


def test_spellings_of_mxnet_2_0():
    net = blocks.trained()
    block = quantize_net(net, calib_data=_loader(5), calib_mode="naive", device=mx.cpu(), num_calib_batches=2)
    assert block.table.num_examples == 10
    data = mx.io.NDArrayIter(IMAGES, batch_size=5)
    assert quantize_net(net, calib_data=data, calib_mode="naive", num_calib_batches=2).table == block.table


def test_what_is_refused():
    net = blocks.trained()
    for options, parts in (
        ({"calib_mode": "naive"}, ["calib_data"]),
        ({}, ["data_shapes"]),
        ({"calib_mode": "kl", "calib_data": _loader()}, ["kl"]),
        ({"ctx": [mx.cpu(0), mx.cpu(1)], "data_shapes": [(1, 3, 12, 10)]}, ["single ctx"]),
        ({"quantized_dtype": "int16", "data_shapes": [(1, 3, 12, 10)]}, ["int16"]),
        ({"quantize_mode": "all", "data_shapes": [(1, 3, 12, 10)]}, ["all"]),
        ({"exclude_layers": "classifier_conv0_fwd", "data_shapes": [(1, 3, 12, 10)]}, ["exclude_layers", "list"]),
        ({"exclude_operators": ["_sg_mkldnn_selfatt"], "data_shapes": [(1, 3, 12, 10)]}, ["_sg_mkldnn_selfatt"]),
        ({"calib_mode": "naive", "calib_data": []}, ["empty"]),
        ({"calib_mode": "naive", "calib_data": [IMAGES[:, :2]]}, ["2"]),
    ):
        refused(lambda o=options: quantize_net(net, **o), *parts)


def test_result_is_exported_and_imported():
    block = quantize_net(blocks.trained(), calib_data=_loader(), calib_mode="entropy")
    x = mx.nd.array(IMAGES)
    expected = block(x).asnumpy()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MXNet on the open type of the data
        block.hybridize()
        block(x)
        block.export(os.path.join(folder, "net"))
        loaded = mx.gluon.SymbolBlock.imports(
            os.path.join(folder, "net-symbol.json"), ["data"], os.path.join(folder, "net-0000.params")
        )
    assert np.array_equal(loaded(x).asnumpy(), expected)
