"""Attributes that no operator knows."""

import functools
import random
import re

import mxnet as mx
import numpy as np

from ..refusals import refused
from .calling import nd


@functools.lru_cache(maxsize=None)
def edits(a: str, b: str) -> int:
    """The least number of letters to put in, to take out or to change, by its definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(edits(a[1:], b) + 1, edits(a, b[1:]) + 1, edits(a[1:], b[1:]) + (a[0] != b[0]))


def misspelt(word: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(word))
        word = word[:at] + rng.choice(["", rng.choice("aeklpst"), word[at] + rng.choice("aeklpst")]) + word[at + 1 :]
    return word


def test_an_attribute_that_is_unknown_is_told_with_the_nearest():
    """Distances are those of Levenshtein, whichever letters were mixed up."""
    data, rng = nd(np.zeros((1, 4, 4, 2), np.int8)), random.Random(0)
    known = ["kernel", "stride", "pad", "pool_type", "global_pool", "in_scale", "out_scale", "layout", "backend"]
    for _ in range(40):
        word = misspelt(rng.choice(known), rng)
        if word in known:
            continue

        def call(word=word):
            try:
                mx.nd.mxq_pooling(data, kernel=(2, 2), pool_type="max", **{word: "1"})
            except mx.MXNetError as error:
                found = re.search(r"attribute (\w+)=1: unknown.* nearest is (\w+); accepted are ([\w, ]+)", str(error))
                assert found and found[1] == word, error
                distances = {name: edits(word, name) for name in found[3].split(", ")}
                assert len(distances) > 5 and distances[found[2]] == min(distances.values()), (error, distances)
                raise

        refused(call, word, error=mx.MXNetError)
