"""Which operators become a region, and that they compute what they did before."""

import itertools
import tempfile

import mxnet as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

import mxq
from mxq.network.graph import VARIABLE, Graph, Node
from mxq.network.regions import expand_regions
from mxq.passes import run
from mxq.passes.form_regions import form_regions, regions

from ..networks import NETWORKS, batch, fill, forward


@parameterized.expand([(name, mode) for name in NETWORKS for mode in ("minmax", "none")])
def test_regions_compute_what_their_operators_do(name, mode):
    net = NETWORKS[name]()
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, data_names=list(net[3]), calib_mode=mode)
    plain = mxq.quantize_model(net[0], net[1:3], data, data_names=list(net[3]), calib_mode=mode, regions=False)
    assert "mxq_region" not in plain.symbol.tojson()
    assert model.symbol.list_outputs() == plain.symbol.list_outputs() == net[0].list_outputs()
    given = set(net[3])
    assert [a for a in model.symbol.list_arguments() if a in given] == [
        a for a in plain.symbol.list_arguments() if a in given
    ]
    expanded = expand_regions(Graph.from_symbol(*model))
    assert {k: (v.dtype, v.tobytes()) for k, v in expanded.params.items()} == {
        k: (v.asnumpy().dtype, v.asnumpy().tobytes()) for k, v in {**plain.arg_params, **plain.aux_params}.items()
    }
    for a, b in zip(forward(model, data), forward(plain, data)):
        assert a.dtype == b.dtype and np.array_equal(a, b)


def _chain(spec):
    """A graph with a node for each letter: i int8, f float; and the numbers of the nodes each one reads."""
    data = Node(VARIABLE, "data")
    nodes = [data]
    for k, (kind, reads) in enumerate(spec):
        inputs = [nodes[i % len(nodes)].out() for i in reads]
        nodes.append(Node("mxq_concat" if kind == "i" else "concat", f"n{k}", {}, inputs))
    read = {id(v.node) for n in nodes for v in n.inputs}
    return Graph(nodes, [n.out() for n in nodes if id(n) not in read] or [nodes[-1].out()], {})


def _one_way(graph, group):
    """Whether no way leads out of the group and back."""
    inside = {id(n) for n in group}
    behind = set()  # nodes outside that read from the group, directly or not
    for node in graph.nodes:
        if id(node) not in inside and any(id(v.node) in inside or id(v.node) in behind for v in node.inputs):
            behind.add(id(node))
    return not any(id(v.node) in behind for n in group for v in n.inputs)


@given(
    st.lists(
        st.tuples(st.sampled_from("iiif"), st.lists(st.integers(0, 30), min_size=1, max_size=3)),
        min_size=1,
        max_size=14,
    )
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_groups_are_as_large_as_they_can_be_and_never_read_themselves(spec):
    graph = _chain(spec)
    groups = regions(graph)
    native = [n for n in graph.nodes if n.op == "mxq_concat"]
    members = [id(n) for group in groups for n in group]
    assert len(set(members)) == len(members) and set(members) <= {id(n) for n in native}
    assert all(len(group) > 1 and _one_way(graph, group) for group in groups)
    alone = [[n] for n in native if id(n) not in members]
    for a, b in itertools.combinations(groups + alone, 2):
        touch = any(id(v.node) in {id(n) for n in a} for n in b for v in n.inputs)
        touch = touch or any(id(v.node) in {id(n) for n in b} for n in a for v in n.inputs)
        assert not touch or not _one_way(graph, a + b)
    formed = form_regions(graph)  # sorting it would raise on a cycle
    assert len(formed.outputs) == len(graph.outputs)


def test_a_float_operator_in_the_middle_divides():
    graph = _chain([("i", [0]), ("i", [1]), ("f", [2]), ("i", [2]), ("i", [3, 4])])
    assert [[n.name for n in group] for group in regions(graph)] == [["n0", "n1", "n3"]]
    # n4 reads the float n2, which reads n1: it cannot be in the region of n1.


@st.composite
def _residual_network(draw):
    """Convolutions whose sums read any earlier tensor, also one that is read again, and the data of the sum itself."""
    x = mx.sym.var("data")
    values = [mx.sym.Convolution(x, kernel=(1, 1), num_filter=6, name="stem")]
    for i in range(draw(st.integers(1, 6))):
        kernel = draw(st.sampled_from([1, 3]))
        source = draw(st.sampled_from(values))
        y = mx.sym.Convolution(source, kernel=(kernel, kernel), pad=(kernel // 2,) * 2, num_filter=6, name=f"conv{i}")
        if draw(st.booleans()):
            y = y + draw(st.sampled_from(values))
        if draw(st.booleans()):
            y = mx.sym.Activation(y, act_type="relu", name=f"relu{i}")
        values.append(y)
        if draw(st.booleans()):
            values.append(mx.sym.Pooling(y, kernel=(3, 3), pad=(1, 1), pool_type="max", name=f"pool{i}"))
    ends = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique_by=id))
    joined = mx.sym.Concat(*ends, dim=1) if len(ends) > 1 else ends[0]
    joined = mx.sym.Pooling(joined, global_pool=True, kernel=(1, 1), pool_type="avg")
    out = mx.sym.FullyConnected(mx.sym.Flatten(joined), num_hidden=5, name="fc")
    return fill(out, {"data": (2, 3, 5, 7)}, draw(st.integers(0, 5)))


@given(_residual_network(), st.sampled_from(["auto", "int8", "uint8"]))
@settings(max_examples=25, derandomize=True, deadline=None)
def test_sums_in_place_never_overwrite_what_is_read_later(net, dtype):
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, calib_mode="minmax", quantized_dtype=dtype)
    assert [n.op for n in Graph.from_symbol(*model).nodes if not n.is_variable] == ["mxq_region"]
    expected = forward(model.operators, data)[0]
    assert np.array_equal(forward(model, data)[0], expected)
    for backend in ("plan", "ref"):
        graph = Graph.from_symbol(*model)
        graph.node("fc").attrs["backend"] = backend
        assert np.array_equal(forward(graph, data)[0], expected), backend


def test_every_way_to_run_a_network():
    net = NETWORKS["residual"]()
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, data_names=list(net[3]))
    images = data["data"]
    expected = {n: forward(model.operators, {"data": images[:n]})[0] for n in (1, 2)}
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/net")
        block = mx.gluon.SymbolBlock.imports(f"{folder}/net-symbol.json", ["data"], f"{folder}/net-0000.params")
        symbol, args, aux = mx.model.load_checkpoint(f"{folder}/net", 0)
    for options in ({}, {"static_alloc": True}, {"static_alloc": True, "static_shape": True}):
        block.hybridize(**options)
        for n in (1, 2, 1):
            assert np.array_equal(block(mx.nd.array(images[:n])).asnumpy(), expected[n]), options
    module = mx.mod.Module(symbol, label_names=None)
    module.bind([("data", images[:2].shape)], for_training=False)
    module.set_params(args, aux)
    module.forward(mx.io.DataBatch([mx.nd.array(images[:2])]), is_train=False)
    assert np.array_equal(module.get_outputs()[0].asnumpy(), expected[2])
    module.reshape([("data", images[:1].shape)])
    module.forward(mx.io.DataBatch([mx.nd.array(images[:1])]), is_train=False)
    assert np.array_equal(module.get_outputs()[0].asnumpy(), expected[1])


def test_parameters_become_one_but_for_those_that_others_read():
    net = NETWORKS["residual"]()
    model = mxq.quantize_model(net[0], net[1:3], batch(net[3]), data_names=list(net[3]))
    assert list(model.arg_params) == ["fc_params"] and model.arg_params["fc_params"].dtype == np.int8
    graph = model.operators.copy()
    shared = next(n for n in graph.params if n.endswith("weight_quantize"))
    graph.outputs.append(graph.node(shared).out())
    formed = form_regions(graph)
    assert set(formed.params) == {"fc_params", shared}
    data = batch(net[3])
    for a, b in zip(forward(formed, data), forward(graph, data)):
        assert np.array_equal(a, b)


def test_networks_with_other_weights_are_other_regions():
    ids = set()
    for seed in (0, 1):
        net = NETWORKS["residual"]()
        params = {k: v * (1 + seed) for k, v in net[1].items()}
        model = mxq.quantize_model(net[0], (params, net[2]), batch(net[3]), data_names=list(net[3]))
        ids.add(Graph.from_symbol(*model).node("fc").attrs["content_id"])
    assert len(ids) == 2


def test_a_missing_batch_size_is_told():
    net = NETWORKS["residual"]()
    data = batch(net[3])
    model = mxq.quantize_model(net[0], net[1:3], data, data_names=list(net[3]))
    shape = data["data"].shape
    try:
        model.symbol.infer_shape_partial(data=(0, *shape[1:]))
    except mx.MXNetError as error:
        assert "mxq_region 'fc'" in str(error) and "dimension of input 0" in str(error), error
    else:
        raise AssertionError("accepted")


def test_integers_as_input():
    net = NETWORKS["residual"]()
    shape = net[3]["data"]
    raw = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    model = mxq.quantize_model(net[0], net[1:3], raw, mean=120.0, std=60.0, input_dtype="uint8")
    assert np.array_equal(forward(model, {"data": raw})[0], forward(model.operators, {"data": raw})[0])


def test_running_the_pass_on_regions_leaves_them():
    net = NETWORKS["residual"]()
    model = mxq.quantize_model(net[0], net[1:3], batch(net[3]), data_names=list(net[3]))
    read = Graph.from_symbol(*model)
    again = run(read, [form_regions], stage="int8")
    assert [(n.op, n.name, n.attrs) for n in again.nodes] == [(n.op, n.name, n.attrs) for n in read.nodes]
