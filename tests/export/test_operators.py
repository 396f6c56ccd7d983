"""Every operator with generated attributes: what is exported is right, or the network is refused. Nothing is wrong."""

import zlib

import mxnet as mx
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from parameterized import parameterized

from mxq.errors import GraphError
from mxq.network.graph import Graph
from tests.export.operators import CASES
from tests.export.running import assert_close, exported
from tests.networks import forward

#: Networks drawn for each case.
EXAMPLES = 12


@parameterized.expand([(name,) for name in CASES])
def test_right_or_refused(name):
    right, refused = [], []

    @seed(zlib.crc32(name.encode()))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def compare(source):
        symbol, data, params = CASES[name](source.draw)
        auxiliary = set(symbol.list_auxiliary_states())
        arrays = {key: mx.nd.array(array) for key, array in params.items()}
        graph = Graph.from_symbol(symbol, arrays, {})
        args = {key: array for key, array in arrays.items() if key not in auxiliary}
        expected = forward((symbol, args, {key: arrays[key] for key in auxiliary}), data)
        try:
            got = exported(graph, data)
        except GraphError as error:
            assert "no exact ONNX form" in str(error), error
            refused.append(str(error))
            return
        assert_close(got, expected)
        right.append(name)

    compare()
    assert right, refused
