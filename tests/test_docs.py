"""Every block of code of the README and of the documentation runs, and pages refer to what is there."""

import contextlib
import os
import re
import runpy
import shutil
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized
from PIL import Image

import mxq
from mxq.cli.support import support_table
from mxq.network.files import save_model
from tests import pages
from tests.importers import caffe_files
from tests.importers.test_tflite import Network as TfliteNetwork
from tests.networks import bn, conv, fill, relu
from tests.pages import REPO

DOCS = os.path.join(REPO, "docs")
PAGES = ["README.md"] + sorted(
    os.path.relpath(os.path.join(folder, name), REPO)
    for folder, _, names in os.walk(DOCS)
    for name in names
    if name.endswith(".md")
)
COLOURS = {"blue": (60, 60, 200), "green": (60, 200, 60), "red": (200, 60, 60)}
_folder = tempfile.TemporaryDirectory(prefix="mxq_docs_")


def setup_module():
    """What the pages speak of: photos, and networks that have these names."""
    with _inside(_folder.name):
        _photos()
        _classifier("resnet18")
        _detector("detector")
        data = mx.sym.var("data")
        _save("fully-convolutional", conv(relu(conv(data, "conv0", 8), "relu0"), "conv1", 4), (1, 3, 32, 32))
        records = mx.recordio.MXRecordIO("calib.rec", "w")
        for number in range(16):
            image = np.random.RandomState(number).randint(0, 256, (224, 224, 3)).astype(np.uint8)
            records.write(mx.recordio.pack_img((0, number % 3, number, 0), image))
        records.close()
        _other_formats()


def teardown_module():
    _folder.cleanup()


@contextlib.contextmanager
def _inside(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _photos(count=4):
    """A folder for each colour, with JPEGs of several sizes."""
    for label, (name, colour) in enumerate(COLOURS.items()):
        os.makedirs(f"photos/{name}")
        for number in range(count):
            noise = np.random.RandomState(100 * label + number).randint(-40, 41, (240 + 16 * (number % 2), 250, 3))
            Image.fromarray(np.clip(noise + colour, 0, 255).astype(np.uint8)).save(f"photos/{name}/{number}.jpg")
    with open("classes.txt", "w") as file:
        file.write("\n".join(COLOURS))


def _save(name, symbol, shape):
    symbol, args, aux, _ = fill(symbol, {"data": shape})
    save_model(name, symbol, args, aux)
    return symbol, args, aux


def _classifier(name):
    x = mx.sym.var("data")
    for number, channels in enumerate((8, 16, 16)):
        x = relu(bn(conv(x, f"conv{number}", channels, stride=(4, 4)), f"bn{number}"), f"relu{number}")
    x = mx.sym.Pooling(x, kernel=(1, 1), global_pool=True, pool_type="avg", name="pool")
    _save(name, mx.sym.FullyConnected(x, num_hidden=3, name="fc"), (1, 3, 224, 224))


def _detector(name, classes=3):
    """A detector of one scale, as SSD is."""
    x = mx.sym.var("data")
    for number, channels in enumerate((8, 16)):
        x = relu(conv(x, f"conv{number}", channels, stride=(4, 4)), f"relu{number}")
    anchors = mx.sym.contrib.MultiBoxPrior(x, sizes=(0.4,), ratios=(1, 2), name="anchors")
    scores = mx.sym.transpose(conv(x, "scores", 2 * (classes + 1)), axes=(0, 2, 3, 1))
    scores = mx.sym.transpose(mx.sym.Reshape(mx.sym.Flatten(scores), shape=(0, -1, classes + 1)), axes=(0, 2, 1))
    places = mx.sym.Flatten(mx.sym.transpose(conv(x, "places", 8), axes=(0, 2, 3, 1)))
    found = mx.sym.contrib.MultiBoxDetection(mx.sym.softmax(scores, axis=1), places, anchors, name="found")
    _save(name, found, (1, 3, 96, 96))


def _other_formats():
    shape = {"data": (1, 3, 224, 224)}
    mxq.export_onnx("resnet18", None, "net.onnx", shape)
    data = np.random.RandomState(0).normal(0, 1, (8, 3, 224, 224)).astype(np.float32)
    model = mxq.quantize_model("resnet18", calib_data=data, precision_budget=0, preflight=False)
    model.export_onnx("net-int8.onnx", calib_data=data)
    with open("net.tflite", "wb") as file:
        file.write(TfliteNetwork(0, "int8").bytes())
    random = np.random.RandomState(1)
    text = caffe_files.head(1, 3, 12, 12)
    text += caffe_files.layer("Convolution", "conv1", "data", "convolution_param { num_output: 10 kernel_size: 3 }")
    text += caffe_files.layer("PReLU", "relu1", "conv1")
    text += caffe_files.layer("InnerProduct", "fc", "relu1", "inner_product_param { num_output: 2 }")
    blobs = {
        "conv1": [random.normal(0, 0.3, (10, 3, 3, 3)), np.zeros(10)],
        "relu1": [np.full(10, 0.25)],
        "fc": [random.normal(0, 0.05, (2, 1000)), np.zeros(2)],
    }
    caffe_files.write(".", text, blobs)
    for ending in ("prototxt", "caffemodel"):
        os.rename(f"net.{ending}", f"det1.{ending}")


def _text(page):
    with open(os.path.join(REPO, page), encoding="utf-8") as file:
        return file.read()


def _programs(page):
    return [block for block in pages.blocks(_text(page)) if block.language not in pages.SHOWN]


@parameterized.expand([(page,) for page in PAGES if any(not block.reason for block in _programs(page))])
def test_blocks_run(page):
    with tempfile.TemporaryDirectory(prefix="mxq_page_") as folder:
        for name in os.listdir(_folder.name):
            if not page.endswith("quickstart.md"):  # it begins in an empty folder
                os.symlink(os.path.join(_folder.name, name), os.path.join(folder, name))
        with _inside(folder):
            printed = pages.run(os.path.join(REPO, page))
    if page.endswith("quickstart.md"):
        assert float(re.match(r"([\d.]+) % of 180 images", printed[-1]).group(1)) > 80, printed


def test_few_blocks_are_not_run_and_they_say_why():
    reasons = [block.reason for page in PAGES for block in _programs(page) if block.reason]
    assert len(reasons) <= 6, reasons
    ran = [block for page in PAGES for block in _programs(page) if not block.reason]
    assert len(ran) > 40, len(ran)


@parameterized.expand([(page,) for page in PAGES])
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", _text(page), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\((?!http)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        found = os.path.normpath(os.path.join(REPO, os.path.dirname(page), path)) if path else os.path.join(REPO, page)
        assert os.path.exists(found), target
        if anchor:
            assert anchor in _anchors(os.path.relpath(found, REPO)), target


def _anchors(page):
    headings = re.findall(r"^#+ (.+)$", _text(page), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]


def test_every_page_is_in_the_menu_and_every_entry_is_a_page():
    menu = re.findall(r"^ +- .*?: (\S+\.md)$", _text("mkdocs.yml"), re.MULTILINE)
    assert sorted(menu) == sorted(page[len("docs/") :] for page in PAGES[1:])


def test_the_reference_names_what_there_is_and_all_that_is_public():
    named = [name for page in PAGES for name in re.findall(r"^::: (\S+)$", _text(page), re.MULTILINE)]
    for name in named:
        found = mxq
        for part in name.split(".")[1:]:
            if not hasattr(found, part):
                __import__(".".join(name.split(".")[:-1]))
            found = getattr(found, part)
        assert found.__doc__, name
    errors = {name for name in mxq.__all__ if name.endswith("Error")}
    assert {f"mxq.{name}" for name in mxq.__all__} - {"mxq.contrib", "mxq.data"} - {f"mxq.{e}" for e in errors} <= set(
        named
    )
    assert "mxq.errors" in named


def test_generated_parts_are_those_that_the_pages_include():
    included = {name for page in PAGES for name in re.findall(r'^--8<-- "(\S+)"$', _text(page), re.MULTILINE)}
    made = runpy.run_path(os.path.join(REPO, "ci", "docs_pages.py"))["pages"]()
    for said in ("$ mxq --help", "## quantize", "--max-drop", "## support"):
        assert said in made["commands.md"], said
    assert made["operators.md"] == support_table()
    assert included == {*made, "CONTRIBUTING.md", "CHANGELOG.md"}


def test_a_failing_block_is_told_by_its_line():
    with tempfile.TemporaryDirectory() as folder, _inside(folder):
        for text, said in (
            ("\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n", "page.md:7"),
            ("```bash\nmxq quantize nowhere --out x\n```\n", "there is no file"),
            ("```bash\nfalse\n```\n", "page.md:2"),
            ("```ruby\n1\n```\n", "'ruby'"),
        ):
            with open("page.md", "w") as file:
                file.write(text)
            try:
                pages.run(os.path.join(folder, "page.md"))
            except AssertionError as error:
                assert said in str(error), (said, error)
            else:
                raise AssertionError(f"{text!r} ran")
        with open("page.md", "w") as file:
            file.write("<!-- not run: no such thing -->\n```python\n1 / 0\n```\n\n```text\nnothing\n```\n")
        assert pages.run(os.path.join(folder, "page.md")) == []
    assert shutil.which("bash")
