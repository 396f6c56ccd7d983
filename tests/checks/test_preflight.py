"""Findings in parameters, in folding and in what the network computes."""

import json
import logging

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.calib.tensor_statistics import TensorStatistics
from mxq.report.activations import percentile
from mxq.report.finding import Finding, Findings
from tests import realdata
from tests.networks import NETWORKS, batch, bn, conv, fill, head, relu
from tests.refusals import refused


def _network(channels=8):
    x = relu(conv(mx.sym.var("data"), "conv0", channels), "relu0")
    symbol, args, aux, _ = fill(head(relu(conv(x, "conv1", 6), "relu1")), {"data": (4, 3, 20, 20)})
    data = np.random.RandomState(0).normal(0, 1, (8, 3, 20, 20)).astype(np.float32)
    return symbol, args, data


def _changed(args, name, change):
    array = args[name].asnumpy()
    change(array)
    return {**args, name: mx.nd.array(array)}


def _of(check, findings):
    return [finding for finding in findings if finding.check == check]


def test_a_sound_network_has_no_findings():
    symbol, args, data = _network()
    assert mxq.preflight(symbol, args, data) == [] and str(mxq.preflight(symbol, args)).startswith("nothing found\n")


@parameterized.expand([("nan", np.nan), ("inf", np.inf)])
def test_parameters_that_are_not_finite(name, value):
    symbol, args, _ = _network()

    def change(array):
        array[1, 0, 0, 0] = array[0, 1, 1, 1] = value

    (finding,) = _of("nonfinite", mxq.preflight(symbol, _changed(args, "conv1_weight", change)))
    assert finding.severity == "error" and finding.node == "conv1_weight" and "2 of 432 values" in finding.value
    assert name in finding.value


def test_denormal_weights_are_counted():
    symbol, args, _ = _network()
    small = args["conv1_weight"].asnumpy()
    small[:2, 0] = 1e-40
    with_denormals = {**args, "conv1_weight": mx.nd.array(small)}
    assert (with_denormals["conv1_weight"].asnumpy() != 0).all()
    (finding,) = mxq.preflight(symbol, with_denormals)
    assert (finding.severity, finding.check, finding.node) == ("warning", "denormal", "conv1_weight")
    assert "18 of 432" in finding.value


def test_weights_that_were_not_loaded():
    symbol, args, _ = _network()
    (finding,) = _of("constant", mxq.preflight(symbol, {**args, "conv0_weight": mx.nd.ones((8, 3, 3, 3)) * 0.5}))
    assert finding.node == "conv0_weight" and "0.5" in finding.value and finding.severity == "warning"


def test_dead_channels_are_counted_and_many_are_a_warning():
    symbol, args, data = _network()

    def few(array):
        array[2] = 0
        array[5] = 1e-9

    def many(array):
        array[:6] = 0

    (finding,) = _of("dead", mxq.preflight(symbol, _changed(args, "conv0_weight", few)))
    assert finding.severity == "info" and finding.node == "conv0_weight" and "2 of 8" in finding.value
    args["conv0_bias"] *= 0
    findings = _of("dead", mxq.preflight(symbol, _changed(args, "conv0_weight", many), data))
    assert [(f.severity, f.node) for f in findings] == [("warning", "conv0_weight"), ("warning", "relu0")]


def test_channels_that_are_never_active():
    symbol, args, data = _network()
    bias = args["conv0_bias"].asnumpy()
    bias[3] = -1000
    (finding,) = mxq.preflight(symbol, {**args, "conv0_bias": mx.nd.array(bias)}, data)
    assert (finding.check, finding.severity, finding.node) == ("dead", "info", "relu0")
    assert "1 of 8" in finding.value and "8 examples" in finding.value


def test_a_tensor_that_is_the_same_everywhere():
    symbol, args, data = _network()
    bias = mx.nd.array(np.full(8, -1000))
    findings = _of("constant", mxq.preflight(symbol, {**args, "conv0_bias": bias}, data))
    assert findings[0].node == "relu0" and "every value is 0" in findings[0].value


def test_outliers():
    symbol, args, data = _network()
    data = np.concatenate([data] * 2)
    spike = data.copy()
    spike[3, 1, 4, 4] = 2000.0
    (finding,) = _of("outlier", [f for f in mxq.preflight(symbol, args, spike) if f.node == "data"])
    assert "2000" in finding.value and finding.severity == "warning"
    assert not _of("outlier", mxq.preflight(symbol, args, data))


def test_what_the_network_computes_is_not_finite():
    symbol, args, data = _network()
    (finding,) = mxq.preflight(symbol, {**args, "conv0_weight": args["conv0_weight"] * 3e38}, data)
    assert finding.severity == "error" and finding.check == "nonfinite" and "relu0" in finding.value


def test_batchnorms_that_do_not_fold_say_why():
    symbol, args, aux, shapes = NETWORKS["preactivation"]()
    findings = _of("batchnorm", mxq.preflight(symbol, (args, aux), batch(shapes)))
    assert {finding.node for finding in findings} == {"bn1", "bn_data", "bn3"} & {f.node for f in findings}
    assert findings and all("could not fold: " in finding.value for finding in findings)
    x = bn(conv(mx.sym.var("data"), "conv0", 4), "bn0")
    symbol, args, aux, shapes = fill(head(x), {"data": (2, 3, 6, 6)})
    assert not mxq.preflight(symbol, (args, aux))
    aux["bn0_moving_var"][:] = -5
    (finding,) = mxq.preflight(symbol, (args, aux))
    assert finding.node == "bn0" and "negative variance" in finding.value


def test_the_percentile_of_magnitudes():
    rng = np.random.RandomState(0)
    for values in (rng.normal(0, 1, 50000), rng.exponential(3, 50000), -rng.exponential(3, 50000)):
        statistics = TensorStatistics()
        statistics.update(values.astype(np.float32))
        expected = np.quantile(np.abs(values), 0.999)
        assert np.isclose(percentile(statistics.histogram(), 0.999), expected, rtol=0.01)


def test_findings_are_sorted_printed_and_json():
    findings = Findings([Finding("info", "dead", "a", "b", "c"), Finding("error", "nonfinite", "d", "e", "f")])
    assert [f.severity for f in findings] == ["error", "info"] and len(findings.warnings) == 1
    assert str(findings) == "error: d: e; f\ninfo: a: b; c"
    assert json.loads(findings.to_json())[0]["node"] == "d"


def test_infos_of_a_kind_are_one_line_that_names_four_more():
    infos = [Finding("info", "dead", f"node{i}", "b", "c") for i in range(6)]
    told = "info: node0: b (and {} more like this: node1, node2, node3, node4{}); c"
    assert str(Findings(infos)) == told.format(5, ", ...") and str(Findings(infos[:5])) == told.format(4, "")


class _Records(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append((record.levelname, record.getMessage()))


def _logged(call):
    handler = _Records()
    logging.getLogger("mxq").addHandler(handler)
    try:
        return call(), handler.lines
    finally:
        logging.getLogger("mxq").removeHandler(handler)


def test_quantize_model_logs_what_matters_and_keeps_all():
    symbol, args, data = _network()
    for name in ("conv0_weight", "conv1_weight"):
        small = args[name].asnumpy()
        small[0, 0] = 1e-40
        small[1] = 0
        args[name] = mx.nd.array(small)
    model, lines = _logged(lambda: mxq.quantize_model(symbol, args, data))
    about = [line for line in lines if "denormal" in line[1]]
    assert len(about) == 1 and about[0][0] == "WARNING" and "1 more" in about[0][1]
    assert not [line for line in lines if "channels" in line[1]]
    assert {f.check for f in model.findings} == {"denormal", "dead"}
    assert "denormal" in str(mxq.explain(model, data, effect_examples=0))
    page = mxq.explain(model, data, effect_examples=0).to_html()
    assert "Before quantization" in page and "denormal" in page
    model, lines = _logged(lambda: mxq.quantize_model(symbol, args, data, preflight=False))
    assert not lines and model.findings == []


def test_quantize_net_too():
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(6, 3, activation="relu", in_channels=3), mx.gluon.nn.Dense(4))
    net.initialize(mx.init.One())
    data = np.random.RandomState(0).normal(0, 1, (4, 3, 8, 8)).astype(np.float32)
    block, lines = _logged(lambda: mxq.quantize_net(net, data))
    assert "all" in lines[0][1] and {f.check for f in block.findings} == {"constant"}
    assert mxq.quantize_net(net, data, preflight=False).findings == []


def test_the_data_is_not_used_up():
    symbol, args, data = _network()
    parts = (data[i : i + 2] for i in range(0, 8, 2))
    assert mxq.quantize_model(symbol, args, parts).table.num_examples == 8


def test_refused_arguments():
    symbol, args, data = _network()
    refused(lambda: mxq.preflight(symbol, args, data, calibmode="x"), "preflight", "calib_mode", error=mxq.ConfigError)
    refused(lambda: mxq.preflight(symbol, {}, data), "conv0_weight", error=mxq.GraphError)


@parameterized.expand(sorted(realdata.NETWORKS))
def test_no_false_alarm_on_real_networks(name):
    realdata.need()
    data = [images for images, _ in realdata.images(name, "calib", 16, batch_size=16)]
    assert not mxq.preflight(*realdata.files(name), data).warnings
