"""Concats of parts of different ranges, with quantize_mode='full'."""

import mxnet as mx
from parameterized import parameterized

from mxq.network.graph import Graph
from mxq.passes.annotate import annotate, units
from mxq.passes.mixtures import without_mixtures

from ..networks import conv, fill, relu


def _int8(first, second, mode="full"):
    """Names of int8 units where the parts of a concat, which nothing reads, have these ranges."""
    x = mx.sym.var("data")
    parts = [relu(conv(x, name, 4), f"{name}_relu") for name in ("a", "b")]
    sym, args, aux, shapes = fill(mx.sym.concat(*parts, dim=1, name="joined"), {"data": (2, 3, 8, 8)})
    annotated = annotate(Graph.from_symbol(sym, args, aux), mode="full")
    ranges = {key: given for key, given in (("a_relu", first), ("b_relu", second)) if given}
    return {unit.name for unit in units(without_mixtures(annotated, ranges, (), mode))}


@parameterized.expand(
    [
        ("255_steps_of_which_63", (0.0, 63 / 255), (0.0, 1.0), False),
        ("255_steps_of_which_65", (0.0, 65 / 255), (0.0, 1.0), True),
        ("254_steps_of_which_63", (0.0, 63 / 127), (-1.0, 1.0), False),
        ("254_steps_of_which_65", (0.0, 65 / 127), (-1.0, 1.0), True),
        ("the_other_part", (0.0, 1.0), (0.0, 63 / 255), False),
        ("nothing_known_of_one", None, (0.0, 1.0), True),
        ("one_is_always_zero", (0.0, 0.0), (0.0, 1.0), True),
    ]
)
def test_a_concat_leaves_each_part_64_levels_or_is_float(_, first, second, int8):
    assert _int8(first, second) == {"a", "b", *(["joined"] if int8 else [])}


def test_the_smart_mode_has_no_such_concats_to_look_at():
    assert _int8((0.0, 1e-3), (0.0, 1.0), mode="smart") == {"a", "b", "joined"}
