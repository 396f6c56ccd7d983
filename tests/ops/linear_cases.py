"""Generated cases for mxq_conv and mxq_fully_connected: inputs, runs on every implementation, and the comparison."""

from collections import Counter
from typing import Any, Callable, Dict, List, Optional

import mxnet as mx
import numpy as np
from hypothesis import strategies as st

import mxq.native

mxq.native.load()

#: How many times fewer cases than written are drawn (see tests/host).
THINNED = 1
RANGES = {"int8": (-128, 127), "uint8": (0, 255)}
ACTS = {
    "none": {},
    "relu": {"act": "relu"},
    "clip": {"act": "clip", "act_alpha": 0.0, "act_beta": 6.0},
    "clip both": {"act": "clip", "act_alpha": -1.3, "act_beta": 2.7},
    "leaky": {"act": "leaky", "act_alpha": 0.1},
    "prelu": {"act": "prelu"},
}


@st.composite
def stages(draw: Callable[[Any], Any]) -> Dict[str, Any]:
    """Attributes of everything after the accumulator, and of the data."""
    in_type = draw(st.sampled_from(["int8", "uint8"]))
    low, high = RANGES[in_type]
    attrs = {
        "in_scale": draw(st.sampled_from([0.0173, 1.0, 0.25])),
        "in_zero_point": draw(st.sampled_from([0, 0, 7, low, high])),
        "no_bias": draw(st.booleans()),
        "out_type": draw(st.sampled_from(["int8", "uint8", "int8", "uint8", "int32", "float32"])),
    }
    if attrs["out_type"] != "int32":
        attrs.update(ACTS[draw(st.sampled_from(sorted(ACTS)))])
        attrs["sum"] = draw(st.sampled_from(["none", "before_act", "after_act"]))
    if attrs["out_type"] in RANGES:
        attrs["out_scale"] = draw(st.sampled_from([0.0371, 0.11, 1.0]))
        attrs["out_zero_point"] = draw(st.sampled_from([0, 3, RANGES[attrs["out_type"]][1]]))
    case = {"in_type": in_type, "attrs": attrs, "seed": draw(st.integers(0, 2**31)), "residual_type": None}
    if attrs.get("sum", "none") != "none":
        case["residual_type"] = draw(st.sampled_from(["int8", "uint8"]))
        if attrs["out_type"] == "float32" and draw(st.booleans()):
            case["residual_type"] = "float32"
            return _with_values(draw, case)
        attrs["sum_scale"] = draw(st.sampled_from([0.0291, 0.11]))
        attrs["sum_zero_point"] = draw(st.sampled_from([0, 5, RANGES[case["residual_type"]][0]]))
    return _with_values(draw, case)


def _with_values(draw: Callable[[Any], Any], case: Dict[str, Any]) -> Dict[str, Any]:
    # extreme: accumulators as large as they get; zero channel: weights that are all zero
    case["values"] = draw(st.sampled_from(["random", "random", "random", "extreme", "zero channel"]))
    return case


def integers(rng: np.random.RandomState, dtype: str, shape: Any, values: str = "random") -> np.ndarray:
    if dtype == "float32":
        return (rng.randn(*shape) * 30).astype(np.float32)
    low, high = RANGES[dtype]
    if values == "extreme":
        return np.full(shape, rng.choice([low, high]), dtype)
    return rng.randint(low, high + 1, shape).astype(dtype)


def make_inputs(case: Dict[str, Any], data_shape: Any, weight_shape: Any, out_shape: Any) -> List[Optional[np.ndarray]]:
    """data, weight, weight_scale, and bias, slope and residual or None for each."""
    rng = np.random.RandomState(case["seed"])
    attrs, values = case["attrs"], case["values"]
    data = integers(rng, case["in_type"], data_shape, values)
    weight = integers(rng, "int8", weight_shape, values)
    if values == "zero channel":
        weight[rng.randint(len(weight))] = 0
    # Scales that spread the output over its range, so that most values are neither zero nor saturated.
    spread = 50 * attrs.get("out_scale", 1.0) / attrs["in_scale"] / 73 / 90 / np.sqrt(weight[0].size)
    scale = (spread * rng.uniform(0.3, 3, len(weight))).astype(np.float32)
    bias = None if attrs["no_bias"] else rng.randint(-(2**13), 2**13, len(weight)).astype(np.int32)
    residual = None if case["residual_type"] is None else integers(rng, case["residual_type"], out_shape)
    slope = rng.uniform(-1.2, 1.2, len(weight)).astype(np.float32) if attrs.get("act") == "prelu" else None
    return [data, weight, scale, bias, slope, residual]


def run(op: str, inputs: List[Optional[np.ndarray]], attrs: Dict[str, Any], backend: str = "auto") -> np.ndarray:
    arrays = [mx.nd.array(a, dtype=a.dtype) for a in inputs if a is not None]
    return getattr(mx.nd, op)(*arrays, **dict({"backend": backend}, **attrs)).asnumpy()


class Comparison:
    """Runs every implementation against the expected values; counts what differs by one level."""

    def __init__(self, op: str) -> None:
        self.op = op
        self.cases = self.values = self.off_by_one = 0
        self.shown: Counter = Counter()

    def check(self, expected: np.ndarray, inputs: List[Optional[np.ndarray]], case: Dict[str, Any]) -> None:
        attrs = case["attrs"]
        for backend in [name for name in mxq.native.info()["ops"][self.op] if name != "onednn"] + ["auto"]:
            try:
                got = run(self.op, inputs, attrs, backend)
            except mx.base.MXNetError as error:
                # The faster ones on a GPU may refuse a case.
                assert backend not in ("ref", "avx", "auto") and "no implementation applies" in str(error), error
                continue
            assert got.dtype == expected.dtype and got.shape == expected.shape, (backend, got.dtype, got.shape, case)
            if np.array_equal(got, expected):
                continue
            difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
            worst = np.unravel_index(difference.argmax(), difference.shape)
            text = (
                f"{backend}: {np.count_nonzero(difference)} of {difference.size} values differ, most at {worst}: "
                f"{got[worst]!r} for {expected[worst]!r}; {case} shapes {[a.shape for a in inputs if a is not None]}"
            )
            assert backend == "auto" and attrs["out_type"] != "int32", text
            # float32 output: one level is a rounding of the last place
            level = np.abs(np.spacing(expected)) if attrs["out_type"] == "float32" else 1
            assert np.all(difference <= level), text
            self.off_by_one += np.count_nonzero(difference)
        self.cases += 1
        self.values += expected.size

    def check_rate(self, least_cases: int, most: float) -> None:
        """Holds after all cases: enough of them, and no more than `most` of the values off by one."""
        print(f"{self.op}: {self.cases} cases, {self.values} values, {self.off_by_one} off by one")
        assert self.cases >= least_cases // THINNED
        assert self.off_by_one <= most * self.values, (self.off_by_one, self.values)
