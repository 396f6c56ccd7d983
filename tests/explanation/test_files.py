"""The table, the JSON and the page."""

import base64
import html.parser
import json
import os
import re
import struct
import tempfile
import zlib

import mxnet as mx
import numpy as np

import mxq
from mxq.explanation.png import picture
from tests.explanation.models import quantized
from tests.refusals import refused

VOID = {"meta", "br", "input", "img", "path", "circle", "rect", "line", "polyline"}


class _Page(html.parser.HTMLParser):
    """Checks that tags close, and collects what refers to something."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.references, self.rows = [], [], [], []
        self.tags = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.references += [value for name, value in attrs.items() if name in ("href", "src", "xlink:href", "action")]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert tag not in VOID
        assert self.open.pop() == tag


def _explained():
    model, data = quantized("residual")
    return mxq.explain(model, data, labels=[0, 1, 2, 3, 4, 0], title="a <b> & c")


def test_json_comes_back_as_it_was():
    found = _explained()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "e.json")
        text = found.to_json(path)
        again = mxq.Explanation.load(path)
    assert again.to_json() == text and str(again) == str(found) and again.to_html() == found.to_html()
    assert again.layers == found.layers and again.tensors == found.tensors and again.classes == found.classes
    content = json.loads(text)
    assert content["format"] == "mxq-explanation" and content["version"] == 1
    assert {"local", "effect", "accumulated", "share"} <= set(content["layers"][0])


def test_json_has_no_infinity():
    x = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, no_bias=True, name="fc")
    weight = mx.nd.array([[127.0, 1.0], [2.0, -127.0]])
    data = np.float32([[127, -3], [5, 6]])
    options = dict(calib_mode="minmax", quantized_dtype="int8")
    found = mxq.explain(mxq.quantize_model(x, {"fc_weight": weight}, data, **options), data)
    assert found.layers[0].local == np.inf and found.outputs[0].sqnr == np.inf
    text = found.to_json()
    assert json.loads(text)["layers"][0]["local"] == "inf" and "Infinity" not in text
    with tempfile.TemporaryDirectory() as folder:
        found.to_json(os.path.join(folder, "e.json"))
        assert mxq.Explanation.load(os.path.join(folder, "e.json")).layers == found.layers
    assert "exact" in str(found)


def test_other_files_are_refused():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "e.json")
        for text in ("", "[]", '{"format": "x"}', '{"format": "mxq-explanation", "version": 1}'):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            refused(lambda: mxq.Explanation.load(path), path, error=mxq.ConfigError)


def test_the_page_needs_nothing_but_itself():
    text = _explained().to_html()
    page = _Page(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    for reference in page.references:
        assert reference.startswith(("#", "data:image/png;base64,")), reference
        assert not reference.startswith("#") or reference[1:] in page.ids, reference
    assert len(page.ids) == len(set(page.ids))
    assert "a &lt;b&gt; &amp; c" in text and "<b>" not in text


def test_the_page_reads_without_scripts_and_with_a_keyboard():
    found = _explained()
    text = found.to_html()
    page = _Page(text)
    still = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    for layer in found.layers:
        assert layer.name in still
    for node in found.nodes:
        assert node.node in still
    assert "hidden" not in re.sub(r"<style>.*?</style>|aria-hidden", "", still, flags=re.S)
    for tag, attrs in page.tags:
        assert tag != "img" or attrs.get("alt")
        assert "scroll" not in attrs.get("class", "").split() or (attrs["tabindex"] == "0" and attrs["aria-label"])
        assert "onclick" not in attrs and (tag != "th" or "scope" in attrs)
    named = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img"]
    assert len(named) == 1 + len(found.tensors)


def test_the_worst_layer_comes_first():
    found = _explained()
    worst = found.worst()
    assert [layer.effect for layer in worst] == sorted(layer.effect for layer in found.layers)
    assert found.worst(2) == worst[:2]
    text = found.to_html()
    rows = re.findall(r'<tr data-item[^>]*><th scope="row" class="name">([^<]+)<br>', text)
    assert rows == [layer.name for layer in worst]
    lines = str(found).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("layer "))
    assert [line.split()[0] for line in lines[start + 1 : start + 1 + len(worst)]] == rows


def test_without_effects_the_noisiest_comes_first():
    model, data = quantized("residual")
    found = mxq.explain(model, data, effect_examples=0)
    assert [layer.local for layer in found.worst()] == sorted(layer.local for layer in found.layers)
    _Page(found.to_html())


def test_a_network_without_int8():
    model, data = quantized("nothing_quantizable")
    found = mxq.explain(model, data)
    assert not found.layers and "Nothing became int8" in found.to_html() and "float: prob" in str(found)


def _pixels(uri):
    raw = base64.b64decode(uri.split(",")[1])
    width, height, depth, colour = struct.unpack(">IIBB", raw[16:26])
    start = raw.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", raw[start - 8 : start - 4])
    channels = 3 if colour == 2 else 1
    rows = np.frombuffer(zlib.decompress(raw[start : start + length]), np.uint8).reshape(height, 1 + width * channels)
    assert depth == 8 and not rows[:, 0].any()
    return rows[:, 1:].reshape((height, width, 3) if channels == 3 else (height, width))


def test_pictures_are_images():
    rng = np.random.RandomState(0)
    colour = rng.randint(0, 256, (20, 30, 3)).astype(np.uint8)
    assert np.array_equal(_pixels(picture(colour, stretch=False)), colour)
    assert np.array_equal(_pixels(picture(colour.transpose(2, 0, 1), stretch=False)), colour)
    gray = rng.randint(0, 256, (20, 30)).astype(np.uint8)
    assert np.array_equal(_pixels(picture(gray[None], stretch=False)), gray)
    large = np.repeat(np.repeat(gray, 10, 0), 10, 1)
    assert _pixels(picture(large, stretch=False)).shape == (66, 100)
    stretched = _pixels(picture(rng.normal(0, 1, (3, 9, 9)), stretch=True))
    assert stretched.min() == 0 and stretched.max() == 255
    for none in (np.zeros(5), np.zeros((7, 9, 9)), np.zeros((2, 2))):
        assert picture(none, stretch=True) is None
    decoded = mx.image.imdecode(base64.b64decode(picture(colour, stretch=False).split(",")[1]))
    assert np.array_equal(decoded.asnumpy(), colour)
