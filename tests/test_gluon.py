"""quantize_net: one answer in every way a Gluon network runs, and the caller's network left alone."""

import json
import os
import subprocess
import sys
import tempfile

import mxnet as mx
import numpy as np
from mxnet.gluon import nn
from parameterized import parameterized

import mxq

from . import blocks
from .networks import forward
from .realdata import REPO
from .refusals import refused

MODES = [
    {},
    {"static_alloc": True},
    {"static_alloc": True, "static_shape": True},
]
IMAGES = blocks.images((24, 3, 12, 10))


def _quantized(net=None, **options):
    return mxq.quantize_net(blocks.trained() if net is None else net, IMAGES, **options)


def test_result_is_close_to_float_and_truly_int8():
    net = blocks.trained()
    block = _quantized(net)
    data = mx.nd.array(IMAGES)
    assert isinstance(block, mx.gluon.SymbolBlock)
    assert blocks.sqnr(net(data).asnumpy(), block(data).asnumpy()) > 25
    dtypes = {name: array.dtype.name for name, array in block.operators.params.items()}
    assert all(dtype == "int8" for name, dtype in dtypes.items() if name.endswith("weight_quantize"))
    assert all(dtype == "int32" for name, dtype in dtypes.items() if name.endswith("bias_quantize"))
    assert {"int8", "int32", "float32"} == set(dtypes.values())
    assert block.report.count("float") == 0 and block.report.count("int8") >= 8
    assert isinstance(block.table, mxq.CalibTable) and block.table.num_examples == len(IMAGES)


def test_every_way_to_run_gives_the_same_numbers():
    block = _quantized()
    inputs = [blocks.images(shape, i) for i, shape in enumerate([(4, 3, 12, 10), (1, 3, 12, 10), (3, 3, 17, 9)])]
    expected = [block(mx.nd.array(x)).asnumpy() for x in inputs]
    model = (block.symbol, *_params_of(block))
    for x, y in zip(inputs, expected):
        assert np.array_equal(forward(model, {"data": x})[0], y)
    for mode in MODES:
        block.hybridize(**mode)
        for _ in range(2):  # shapes come back after others
            for x, y in zip(inputs, expected):
                assert np.array_equal(block(mx.nd.array(x)).asnumpy(), y), mode


def _params_of(block):
    arrays = {name: p.data() for name, p in block.collect_params().items()}
    auxiliary = block.symbol.list_auxiliary_states()
    return (
        {name: array for name, array in arrays.items() if name not in auxiliary},
        {name: array for name, array in arrays.items() if name in auxiliary},
    )


def test_export_save_and_load_keep_the_numbers():
    block = _quantized()
    x = mx.nd.array(IMAGES[:5])
    expected = block(x).asnumpy()
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "net")
        block.export(prefix, epoch=3)
        imported = mx.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["data"], f"{prefix}-0003.params")
        assert np.array_equal(imported(x).asnumpy(), expected)
        imported.hybridize(static_alloc=True, static_shape=True)
        imported(x)
        imported.export(os.path.join(folder, "again"))  # MXNet's own export
        sym, args, aux = mx.model.load_checkpoint(os.path.join(folder, "again"), 0)
        assert np.array_equal(forward((sym, args, aux), {"data": IMAGES[:5]})[0], expected)

        block.save_parameters(os.path.join(folder, "net.params"))
        empty = mx.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["data"])
        empty.load_parameters(os.path.join(folder, "net.params"))
        assert np.array_equal(empty(x).asnumpy(), expected)

        sym, args, aux = mx.model.load_checkpoint(prefix, 3)
        module = mx.mod.Module(sym, label_names=None)
        module.bind([("data", x.shape)], for_training=False)
        module.set_params(args, aux)
        module.forward(mx.io.DataBatch([x]), is_train=False)
        assert np.array_equal(module.get_outputs()[0].asnumpy(), expected)


def test_export_without_a_forward_has_all_parameters_and_changed_ones():
    block = _quantized()
    (name,) = block.collect_params()
    changed = block.collect_params()[name].data() + 7
    block.collect_params()[name].set_data(changed)
    with tempfile.TemporaryDirectory() as folder:
        block.export(os.path.join(folder, "net"))
        sym, args, aux = mx.model.load_checkpoint(os.path.join(folder, "net"), 0)
        assert set(args) | set(aux) == set(block.collect_params())
        assert args[name].dtype == np.int8 and np.array_equal(args[name].asnumpy(), changed.asnumpy())


def test_runs_in_a_new_process_that_imports_mxq():
    block = _quantized()
    code = """
import sys
import mxnet as mx, numpy as np
import mxq
folder = sys.argv[1]
x = mx.nd.array(np.load(folder + "/x.npy"))
net = mx.gluon.SymbolBlock.imports(folder + "/net-symbol.json", ["data"], folder + "/net-0000.params")
results = [net(x)]
for mode in ({}, {"static_alloc": True}, {"static_alloc": True, "static_shape": True}):
    net.hybridize(**mode)
    results += [net(x), net(x)]
np.save(folder + "/y.npy", np.stack([r.asnumpy() for r in results]))
"""
    with tempfile.TemporaryDirectory() as folder:
        block.export(os.path.join(folder, "net"))
        np.save(os.path.join(folder, "x.npy"), IMAGES[:3])
        environment = dict(os.environ, PYTHONPATH=REPO)
        command = [sys.executable, "-c", code, folder]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, timeout=900)
        assert done.returncode == 0, done.stderr.decode()
        found = np.load(os.path.join(folder, "y.npy"))
    expected = block(mx.nd.array(IMAGES[:3])).asnumpy()
    assert len(found) == 7 and all(np.array_equal(y, expected) for y in found)


def test_int8_network_without_mxq_says_so():
    block = _quantized()
    code = "import sys, mxnet as mx\nmx.gluon.SymbolBlock.imports(sys.argv[1], ['data'])"
    with tempfile.TemporaryDirectory() as folder:
        block.export(os.path.join(folder, "net"))
        path = os.path.join(folder, "net-symbol.json")
        done = subprocess.run([sys.executable, "-c", code, path], stderr=subprocess.PIPE, timeout=900, cwd=folder)
    assert done.returncode == 1  # MXNet's own error, no crash
    assert "mxq_" in done.stderr.decode()


@parameterized.expand([(False, {}), *[(True, mode) for mode in MODES]])
def test_the_network_of_the_caller_stays_as_it_is(hybridized, mode):
    net = blocks.trained()
    if hybridized:
        net.hybridize(**mode)
    x = mx.nd.array(IMAGES[:4])
    before = net(x).asnumpy()
    names = list(net.collect_params())
    arrays = {n: p.data().asnumpy() for n, p in net.collect_params().items()}
    gradients = {n: p.grad_req for n, p in net.collect_params().items()}
    active = [child._active for child in net._children.values()]
    block = mxq.quantize_net(net, IMAGES, exclude_operators=["Pooling"])
    block(x)
    assert list(net.collect_params()) == names
    assert {n: p.grad_req for n, p in net.collect_params().items()} == gradients
    assert all(np.array_equal(p.data().asnumpy(), arrays[n]) for n, p in net.collect_params().items())
    assert net._active == hybridized and [child._active for child in net._children.values()] == active
    assert np.array_equal(net(x).asnumpy(), before)
    with mx.autograd.record():  # it still trains
        net(x).sum().backward()
    assert any(p.grad().asnumpy().any() for p in net.collect_params().values() if p.grad_req != "null")


def test_quantizing_twice_gives_the_same_names_and_numbers():
    net = blocks.trained()
    first, second = _quantized(net), _quantized(net)
    assert first.symbol.tojson() == second.symbol.tojson()
    assert mx.sym.Activation(mx.sym.var("x"), act_type="relu").name.startswith("activation")
    x = mx.nd.array(IMAGES[:2])
    assert np.array_equal(first(x).asnumpy(), second(x).asnumpy())


def test_node_names_are_those_of_net_export():
    net = blocks.trained()
    net.hybridize()
    net(mx.nd.array(IMAGES[:1]))
    with tempfile.TemporaryDirectory() as folder:
        net.export(os.path.join(folder, "float"))
        exported = mx.sym.load(os.path.join(folder, "float-symbol.json"))
    names = [n["name"] for n in json.loads(exported.tojson())["nodes"] if n["op"] != "null"]
    assert [row.node for row in _quantized(net).report] == names


def test_raw_pixels_with_normalization_inside():
    net = blocks.trained()
    pixels = np.random.RandomState(3).randint(0, 256, (16, 3, 12, 10)).astype(np.uint8)
    mean, std = (120.0, 110.0, 100.0), (60.0, 50.0, 55.0)
    block = mxq.quantize_net(net, pixels, mean=mean, std=std, input_dtype="uint8")
    normal = (pixels - np.float32(mean).reshape(3, 1, 1)) / np.float32(std).reshape(3, 1, 1)
    want = net(mx.nd.array(normal)).asnumpy()
    have = block(mx.nd.array(pixels, dtype="uint8")).asnumpy()
    assert blocks.sqnr(want, have) > 25
    block.hybridize(static_alloc=True, static_shape=True)
    assert np.array_equal(block(mx.nd.array(pixels, dtype="uint8")).asnumpy(), have)


@parameterized.expand(
    [
        ("exclude_layers", ["classifier_conv0_fwd"]),
        ("exclude_layers_match", ["conv0", "dense"]),
        ("exclude_operators", ["Convolution"]),
    ]
)
def test_exclusions_stay_float_with_their_parameters(argument, value):
    net = blocks.trained()
    given = list(value)
    block = _quantized(net, **{argument: given})
    assert given == value
    rows = {row.node: row for row in block.report}
    assert rows["classifier_conv0_fwd"].precision == "float"
    assert "excluded" in rows["classifier_conv0_fwd"].reason
    assert "classifier_conv0_weight" in block.collect_params()
    assert rows["classifier_dense0_fwd"].precision == ("int8" if argument != "exclude_layers_match" else "float")
    x = mx.nd.array(IMAGES)
    assert blocks.sqnr(net(x).asnumpy(), block(x).asnumpy()) > 25


def test_nothing_quantizable_comes_back_with_the_same_numbers():
    net = nn.HybridLambda("softmax")
    block = mxq.quantize_net(net, blocks.images((4, 7)))
    x = mx.nd.array(blocks.images((4, 7)))
    assert block.report.count("int8") == 0
    assert np.array_equal(block(x).asnumpy(), net(x).asnumpy())


# -- what is refused -------------------------------------------------------------------------------------------------


def test_exclusions_that_match_nothing_are_refused_with_the_nearest_name():
    net = blocks.trained()
    for argument, value, hint in (
        ("exclude_layers", "classifier_conv0_fw", "classifier_conv0_fwd"),
        ("exclude_layers_match", "classifier_conv0_fwdd", "classifier_conv0_fwd"),
        ("exclude_operators", "Convolutoin", "Convolution"),
    ):
        refused(lambda a=argument, v=value: _quantized(net, **{a: [v]}), argument, value, hint)
        refused(lambda a=argument, v=value: _quantized(net, **{a: v}), argument, "list")
        refused(lambda a=argument: _quantized(net, **{a: [3]}), argument, "3")


def test_a_saved_table_gives_the_same_network_and_a_wrong_one_isrefused():
    net = blocks.trained()
    block = _quantized(net)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table.json")
        block.table.save(path)
        x = mx.nd.array(IMAGES)
        again = _quantized(net, calib_table=path)
        assert again.symbol.tojson() == block.symbol.tojson()
        assert np.array_equal(again(x).asnumpy(), block(x).asnumpy())
        # Without data weights are rounded to nearest, and the table alone decides everything else.
        nearest = mxq.quantize_net(net, calib_table=path)
        assert nearest.symbol.tojson() == _quantized(net, calib_table=path, weight_rounding="nearest").symbol.tojson()
        other = blocks.trained(classes=6)
        refused(lambda: mxq.quantize_net(other, calib_table=path), "another network", error=mxq.CalibrationError)


def test_bad_options_and_data_say_what_is_accepted():
    net = blocks.trained()
    refused(lambda: _quantized(net, calib_mod="mse"), "calib_mod", "calib_mode")
    refused(lambda: _quantized(net, data_names=["x"]), "data_names")
    refused(lambda: _quantized(net, calib_mode="kl"), "kl", "entropy")
    refused(lambda: mxq.quantize_net(net), "calib_data")
    refused(lambda: mxq.quantize_net(net, []), "empty", error=mxq.CalibrationError)
    refused(lambda: mxq.quantize_net(net, np.full((4, 3, 12, 10), np.nan, "float32")), "nan", error=ValueError)
    refused(lambda: mxq.quantize_net(net, blocks.images((4, 5, 12, 10))), "5", error=mxq.MXQError)
    for shapes in ("(1, 3, 8, 8)", [], [("x",)], {"image": (1, 3, 8, 8)}, 7):
        refused(lambda s=shapes: mxq.quantize_net(net, IMAGES, data_shapes=s), "data_shapes")


def _dense():
    net = nn.HybridSequential()
    net.add(nn.Dense(2))
    net.initialize()
    return net


def test_a_misspelt_option_names_the_nearest():
    refused(
        lambda: mxq.quantize_net(_dense(), np.ones((2, 3), np.float32), exclude_layer=["fc"]),
        "'exclude_layer'",
        "exclude_layers",
    )
    refused(
        lambda: mxq.quantize_net(_dense(), np.ones((2, 3), np.float32), calibmode="mse"), "'calibmode'", "calib_mode"
    )
