import time
import timeit

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from mxq.arithmetic import qmath
from mxq.calib import TensorStatistics, thresholds
from mxq.calib.thresholds import CLIP_WEIGHT, entropy, expected_error, minmax, mse, percentile
from mxq.errors import ConfigError

generated = settings(max_examples=60, derandomize=True, deadline=None)
ALL = [minmax, percentile, entropy, mse]
TYPES = ["int8", "uint8"]


def _samples():
    rng = np.random.RandomState(0)
    normal = rng.normal(0, 1, 60000)
    swish = rng.normal(0, 3, 60000)
    return {
        "normal": normal,
        "relu": np.maximum(normal, 0),
        "mostly_zero": np.maximum(normal - 2, 0),
        "relu6": np.clip(normal * 4, 0, 6),
        "laplace": rng.laplace(size=60000),
        "heavy": rng.standard_t(3, 60000),
        "heavy_relu": np.maximum(rng.standard_t(2, 60000), 0),
        "swish": swish / (1 + np.exp(-swish)),
        "negative": -np.abs(normal) - 0.1,
        "shifted": normal + 20,
        "pixels": rng.randint(0, 256, 60000).astype(float),
        "constant": np.full(100, 3.0),
        "one_value": np.array([-0.7]),
    }


SAMPLES = {name: values.astype(np.float32) for name, values in _samples().items()}
CASES = [(name, dtype) for name in SAMPLES for dtype in TYPES]


def histogram(x, **options):
    stats = TensorStatistics(**options)
    stats.update(x)
    return stats.histogram()


def squared_error(x, lo, hi, dtype):
    qparams = qmath.range_to_qparams(lo, hi, dtype)
    return float(((qmath.dequantize(qmath.quantize(x, qparams), qparams).astype(np.float64) - x) ** 2).sum())


@parameterized.expand([(f.__name__, name, dtype) for f in ALL for name, dtype in CASES])
def test_range_lies_in_the_tensors_range(mode, name, dtype):
    x = SAMPLES[name]
    lo, hi = getattr(thresholds, mode)(histogram(x), dtype)
    assert isinstance(lo, float) and isinstance(hi, float)
    assert lo <= hi
    assert lo >= min(float(x.min()), 0.0) and hi <= max(float(x.max()), 0.0)
    assert max(-lo, hi) > 0


@parameterized.expand([(f.__name__, dtype) for f in ALL for dtype in TYPES])
def test_zeros_have_the_range_zero(mode, dtype):
    assert getattr(thresholds, mode)(histogram(np.zeros(9, np.float32)), dtype) == (0.0, 0.0)


@generated
@given(
    st.lists(st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False), min_size=1, max_size=30),
    st.sampled_from(TYPES),
)
def test_any_values_give_an_ordered_finite_range(values, dtype):
    h = histogram(np.float32(values), num_bins=64)
    for mode in ALL:
        lo, hi = mode(h, dtype)
        assert np.isfinite([lo, hi]).all() and lo <= hi, mode.__name__


# -- minmax, percentile ------------------------------------------------------------------------------------------------


@parameterized.expand(CASES)
def test_minmax_is_exact(name, dtype):
    x = SAMPLES[name]
    assert minmax(histogram(x), dtype) == (float(x.min()), float(x.max()))


PERCENTILES = [(n, d, p) for n in ("normal", "relu", "heavy", "shifted", "pixels") for d in TYPES for p in (90.0, 99.9)]


@parameterized.expand(PERCENTILES)
def test_percentile_cuts_the_tails(name, dtype, percent):
    """The cut is at most one bin away from where exactly that share of the values is beyond."""
    x = SAMPLES[name]
    h = histogram(x)
    lo, hi = percentile(h, dtype, percentile=percent)
    cut = 1 - percent / 100
    if dtype == "uint8" and x.min() < 0:
        tails = [(-x, -lo, cut / 2), (x, hi, cut / 2)]
    else:
        tails = [(np.abs(x), max(-lo, hi), cut)]
    for values, threshold, share in tails:
        assert np.mean(values > threshold + h.width) <= share + 1e-9
        assert np.mean(values >= threshold - h.width) >= share - 1e-9


def test_percentile_100_is_minmax():
    for name in ("normal", "relu"):
        h = histogram(SAMPLES[name])
        assert percentile(h, "int8", percentile=100) == minmax(h, "int8")


@parameterized.expand([(0,), (-1,), (100.1,), (float("nan"),)])
def test_percentile_out_of_range(value):
    try:
        percentile(histogram(SAMPLES["relu"]), "uint8", percentile=value)
    except ConfigError as error:
        assert "percentile=" in str(error)
        return
    raise AssertionError("no ConfigError")


# -- mse ---------------------------------------------------------------------------------------------------------------


@parameterized.expand([c for c in CASES if c[0] not in ("constant", "one_value", "pixels")])
def test_expected_error_is_the_error(name, dtype):
    """2 %: values count as spread evenly within a bin; a bin is at most 1/16 of a step."""
    x = SAMPLES[name]
    h = histogram(x)
    error = expected_error(h, dtype)
    for share in (1.0, 0.8, 0.3):
        lo, hi = h.min * share, h.max * share
        real = squared_error(x, lo, hi, dtype)
        assert abs(error(lo, hi) - real) <= 0.02 * real + 1e-9, (share, error(lo, hi), real)


@parameterized.expand([c for c in CASES if c[0] not in ("constant", "one_value", "pixels")])
def test_mse_is_as_good_as_brute_force(name, dtype):
    x = SAMPLES[name]
    h = histogram(x)
    ours = squared_error(x, *mse(h, dtype, clip_weight=1), dtype)
    shares = np.linspace(0.02, 1, 99)
    if dtype == "uint8" and h.min < 0 < h.max:
        candidates = [(a * h.min, b * h.max) for a in shares[::7] for b in shares[::7]]
    else:
        candidates = [(s * h.min if h.min < 0 else h.min, s * h.max if h.max > 0 else h.max) for s in shares]
        if dtype == "int8":
            t = max(-h.min, h.max)
            candidates = [(max(h.min, -s * t), min(h.max, s * t)) for s in shares]
    best = min(squared_error(x, lo, max(hi, lo), dtype) for lo, hi in candidates)
    # 1 %: what the histogram does not see. A signed uint8 range is searched one side at a time: 3 %.
    assert ours <= best * (1.03 if dtype == "uint8" and h.min < 0 else 1.01)


@generated
@given(st.integers(0, 2**31), st.integers(300, 3000), st.floats(0.5, 4), st.booleans())
def test_mse_is_as_good_as_brute_force_on_small_tensors(seed, size, shape, one_sided):
    x = np.random.RandomState(seed).gamma(shape, size=size) * np.random.RandomState(seed + 1).choice([-1, 1], size)
    x = np.float32(np.maximum(x, 0) if one_sided else x)
    dtype = "uint8" if one_sided else "int8"
    h = histogram(x)
    ours = squared_error(x, *mse(h, dtype, clip_weight=1), dtype)
    t = max(-h.min, h.max)
    best = min(squared_error(x, 0 if one_sided else -s * t, s * t, dtype) for s in np.linspace(0.01, 1, 100))
    # 3 %: chance decides how few hundred values fall on the grid, and the histogram does not see it.
    assert ours <= best * 1.03


def test_each_side_goes_from_half_to_1_4_times_what_both_have_together():
    """One outlier at -40 and four at 40 beside millions of small values: alone, both sides would go further."""
    small = np.random.RandomState(0).uniform(-2, 2, 2_300_000)
    h = histogram(np.float32([-40.0, 40.0, 40.0, 40.0, 40.0, *small]))
    error = expected_error(h, "uint8")
    together = 40 * min(np.linspace(0.1, 0.6, 501), key=lambda share: error(-40 * share, 40 * share))
    lo, hi = mse(h, "uint8", clip_weight=1)
    np.testing.assert_allclose([-lo / together, hi / together], [0.5, 2**0.5], rtol=0.01)


@parameterized.expand([(1.0,), (8.0,)])
def test_zeros_do_not_decide_the_range_of_a_signed_tensor(clip_weight):
    """They are exact in any range: with ten times as many of them as of other values it is what it was."""
    x = SAMPLES["normal"]
    with_zeros = np.concatenate([x, np.zeros(10 * x.size, np.float32)])
    without, found = (mse(histogram(values), "int8", clip_weight=clip_weight)[1] for values in (x, with_zeros))
    assert abs(found - without) <= 0.002 * without, (found, without)


def test_mse_is_never_worse_than_minmax_in_expectation():
    for name, dtype in CASES:
        h = histogram(SAMPLES[name])
        error = expected_error(h, dtype)
        assert error(*mse(h, dtype, clip_weight=1)) <= error(*minmax(h, dtype)) * (1 + 1e-9), (name, dtype)


@parameterized.expand([("laplace", "int8"), ("heavy_relu", "uint8"), ("normal", "uint8")])
def test_weight_of_clipping(name, dtype):
    """More weight clips less; the weighted error is the rounding error plus that many times the clipping error."""
    x = SAMPLES[name]
    h = histogram(x)
    lo, hi = 0.3 * h.min, 0.3 * h.max
    plain, weighted = expected_error(h, dtype)(lo, hi), expected_error(h, dtype, 5.0)(lo, hi)
    qparams = qmath.range_to_qparams(lo, hi, dtype)
    ends = qmath.dequantize(np.array([qmath.QMIN[dtype], qmath.QMAX[dtype]]), qparams).astype(np.float64)
    beyond = np.maximum(x - ends[1], 0) + np.maximum(ends[0] - x, 0)
    clipped = (beyond[beyond > qparams.scale / 2] ** 2).sum()
    assert clipped > 0.1 * plain
    assert np.isclose(weighted - plain, 4 * clipped, rtol=0.03)  # 3 %: bins across the last step, its half beyond
    tops = [mse(h, dtype, clip_weight=weight)[1] for weight in (1, 4, 64)]
    assert tops[0] < tops[1] < tops[2] <= h.max


def test_a_few_outliers_are_clipped_by_mse_and_a_cap_is_not():
    bulk = np.random.RandomState(0).normal(0, 1, 10**6)
    lo, hi = mse(histogram(np.float32(np.append(bulk, 40.0))), "int8")
    # Of hi**2 / 127**2 / 12 for each of a million, and CLIP_WEIGHT (40 - hi)**2 for one, the least.
    rounding = 1e6 / 127**2 / 12
    assert abs(hi - 40 * CLIP_WEIGHT / (CLIP_WEIGHT + rounding)) < 0.5 and lo > -6, (lo, hi)
    assert mse(histogram(SAMPLES["relu6"]), "uint8")[1] > 5.98


# -- entropy -----------------------------------------------------------------------------------------------------------


def by_definition(hist, middle, sizes, levels):
    """KL(p || q), bin by bin: p with the clipped mass in its outermost bins, q the mean of each level's filled bins."""
    divergences = []
    for size in sizes:
        start, stop = (middle - size, middle + size) if middle else (0, size)
        inside = hist[start:stop].astype(float)
        clipped = np.zeros_like(inside)
        clipped[0] += hist[:start].sum()
        clipped[-1] += hist[stop:].sum()
        borders = np.arange(levels + 1) * len(inside) // levels
        q = np.zeros_like(inside)
        for a, b in zip(borders[:-1], borders[1:]):
            filled = inside[a:b] > 0
            mean = inside[a:b].sum() / filled.sum() if filled.any() else 1.0  # an empty level: one value
            q[a:b] = np.where(filled | (clipped[a:b] > 0), mean, 0)
        p = inside + clipped
        where = p > 0
        p, q = p / p.sum(), q / inside.sum()
        divergences.append((p[where] * np.log(p[where] / q[where])).sum())
    return np.array(divergences)


@parameterized.expand(
    [("laplace", "int8", 255), ("heavy", "int8", 255), ("heavy_relu", "uint8", 256), ("relu", "uint8", 256)]
)
def test_divergence_by_definition(name, dtype, levels):
    counts, middle = thresholds._around_zero(histogram(SAMPLES[name], num_bins=1024))
    if middle:
        reach = max(middle, len(counts) - middle)
        counts = np.pad(counts, (reach - middle, reach - (len(counts) - middle)))
        middle = reach
    sizes = np.arange(260, len(counts) - middle + 1, 37)
    ours = thresholds._divergence(counts, middle, sizes, levels)
    assert np.allclose(ours, by_definition(counts, middle, sizes, levels), rtol=1e-6, atol=1e-9)


def test_entropy_clips_a_long_tail():
    for name, dtype in (("laplace", "int8"), ("heavy", "int8"), ("heavy_relu", "uint8")):
        h = histogram(SAMPLES[name])
        lo, hi = entropy(h, dtype)
        assert max(-lo, hi) < 0.95 * max(-h.min, h.max), name
        assert np.mean(np.abs(SAMPLES[name]) > max(-lo, hi)) < 0.01, name


def test_entropy_of_relu_looks_at_the_positive_side():
    """A one-sided tensor keeps 0 as its lower end and gets 256 levels; how many zeros it has changes nothing."""
    positive = np.abs(SAMPLES["laplace"])
    few = np.append(positive, np.zeros(1000, np.float32))
    many = np.append(positive, np.zeros(500000, np.float32))
    assert entropy(histogram(few), "uint8") == entropy(histogram(many), "uint8")
    assert entropy(histogram(many), "uint8")[0] == 0.0


def test_entropy_of_a_lopsided_tensor_is_that_of_its_mirror_image():
    x = np.random.RandomState(0).laplace(size=60000).astype(np.float32)
    x = np.where(x < 0, x / 8, x)
    (lo, hi), (mirrored_lo, mirrored_hi) = (entropy(histogram(side * x), "int8") for side in (1, -1))
    assert hi > 2 * -x.min()
    np.testing.assert_allclose([mirrored_lo, mirrored_hi], [-hi, -lo], rtol=0.02)


def test_entropy_keeps_a_cap():
    assert entropy(histogram(SAMPLES["relu6"]), "uint8") == (0.0, 6.0)


@parameterized.expand([(seed, signed) for seed in range(6) for signed in (True, False)])
def test_entropy_keeps_few_values(seed, signed):
    """20 values: the divergence is chance, and clipped 18 of them."""
    x = np.float32(np.random.RandomState(seed).normal(0, 1, 20))
    h = histogram(x if signed else np.maximum(x, 0))
    assert entropy(h, "int8" if signed else "uint8") == (h.min, h.max)


@parameterized.expand([(seed, share) for seed in range(6) for share in (0.02, 0.3, 0.9)])
def test_entropy_keeps_what_lies_beyond_spikes(seed, share):
    """Channels that are constant, as a bias leaves them on a blank image, beside others that vary."""
    rng = np.random.RandomState(seed)
    spikes = np.repeat(rng.normal(0, 0.3, 64), int(1000 * share))
    x = np.float32(np.concatenate([spikes, rng.normal(0, 1, int(64000 * (1 - share)))]))
    for dtype, values in (("int8", x), ("uint8", np.maximum(x, 0))):
        h = histogram(values)
        ours, whole = (squared_error(values, *range_, dtype) for range_ in (entropy(h, dtype), (h.min, h.max)))
        assert ours <= 9 * whole, (dtype, entropy(h, dtype), ours / whole)


# -- speed -------------------------------------------------------------------------------------------------------------


def test_thresholds_take_milliseconds():
    """Under 10 ms of processor time a tensor, with room: what else the machine does is not counted."""
    h = histogram(SAMPLES["heavy"])
    for mode in ALL:
        for dtype in TYPES:
            seconds = min(timeit.repeat(lambda: mode(h, dtype), number=1, repeat=5, timer=time.thread_time))  # noqa: B023
            assert seconds < 0.1, (mode.__name__, dtype, seconds)
