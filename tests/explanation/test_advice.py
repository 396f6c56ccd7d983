"""What a page says to do, and that doing it has the effect that it promises."""

import re

import mxq
from mxq.costs.result import Layer, Measured, Output
from mxq.explanation.advice import advice
from mxq.explanation.explanation import Explanation
from mxq.report import NodeReport
from tests.explanation.models import quantized
from tests.networks import NETWORKS


def _explanation(shares, sqnr=25.0, nodes=None):
    """An explanation whose layers a, b, ... make these shares of the noise."""
    names = [chr(ord("a") + i) for i in range(len(shares))]
    layers = [
        Layer(n, "Convolution", (n,), ("data",), n, 30.0, 30.0, 30.0, None if s is None else 40 - 100 * s, s, 30.0)
        for n, s in zip(names, shares)
    ]
    measured = Measured(1, 1, 1, [Output("out", sqnr, 0.1)], None, layers, [], [])
    lines = [NodeReport(name, "Convolution", "int8", "") for name in (names if nodes is None else nodes)]
    return Explanation(measured, lines, title="t")


def test_the_fewest_layers_that_make_half_of_the_noise():
    found = advice(_explanation([0.1, 0.4, 0.15, 0.35]))
    assert found.text == "2 layers make 75 % of the noise. Kept float, about 6.0 dB would be gained."
    assert found.lines == ('mxq.quantize_model(..., excluded_sym_names=["b", "d"])', "mxq quantize ... --exclude b d")
    found = advice(_explanation([0.9, 0.1], sqnr=41.0))
    assert found.text.startswith("Near float: nothing has to be done. If more is wanted: one layer makes 90 %")


def test_noise_that_is_spread_evenly_wants_more_bits():
    found = advice(_explanation([0.1] * 10))
    assert found.text.startswith("All have to be finer") and 'preset="best"' in found.lines[0]
    assert advice(_explanation([None, None])) is None and advice(_explanation([])) is None
    assert "best" in advice(_explanation([0.8, 0.2], nodes=())).lines[0]  # names that quantize_model does not know


def test_pasted_it_gains_what_it_says_and_the_page_has_it():
    model, data = quantized("depthwise")
    explanation = mxq.explain(model, data, effect_examples=6, sub_batch=None)
    worst, share = explanation.worst()[0], explanation.worst()[0].share
    page = explanation.to_html()
    assert ">What to do</h2>" in page and f"mxq {mxq.__version__}" in page
    assert "ranges by mse from 6 examples" in page and "MB in float" in page
    assert page.index("How to read this</h2>") < page.index("Layers, worst first</h2>")
    assert f">{worst.name}</text>" in page  # on the axis
    found = advice(explanation)
    (listed,) = re.findall(r"excluded_sym_names=\[(.*)\]", found.lines[0]) or [f'"{worst.name}"']
    names = re.findall(r'"(\w+)"', listed)
    symbol, args, aux, _ = NETWORKS["depthwise"]()
    better = mxq.quantize_model(symbol, (args, aux), data, sub_batch=None, excluded_sym_names=names)
    gained = mxq.explain(better, data, layer_examples=1, effect_examples=0, sub_batch=None).outputs[0].sqnr
    assert gained > explanation.outputs[0].sqnr and share > 0


def test_pages_fit_a_phone_and_follow_light_and_dark():
    model, data = quantized("residual")
    page = mxq.explain(model, data, class_names={0: "a" * 200}, sub_batch=None, layer_examples=2).to_html()
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    styles = page[page.index("<style>") : page.index("</style>")]
    for rule in ("prefers-color-scheme: dark", "max-width: 40rem", "overflow-x: auto", "overflow-wrap: anywhere"):
        assert rule in styles, rule
    for table in re.findall(r"<div[^>]*><table", page):
        assert 'class="scroll' in table, table  # what is wider than the page scrolls by itself
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)', page)
    assert heads[:3] == ["layer", "share", "effect"]  # what a phone shows without scrolling
