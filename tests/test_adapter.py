"""How MXNet calls the operators: every way to run a symbol agrees, state is shared safely, errors stay errors."""

import threading

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.arithmetic.qmath import quantize as quantize_array
from mxq.arithmetic.qmath import range_to_qparams
from mxq.native import library as native

from .ops.calling import call, error_of, nd
from .reference.dequantize import dequantize
from .reference.lut import lut
from .reference.quantize_v2 import quantize_v2

RANGE = dict(min_calib_range=-2.0, max_calib_range=3.0)
TABLE = np.random.RandomState(0).permutation(256).astype(np.uint8).view(np.int8)


def symbol(prefix: str = ""):
    """float32 -> quantize -> table -> dequantize, with layout changes at both ends."""
    data = mx.sym.var("data")
    table = mx.sym.var("table", shape=(256,), dtype="int8")
    q = mx.sym.mxq_quantize_v2(data, layout="channels_last", node=prefix + "q", name=prefix + "q", **RANGE)
    t = mx.sym.mxq_lut(q, table, node=prefix + "t", name=prefix + "t")
    return mx.sym.mxq_dequantize(t, layout="channels_first", node=prefix + "d", name=prefix + "d", **RANGE)


def expected(data: np.ndarray) -> np.ndarray:
    (q,) = quantize_v2(data, dict(RANGE, layout="channels_last"))
    return dequantize([lut(q, TABLE, {})], dict(RANGE, layout="channels_first"))


def images(batch: int, height: int, width: int) -> np.ndarray:
    return np.random.RandomState(height).randn(batch, 3, height, width).astype(np.float32)


def block(**flags):
    net = mx.gluon.SymbolBlock(symbol(), [mx.sym.var("data")])
    net.initialize()
    net.collect_params()["table"].set_data(nd(TABLE))
    if flags.pop("hybridize", True):
        net.hybridize(**flags)
    return net


SHAPES = [(2, 5, 7), (1, 5, 7), (4, 16, 9), (2, 5, 7), (1, 1, 1), (3, 33, 33)]


@parameterized.expand(
    [
        ("symbol_block", dict(hybridize=False)),
        ("hybridize", {}),
        ("static_alloc", dict(static_alloc=True)),
        ("static_shape", dict(static_alloc=True, static_shape=True)),
        ("bulk", dict(inline_limit=0)),
    ]
)
def test_gluon_with_changing_batch_and_image_size(_, flags):
    net = block(**flags)
    for _ in range(3):
        for shape in SHAPES:
            data = images(*shape)
            assert np.array_equal(net(nd(data)).asnumpy(), expected(data))


def test_simple_bind_and_reshape():
    executor = symbol().simple_bind(mx.cpu(), data=(2, 3, 5, 7), grad_req="null")
    executor.arg_dict["table"][:] = nd(TABLE)
    for shape in SHAPES:
        executor = executor.reshape(data=(shape[0], 3) + shape[1:], partial_shaping=True, allow_up_sizing=True)
        data = images(*shape)
        assert np.array_equal(executor.forward(is_train=False, data=nd(data))[0].asnumpy(), expected(data))


def test_module():
    module = mx.mod.Module(symbol(), label_names=None)
    module.bind([("data", (2, 3, 5, 7))], for_training=False)
    module.set_params({"table": nd(TABLE)}, {})
    for shape in SHAPES:
        data = images(*shape)
        module.forward(mx.io.DataBatch([nd(data)]), is_train=False)
        assert np.array_equal(module.get_outputs()[0].asnumpy(), expected(data))


def test_one_symbol_twice_in_a_process_with_other_parameters():
    first, second = block(), block()
    other = np.ascontiguousarray(TABLE[::-1])
    second.collect_params()["table"].set_data(nd(other))
    data = images(2, 9, 9)
    (q,) = quantize_v2(data, dict(RANGE, layout="channels_last"))
    for _ in range(2):
        assert np.array_equal(first(nd(data)).asnumpy(), expected(data))
        out = dequantize([lut(q, other, {})], dict(RANGE, layout="channels_first"))
        assert np.array_equal(second(nd(data)).asnumpy(), out)


def test_several_threads_at_once():
    failures = []

    def work(seed):
        try:
            rng = np.random.RandomState(seed)
            net = block()
            for i in range(40):
                shape = SHAPES[rng.randint(len(SHAPES))]
                data = images(*shape)
                assert np.array_equal(net(nd(data)).asnumpy(), expected(data))
                lo, hi = -1.0 - i % 3, 1.0 + seed % 2
                attrs = dict(min_calib_range=lo, max_calib_range=hi, out_type=["int8", "uint8"][i % 2])
                (q,) = call("mxq_quantize_v2", [data], attrs)
                assert np.array_equal(q, quantize_array(data, range_to_qparams(lo, hi, attrs["out_type"])))
                text = error_of(lambda i=i: mx.nd.mxq_quantize_v2(nd(np.ones(2)), node=f"thread{seed}_{i}"))
                assert f"thread{seed}_{i}'" in text and text.count("thread") == 1, text
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_an_error_at_run_time_leaves_the_process_and_the_operator_usable():
    bad, good = np.full((2, 3), np.nan, np.float32), np.ones((2, 3), np.float32)
    for _ in range(3):
        text = error_of(lambda: mx.nd.mxq_quantize_v2(nd(bad), node="first"))
        assert "mxq_quantize_v2 'first'" in text and "nan" in text
        text = error_of(lambda: mx.nd.mxq_quantize_v2(nd(bad), node="second"))
        assert "'second'" in text and "'first'" not in text  # no error drags earlier ones along
        assert call("mxq_quantize_v2", [good], {})[0].tolist() == [[127] * 3] * 2


def test_errors_inside_a_network_name_the_node():
    data = mx.sym.var("data")
    net = mx.sym.mxq_quantize_v2(data, node="features_quantize", name="features_quantize")[0]
    executor = net.simple_bind(mx.cpu(), data=(2, 3), grad_req="null")
    text = error_of(lambda: executor.forward(data=nd(np.full((2, 3), np.inf, np.float32))))
    assert "mxq_quantize_v2 'features_quantize'" in text and "inf" in text
    out = executor.forward(data=nd(np.ones((2, 3), np.float32)))
    assert out[0].asnumpy().tolist() == [[127] * 3] * 2


def test_wrong_number_of_inputs():
    text = error_of(lambda: mx.nd.mxq_lut(nd(TABLE)))
    assert "mxq_lut" in text and "2" in text
    text = error_of(lambda: mx.nd.mxq_dequantize(nd(TABLE), nd(TABLE), scale=1.0))
    assert "mxq_dequantize" in text


def test_an_unknown_shape_is_an_error_and_not_a_crash():
    data = mx.sym.var("data", shape=(0, 0, 0, 0))  # the rank is known, the sizes are not
    net = mx.sym.mxq_quantize_v2(data, name="q", **RANGE)
    for infer in (net.infer_shape, net.infer_shape_partial):
        text = error_of(infer)
        assert "input 0" in text and "not known" in text and "give the shapes" in text, text
    _, outs, _ = net.infer_shape(data=(1, 2, 3, 4))
    assert outs == [(1, 2, 3, 4)]
    _, outs, _ = symbol().infer_shape(data=(2, 3, 4, 5))
    assert outs == [(2, 3, 4, 5)]


def test_parameter_shapes_are_filled_in_where_the_rank_is_known():
    table = mx.sym.var("table", shape=(0, 0))
    net = mx.sym.mxq_lut(mx.sym.var("data"), table, axis=1)
    args, _, _ = net.infer_shape(data=(2, 3, 4))
    assert args == [(2, 3, 4), (3, 256)]


def test_types_are_inferred():
    q = mx.sym.mxq_quantize_v2(mx.sym.var("data"), out_type="uint8")
    args, outs, _ = q.infer_type()
    assert args == [np.float32] and outs == [np.uint8, np.float32, np.float32]


def test_attributes_of_mxnet_itself_are_left_alone():
    with mx.AttrScope(ctx_group="dev1", __custom__="x"):
        net = mx.sym.mxq_quantize_v2(mx.sym.var("data"), name="q", **RANGE)
    executor = net.simple_bind(mx.cpu(), data=(2, 2), grad_req="null")
    assert executor.forward(data=nd(np.zeros((2, 2), np.float32)))[0].asnumpy().tolist() == [[0, 0], [0, 0]]


def test_there_is_no_gradient():
    data = nd(np.ones((2, 3), np.float32))
    data.attach_grad()
    with mx.autograd.record():
        out = mx.nd.mxq_dequantize(mx.nd.mxq_quantize_v2(data, **RANGE), node="d", **RANGE)
    assert out.asnumpy().shape == (2, 3)
    out.backward()
    text = error_of(lambda: data.grad)
    assert "no gradient" in text and "mxq_dequantize 'd'" in text


def test_results_go_where_they_are_told():
    out = mx.nd.zeros((2, 3), dtype="int8")
    mx.nd.mxq_quantize_v2(nd(np.ones((2, 3), np.float32)), out=out, min_calib_range=-1, max_calib_range=1)
    assert out.asnumpy().tolist() == [[127] * 3] * 2
    text = error_of(lambda: mx.nd.mxq_quantize_v2(nd(np.ones(2, np.float32)), out=mx.nd.zeros(2), **RANGE))
    assert "int8" in text


def test_caches_are_bounded():
    before = native.info()["cache"]
    data = nd(np.zeros(3, np.int8))
    for i in range(before["max_nodes"] + 200):
        mx.nd.mxq_dequantize(data, scale=1.0 + i / 2**20)
    mx.nd.waitall()
    cache = native.info()["cache"]
    assert cache["nodes"] == cache["max_nodes"] and cache["bound"] == cache["max_bound"], cache
    assert np.array_equal(block()(nd(images(2, 5, 7))).asnumpy(), expected(images(2, 5, 7)))


def test_equal_text_in_other_attributes_is_another_node():
    # Keys and values are kept apart in the cache: "ab" + "c" is not "a" + "bc".
    data = np.int8([1])
    assert call("mxq_dequantize", [data], dict(scale=1, zero_point=10))[0] == -9
    assert call("mxq_dequantize", [data], dict(scale=11, zero_point=0))[0] == 11
    assert call("mxq_dequantize", [data], dict(scale=1, zero_point=1))[0] == 0
