"""NaN at inference: an integer without a word, or an error in the checked mode."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq import native

from .calling import call, error_of, nd

RANGE = {"min_calib_range": "-1", "max_calib_range": "2"}
LINES = "mxq_quantize_v2\tthe_quantize\ti0\tmin_calib_range=-1\tmax_calib_range=2\nmxq_flatten\tf\t0"
REGION = {"num_inputs": "1", "outputs": "1", "node": "r", "graph": LINES}
BAD = np.float32([[0.5, np.nan, 1]])


@parameterized.expand([("mxq_quantize_v2", {"node": "q", **RANGE}, ["'q'"]), ("mxq_region", REGION, ["'r'"])])
def test_only_the_checked_mode_raises(op, attrs, names):
    (silent,) = call(op, [BAD], attrs)
    assert silent[0, 1] == -128 and silent[0, 0] == call(op, [BAD[:, :1]], attrs)[0][0, 0]
    assert native.check_nan() is False
    try:
        text = error_of(lambda: getattr(mx.nd, op)(nd(BAD), **attrs))
        for part in ["NaN at element 1 of 3", "input 0", *names]:
            assert part in text, text
        whole = np.float32([[0.5, np.inf, 1]])
        assert call(op, [whole], attrs)[0].tolist() == [[32, 127, 64]]
    finally:
        assert native.check_nan(False) is True
    assert np.array_equal(call(op, [BAD], attrs)[0], silent)
