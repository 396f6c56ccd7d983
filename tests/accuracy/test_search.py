"""The search itself, on sets of layers that are known to be needed."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from mxq.choice.search import Found, budget, smallest


class Question:
    """Says whether the layers hold all that are needed, and remembers what was asked."""

    def __init__(self, needed):
        self.needed, self.asked = frozenset(needed), []

    def __call__(self, layers):
        assert layers not in self.asked, "asked twice"
        self.asked.append(layers)
        return self.needed <= layers


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.data())
def test_finds_what_is_needed(data):
    ranked = [f"layer{i}" for i in range(data.draw(st.integers(1, 120)))]
    suffices = Question(data.draw(st.sets(st.sampled_from(ranked), min_size=1, max_size=8)))
    found = smallest(ranked, suffices)
    assert suffices.needed <= set(found.layers)
    assert found.layers == [layer for layer in ranked if layer in found.layers]
    assert found.layers[-1] in suffices.needed
    if found.minimal:
        assert set(found.layers) == suffices.needed
    # Steps of equal ratio halve the logarithm first and the rest later.
    assert len(suffices.asked) <= 2 * math.ceil(math.log2(len(ranked) + 1)) + 1 + budget(len(ranked))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.integers(2, 200), st.integers(1, 4))
def test_few_questions_for_a_few_layers_in_front(n, k):
    ranked = list(range(n))
    k = min(k, n)
    suffices = Question(ranked[:k])
    found = smallest(ranked, suffices)
    assert found == Found(ranked[:k], True)
    assert len(suffices.asked) <= math.ceil(math.log2(n)) + 1 + k, len(suffices.asked)


def test_a_short_prefix_is_minimal_and_a_long_one_says_when_not():
    assert smallest(list("abcdef"), Question("bf")) == Found(["b", "f"], True)
    ranked = list(range(64))
    found = smallest(ranked, Question({0, 40}))
    assert not found.minimal and {0, 40} <= set(found.layers) < set(range(41))


def test_nothing_suffices():
    assert smallest(list("abc"), Question("x")) == Found(None, False)
    assert smallest([], Question("x")) == Found(None, False)
    assert smallest(["a"], Question("a")) == Found(["a"], True)


def test_a_metric_that_jumps_up_and_down_still_ends():
    for seed in range(20):
        asked = []

        def suffices(layers, seed=seed, asked=asked):
            asked.append(layers)
            return hash((seed, len(layers) * 7919)) % 3 == 0 or len(layers) == 30

        found = smallest(list(range(30)), suffices)
        assert found.layers is not None and frozenset(found.layers) in asked
