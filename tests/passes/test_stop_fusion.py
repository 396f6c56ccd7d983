"""MXNet's fusion of float operators is wrong on networks like these; mxq's results do not depend on it."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.network.graph import Graph
from mxq.passes.stop_fusion import stop_fusion
from tests.blocks import sqnr
from tests.networks import bn, conv, fill, forward, relu


def act(x, kind):
    return mx.sym.Activation(x, act_type=kind, name=f"{x.name}_{kind}")


def dense(x, name, hidden=7):
    return mx.sym.FullyConnected(x, num_hidden=hidden, name=name)


def before_and_behind(x):
    x = conv(x, "a", 8)
    return x + conv(act(x, "relu"), "b", 8)


def sums(x):
    x = conv(x, "a", 8)
    for name in "bcd":
        x = conv(act(x, "relu"), name, 8) + x
    return mx.sym.Group([x, conv(act(x, "relu"), "e", 8)])


def two_activations(x):
    x = dense(x, "a")
    return dense(act(x, "tanh") * act(x, "sigmoid"), "b")


def also_an_output(x):
    x = dense(x, "a")
    return mx.sym.Group([x, act(x, "relu")])


def normalized(x):
    x = bn(conv(x, "a", 8), "norm")
    return mx.sym.LeakyReLU(x, slope=0.1) + x


def limited(x):
    x = conv(x, "a", 8)
    return mx.sym.clip(x, a_min=0, a_max=1) + x


NETS = [before_and_behind, sums, two_activations, also_an_output, normalized, limited]


def network(build):
    return fill(build(mx.sym.var("data")), {"data": (2, 8, 6, 6)})


def images(n=4, seed=0):
    return np.random.RandomState(seed).normal(0, 1, (n, 8, 6, 6)).astype(np.float32)


def fused(sym, args, aux, data):
    """As Module and the C predict API run it."""
    executor = sym.simple_bind(mx.cpu(), grad_req="null", data=data.shape)
    executor.copy_params_from(args, aux, allow_extra_params=True)
    return [output.asnumpy() for output in executor.forward(is_train=False, data=mx.nd.array(data))]


@parameterized.expand([(build.__name__, build) for build in NETS])
def test_executors_compute_a_guarded_network(_, build):
    net = network(build)
    data = images()
    exact = forward(net, {"data": data})
    assert any(sqnr(a, b) < 60 for a, b in zip(exact, fused(*net[:3], data))), "MXNet does it right by now"
    guarded = stop_fusion(Graph.from_symbol(*net[:3]))
    assert [value.node.name for value in guarded.outputs] == [name[: -len("_output")] for name in net[0].list_outputs()]
    assert all(sqnr(a, b) > 100 for a, b in zip(exact, fused(*guarded.to_symbol(), data)))


@parameterized.expand([(build.__name__, build) for build in NETS])
def test_float_parts_of_an_int8_network_are_right_in_executors(_, build):
    x = build(conv(mx.sym.var("data"), "first", 8))[0]
    sym, args, aux, _ = fill(dense(x, "last"), {"data": (2, 8, 6, 6)})
    floats = [n for n in ("a", "b", "c", "d", "e") if f"{n}_weight" in args]
    data = images()
    model = mxq.quantize_model(sym, (args, aux), data, excluded_sym_names=floats)
    assert {n.node for n in model.report.nodes if n.precision == "int8"} >= {"first", "last"}
    assert sqnr(forward((sym, args, aux), {"data": data})[0], fused(*model[:3], data)[0]) > 25


def test_a_chain_is_left_to_fuse():
    x = relu(bn(conv(mx.sym.var("data"), "a", 8), "norm"), "relu0")
    graph = Graph.from_symbol(*fill(dense(x, "b"), {"data": (2, 8, 6, 6)})[:3])
    assert [n.op for n in stop_fusion(graph).nodes] == [n.op for n in graph.nodes]


def test_the_float_reference_is_not_fused():
    """Statistics, the verification and accuracy control run operators one by one."""
    sym, args, aux, _ = network(sums)
    data = images(8)
    model = mxq.quantize_model(sym, (args, aux), data, metric="sqnr", min_metric=20.0)
    assert all(output.sqnr > 20 for output in model.verification.outputs)
    assert model.accuracy.final_metric > 20
    exact = forward(
        (sym.get_internals()["d_output"], {k: v for k, v in args.items() if k[0] in "abcd"}, {}), {"data": data}
    )
    keys = [key for key in model.statistics if key == "d"]
    assert not keys or np.isclose(model.statistics["d"].max, exact[0].max(), rtol=1e-5)


@parameterized.expand([(build.__name__, build) for build in NETS])
def test_preflight_says_so(_, build):
    sym, args, aux, _ = network(build)
    found = [f for f in mxq.preflight(sym, (args, aux), images()) if f.check == "fusion"]
    assert len(found) == 1 and "MXNET_SUBGRAPH_BACKEND=NONE" in found[0].advice and "dB" in found[0].value, found


def test_preflight_says_nothing_of_a_network_that_is_fused_rightly():
    sym, args, aux, _ = fill(dense(relu(conv(mx.sym.var("data"), "a", 8), "relu0"), "b"), {"data": (2, 8, 6, 6)})
    assert not [f for f in mxq.preflight(sym, (args, aux), images()) if f.check == "fusion"]
