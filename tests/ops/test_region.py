"""mxq_region called by itself: what it computes, what it refuses, what it keeps."""

import gc
import os
import threading

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from mxq import profile
from mxq.native import library as native
from mxq.network.graph import VARIABLE, Graph, Node
from mxq.network.regions import digest_of, encode, pack

from .calling import call, check_all, error_of, integers, nd, threads

CONV = {"num_filter": "6", "kernel": "(1, 1)", "in_scale": "0.02", "out_scale": "0.05"}


def _weights(rng, channels=6, kernel=(1, 1), groups=1):
    return [
        integers(rng, "int8", (channels, channels // groups, *kernel)),
        rng.uniform(0.001, 0.01, channels).astype(np.float32),
        rng.randint(-900, 900, channels).astype(np.int32),
    ]


class Builder:
    """A region node by node, and the same as single calls."""

    def __init__(self, arrays):
        self.inputs = [Node(VARIABLE, f"in{i}").out() for i in range(len(arrays))]
        self.arrays = list(arrays)
        self.nodes = []
        self.results = {(id(v.node), 0): array for v, array in zip(self.inputs, arrays)}

    def param(self, array):
        self.inputs.append(Node(VARIABLE, f"in{len(self.inputs)}").out())
        self.arrays.append(array)
        self.results[id(self.inputs[-1].node), 0] = array
        return self.inputs[-1]

    def add(self, op, inputs, **attrs):
        node = Node(op, f"node{len(self.nodes)}", attrs, inputs)
        self.nodes.append(node)
        for i, array in enumerate(call(op, [self.results[id(v.node), v.index] for v in inputs], attrs)):
            self.results[id(node), i] = array
        return node.out()

    def conv(self, rng, x, residual=None, kernel=(1, 1), **attrs):
        """As many channels as there are, and as many pixels."""
        channels = self.results[id(x.node), x.index].shape[-1]
        params = [self.param(a) for a in _weights(rng, channels, kernel, int(attrs.get("num_group", 1)))]
        around = str(tuple(k // 2 for k in kernel))
        attrs = {**CONV, "kernel": str(kernel), "num_filter": str(channels), **attrs}
        if kernel != (1, 1):
            attrs.update(pad_begin=around, pad_end=around)
        if residual is None:
            return self.add("mxq_conv", [x, *params], **attrs)
        return self.add("mxq_conv", [x, *params, residual], sum="before_act", sum_scale="0.03", **attrs)

    def packed(self, outputs, num_data):
        """Arrays and attributes of the region with all but the first inputs as one array."""
        if len(self.inputs) == num_data:
            self.param(np.zeros(1, np.float32))  # that nobody reads: an array must not be empty
        params = list(zip(self.inputs, self.arrays))[num_data:]
        vector, places = pack({value.node.name: array for value, array in params})
        placed = [(value, place) for (value, _), place in zip(params, places)]
        return [*self.arrays[:num_data], vector], encode(
            self.nodes, self.inputs[:num_data], outputs, placed, digest_of(vector)
        )

    def check(self, outputs):
        expected = [self.results[id(v.node), v.index] for v in outputs]
        check_all("mxq_region", self.arrays, encode(self.nodes, self.inputs, outputs), expected)


@given(st.data(), st.integers(0, 1000))
@settings(max_examples=160, derandomize=True, deadline=None)
def test_equals_its_operators(data, seed):
    rng = np.random.RandomState(seed)
    b = Builder([integers(rng, "int8", (2, 3, 3, 6))])
    values = [b.inputs[0]]
    for _ in range(data.draw(st.integers(1, 8))):
        x = data.draw(st.sampled_from(values))
        kind = data.draw(st.sampled_from(["conv", "sum", "sum", "move", "pool", "add", "half", "half"]))
        if kind == "conv":
            values.append(b.conv(rng, x))
        elif kind == "sum":  # in place where the residual is not read again; sometimes of the data itself
            act = data.draw(st.sampled_from(["none", "relu"]))
            values.append(b.conv(rng, x, data.draw(st.sampled_from(values)), act=act))
        elif kind == "move":
            flat = b.add("mxq_flatten", [x])
            values.append(b.add("mxq_reshape", [flat], shape="(-1, 3, 3, 6)"))
        elif kind == "pool":
            values.append(b.add("mxq_pooling", [x], kernel="(3, 3)", pad="(1, 1)", pool_type="max"))
        elif kind == "half":  # depthwise layers read it where it lies, others a copy
            wide = b.add("mxq_concat", [x, data.draw(st.sampled_from(values))], num_args="2", dim="3")
            first = data.draw(st.integers(0, 6))
            ends = {"begin": f"(None, None, None, {first})", "end": f"(None, None, None, {first + 6})"}
            half = b.add("mxq_slice", [wide], **ends)
            readers = data.draw(st.integers(0, 2))
            values += [b.conv(rng, half, kernel=(3, 3), num_group="6") for _ in range(readers)]
            if not readers or data.draw(st.booleans()):
                values.append(half)
        else:
            values.append(b.add("mxq_elemwise_add", [x, data.draw(st.sampled_from(values))], out_scale="2.0"))
    chosen = data.draw(st.lists(st.sampled_from(values[1:]), min_size=1, max_size=3, unique_by=lambda v: id(v.node)))
    b.check(chosen)


@given(st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=20, derandomize=True, deadline=None)
def test_packed_parameters_are_read_where_they_lie(count, seed):
    rng = np.random.RandomState(seed)
    b = Builder([integers(rng, "int8", (1, 3, 3, 6))])
    x = b.inputs[0]
    for _ in range(count):
        x = b.conv(rng, x)
    check_all("mxq_region", *b.packed([x], 1), [b.results[id(x.node), 0]])


_STEPS = st.sampled_from(["(None,)", "(1,)", "(2,)", "(3,)", "(5,)", "(-1,)"])


@given(st.data(), st.sampled_from([2, 3, 4, 6, 8, 9]), st.integers(0, 1000))
@settings(max_examples=120, derandomize=True, deadline=None)
def test_batches_that_threads_share(data, batch, seed):
    """Also operators for which the examples must stay together: every kind that changes the first axis."""
    rng = np.random.RandomState(seed)
    b = Builder([integers(rng, "int8", (batch, 3, 3, 6)), integers(rng, "int8", (batch, 3, 3, 6))])
    values = list(b.inputs)
    kinds = ["conv", "sum", "pool", "move", "rows", "wide", "twice", "turn", "first", "steps"]
    # Few kinds in one region: a single operator that needs the whole batch hides what others need.
    kinds = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=2))
    for _ in range(data.draw(st.integers(1, 6))):
        kind, x, y = (data.draw(st.sampled_from(choices)) for choices in (kinds, values, values))
        scales = {"in_scales": "(1.0, 1.0)", "out_scale": "1.0", "out_type": "int8", "in_zero_points": "(0, 0)"}
        if kind == "conv":
            values.append(b.conv(rng, x))
        elif kind == "sum":
            if b.results[id(x.node), 0].shape == b.results[id(y.node), 0].shape:
                values.append(b.conv(rng, x, y))
        elif kind == "pool":
            values.append(b.add("mxq_pooling", [x], kernel="(3, 3)", pad="(1, 1)", pool_type="max"))
        elif kind == "move":
            values.append(b.add("mxq_reshape", [b.add("mxq_flatten", [x])], shape="(-1, 3, 3, 6)"))
        elif kind == "rows":  # every pixel an example of its own, and the pixels of an image again
            values.append(b.add("mxq_reshape", [b.add("mxq_reshape", [x], shape="(-1, 6)")], shape="(-1, 3, 3, 6)"))
        elif kind == "wide" and b.results[id(x.node), 0].shape == b.results[id(y.node), 0].shape:
            joined = b.add("mxq_concat", [x, y], num_args="2", dim="1", **scales)
            values.append(b.add("mxq_slice", [joined], begin="(None, 2)", end="(None, 5)"))
        elif kind == "twice":
            values.append(
                b.add("mxq_concat", [x, y], num_args="2", dim=data.draw(st.sampled_from(["0", "-4"])), **scales)
            )
        elif kind == "turn":
            values.append(b.add("mxq_transpose", [x], axes="(2, 1, 0, 3)"))
            values.append(b.add("mxq_transpose", [values.pop()], axes="(2, 1, 0, 3)"))
        elif kind == "steps":
            values.append(b.add("mxq_slice", [x], begin="(None,)", end="(None,)", step=data.draw(_STEPS)))
        elif kind == "first":
            half = b.add("mxq_slice", [x], begin="(0,)", end=f"({b.results[id(x.node), 0].shape[0] // 2 or 1},)")
            values.append(b.add("mxq_concat", [half, x], num_args="2", dim="0", **scales))
    values = values[2:]
    if values:
        chosen = data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique_by=lambda v: id(v.node)))
        arrays, attrs = b.packed(chosen, 2)
        with threads(2):
            check_all("mxq_region", arrays, attrs, [b.results[id(v.node), v.index] for v in chosen])


def test_threads_share_a_batch():
    rng = np.random.RandomState(0)
    b = Builder([integers(rng, "int8", (12, 3, 3, 6))])
    arrays, attrs = b.packed([b.conv(rng, b.conv(rng, b.inputs[0]))], 1)
    with threads(3):
        call("mxq_region", [arrays[0][:1].repeat(99, axis=2).repeat(99, axis=1), arrays[1]], attrs)  # starts all
        started = len(os.listdir("/proc/self/task"))
        with profile.record() as times:
            call("mxq_region", arrays, attrs)
    # With more, as a second team has them, OpenMP would put threads to sleep that wait for work.
    assert len(os.listdir("/proc/self/task")) <= started
    assert [(row.shape[0], row.calls) for row in times.rows] == [(4, 3)] * 2, times


PACKED = {"graph": "mxq_dequantize\tinner\ti0 i2\tranges=channel\taxis=1", "num_inputs": "2"}


@parameterized.expand(
    [
        ("fields", {"packed": "s\tfloat32\t3"}, ["packed", "tabs"]),
        ("type", {"packed": "s\tfloat16\t3\t0"}, ["packed", "float16"]),
        ("shape", {"packed": "s\tfloat32\t3x\t0"}, ["packed", "3x"]),
        ("no_dimensions", {"packed": "s\tfloat32\t\t0"}, ["packed"]),
        ("huge", {"packed": "s\tfloat32\t2000000000x2000000000\t0"}, ["packed"]),
        ("offset", {"packed": "s\tfloat32\t3\t4"}, ["packed", "64"]),
        ("negative", {"packed": "s\tfloat32\t3\t-64"}, ["packed"]),
        ("behind_the_last", {"packed": "s\tfloat32\t3\t0", "graph": "mxq_flatten\tf\ti3"}, ["'i3'", "packed"]),
        ("too_short", {"packed": "s\tfloat32\t3\t64"}, ["packed parameters", "(12)", "(76)"]),
        ("not_that_type", {"packed": "s\tint32\t3\t0"}, ["mxq_dequantize 'inner'", "int32"]),
        ("not_that_shape", {"packed": "s\tfloat32\t1x3\t0"}, ["mxq_dequantize 'inner'"]),
    ]
)
def test_errors_about_packed_parameters(_, attrs, parts):
    given = {**PACKED, "outputs": "0", "node": "the_region", **attrs}
    arrays = nd(np.zeros((2, 3), np.int8)), nd(np.zeros(12, np.int8))
    text = error_of(lambda: mx.nd.mxq_region(*arrays, **given))
    for part in ["mxq_region 'the_region'", *parts]:
        assert part in text, text


def test_packed_parameters_of_another_type_are_refused():
    given = {**PACKED, "outputs": "0", "node": "the_region", "packed": "s\tfloat32\t3\t0"}
    arrays = nd(np.zeros((2, 3), np.int8)), nd(np.zeros(12, np.uint8))
    text = error_of(lambda: mx.nd.mxq_region(*arrays, **given))
    assert "packed parameters" in text and "uint8" in text, text


def test_a_residual_that_is_read_again_is_not_overwritten():
    rng = np.random.RandomState(0)
    b = Builder([integers(rng, "int8", (1, 4, 4, 6))])
    x = b.conv(rng, b.inputs[0])
    y = b.conv(rng, b.inputs[0], x)  # x is read by z too
    z = b.conv(rng, x, y)  # the last reader of y
    b.check([z])
    own = b.conv(rng, z, z)  # the residual is the data itself
    b.check([own])


@parameterized.expand([("padded", (3, 3), 6), ("wide", (1, 1), 128), ("padded_and_wide", (3, 3), 80)])
def test_sums_where_one_pixel_or_channel_is_written_before_another_is_read(_, kernel, channels):
    """With a 1x1 convolution of few channels memory may be shared that here must not be."""
    rng = np.random.RandomState(0)
    b = Builder([integers(rng, "int8", (1, 6, 6, channels))])
    v = b.conv(rng, b.inputs[0])
    own = b.conv(rng, v, v, kernel)  # the residual is the data itself
    b.check([b.conv(rng, own)])
    later = b.conv(rng, b.conv(rng, v, kernel=kernel), v, kernel)
    b.check([b.conv(rng, later, v, kernel)])  # and is read again
    b.check([b.conv(rng, v, later, kernel)])  # in the other order


def test_weights_that_the_region_computes_are_new_at_every_call():
    """Its parameters are the same ones, so that what was kept of the last call could be taken again."""
    rng = np.random.RandomState(0)
    b = Builder([integers(rng, "int8", (1, 4, 4, 6)), integers(rng, "int8", (1, 1, 6, 6))])
    weight = b.add("mxq_transpose", [b.inputs[1]], axes="(3, 2, 0, 1)")
    params = [b.param(a) for a in _weights(rng)[1:]]
    attrs = encode(b.nodes, b.inputs, [b.add("mxq_conv", [b.inputs[0], weight, *params], **CONV)])
    arrays = [nd(a) for a in b.arrays]
    for seed in range(3):
        arrays[1] = nd(integers(np.random.RandomState(seed), "int8", (1, 1, 6, 6)))
        got, expected = (mx.nd.mxq_region(*arrays, backend=b, **attrs).asnumpy() for b in ("auto", "ref"))
        np.testing.assert_array_equal(got, expected, err_msg=str(seed))


def test_a_part_of_a_concat_with_scales_beyond_all_measure():
    """What fast loops leave to others is written into the part alone, too."""
    rng = np.random.RandomState(0)
    b = Builder([integers(rng, "int8", (1, 3, 3, 6))])
    parts = []
    for weight_scale in (1e12, 0.005):
        weight, _, bias = _weights(rng)
        params = [b.param(a) for a in (weight, np.full(6, weight_scale, np.float32), bias)]
        parts.append(b.add("mxq_conv", [b.inputs[0], *params], **CONV))
    scales = {"in_scales": "(0.05, 0.05)", "out_scale": "0.05", "out_type": "int8", "in_zero_points": "(0, 0)"}
    for order in (parts, parts[::-1]):
        b.check([b.add("mxq_concat", order, num_args="2", dim="3", **scales)])


def test_several_outputs_of_one_operator_and_values_that_nobody_reads():
    rng = np.random.RandomState(1)
    b = Builder([rng.normal(0, 1, (2, 3, 4)).astype(np.float32)])
    q = b.add("mxq_quantize_v2", [b.inputs[0]])
    node = q.node
    back = b.add("mxq_dequantize", [q, node.out(1), node.out(2)], ranges="tensor")
    b.add("mxq_flatten", [q])
    b.check([node.out(2), back, q])


@parameterized.expand(
    [
        ("unknown_operator", {"graph": "FullyConnected\tf\ti0"}, ["line 0", "FullyConnected"]),
        ("region_in_region", {"graph": "mxq_region\tf\ti0"}, ["line 0", "mxq_region"]),
        ("missing_fields", {"graph": "mxq_flatten\tf"}, ["line 0", "tabs"]),
        ("later_line", {"graph": "mxq_flatten\tf\t0"}, ["'0'", "line above"]),
        ("missing_input", {"graph": "mxq_flatten\tf\ti1"}, ["'i1'", "num_inputs=1"]),
        ("junk_reference", {"graph": "mxq_flatten\tf\ti0x"}, ["'i0x'"]),
        ("no_such_output", {"graph": "mxq_flatten\tf\ti0", "outputs": "0:1"}, ["outputs", "'0:1'"]),
        ("output_twice", {"graph": "mxq_flatten\tf\ti0", "outputs": "0 0"}, ["outputs", "once"]),
        ("input_as_output", {"graph": "mxq_flatten\tf\ti0", "outputs": "i0"}, ["outputs", "input"]),
        ("no_outputs", {"graph": "mxq_flatten\tf\ti0", "outputs": ""}, ["outputs"]),
        ("empty", {"graph": ""}, ["graph"]),
        ("attribute_of_the_operator", {"graph": "mxq_flatten\tinner\ti0\tlayuot=x"}, ["mxq_flatten 'inner'", "layuot"]),
        ("number_of_inputs", {"graph": "mxq_flatten\tinner\ti0 i0"}, ["mxq_flatten 'inner'", "2 inputs", "1"]),
        ("no_equals_sign", {"graph": "mxq_flatten\tinner\ti0\tlayout"}, ["line 0", "layout"]),
        ("no_inputs", {"graph": "mxq_flatten\tf\ti0", "num_inputs": "0"}, ["num_inputs=0", "1 to 1048576"]),
        ("too_many", {"graph": "mxq_flatten\tf\ti0", "num_inputs": "1048577"}, ["num_inputs=1048577", "1 to 1048576"]),
        ("shape", {"graph": "mxq_reshape\tinner\ti0\tshape=(7,)"}, ["mxq_reshape 'inner'", "(7,)"]),
        (
            "type",
            {"graph": "mxq_dequantize\tinner\ti0\tscale=1\nmxq_elemwise_add\tlast\t0 0", "outputs": "1"},
            ["'last'"],
        ),
        ("backend", {"graph": "mxq_flatten\tinner\ti0\tbackend=onednn"}, ["mxq_flatten 'inner'", "onednn"]),
    ]
)
def test_errors_name_region_and_operator(_, attrs, parts):
    given = {"num_inputs": "1", "outputs": "0", "node": "the_region", **attrs}
    text = error_of(lambda: mx.nd.mxq_region(nd(np.zeros((2, 3), np.int8)), **given))
    for part in ["mxq_region 'the_region'", *parts]:
        assert part in text, text


def test_as_many_inputs_as_a_region_may_have():
    """The number is accepted: what is wrong is that they are not given, as MXNet or the operator says."""
    attrs = {"graph": "mxq_flatten\tf\ti0", "num_inputs": "1048576", "outputs": "0", "node": "r"}
    text = error_of(lambda: mx.nd.mxq_region(nd(np.zeros(2, np.int8)), **attrs))
    assert "1048576 inputs" in text and "num_inputs=" not in text, text


def test_an_error_while_running_names_the_operator_and_the_next_call_works():
    attrs = {"num_inputs": "1", "outputs": "1", "node": "r"}
    attrs["graph"] = "mxq_quantize_v2\tthe_quantize\ti0\nmxq_flatten\tf\t0"
    bad = np.array([[np.nan, 1.0]], np.float32)
    text = error_of(lambda: mx.nd.mxq_region(nd(bad), **attrs))
    assert "mxq_region 'r'" in text and "mxq_quantize_v2 'the_quantize'" in text and "nan" in text
    assert call("mxq_region", [np.array([[1.0, 0.5]], np.float32)], attrs)[0].tolist() == [[127, 64]]


def _network(seed):
    """(symbol, parameters) of a region with sums, and the input to its reference."""
    rng = np.random.RandomState(seed)
    b = Builder([integers(rng, "int8", (1, 5, 5, 6))])
    x = b.conv(rng, b.inputs[0])
    y = b.conv(rng, x, x)
    z = b.conv(rng, y, b.conv(rng, y))
    return b, encode(b.nodes, b.inputs, [z])


def test_threads_batch_sizes_and_parameters_that_change():
    b, attrs = _network(2)
    wrong = []

    def work(seed):
        rng = np.random.RandomState(seed)
        for _ in range(30):
            data = integers(rng, "int8", (rng.randint(1, 5), 5, 5, 6))
            arrays = [data] + b.arrays[1:]
            if rng.randint(2):  # other weights at other places, or at the same
                arrays[1] = integers(rng, "int8", arrays[1].shape)
            got, expected = call("mxq_region", arrays, attrs), call("mxq_region", arrays, {**attrs, "backend": "ref"})
            if not np.array_equal(got[0], expected[0]):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_weights_written_in_place_are_seen():
    b, attrs = _network(3)
    variables = [mx.sym.var(f"v{i}", shape=a.shape, dtype=a.dtype) for i, a in enumerate(b.arrays)]
    symbol = mx.sym.mxq_region(*variables, name="r", **attrs)
    executor = symbol.bind(mx.cpu(), [nd(a) for a in b.arrays], grad_req="null")
    rng = np.random.RandomState(4)
    for _ in range(6):
        changed = integers(rng, "int8", b.arrays[1].shape)
        executor.arg_dict["v1"][:] = nd(changed)
        arrays = [b.arrays[0], changed, *b.arrays[2:]]
        got = executor.forward(is_train=False)[0].asnumpy()
        assert np.array_equal(got, call("mxq_region", arrays, {**attrs, "backend": "ref"})[0])


def _resident_megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_nothing_grows_with_binds_and_batch_sizes():
    b, attrs = _network(5)

    def bind_and_run(count):
        for i in range(count):
            arrays = [np.repeat(b.arrays[0], 1 + i % 5, axis=0), *b.arrays[1:]]
            given = {**attrs, "content_id": f"{i % 7:016x}"}
            variables = [mx.sym.var(f"v{k}", shape=a.shape, dtype=a.dtype) for k, a in enumerate(arrays)]
            symbol = mx.sym.mxq_region(*variables, name="r", **given)
            symbol.bind(mx.cpu(), [nd(a) for a in arrays], grad_req="null").forward(is_train=False)[0].wait_to_read()
        gc.collect()

    bind_and_run(70)
    before = _resident_megabytes()
    bind_and_run(350)
    assert _resident_megabytes() - before < 4
    cache = native.info()["cache"]
    assert cache["nodes"] <= cache["max_nodes"] and cache["bound"] <= cache["max_bound"]


def test_a_graph_of_regions_survives_its_text():
    b, attrs = _network(6)
    region = Node("mxq_region", "r", attrs, b.inputs)
    graph = Graph([v.node for v in b.inputs] + [region], [region.out()], {})
    read = Graph.from_symbol(mx.sym.load_json(graph.symbol().tojson()), {})
    assert read.node("r").attrs == attrs
