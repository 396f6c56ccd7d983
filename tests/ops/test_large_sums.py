"""int32 results beyond 2^24, which float32 does not hold."""

import numpy as np
from parameterized import parameterized

from ..reference.conv import conv
from ..reference.fully_connected import fully_connected
from .calling import check_all


@parameterized.expand([(dtype, depth) for dtype in ("int8", "uint8") for depth in (1100, 2000)])
def test_every_digit_is_right(dtype, depth):
    rng = np.random.RandomState(depth)
    high = np.iinfo(dtype).max
    x = rng.randint(high - 27, high + 1, (2, 2, 3, depth)).astype(dtype)
    weight = rng.randint(90, 128, (17, depth, 1, 1)).astype(np.int8)
    scale, bias = np.ones(17, np.float32), rng.randint(-9, 10, 17).astype(np.int32)
    attrs = dict(kernel=(1, 1), num_filter=17, out_type="int32")
    check_all("mxq_conv", [x, weight, scale, bias], attrs, [conv(x, weight, scale, bias, None, None, attrs)])
    rows, matrix = x.reshape(-1, depth), weight.reshape(17, depth)
    attrs = dict(num_hidden=17, out_type="int32")
    expected = fully_connected(rows, matrix, scale, bias, None, None, attrs)
    assert np.abs(expected).max() > 1.2e7
    check_all("mxq_fully_connected", [rows, matrix, scale, bias], attrs, [expected])
