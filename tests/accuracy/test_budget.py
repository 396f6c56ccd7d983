"""precision_budget: tensors that dominate the noise are found, read finer, and reported; others stay as they are."""

import functools
import os
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.calib.kept import MOST, KeptExamples
from mxq.calib.samples import example_hashes
from mxq.choice.budget import FAR, TIMES, _Candidate, _candidates, _choose, _Meter
from mxq.choice.sensitivity import last_results
from mxq.costs.shares import alone, noise_shares
from mxq.passes.annotate import annotate

from ..networks import NETWORKS, conv, fill, forward, graph_of, head, relu
from ..passes.test_lower import sqnr
from ..refusals import refused

#: Channels are not equalized: what dominates here would be mended by that.
OPTIONS = {"equalize": False, "preflight": False, "verify": False}


def _data(shape=(3, 12, 12), n=32):
    return np.random.RandomState(5).normal(0, 1, (n, *shape)).astype(np.float32)


def _network(before, behind):
    """Layers, of which a channel between two is 90 times as large as the others and hardly read."""
    x = relu(conv(mx.sym.var("data"), "a", 8), "a_relu")
    x = behind(relu(before(x), "wide"))
    net = fill(head(relu(conv(x, "d", 24), "d_relu")), {"data": (2, 3, 12, 12)})
    weight, bias = net[1]["b_weight"].asnumpy(), net[1]["b_bias"].asnumpy()
    weight[0] *= 90
    bias[0] *= 90
    net[1]["b_weight"], net[1]["b_bias"] = mx.nd.array(weight), mx.nd.array(bias)
    for name in ("c_weight", "d_weight", "fc_weight"):
        if name in net[1]:
            weight = net[1][name].asnumpy()
            if name == "c_weight" and weight.shape[1] == 1:  # depthwise
                weight[0] /= 90
                net[1][name] = mx.nd.array(weight)
            elif name == ("c_weight" if "c_weight" in net[1] else "d_weight"):
                weight[:, 0] /= 90
                net[1][name] = mx.nd.array(weight)
    return net


CASES = {
    "convolution": lambda x: relu(conv(x, "c", 6, kernel=(1, 1)), "c_relu"),
    "depthwise": lambda x: relu(conv(x, "c", 8, num_group=8), "c_relu"),
    "pooled": lambda x: relu(conv(mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2)), "c", 6, kernel=(1, 1)), "c_relu"),
}


def _case(name):
    return _network(lambda x: conv(x, "b", 8), CASES[name])


@parameterized.expand([(name,) for name in CASES])
def test_what_dominates_is_read_finer(name):
    net, data = _case(name), _data()
    plain = mxq.quantize_model(net[0], net[1:3], data, precision_budget=0, **OPTIONS)
    model = mxq.quantize_model(net[0], net[1:3], data, precision_budget=0.6, **OPTIONS)
    assert plain.precision is None and plain.table.finer == ()
    first = model.precision.tensors[0]
    assert first.name.split(", ")[0] == "wide" and first.share > 0.3 and first.readers == ("c",), model.precision
    assert 0 < model.precision.spent <= 0.6
    assert model.precision.summary() in model.report.summary()
    unseen = {"data": np.random.RandomState(6).normal(0, 1, (16, 3, 12, 12)).astype(np.float32)}
    exact, before, after = (forward(of, unseen)[0] for of in (net, plain, model))
    assert sqnr(exact, after) > sqnr(exact, before) + 3, (sqnr(exact, before), sqnr(exact, after))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table.json")
        model.table.save(path)
        again = mxq.quantize_model(net[0], net[1:3], data, calib_table=path, **OPTIONS)
    np.testing.assert_array_equal(forward(again, unseen)[0], after)


def test_a_global_pooling_reads_float():
    """Pooled values are close to each other and far from zero: 8 bits before the mean are few."""
    net = _network(lambda x: conv(x, "b", 8), lambda x: mx.sym.LeakyReLU(x, slope=0.2, name="leaky"))
    x = mx.sym.LeakyReLU(net[0].get_internals()["wide_output"], act_type="elu", slope=0.9, name="elu")
    sym = mx.sym.FullyConnected(
        mx.sym.Pooling(x, global_pool=True, pool_type="avg", name="gap"), num_hidden=5, name="fc"
    )
    params = {name: array for name, array in net[1].items() if name[0] in "ab"}
    params.update(fc_weight=mx.nd.array(np.float32([[1 / 600] + [1] * 7] * 5)), fc_bias=mx.nd.zeros(5))
    model = mxq.quantize_model(sym, params, _data(), **OPTIONS)
    (found,) = [tensor for tensor in model.precision.tensors if tensor.name == "elu"]
    assert 0 < found.cost < 0.2 and found.readers == (), model.precision
    assert "elu_quantize" not in [node.name for node in model.operators.nodes]


def test_nothing_is_spent_on_what_costs_too_much_or_is_near_float():
    net, data = _case("convolution"), _data()
    model = mxq.quantize_model(net[0], net[1:3], data, precision_budget=1e-4, **OPTIONS)
    assert not model.precision.tensors and "costs too much" in model.precision.reason
    near = NETWORKS["plain"]()
    data = _data((3, 17, 17))
    model = mxq.quantize_model(near[0], near[1:3], data, preflight=False, verify=False)
    plain = mxq.quantize_model(near[0], near[1:3], data, preflight=False, verify=False, precision_budget=0)
    if not model.precision.tensors:
        assert model.table == plain.table and model.symbol.tojson() == plain.symbol.tojson()


def test_a_network_far_from_float_may_spend_more():
    net, data = _case("convolution"), _data()
    plenty = mxq.quantize_model(net[0], net[1:3], data, precision_budget=1.0, **OPTIONS).precision
    cost = plenty.spent
    assert plenty.before < FAR - 3 and len(plenty.tensors) == 1, plenty
    for given, spends in ((cost / TIMES * 1.1, True), (cost / TIMES * 0.9, False)):
        found = mxq.quantize_model(net[0], net[1:3], data, precision_budget=given, **OPTIONS).precision
        assert found.tensors == (plenty.tensors if spends else ()), (found, cost)
        np.testing.assert_allclose(found.budget, given * (TIMES if spends else 1))


def test_what_takes_most_noise_together_is_chosen():
    def one(name, ratio, cost):
        return _Candidate((name,), (), cost, ratio)

    large, halves = one("large", 0.5, 0.14), [one("a", 0.3, 0.07), one("b", 0.3, 0.075)]
    assert _choose([large, *halves], 1.0, 0.15) == halves
    assert _choose([large, *halves], 1.0, 0.14) == [large]
    assert _choose([large, *halves], 1.0, 0.06) == []
    even = [one(str(i), 0.03, 0.03) for i in range(30)]  # as much noise as time: not worth it
    assert _choose(even, 1.0, 0.15) == []
    cheap = one("cheap", 0.03, 0.01)
    assert _choose([cheap, *even], 1.0, 0.15) == [cheap]
    assert _choose([one("tiny", 0.005, 0.0)], 1.0, 0.15) == []
    assert _choose([one("most", 0.95, 0.1), one("rest", 0.03, 0.05)], 1.0, 0.15)[1].keys == ("rest",)


def test_the_same_from_data_in_any_order_from_statistics_and_from_merged_ones():
    net, data = _case("depthwise"), _data()
    options = {"preflight": False, "verify": False, "equalize": False, "precision_budget": 0.6}
    model = mxq.quantize_model(net[0], net[1:3], data, **options)
    assert model.table.finer
    turned = mxq.quantize_model(net[0], net[1:3], [data[20:][::-1], data[:20]], **options)
    whole = mxq.collect_statistics(net[0], net[1:3], data)
    with tempfile.TemporaryDirectory() as folder:
        parts = [mxq.collect_statistics(net[0], net[1:3], part) for part in (data[:13], data[13:])]
        parts[1].merge(parts[0])
        path = os.path.join(folder, "statistics.npz")
        parts[1].save(path)
        merged = mxq.quantize_model(net[0], net[1:3], statistics=path, **options)
    for other in (turned, mxq.quantize_model(net[0], net[1:3], statistics=whole, **options), merged):
        assert other.table.extended(data_shapes={}) == model.table.extended(data_shapes={})
        assert other.precision == model.precision


def test_integers_as_data():
    net, raw = _case("depthwise"), np.random.RandomState(0).randint(0, 256, (32, 3, 12, 12)).astype(np.uint8)
    options = {**OPTIONS, "input_dtype": "uint8", "mean": 127, "std": 60, "precision_budget": 0.6}
    model = mxq.quantize_model(net[0], net[1:3], raw, **options)
    assert [t.name for t in model.precision.tensors][:1] == ["wide"], model.precision


def test_estimates_are_near_what_is_measured():
    for name in ("residual", "inception", "depthwise", "pyramid"):
        net = NETWORKS[name]()
        data = _data(net[3]["data"][1:], 16)
        model = mxq.quantize_model(net[0], net[1:3], data, precision_budget=0, preflight=False, verify=False)
        batches = model.statistics.examples.batches(MOST, {})
        watched = last_results(model.floats)
        shares = noise_shares(model.floats, model.qdq, watched, batches, None)
        meter = _Meter(model.floats, watched, batches, None)
        measured = {key: meter.ratio(alone(model.floats, model.qdq, [key])) for key in shares}
        most = max(measured, key=measured.get)
        for key, ratio in measured.items():
            if ratio > 0.1 * measured[most]:
                assert ratio / 4 < shares[key] < 4 * ratio, (name, key, shares[key], ratio)


def test_tensors_that_are_only_moved_go_together():
    x = relu(conv(mx.sym.var("data"), "a", 6), "a_relu")
    pooled = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), name="pool")
    both = mx.sym.Concat(relu(conv(pooled, "b", 3), "b_relu"), relu(conv(pooled, "c", 4), "c_relu"), name="cat")
    graph = graph_of(fill(conv(both, "d", 5), {"data": (2, 3, 8, 8)}))
    graph.shapes = mxq.network.shapes.infer_shapes(graph, {"data": (2, 3, 8, 8)})
    found = {candidate.keys: candidate for candidate in _candidates(annotate(graph), {})}
    assert set(found) == {("data",), ("a_relu", "pool"), ("b_relu", "c_relu", "cat")}
    assert found["a_relu", "pool"].readers == ("b", "c") and found["b_relu", "c_relu", "cat"].readers == ("d",)
    count = {"a": 6 * 27 * 128, "b": 3 * 54 * 32, "c": 4 * 54 * 32, "d": 5 * 63 * 32}
    written = {"a": 6 * 128, "b": 3 * 32, "c": 4 * 32, "d": 5 * 32}
    time = sum(count[name] + 30 * written[name] for name in count)
    longer = count["b"] + count["c"] + 8 * 6 * 128 + 64 * 6 * 32
    weights = {"a": 162, "b": 162, "c": 216, "d": 315}
    cost = max(longer / time, (162 + 216) / sum(weights.values()))
    assert np.isclose(found["a_relu", "pool"].cost, cost)


def test_kept_examples_do_not_depend_on_order_or_parts():
    data = {"x": _data((3,), 20), "y": np.arange(20, dtype=np.uint8).reshape(20, 1)}
    hashes = example_hashes(data, 20)
    whole = KeptExamples()
    whole.update(data, hashes)
    assert len(whole) == MOST and [kept.hash for kept in whole] == sorted(map(int, hashes))[:MOST]
    order = np.random.RandomState(0).permutation(20)
    parts = [KeptExamples(), KeptExamples()]
    for part, chosen in zip(parts, (order[:7], order[7:])):
        for i in chosen:
            part.update({name: array[i : i + 1] for name, array in data.items()}, hashes[i : i + 1])
    parts[0].merge(parts[1])
    for a, b in zip(whole, parts[0]):
        assert a.hash == b.hash and all(np.array_equal(a.arrays[name], b.arrays[name]) for name in data)
    kept = KeptExamples()
    kept.update(data, hashes, whole=True)
    assert len(kept) == 20 and kept.batches(1, {})[0].n_valid == 20


def test_a_budget_is_a_share():
    net = _case("convolution")
    for value in (-0.1, 1.5, "5 %", True, None):
        call = functools.partial(mxq.quantize_model, net[0], net[1:3], _data(), precision_budget=value)
        refused(call, "precision_budget", "from 0 (nothing) to 1 (all)")
