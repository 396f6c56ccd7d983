import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from mxq.network.graph import Graph
from mxq.passes import run
from mxq.passes.fold_batchnorm import fold_batchnorm
from mxq.passes.folded import FOLDED, folded_names
from tests import networks, realdata
from tests.networks import NETWORKS, batch, bn, conv, fill, forward, graph_of, relu

# Folding rounds each weight and bias once more to float32 (relative error 2**-24 = 6e-8 each) and moves the rounding of
# the BatchNorm; over the handful of layers here that stays below 1e-6 of the largest output.
SMALL = 1e-6


def batchnorms(graph):
    return sum("BatchNorm" in node.op for node in graph.nodes)


def assert_equal(before, after, tolerance=SMALL):
    assert len(before) == len(after)
    for x, y in zip(before, after):
        assert x.shape == y.shape
        error = np.abs(x.astype(np.float64) - y).max()
        assert error <= tolerance * np.abs(x).max(), (error, np.abs(x).max())


#: network -> BatchNorms that stay
STAY = {"preactivation": 3, "fully_connected": 1, "middle_output": 1}


@parameterized.expand(sorted(NETWORKS))
def test_networks_compute_the_same(name):
    net = NETWORKS[name]()
    graph = graph_of(net)
    text, params = graph.symbol().tojson(), dict(graph.params)
    folded = run(graph, [fold_batchnorm])
    data = batch(net[3])
    assert_equal(forward(net, data), forward(folded, data))
    assert folded.symbol().list_outputs() == net[0].list_outputs()
    assert batchnorms(folded) == STAY.get(name, 0)
    for node in graph.nodes:
        if "BatchNorm" in node.op:
            assert folded.notes[node.name]  # folded or refused: said
    # the caller's graph is whole
    assert graph.symbol().tojson() == text
    assert all(graph.params[key] is params[key] for key in params)
    # nothing is left to do
    again = run(folded, [fold_batchnorm])
    assert [n.name for n in again.nodes] == [n.name for n in folded.nodes]


def test_names_and_attributes():
    graph = run(graph_of(networks.plain()), [fold_batchnorm])
    layer = graph.node("conv0")
    assert layer.get("no_bias") is False
    assert [v.node.name for v in layer.inputs] == ["data", "conv0_weight", "conv0_bias"]
    assert folded_names(layer) == ["bn0"] and graph.notes["bn0"] == "folded into 'conv0'"
    assert graph.params["conv0_weight"].dtype == np.float32 and graph.params["conv0_bias"].dtype == np.float32
    assert not any(name.startswith("bn0") for name in graph.params) and not graph.aux
    # the record survives saving
    assert Graph.from_symbol(*graph.to_symbol()).node("conv0").attrs[FOLDED] == "bn0"


def test_float64_inside_and_one_rounding():
    net = networks.plain()
    graph = fold_batchnorm(graph_of(net))
    _, args, aux, _ = net
    g, b, m, v = (
        a.asnumpy().astype(np.float64)
        for a in (args["bn0_gamma"], args["bn0_beta"], aux["bn0_moving_mean"], aux["bn0_moving_var"])
    )
    scale = g / np.sqrt(v + 2e-5)
    weight = args["conv0_weight"].asnumpy().astype(np.float64) * scale.reshape(-1, 1, 1, 1)
    assert np.array_equal(graph.params["conv0_weight"], weight.astype(np.float32))
    assert np.array_equal(graph.params["conv0_bias"], (b - m * scale).astype(np.float32))


def one_layer(layer, shape, *, seed=0, **attrs):
    """data -> layer(data) -> BN -> relu."""
    return fill(relu(bn(layer(mx.sym.var("data")), "bn", **attrs), "relu"), {"data": shape}, seed)


@settings(derandomize=True, deadline=None, max_examples=120)
@given(
    spatial=st.integers(1, 2),
    kind=st.sampled_from(["Convolution", "Deconvolution"]),
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    pad=st.integers(0, 1),
    no_bias=st.booleans(),
    fix_gamma=st.sampled_from([True, False, None]),
    eps=st.sampled_from([1e-3, 1e-5, 0.1, None]),
    axis=st.sampled_from([None, 1, "negative"]),
    global_stats=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_convolution(
    spatial, kind, groups, per_group, kernel, stride, pad, no_bias, fix_gamma, eps, axis, global_stats, seed
):
    attrs = {"fix_gamma": fix_gamma, "eps": eps, "axis": -(spatial + 1) if axis == "negative" else axis}
    attrs = {key: value for key, value in attrs.items() if value is not None}
    options = dict(kernel=(kernel,) * spatial, stride=(stride,) * spatial, pad=(min(pad, kernel - 1),) * spatial)
    options.update(num_filter=groups * per_group[1], num_group=groups, no_bias=no_bias, name="layer")
    x = getattr(mx.sym, kind)(mx.sym.var("data"), **options)
    x = mx.sym.BatchNorm(x, name="bn", use_global_stats=global_stats, **attrs)
    net = fill(x, {"data": (2, groups * per_group[0]) + (7, 6)[:spatial]}, seed)
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == 0
    data = batch(net[3], seed)
    # One layer; single outputs can be differences of larger terms, so the yardstick is the size of the terms.
    size = sum(np.abs(a).max() for a in graph.params.values()) + np.abs(forward(net, data)[0]).max()
    error = np.abs(forward(net, data)[0].astype(np.float64) - forward(graph, data)[0]).max()
    assert error <= 1e-6 * size, (error, size)


@parameterized.expand(
    [
        ("zero", 0.0, 1e-3),
        ("tiny", 1e-12, 1e-5),
        ("denormal", 1e-40, 1e-5),
        ("huge", 1e30, 1e-3),
    ]
)
def test_strange_variances(_, variance, eps):
    net = one_layer(lambda x: conv(x, "conv", 6), (2, 3, 6, 6), eps=eps)
    net[2]["bn_moving_var"][2:4] = variance
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == 0
    data = batch(net[3])
    assert_equal(forward(net, data), forward(graph, data))


def test_denormal_gamma_and_zero_gamma():
    net = one_layer(lambda x: conv(x, "conv", 6), (2, 3, 6, 6))
    net[1]["bn_gamma"][0:2] = 0
    net[1]["bn_gamma"][2] = 1e-41
    graph = run(graph_of(net), [fold_batchnorm])
    assert not graph.params["conv_weight"][:2].any()
    data = batch(net[3])
    assert_equal(forward(net, data), forward(graph, data))


def test_negative_variance_is_refused():
    net = one_layer(lambda x: conv(x, "conv", 6), (2, 3, 6, 6))
    net[2]["bn_moving_var"][3] = -1
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == 1 and "negative variance" in graph.notes["bn"]


def test_overflow_is_refused():
    net = one_layer(lambda x: conv(x, "conv", 6), (2, 3, 6, 6), eps=1e-5)
    net[1]["bn_gamma"][3] = 3e38
    net[2]["bn_moving_var"][3] = 0
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == 1 and "overflow" in graph.notes["bn"]


def test_fix_gamma_is_the_default_and_ignores_gamma():
    x = mx.sym.BatchNorm(conv(mx.sym.var("data"), "conv", 5), name="bn")
    net = fill(x, {"data": (2, 3, 5, 5)})
    net[1]["bn_gamma"][:] = 100
    data = batch(net[3])
    expected = forward(net, data)
    assert_equal(expected, forward(run(graph_of(net), [fold_batchnorm]), data))


@parameterized.expand([("BatchNorm_v1",), ("_contrib_SyncBatchNorm",), ("_contrib_BatchNormWithReLU",)])
def test_relatives_of_batchnorm(op):
    net = one_layer(lambda x: conv(x, "conv", 6), (2, 3, 6, 6))
    graph = graph_of(net)
    graph.node("bn").op = op
    if op == "_contrib_SyncBatchNorm":
        graph.node("bn").attrs["key"] = "bn"
    if op == "BatchNorm_v1":
        graph.node("bn").attrs.pop("axis", None)
    if op == "_contrib_BatchNormWithReLU":
        graph.outputs = [graph.node("bn").out()]
        graph.prune()
    result = run(graph, [fold_batchnorm])
    assert batchnorms(result) == 0
    if op == "_contrib_BatchNormWithReLU":
        assert result.node("bn").op == "Activation"
        assert result.symbol().list_outputs() == ["bn_output"]
    data = batch(net[3])
    assert_equal(forward(net, data), forward(result, data))  # all end in a relu


@parameterized.expand([("mean_var",), ("second_output",)])
def test_statistics_as_outputs_are_refused(kind):
    x = bn(conv(mx.sym.var("data"), "conv", 5), "bn", output_mean_var=True)
    graph = graph_of(fill(x if kind == "mean_var" else x[1], {"data": (2, 3, 5, 5)}))
    result = run(graph, [fold_batchnorm])
    assert batchnorms(result) == 1 and "output is used" in result.notes["bn"]


def test_output_mean_var_that_nobody_reads_is_folded():
    x = bn(conv(mx.sym.var("data"), "conv", 5), "bn", output_mean_var=True)
    net = fill(relu(x[0], "relu"), {"data": (2, 3, 5, 5)})
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == 0
    assert_equal(forward(net, batch(net[3])), forward(graph, batch(net[3])))


def test_other_readers_of_the_convolution_are_named():
    graph = run(graph_of(networks.middle_output()), [fold_batchnorm])
    assert "the graph output" in graph.notes["bn0"] and "'conv0'" in graph.notes["bn0"]
    graph = run(graph_of(networks.preactivation()), [fold_batchnorm])
    assert "'conv0'" in graph.notes["bn1"] and "'_plus" in graph.notes["bn1"]


def test_wrong_axis_is_refused():
    x = bn(conv(mx.sym.var("data"), "conv", 6), "bn", axis=3)
    graph = run(graph_of(fill(x, {"data": (2, 3, 6, 6)})), [fold_batchnorm])
    assert batchnorms(graph) == 1 and "axis 3" in graph.notes["bn"]


def test_statistics_that_are_computed_are_refused():
    graph = graph_of(one_layer(lambda x: conv(x, "conv", 6), (2, 3, 6, 6)))
    beta = graph.add("_copy", "computed", [graph.node("bn_beta").out()])
    graph.node("bn").inputs[2] = beta.out()
    graph.sort()
    result = run(graph, [fold_batchnorm])
    assert batchnorms(result) == 1 and "computed" in result.notes["bn"]


def test_float16_weights_are_refused():
    graph = graph_of(one_layer(lambda x: conv(x, "conv", 6), (2, 3, 6, 6)))
    graph.params["conv_weight"] = graph.params["conv_weight"].astype(np.float16)
    result = run(graph, [fold_batchnorm])
    assert batchnorms(result) == 1 and "float16" in result.notes["bn"]


# -- shared weights --------------------------------------------------------------------------------------------------


def test_shared_weight_is_copied_only_where_numbers_differ():
    graph = run(graph_of(networks.shared()), [fold_batchnorm])
    twice0, twice1, third = (graph.node(n).inputs[1].node.name for n in ("twice0", "twice1", "third"))
    assert twice0 == twice1 != third
    assert len([name for name in graph.params if name.startswith("shared_weight")]) == 2
    assert len([name for name in graph.params if name.startswith("shared_bias")]) == 2


def test_shared_by_equal_folds_stays_in_place():
    net = networks.shared()
    graph = graph_of(net)
    graph.outputs = [graph.node("twice_relu1").out()]
    graph.prune()
    result = run(graph, [fold_batchnorm])
    assert {result.node(n).inputs[1].node.name for n in ("twice0", "twice1")} == {"shared_weight"}
    assert set(result.params) == {"conv0_weight", "conv0_bias", "shared_weight", "shared_bias"}
    assert_equal(forward(graph, batch(net[3])), forward(result, batch(net[3])))


def test_weight_that_a_plain_convolution_shares_stays_as_it_was():
    data, weight = mx.sym.var("data"), mx.sym.var("w")
    plain_conv = conv(data, "plain", 3, weight=weight, no_bias=True)
    folded = bn(conv(plain_conv, "folded", 3, weight=weight, no_bias=True), "bn")
    net = fill(mx.sym.Group([folded, mx.sym.sum(weight, name="sum")]), {"data": (2, 3, 6, 6)})
    graph = graph_of(net)
    result = run(graph, [fold_batchnorm])
    assert result.params["w"] is graph.params["w"]
    assert result.node("folded").inputs[1].node.name == "w_1"
    assert_equal(forward(net, batch(net[3])), forward(result, batch(net[3])))


def test_chain_of_batchnorms():
    x = bn(bn(bn(conv(mx.sym.var("data"), "conv", 6), "bn0"), "bn1"), "bn2")
    net = fill(x, {"data": (2, 3, 6, 6)})
    graph = run(graph_of(net), [fold_batchnorm])
    assert folded_names(graph.node("conv")) == ["bn0", "bn1", "bn2"]
    assert graph.symbol().list_outputs() == ["bn2_output"]
    assert_equal(forward(net, batch(net[3])), forward(graph, batch(net[3])))


# -- BatchNorm first -------------------------------------------------------------------------------------------------


@parameterized.expand(
    [
        ("no_pad", dict(num_filter=6, kernel=(3, 3)), True, True),
        ("no_bias", dict(num_filter=6, kernel=(3, 3), no_bias=True), True, True),
        ("grouped", dict(num_filter=9, kernel=(2, 3), num_group=3), True, True),
        ("depthwise", dict(num_filter=6, kernel=(3, 3), num_group=6, stride=(2, 2)), True, True),
        ("pad", dict(num_filter=6, kernel=(3, 3), pad=(1, 0)), True, False),
        ("pad_without_shift", dict(num_filter=6, kernel=(3, 3), pad=(1, 1)), False, True),
        ("pad_without_shift_no_bias", dict(num_filter=6, kernel=(3, 3), pad=(1, 1), no_bias=True), False, True),
    ]
)
def test_batchnorm_before_a_convolution(_, attrs, shifted, folds):
    x = relu(mx.sym.var("data"), "relu")
    x = mx.sym.Convolution(bn(x, "bn"), name="conv", **attrs)
    net = fill(x, {"data": (2, 6, 7, 8)})
    if not shifted:
        net[1]["bn_beta"][:] = 0
        net[2]["bn_moving_mean"][:] = 0
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == (0 if folds else 1)
    if folds:
        assert folded_names(graph.node("conv")) == ["bn"]
        assert len(graph.node("conv").inputs) == 2 + (shifted or not attrs.get("no_bias", False))
    else:
        assert "pad (1, 0)" in graph.notes["bn"] and "'conv'" in graph.notes["bn"]
    assert_equal(forward(net, batch(net[3])), forward(graph, batch(net[3])))


@parameterized.expand(
    [
        ("image", (2, 6, 3, 2), {}, dict(axis=1), True),
        ("vector", (2, 6), {}, dict(axis=1), True),
        ("last", (2, 6), {}, dict(axis=-1), True),
        ("kept", (2, 5, 6), dict(flatten=False), dict(axis=-1), True),
        ("middle", (2, 6, 5), dict(flatten=False), dict(axis=1), False),
        ("image_last", (2, 3, 2, 6), {}, dict(axis=-1), False),
        ("no_bias", (2, 6, 2), dict(no_bias=True), dict(axis=1), True),
    ]
)
def test_batchnorm_before_a_fully_connected_layer(_, shape, attrs, bn_attrs, folds):
    x = bn(relu(mx.sym.var("data"), "relu"), "bn", **bn_attrs)
    net = fill(mx.sym.FullyConnected(x, num_hidden=5, name="fc", **attrs), {"data": shape})
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == (0 if folds else 1)
    assert_equal(forward(net, batch(net[3])), forward(graph, batch(net[3])))


def test_batchnorm_between_two_layers_goes_into_the_first():
    x = conv(bn(conv(mx.sym.var("data"), "conv0", 6), "bn"), "conv1", 5, pad=(0, 0))
    graph = run(graph_of(fill(x, {"data": (2, 3, 7, 7)})), [fold_batchnorm])
    assert folded_names(graph.node("conv0")) == ["bn"] and not folded_names(graph.node("conv1"))


def test_batchnorm_before_a_layer_with_a_shared_weight():
    weight = mx.sym.var("w")
    x = conv(bn(relu(mx.sym.var("data"), "relu"), "bn"), "conv0", 3, (1, 1), weight=weight, no_bias=True)
    net = fill(conv(x, "conv1", 3, (1, 1), weight=weight, no_bias=True), {"data": (2, 3, 5, 5)})
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == 0
    assert_equal(forward(net, batch(net[3])), forward(graph, batch(net[3])))


def test_batchnorm_with_a_reader_that_cannot_take_it_stays_whole():
    x = bn(relu(mx.sym.var("data"), "relu"), "bn")
    x = mx.sym.elemwise_add(conv(x, "conv", 3, (1, 1)), x, name="add")
    net = fill(x, {"data": (2, 3, 5, 5)})
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == 1 and "'add'" in graph.notes["bn"] and not folded_names(graph.node("conv"))


def test_batchnorm_before_a_deconvolution_stays():
    x = bn(relu(mx.sym.var("data"), "relu"), "bn")
    x = mx.sym.Deconvolution(x, kernel=(2, 2), num_filter=3, name="up")
    graph = run(graph_of(fill(x, {"data": (1, 3, 4, 4)})), [fold_batchnorm])
    assert batchnorms(graph) == 1 and "deconvolution" in graph.notes["bn"]


def test_rank_from_shapes_lets_the_last_axis_fold():
    net = networks.fully_connected()
    graph = graph_of(net)
    graph.shapes["fc2", 0] = (3, 3, 7)
    result = run(graph, [fold_batchnorm])
    assert batchnorms(result) == 0
    assert_equal(forward(net, batch(net[3])), forward(result, batch(net[3])))


@parameterized.expand([("mobilenet0.75",), ("resnet18",), ("resnet50",)])
def test_real_networks(name):
    realdata.need()
    net = realdata.load(name)
    graph = run(graph_of(net), [fold_batchnorm])
    assert batchnorms(graph) == 0
    size = realdata.NETWORKS[name].size
    data, _ = next(realdata.images(name, "calib", 2, batch_size=2))
    assert data.shape == (2, 3, size, size)
    # Up to 53 layers, each with sums of up to 4,608 products: rounding adds up to some 1e-6 of the largest logit.
    assert_equal(forward(net, {"data": data}), forward(graph, {"data": data}), tolerance=5e-6)
