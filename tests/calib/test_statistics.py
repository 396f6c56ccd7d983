import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from mxq.calib import Statistics, TensorStatistics, histogram
from mxq.calib.channels import Channels, _spread
from mxq.calib.exact_sum import ExactSum
from mxq.errors import CalibrationError

generated = settings(max_examples=150, derandomize=True, deadline=None)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
SMALL = st.floats(-4, 4, width=32)
CHUNKS = st.lists(st.lists(st.one_of(FINITE, SMALL), max_size=12), min_size=1, max_size=6)


def of(*arrays, num_bins=16):
    stats = TensorStatistics(num_bins)
    for array in arrays:
        stats.update(np.float32(array))
    return stats


def state(stats):
    histogram = stats.histogram()
    return histogram.counts.tolist(), histogram.first, histogram.width, histogram.min, histogram.max, stats.count


def raises(function, *parts):
    try:
        function()
    except CalibrationError as error:
        assert all(part in str(error) for part in parts), str(error)
        return
    raise AssertionError("no CalibrationError")


@generated
@given(CHUNKS, st.randoms(use_true_random=False))
def test_order_and_grouping_do_not_matter(chunks, random):
    if not any(chunks):
        return
    streamed = of(*chunks)
    at_once = of(sum(chunks, []))
    shuffled = list(chunks)
    random.shuffle(shuffled)
    merged = TensorStatistics(16)
    for chunk in shuffled:
        merged.merge(of(chunk))
    assert state(streamed) == state(at_once) == state(merged)
    in_order = TensorStatistics(16)
    for chunk in chunks:
        in_order.merge(of(chunk))
    assert (in_order.sum, in_order.sum_of_squares) == (merged.sum, merged.sum_of_squares)
    assert (streamed.sum, streamed.sum_of_squares) == (merged.sum, merged.sum_of_squares)


@generated
@given(st.lists(st.one_of(FINITE, SMALL), min_size=1, max_size=40))
def test_every_value_is_in_its_bin(values):
    x = np.float32(values)
    histogram = of(x).histogram()
    assert histogram.counts.sum() == len(values) == of(x).count
    assert (histogram.min, histogram.max) == (float(x.min()), float(x.max()))
    exact = x.astype(np.float64)
    index = np.where(exact < 0, -1 - np.floor(-exact / histogram.width), np.floor(exact / histogram.width))
    expected = np.bincount((index - histogram.first).astype(int), minlength=len(histogram.counts))
    assert histogram.counts.tolist() == expected.tolist()
    edges = histogram.edges()
    assert edges[0] >= x.min() and edges[-1] <= x.max() and (np.diff(edges) >= 0).all()


@generated
@given(st.lists(SMALL, min_size=1, max_size=40))
def test_moments(values):
    x = np.float32(values).astype(np.float64)
    stats = of(values)
    # Sums of float32 products: errors relative to the magnitudes summed, not to the sum.
    assert abs(stats.sum - x.sum()) <= 1e-5 * np.abs(x).sum()
    assert abs(stats.sum_of_squares - (x**2).sum()) <= 1e-5 * (x**2).sum()


def test_moments_do_not_overflow():
    stats = of([3e38, -3e38])
    assert abs(stats.sum) < 1 and np.isclose(stats.sum_of_squares, 2 * 3e38**2, rtol=1e-6)


def test_zeros_then_values():
    """MXNet's collector fails where the first batch of a tensor is all zero."""
    stats = of(np.zeros(1000), np.linspace(-1, 3, 100), num_bins=64)
    assert (stats.min, stats.max, stats.count) == (-1.0, 3.0, 1100)
    assert stats.width == 3 / 48  # the power of two for which 3 needs at least half of the 64 bins
    histogram = stats.histogram()
    assert histogram.counts[-histogram.first] >= 1000


def test_tiny_range_then_large_keeps_the_number_of_bins():
    """MXNet's collector grows without bound where the first batch has a tiny range."""
    stats = of([1e-30, 2e-30], [1.0], [1e30], num_bins=64)
    histogram = stats.histogram()
    assert len(histogram.counts) <= 128
    assert histogram.counts[0] == 3 and histogram.counts[-1] == 1 and histogram.counts.sum() == 4


def test_all_zero():
    histogram = of(np.zeros(7)).histogram()
    assert histogram.counts.tolist() == [7] and (histogram.min, histogram.max) == (0.0, 0.0)


def test_large_arrays_are_counted_in_pieces():
    x = np.random.RandomState(0).normal(0, 1, (3, 70001)).astype(np.float32)
    whole = of(x, num_bins=256)
    parts = of(*x, num_bins=256)
    assert state(whole) == state(parts)
    counts, _ = np.histogram(x, bins=64, range=(-8, 8))  # few and exact borders: the same bins
    assert whole.width <= 0.25
    group = int(0.25 / whole.width)
    ours = np.zeros(512, int)
    histogram = whole.histogram()
    ours[256 + histogram.first :][: len(histogram.counts)] = histogram.counts
    middle = len(ours.reshape(-1, group)) // 2
    assert ours.reshape(-1, group).sum(axis=1)[middle - 32 : middle + 32].tolist() == counts.tolist()


def test_native_and_numpy_measure_and_count_alike():
    assert histogram.native_library() is not None, "the native library is older than the sources: build it again"
    rng = np.random.RandomState(0)
    shapes = [(1, 1, n) for n in (1, 3, 4, 2047, 2049, 70001)] + [(3, 5, 1), (2, 70, 49), (2, 9, 12544), (1, 3000, 2)]
    for shape in shapes:
        x = rng.normal(0, 1, shape).astype(np.float32)
        for values in (x, np.maximum(x, 0), -np.abs(x), np.zeros_like(x), x * np.float32(1e-30)):
            ours, theirs = histogram.measure(values), histogram.measure_in_numpy(values)
            assert (ours.min == theirs.min).all() and (ours.max == theirs.max).all()
            size = np.abs(values).sum(axis=2, dtype=np.float64)
            assert (np.abs(ours.sums - theirs.sums) <= 1e-5 * size).all()
            assert np.allclose(ours.squares, theirs.squares, rtol=1e-5)
            for stride in (1, 2, 7, 150):
                found = []
                hashes = rng.randint(0, 2**62, shape[0]).astype(np.uint64)
                phases = (hashes % np.uint64(stride)).astype(np.int64)
                for count, where in ((histogram.count, hashes), (histogram.count_in_numpy, phases)):
                    counts = np.zeros(512, np.int64)
                    own = np.ldexp(np.float32(1), np.arange(shape[1]) % 3)
                    channels = histogram.ChannelCounts(
                        own, np.zeros((shape[1], 64), np.int64), np.zeros(shape[1], np.int64)
                    )
                    count(values, stride, 2.0**5, counts, channels, where)
                    assert counts.sum() == channels.counts.sum()
                    again = np.zeros(512, np.int64)
                    count(values, stride, 2.0**5, again, None, where)
                    assert (counts == again).all()
                    found.append((counts, *channels[1:]))
                assert all((a == b).all() for a, b in zip(*found))
                if stride == 1:
                    assert found[0][0].sum() == values.size


@parameterized.expand([(channel,) for channel in range(4)])
def test_what_borders_have_is_counted_as_often_as_it_occurs(channel):
    """Of each plane a part is counted: over many examples all places have their turn."""
    values = np.zeros((256, 8, 56, 56), np.float32)
    values[:, channel, :, -1] = 1
    values[:, channel, 0] += 2
    stats = TensorStatistics()
    for batch in np.split(values, 8):
        stats.update(batch, np.random.RandomState(stats.count % 2**31).randint(0, 2**62, 32).astype(np.uint64))
    found = stats.histogram()
    middle = (found.edges()[:-1] + found.edges()[1:]) / 2
    for least in (0.5, 1.5):
        exact, counted = (values > least).mean(), found.counts[middle > least].sum() / found.counts.sum()
        assert abs(counted / exact - 1) < 0.2, (least, counted, exact)


_ROW = st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=3, max_size=3)


@given(
    batches=st.lists(st.tuples(st.lists(_ROW, min_size=1, max_size=4), st.integers(0, 4)), min_size=1, max_size=4),
    bins=st.sampled_from([4, 64, 512]),
)
@settings(deadline=None, derandomize=True)
def test_native_and_numpy_add_extremes_alike(batches, bins):
    found = []
    for add in (histogram.add_extremes, histogram.add_extremes_in_numpy):
        channels = Channels(3)
        channels.counts = np.random.RandomState(0).randint(0, 100, (3, 2 * bins))
        grown = []
        for values, part in batches:
            x = np.float32(values)
            measured = histogram.Measured(np.minimum(x, x * 2), np.maximum(x, x * 2), None, None)
            grown.append(add(measured, np.full(len(x), part), channels._growing()))
        found.append([*channels._growing(), *grown])
    assert channels.counts.sum() == np.random.RandomState(0).randint(0, 100, (3, 2 * bins)).sum()
    for ours, theirs in zip(*found):
        np.testing.assert_array_equal(ours, theirs)


_ANY = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(values=st.lists(_ANY, min_size=1, max_size=70), cut=st.integers(0, 70))
@settings(deadline=None, derandomize=True)
def test_sums_are_exact_whatever_the_parts(values, cut):
    whole, first, second = ExactSum(), ExactSum(), ExactSum()
    column = np.float64(values)[:, None]
    whole.add(column)
    for total, part in ((first, column[:cut]), (second, column[cut:])):
        for value in part:
            total.add(value[None])
    first.merge(second)
    assert {k: v.tolist() for k, v in whole.limbs.items()} == {k: v.tolist() for k, v in first.limbs.items()}
    exact = math.fsum(values)
    assert math.isclose(whole.value()[0], exact, rel_tol=1e-15, abs_tol=0.0)


def test_values_that_are_not_finite_show_in_the_sums():
    for values, finite in (([3e38, 3e38], True), ([np.nan, 1], False), ([np.inf, -np.inf], False), ([1e-45], True)):
        x = np.float32(values).reshape(1, 1, -1)
        for measure in (histogram.measure, histogram.measure_in_numpy):
            assert np.isfinite(measure(x).sums).all() == finite


def test_without_the_native_library():
    x = np.random.RandomState(0).normal(0, 1, (2, 5, 500))
    expected = of(x)
    native = histogram.native_library
    histogram.native_library = lambda: None
    try:
        other = of(x)
    finally:
        histogram.native_library = native
    assert state(other) == state(expected)
    assert np.allclose(other.channel_mean, expected.channel_mean, rtol=1e-5)


@parameterized.expand([("nan", np.nan), ("infinity", np.inf), ("minus_infinity", -np.inf)])
def test_not_finite_is_refused_and_adds_nothing(_, value):
    stats = of([1.0, 2.0])
    before = state(stats)
    raises(lambda: stats.update(np.float32([5.0, value])), "1 of 2 values are not finite")
    assert state(stats) == before


def test_empty_update_and_empty_histogram():
    stats = of([])
    assert stats.count == 0
    raises(stats.histogram, "no data")


def test_other_types_and_strides():
    x = np.arange(24, dtype=np.int32).reshape(4, 6)
    assert of(x.T[::2]).count == 12
    assert of(x.astype(np.float64)).max == 23.0


@parameterized.expand([(0,), (1,), (3,), (1000,)])
def test_number_of_bins_is_a_power_of_two(num_bins):
    raises(lambda: TensorStatistics(num_bins), f"num_bins={num_bins}")


def test_merge_refuses_other_bins():
    raises(lambda: of([1.0], num_bins=16).merge(of([1.0], num_bins=32)), "16 and 32")


def test_statistics_reads_like_a_dict_and_merges():
    a, b = Statistics(["x", "y"], num_bins=16), Statistics(["x", "y"], num_bins=16)
    for stats, value in ((a, 1.0), (b, -2.0)):
        stats["x"].update(np.float32([value]))
        stats["y"].update(np.float32([value]))
        stats.num_examples = 1
    a.merge(b)
    assert list(a) == ["x", "y"] and len(a) == 2 and "x" in a and "z" not in a
    assert a.num_examples == 2 and a.extremes() == {"x": (-2.0, 1.0), "y": (-2.0, 1.0)}


def test_statistics_errors_name_tensors():
    stats = Statistics(["conv0", "conv1"])
    raises(lambda: stats["conv"], "'conv'", "conv0")
    raises(lambda: stats.merge(Statistics(["conv0"])), "conv1")


# -- means per channel -------------------------------------------------------------------------------------------------


def _batches(*shapes):
    rng = np.random.RandomState(0)
    return [rng.normal(3, 1, shape).astype(np.float32) for shape in shapes]


@parameterized.expand([("nc", (4, 3), (2, 3)), ("ncw", (4, 3, 5), (1, 3, 5)), ("nchw", (4, 3, 5, 6), (2, 3, 7, 2))])
def test_channel_mean_is_over_all_other_axes(_, *shapes):
    arrays = _batches(*shapes)
    expected = np.concatenate([a.astype(np.float64).swapaxes(0, 1).reshape(a.shape[1], -1) for a in arrays], axis=1)
    assert np.allclose(of(*arrays).channel_mean, expected.mean(axis=1), rtol=1e-6)


def test_channel_mean_of_integers_and_of_huge_values():
    assert of(np.full((2, 3, 100), 250, np.uint8)).channel_mean.tolist() == [250.0] * 3
    huge = np.full((2, 3, 100), 1e38, np.float32)
    huge[:, 1] *= -1
    assert np.allclose(of(huge).channel_mean, np.float64([1e38, -1e38, 1e38]), rtol=1e-6)


@parameterized.expand(
    [("other_size", (2, 3, 5), (2, 4, 5)), ("one_channel", (2, 1), (2, 3)), ("no_channels", (2, 3), (7,))]
)
def test_channels_that_change_between_batches_have_no_mean(_, first, second):
    """A concat or reshape over a free axis may change axis 1; the rest of the statistics is sound."""
    arrays = _batches(first, second)
    for order in (arrays, arrays[::-1], [*arrays, arrays[0]]):
        stats = of(*order)
        assert stats.channel_mean is None
        assert stats.count == sum(a.size for a in order)
        merged = TensorStatistics(16)
        for array in order:
            merged.merge(of(array))
        assert merged.channel_mean is None and state(merged) == state(stats)


def test_channel_means_merge():
    arrays = _batches((4, 3, 5), (2, 3, 5), (1, 3, 2))
    merged = of(arrays[0])
    merged.merge(of(*arrays[1:]))
    merged.merge(TensorStatistics(16))  # nothing seen: nothing changes
    assert np.allclose(merged.channel_mean, of(*arrays).channel_mean, rtol=1e-12)
    empty = TensorStatistics(16)
    assert empty.channel_mean is None
    empty.merge(merged)
    assert np.allclose(empty.channel_mean, merged.channel_mean)


def test_an_empty_batch_leaves_channel_means():
    stats = of(np.ones((2, 3)), np.zeros((0, 3)), np.zeros((0, 7)))
    assert stats.channel_mean.tolist() == [1.0, 1.0, 1.0]


def test_masses_are_spread_evenly_over_the_bins_that_they_touch():
    rng = np.random.RandomState(0)
    begin = np.concatenate([rng.uniform(-8, 8, 40), [-0.5, -2.0, 1.25, 3.0]])
    end = begin + np.concatenate([rng.uniform(0, 4, 40), [1.0, 2.0, 0.5, 0.0]])
    mass = rng.uniform(0, 10, 44)
    inside = (begin >= -8) & (end < 8)
    begin, end, mass = begin[inside], end[inside], mass[inside]
    lows = np.arange(-8, 8)[:, None]
    touched = np.minimum(end, lows + 1) - np.maximum(begin, lows)
    with np.errstate(invalid="ignore"):
        shares = np.where(end > begin, np.maximum(touched, 0) / (end - begin), np.floor(begin) == lows)
    np.testing.assert_allclose(_spread(begin, end, mass, 8), shares @ mass, rtol=1e-9, atol=1e-9)


@parameterized.expand(
    [
        ("few_are_all_together", 10, [range(64)]),
        ("all_in_one", 32, [range(64)]),
        ("two_groups", 64, [range(32), range(32, 64)]),
        ("what_is_left_over_does_not_count", 100, [range(20), range(20, 40), range(40, 60)]),
        ("each_part_alone", 2048, [[part] for part in range(64)]),
        ("more_than_enough", 10_000, [[part] for part in range(64)]),
    ]
)
def test_a_typical_peak_is_that_of_about_32_examples(_, num_examples, groups):
    """Examples lie in 64 parts by their hashes; so many parts together as hold 32, the mean over the groups."""
    values = np.random.RandomState(0).standard_t(3, (64, 2, 5)).astype(np.float32)
    tensor = TensorStatistics()
    tensor.update(values, np.arange(64, dtype=np.uint64))
    peaks = np.abs(values).max(axis=2)
    wanted = np.mean([peaks[list(group)].max(axis=0) for group in groups], axis=0, dtype=np.float64)
    np.testing.assert_allclose(tensor.channel_peak(num_examples), wanted, rtol=1e-12)
