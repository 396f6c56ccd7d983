"""mxq_affine: every implementation against numpy, bit for bit."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.affine import affine
from .calling import ACTS, LIMITS, check_all, error_of, integers, nd, shapes, slopes


@st.composite
def cases(draw):
    in_type, out_type = (draw(st.sampled_from(["int8", "uint8", "float32"])) for _ in range(2))
    attrs = {"out_type": out_type, **draw(st.sampled_from(ACTS))}
    if in_type != "float32":
        attrs["in_scale"] = draw(st.sampled_from([1.0, 0.05, 3.7]))
        attrs["in_zero_point"] = draw(st.sampled_from([0, 0, 5, *LIMITS[in_type]]))
    if out_type != "float32":
        attrs["out_scale"] = draw(st.sampled_from([1.0, 0.25, 0.03, 4.0]))
        attrs["out_zero_point"] = draw(st.sampled_from([0, 3, *LIMITS[out_type]]))
    return attrs, in_type, draw(shapes()), draw(st.integers(0, 2**31))


@settings(max_examples=400, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_generated(case):
    attrs, in_type, shape, seed = case
    check(attrs, in_type, shape, seed)


def check(attrs, in_type, shape, seed):
    rng = np.random.RandomState(seed)
    data = (rng.randn(*shape) * 30).astype(np.float32) if in_type == "float32" else integers(rng, in_type, shape)
    scale, shift = rng.normal(0, 0.7, shape[-1]).astype(np.float32), rng.normal(0, 9, shape[-1]).astype(np.float32)
    scale[rng.randint(shape[-1])] = 0.0
    slope = slopes(rng, attrs, shape[-1])
    inputs = [data, scale, shift, *slope]
    check_all("mxq_affine", inputs, attrs, [affine(data, scale, shift, slope[0] if slope else None, attrs)])


@parameterized.expand([(shape,) for shape in ((2, 40, 41, 3), (1, 9, 9, 600), (300, 70), (1, 1))])
def test_sizes(shape):
    for in_type in ("int8", "float32"):
        check({"out_type": "uint8", "act": "prelu", "out_zero_point": 9}, in_type, shape, 7)


ONES = np.ones(3, np.float32)


@parameterized.expand(
    [
        ("channels", [np.ones((1, 4), "int8"), ONES, ONES], {}, "scale has shape (3)"),
        ("slopes", [np.ones((1, 3), "int8"), ONES, ONES, np.ones(2, "f4")], {"act": "prelu"}, "slope has shape (2)"),
        ("rank", [np.ones(3, "int8"), ONES, ONES], {}, "(N, spatial..., C)"),
        ("type", [np.ones((1, 3), "int32"), ONES, ONES], {}, "data is int32; accepted are int8, uint8 and float32"),
        ("scale_of_float", [np.ones((1, 3), "f4"), ONES, ONES], {"in_scale": 2.0}, "no in_scale"),
        ("sum", [np.ones((1, 3), "int8"), ONES, ONES], {"sum": "before_act"}, "mxq_affine has no residual"),
        ("int32", [np.ones((1, 3), "int8"), ONES, ONES], {"out_type": "int32"}, "int8, uint8 and float32"),
        ("nan", [np.ones((1, 3), "int8"), ONES * np.nan, ONES], {}, "scale[0] = nan gives no finite float32"),
        ("large", [np.ones((1, 3), "int8"), ONES, ONES * 3e38], {"out_scale": 1e-3}, "shift[0] = 3e+38 gives no"),
    ]
)
def test_bad_input(_, inputs, attrs, words):
    assert words in error_of(lambda: mx.nd.mxq_affine(*[nd(a) for a in inputs], **attrs))
