"""Which nodes become int8 together, and the reasons of those that do not."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.network.graph import Graph
from mxq.ops import UNIT
from mxq.passes.annotate import annotate, quantized_values, units

from ..networks import NETWORKS, fill


def _graph(sym, **data_shapes):
    sym, args, aux, _ = fill(sym, data_shapes or {"data": (2, 3, 9, 9)})
    graph = Graph.from_symbol(sym, args, aux)
    _, shapes, _ = sym.get_internals().infer_shape(**(data_shapes or {"data": (2, 3, 9, 9)}))
    for name, shape in zip(sym.get_internals().list_outputs(), shapes):
        graph.shapes[name[: -len("_output")] if name.endswith("_output") else name, 0] = shape
    return graph


def _conv(x, name, channels=5, **kwargs):
    return mx.sym.Convolution(x, num_filter=channels, kernel=kwargs.pop("kernel", (3, 3)), name=name, **kwargs)


def _members(graph):
    return {u.name: [n.name for n in u.nodes] for u in units(graph)}


def test_activation_and_sum_fuse_in_both_orders():
    x = mx.sym.var("data")
    a = mx.sym.Activation(_conv(x, "a", pad=(1, 1)), act_type="relu", name="a_relu")
    b = _conv(a, "b", pad=(1, 1))
    first = mx.sym.Activation(b + a, act_type="relu", name="first")
    c = mx.sym.clip(_conv(first, "c", pad=(1, 1)), 0, 6, name="c_clip")
    graph = annotate(_graph(_conv(c + first, "last")))
    names = _members(graph)
    assert names["a"] == ["a", "a_relu"]
    assert names["b"][0] == "b" and names["b"][-1] == "first" and len(names["b"]) == 3
    assert names["c"][:2] == ["c", "c_clip"] and len(names["c"]) == 3
    unit_b = next(u for u in units(graph) if u.name == "b")
    assert [v.node.name for v in unit_b.inputs] == ["a_relu", "a_relu"]


def test_the_later_of_two_convolutions_takes_their_sum():
    x = mx.sym.var("data")
    graph = annotate(_graph(_conv(mx.sym.elemwise_add(_conv(x, "p"), _conv(x, "q"), name="sum"), "last")))
    assert _members(graph) == {"p": ["p"], "q": ["q", "sum"], "last": ["last"]}


def test_a_value_read_twice_does_not_fuse():
    x = _conv(mx.sym.var("data"), "a")
    graph = annotate(_graph(_conv(mx.sym.elemwise_add(x, x, name="double"), "b")))
    # a + a is a function of one number: a table.
    assert _members(graph) == {"a": ["a"], "double": ["double"], "b": ["b"]}
    assert next(u for u in units(graph) if u.name == "double").spec.name == "unary"


def test_pad_in_front_joins_its_convolution():
    x = mx.sym.pad(_conv(mx.sym.var("data"), "a"), mode="constant", pad_width=(0, 0, 0, 0, 0, 1, 0, 1), name="pad")
    assert _members(annotate(_graph(_conv(x, "b"))))["b"] == ["pad", "b"]


@parameterized.expand(
    [
        ("swish", lambda x: x * mx.sym.sigmoid(x, name="s"), 2),
        ("hard_swish", lambda x: x * mx.sym.clip(x + 3, 0, 6) / 6, 4),
        ("mish", lambda x: x * mx.sym.tanh(mx.sym.Activation(x, act_type="softrelu")), 3),
        ("elu", lambda x: mx.sym.LeakyReLU(x, act_type="elu", name="elu"), 1),
        ("batchnorm", lambda x: mx.sym.BatchNorm(x, name="bn", fix_gamma=False), 1),
    ]
)
def test_a_function_of_one_number_is_one_unit(name, function, nodes):
    graph = annotate(_graph(_conv(function(_conv(mx.sym.var("data"), "a")), "b")))
    found = [u for u in units(graph) if u.spec.name == "unary"]
    assert len(found) == 1 and len(found[0].nodes) == nodes, found
    assert found[0].inputs[0].node.name == "a"


def test_excluded_nodes_keep_their_reason_and_do_not_fuse():
    x = mx.sym.Activation(_conv(mx.sym.var("data"), "a"), act_type="relu", name="relu")
    graph = annotate(_graph(_conv(_conv(x, "b"), "c")), excluded={"relu": "because", "b": "told so"})
    assert set(_members(graph)) == {"a", "c"}
    assert graph.notes["relu"] == "because" and graph.notes["b"] == "told so"


def test_smart_leaves_the_border_float_and_full_does_not():
    sym = mx.sym.sigmoid(_conv(mx.sym.var("data"), "a"), name="end")
    smart = annotate(_graph(sym))
    assert set(_members(smart)) == {"a"} and "float" in smart.notes["end"]
    assert set(_members(annotate(_graph(sym), mode="full"))) == {"a", "end"}


def test_lrn_reads_what_a_convolution_computes_without_rounding_it():
    net = NETWORKS["normalized"]()
    graph = annotate(_graph(net[0], **net[3]))
    assert all(f"norm{i}" in _members(graph) for i in range(3))
    keys = {repr(v) for v in quantized_values(graph)}
    assert "relu1[0]" not in keys  # only norm1 reads it
    assert {"pool0[0]", "relu2[0]", "norm0[0]", "norm1[0]", "norm2[0]"} <= keys


@parameterized.expand(
    [
        ("even", dict(nsize=4), "odd"),
        ("negative", dict(nsize=5, alpha=-1.0), "alpha -1.0"),
        ("zero", dict(nsize=5, knorm=0.0), "knorm 0.0"),
        ("steep", dict(nsize=5, beta=20.0), "beta 20.0"),
    ]
)
def test_lrn_without_an_int8_form(_, attrs, reason):
    x = mx.sym.LRN(_conv(mx.sym.var("data"), "a"), name="norm", **attrs)
    assert reason in annotate(_graph(_conv(x, "b"))).notes["norm"]


def test_lrn_at_the_border_stays_float():
    x = mx.sym.LRN(mx.sym.var("data"), nsize=3, name="first")
    graph = annotate(_graph(mx.sym.LRN(_conv(x, "a"), nsize=3, name="last"), data=(1, 3, 5, 5)))
    assert set(_members(graph)) == {"a"} and "float" in graph.notes["first"] and "float" in graph.notes["last"]


@parameterized.expand(
    [
        ("channels", lambda x: mx.sym.mean(x, axis=1, keepdims=True), "axes (1,)"),
        ("one_axis", lambda x: mx.sym.mean(x, axis=2, keepdims=True), "axes (2,)"),
        ("everything", lambda x: mx.sym.mean(x, keepdims=True), "axes ()"),
        ("adaptive", lambda x: mx.sym.contrib.AdaptiveAvgPooling2D(x, output_size=(3, 3)), "output_size (3, 3)"),
        ("upsampling", lambda x: mx.sym.UpSampling(x, x, scale=2, sample_type="nearest"), "2 inputs"),
        ("spatial", lambda x: mx.sym.Concat(*mx.sym.split(x, num_outputs=7, axis=2), dim=2), "channel axis"),
    ]
)
def test_reductions_and_splits_without_an_int8_form(_, function, reason):
    sym = function(mx.sym.relu(_conv(mx.sym.var("data"), "a"), name="relu"))
    graph = annotate(_graph(_conv(sym, "b", kernel=(1, 1)) if _ != "spatial" else sym))
    assert any(reason in note for note in graph.notes.values()), graph.notes


def test_a_split_that_is_an_output_of_the_network_stays_float():
    parts = mx.sym.split(_conv(mx.sym.var("data"), "a", 6), num_outputs=2, name="split")
    graph = annotate(_graph(mx.sym.Group([parts[0], _conv(parts[1], "b")])))
    assert "output" in graph.notes["split"]


def _resize(x, name="resize", **attrs):
    return mx.sym.contrib.BilinearResize2D(x, name=name, **(attrs or dict(height=5, width=4)))


@parameterized.expand(
    [
        ("odd_scale", lambda x: _resize(x, mode="odd_scale", scale_height=3, scale_width=3), "mode odd_scale"),
        ("to_even_up", lambda x: _resize(x, mode="to_even_up"), "mode to_even_up with 1 inputs"),
        ("like", lambda x: _resize(x, like=x, mode="like"), "mode like with 2 inputs"),
    ]
)
def test_resizes_without_an_int8_form(_, function, reason):
    graph = annotate(_graph(_conv(function(_conv(mx.sym.var("data"), "a")), "b")))
    assert reason in graph.notes["resize"]


def test_a_resize_is_float_where_nobody_reads_integers_and_a_layer_computed_it():
    features = _conv(mx.sym.var("data"), "a")
    graph = annotate(_graph(_resize(features)))
    assert set(_members(graph)) == {"a", "resize"}
    assert [repr(v) for v in quantized_values(graph)] == ["data[0]"]
    graph = annotate(_graph(_conv(_resize(features), "b")))
    assert {repr(v) for v in quantized_values(graph)} == {"data[0]", "a[0]", "resize[0]"}


@parameterized.expand(
    [
        ("table", lambda x: mx.sym.sigmoid(_conv(x, "a"), name="f")),
        ("concat", lambda x: mx.sym.Concat(_conv(x, "a"), _conv(x, "b"), dim=1, name="f")),
        ("resize", lambda x: _resize(_resize(_conv(x, "a"), "first"), "f")),
    ]
)
def test_a_resize_to_the_output_asks_nobody_for_integers(_, function):
    graph = _graph(_resize(function(mx.sym.var("data")), "last"))
    chosen = annotate(graph)
    assert "last" not in _members(chosen) and chosen.notes["last"] == "its input and its users are float"
    assert [repr(v) for v in quantized_values(chosen)] == ["data[0]"]
    assert "last" in _members(annotate(graph, mode="full"))
    assert "f[0]" not in {repr(v) for v in quantized_values(annotate(graph, mode="full"))}


def test_a_resize_of_a_parameter_is_left_alone():
    sizes = _resize(mx.sym.var("p_weight", shape=(1, 5, 3, 3)), height=7, width=7)
    graph = annotate(_graph(mx.sym.broadcast_add(_conv(mx.sym.var("data"), "a"), sizes)))
    assert "parameter" in graph.notes["resize"]


def test_a_resize_between_float_operators_is_left_alone():
    x = _resize(mx.sym.var("data"), "first")
    x = _resize(mx.sym.softmax(_conv(x, "a"), axis=1), "last")
    graph = annotate(_graph(x))
    assert set(_members(graph)) == {"a"} and all("float" in graph.notes[name] for name in ("first", "last"))


def test_without_calibration_only_what_needs_no_range():
    x = mx.sym.Activation(_conv(mx.sym.var("data"), "a"), act_type="relu", name="relu")
    x = mx.sym.Pooling(x, kernel=(2, 2), pool_type="max", name="pool")
    x = mx.sym.sigmoid(_conv(x, "b"), name="sigmoid")
    graph = annotate(_graph(_conv(x, "c")), calibrated=False)
    assert _members(graph) == {"a": ["a", "relu"], "pool": ["pool"], "b": ["b"], "c": ["c"]}
    assert "calibrated range" in graph.notes["sigmoid"]


def test_three_dimensional_convolution_stays_float_with_a_reason():
    sym = mx.sym.Convolution(mx.sym.var("data"), kernel=(2, 2, 2), num_filter=2, name="c3d")
    graph = annotate(_graph(sym, data=(1, 2, 4, 4, 4)))
    assert not units(graph) and "3-D" in graph.notes["c3d"]


def test_a_sum_too_long_for_int32_stays_float():
    data = mx.sym.var("data")
    sym = mx.sym.FullyConnected(data, num_hidden=1, no_bias=True, name="fc")
    graph = Graph.from_symbol(sym, {"fc_weight": np.zeros((1, 70000), np.float32)})
    assert "int32" in annotate(graph).notes["fc"]


def test_the_given_graph_is_not_changed():
    graph = _graph(_conv(mx.sym.var("data"), "a"))
    annotate(graph)
    assert all(UNIT not in n.attrs for n in graph.nodes) and not graph.notes


def test_quantized_values_are_the_inputs_of_units_once_each():
    x = mx.sym.var("data")
    graph = annotate(_graph(mx.sym.Group([_conv(x, "p"), _conv(x, "q")])))
    assert [repr(v) for v in quantized_values(graph)] == ["data[0]"]


@parameterized.expand(
    [
        ("one_number", (1,), True),
        ("one_number_of_four_axes", (1, 1, 1, 1), True),
        ("one_a_channel", (1, 5, 1, 1), True),
        ("one_a_channel_without_the_batch", (5, 1, 1), False),
        ("one_a_pixel", (1, 1, 7, 7), False),
    ]
)
def test_a_parameter_of_a_table_is_one_number_or_lies_along_the_channels(_, shape, joins):
    gate = mx.sym.sigmoid(_conv(mx.sym.var("data"), "a"), name="gate")
    scaled = mx.sym.broadcast_mul(gate, mx.sym.var("factor_weight", shape=shape), name="scaled")
    members = _members(annotate(_graph(_conv(scaled, "b"))))
    assert members == {"a": ["a"], "b": ["b"], **({"gate": ["gate", "scaled"]} if joins else {})}
