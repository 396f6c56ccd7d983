"""Times of single operators."""

import mxnet as mx
import numpy as np

import mxq
import mxq.profile

from .networks import NETWORKS, batch, forward
from .ops.calling import threads


def test_operators_of_regions_and_single_ones_are_timed():
    net = NETWORKS["residual"]()
    data = batch(net[3])
    for regions in (True, False):
        model = mxq.quantize_model(net[0], net[1:3], data, data_names=list(net[3]), regions=regions)
        with threads(1), mxq.profile.record() as times:  # none share the batch
            for _ in range(3):
                forward(model, data)
        expected = {n.name: n.op for n in model.operators.nodes if n.op.startswith("mxq_")}
        if regions:  # a view costs nothing there
            expected = {name: op for name, op in expected.items() if op != "mxq_flatten"}
        assert {row.name: row.op for row in times} == expected
        assert all(bool(row.region) == regions and row.calls == 3 for row in times)
        assert all(0 < row.least <= row.microseconds for row in times)
        assert len(times.regions) == regions
        convolutions = [row for row in times if row.op == "mxq_conv"]
        assert convolutions and all(row.macs > 0 and row.gmacs > 0 and len(row.shape) == 4 for row in convolutions)
        assert all(row.name in str(times) for row in times)


def test_nothing_is_recorded_outside_the_block():
    array = mx.nd.array(np.ones((2, 3), np.float32))
    with mxq.profile.record() as times:
        mx.nd.mxq_quantize_v2(array, min_calib_range=-1, max_calib_range=1, node="a").wait_to_read()
    mx.nd.mxq_quantize_v2(array, min_calib_range=-1, max_calib_range=1, node="b").wait_to_read()
    with mxq.profile.record() as again:
        pass
    assert [row.name for row in times] == ["a"] and len(again) == 0


def test_multiplications_are_counted():
    x = mx.nd.zeros((2, 5, 7, 6), dtype="int8")
    w = mx.nd.zeros((8, 3, 3, 3), dtype="int8")
    with mxq.profile.record() as times:
        mx.nd.mxq_conv(x, w, mx.nd.ones(8), kernel=(3, 3), num_filter=8, num_group=2, no_bias=True).wait_to_read()
    assert times.rows[0].macs == 2 * 3 * 5 * 8 * 3 * 9
