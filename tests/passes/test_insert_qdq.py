"""Explicit quantization: whose range a tensor has, and where the pairs stand."""

import mxnet as mx

from mxq.calib.table import CalibTable
from mxq.network.graph import Graph
from mxq.network.identity import tensor_key
from mxq.passes.annotate import annotate, quantized_values
from mxq.passes.insert_qdq import TensorRange, assign_ranges, insert_qdq

from ..networks import fill


def _annotated(sym, shape=(2, 3, 9, 9)):
    sym, args, aux, _ = fill(sym, {"data": shape})
    return annotate(Graph.from_symbol(sym, args, aux))


def _conv(x, name, channels=4, kernel=(1, 1)):
    return mx.sym.Convolution(x, num_filter=channels, kernel=kernel, name=name)


def _table(graph, ranges=None):
    found = {tensor_key(v): (-1.0, 2.0) for v in quantized_values(graph)}
    found.update(ranges or {})
    return CalibTable(found, "minmax", "", 1)


def _by_name(graph, table, fixed=None):
    ranges = assign_ranges(graph, table, "auto", fixed or {})
    names = {(id(n), i): n.name for n in graph.nodes for i in range(2)}
    return {names[key]: value for key, value in ranges.items()}


def test_own_range_decides_the_type():
    graph = _annotated(_conv(mx.sym.Activation(_conv(mx.sym.var("data"), "a"), act_type="relu", name="r"), "b"))
    found = _by_name(graph, _table(graph, {"r": (0.0, 3.5)}))
    assert found == {"data": TensorRange(-1.0, 2.0, "uint8"), "r": TensorRange(0.0, 3.5, "uint8")}


def test_an_input_has_a_zero_point_only_where_steps_become_clearly_smaller():
    for lo, hi, dtype in ((-1.0, 1.0, "int8"), (-1.0, 1.05, "int8"), (-1.0, 1.5, "uint8"), (-3.0, 0.5, "uint8")):
        graph = _annotated(_conv(mx.sym.BatchNorm(mx.sym.var("data"), name="bn"), "a"))
        found = _by_name(graph, _table(graph, {"bn": (lo, hi)}))
        assert found["bn"].dtype == dtype, (lo, hi)


def test_a_type_that_is_asked_for_counts_whatever_the_range():
    for dtype, lo, hi in (("int8", -0.2, 1.0), ("int8", 0.0, 1.0), ("uint8", -1.0, 1.0), ("uint8", 0.0, 1.0)):
        graph = _annotated(_conv(mx.sym.BatchNorm(mx.sym.var("data"), name="bn"), "a"))
        ranges = assign_ranges(graph, _table(graph, {"bn": (lo, hi)}), dtype, {})
        assert {found.dtype for found in ranges.values()} == {dtype}, (dtype, lo, hi)


def test_the_types_of_the_table_count():
    graph = _annotated(_conv(_conv(mx.sym.var("data"), "a"), "b"))
    ranges = {"data": (-1.0, 1.5), "a": (-0.5, 9.0)}
    for dtypes in ({"data": "int8", "a": "uint8"}, {"data": "uint8", "a": "int8"}):
        found = _by_name(graph, CalibTable(ranges, "mse", "", 1, dtypes=dtypes))
        assert {name: found[name].dtype for name in dtypes} == dtypes
    found = _by_name(graph, CalibTable(ranges, "mse", "", 1))  # as tables of earlier versions
    assert found["data"].dtype == "uint8" and found["a"].dtype == "int8"


def test_a_selecting_unit_keeps_the_range_of_its_source():
    x = mx.sym.Pooling(_conv(mx.sym.var("data"), "a"), kernel=(2, 2), pool_type="max", name="pool")
    graph = _annotated(_conv(x, "b"))
    found = _by_name(graph, _table(graph, {"a": (-3.0, 3.0), "pool": (-2.0, 3.0)}))
    assert found["pool"] == found["a"] == TensorRange(-3.0, 3.0, "int8")


def test_inputs_of_a_concat_share_its_range_unless_somebody_else_reads_them():
    x = mx.sym.var("data")
    a, b = _conv(x, "a"), _conv(x, "b")
    pooled = mx.sym.Pooling(_conv(x, "c"), kernel=(1, 1), pool_type="max", name="pool")
    cat = mx.sym.Concat(a, b, pooled, name="cat")
    graph = _annotated(mx.sym.Group([_conv(cat, "end"), _conv(b, "other")]))
    ranges = {"a": (-1.0, 1.0), "b": (-2.0, 2.0), "c": (-3.0, 3.0), "pool": (-3.0, 3.0), "cat": (-4.0, 4.0)}
    found = _by_name(graph, _table(graph, ranges))
    shared = TensorRange(-4.0, 4.0, "int8")
    assert found["a"] == found["c"] == found["pool"] == found["cat"] == shared
    assert found["b"] == TensorRange(-2.0, 2.0, "int8")


def test_concats_in_a_row_share_the_last_range():
    x = mx.sym.var("data")
    inner = mx.sym.Concat(_conv(x, "a"), _conv(x, "b"), name="inner")
    graph = _annotated(_conv(mx.sym.Concat(inner, _conv(x, "c"), name="outer"), "end"))
    found = _by_name(graph, _table(graph, {"outer": (-8.0, 8.0)}))
    assert {found[n] for n in ("a", "b", "c", "inner", "outer")} == {TensorRange(-8.0, 8.0, "int8")}


def test_fixed_ranges_replace_calibrated_ones():
    graph = _annotated(_conv(mx.sym.var("data"), "a"))
    fixed = {"data": TensorRange(0.0, 255.0, "uint8")}
    assert _by_name(graph, _table(graph), fixed)["data"] == fixed["data"]


def test_pairs_carry_the_range_with_full_precision_and_serve_all_readers_of_integers():
    x = mx.sym.var("data")
    graph = _annotated(mx.sym.Group([_conv(x, "p"), _conv(x, "q"), mx.sym.exp(x, name="float_reader")]))
    lo, hi = -1.2345678901234567e-7, 9.876543210987654e-8
    qdq = insert_qdq(graph, _table(graph, {"data": (lo, hi)}))
    pairs = [n for n in qdq.nodes if n.op == "mxq_quantize_v2"]
    assert len(pairs) == 1 and pairs[0].name == "data_quantize"
    dequantize = qdq.node("data_dequantize")
    for node in (pairs[0], dequantize):
        assert float(node.attrs["min_calib_range"]) == lo and float(node.attrs["max_calib_range"]) == hi
    for reader in ("p", "q"):
        assert qdq.node(reader).inputs[0].node is dequantize
    assert qdq.node("float_reader").inputs[0].node is qdq.node("data")  # which is float as it comes
    fixed = insert_qdq(graph, _table(graph), fixed={"data": TensorRange(0.0, 255.0, "uint8")})
    assert fixed.node("float_reader").inputs[0].node is fixed.node("data_dequantize")


def test_run_time_ranges_are_outputs_of_the_quantize_node():
    graph = _annotated(_conv(mx.sym.var("data"), "a"))
    dequantize = insert_qdq(graph, None).node("data_dequantize")
    assert dequantize.attrs["ranges"] == "tensor"
    assert [v.index for v in dequantize.inputs] == [0, 1, 2]
