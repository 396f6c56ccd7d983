"""What the caller wants left in float."""

import mxnet as mx
from parameterized import parameterized

import mxq
from mxq.choice.exclude import excluded_nodes
from mxq.errors import ConfigError

from .networks import NETWORKS, batch, graph_of


def _raises(call, *words):
    try:
        call()
    except ConfigError as error:
        assert all(word in str(error) for word in words), str(error)
    else:
        raise AssertionError("no ConfigError")


def test_names_operators_and_patterns():
    graph = graph_of(NETWORKS["plain"]())
    found = excluded_nodes(graph, ["conv0"], ["Pooling"], [r"^relu[12]$"])
    assert sorted(found) == ["conv0", "gap", "pool", "relu1", "relu2"]
    assert found["conv0"] == "excluded by name" and "Pooling" in found["gap"] and "pattern" in found["relu1"]


@parameterized.expand(
    [
        ("name", dict(names=["conv_0"]), "conv_0", "conv0"),
        ("operator", dict(ops=["Convolutoin"]), "Convolutoin", "Convolution"),
        ("pattern", dict(patterns=["^nothing$"]), "^nothing$", "matches no node"),
        ("broken pattern", dict(patterns=["("]), "(", "regular expression"),
        ("a string", dict(names="conv0"), "conv0", "list"),
        ("no string", dict(ops=[3]), "3", "strings"),
    ]
)
def test_what_matches_nothing_is_an_error(_, arguments, given, hint):
    _raises(lambda: excluded_nodes(graph_of(NETWORKS["plain"]()), **arguments), given, hint)


def test_excluding_a_folded_batchnorm_keeps_its_convolution_float():
    net = NETWORKS["plain"]()
    model = mxq.quantize_model(*net[:1], net[1:3], batch(net[3]), excluded_sym_names=["bn1"])
    rows = {n.node: n for n in model.report}
    assert rows["conv1"].precision == "float" and "bn1" in rows["conv1"].reason
    assert rows["conv0"].precision == rows["conv2"].precision == "int8"


def test_excluded_node_runs_in_float_between_int8_ones():
    net = NETWORKS["plain"]()
    model = mxq.quantize_model(*net[:1], net[1:3], batch(net[3]), excluded_op_names=["FullyConnected"])
    assert "fc_weight" in model.arg_params and model.arg_params["fc_weight"].dtype == mx.nd.zeros(1).dtype
    assert "conv1_weight_quantize" in model.operators.params
