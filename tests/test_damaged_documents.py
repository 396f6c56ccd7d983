"""Documents of ours with one thing changed: they load and work, or an MXQError names the file and the field."""

import json
import os
import random
import tempfile

from parameterized import parameterized

from mxq.calib import CalibTable
from mxq.choice.running import Written
from mxq.choice.state import SearchState
from mxq.costs.result import Classes, Histogram, Measured, Output, Prediction, Tensor
from mxq.costs.result import Layer as ExplainedLayer
from mxq.explanation.explanation import Explanation
from mxq.report import Finding, NodeReport
from tests.damaging import MARKUP, MORE, NESTED, STRANGE, changed, damaged_anywhere, loads_or_explains, places, put


def table(path):
    return CalibTable(
        {"conv0": (0.0, 6.0), "fc:1": (-1e-30, 3.4e38)},
        "auto",
        "0" * 64,
        256,
        channel_means={"conv0": (1.0, -2.0)},
        channel_factors={"conv0": (0.5, 2.0)},
        data_shapes={"data": (1, 3, 8, 8), "row": (4,)},
        modes={"conv0": "mse"},
        dtypes={"conv0": "uint8"},
    ).save(path)


IDENTITY = {"network": "ab12", "layers": ["conv0"]}
RANGES = {"conv0": (-1.0, 2.0)}


def state(path):
    found = SearchState(path, IDENTITY, RANGES)
    found.float_score, found.reference = 71.5, Written(3, 1000, "cd34")
    found.noise = {"conv0": 0.25, "fc": float("inf")}
    found.scores = {frozenset(): 60.0, frozenset(["conv0"]): 71.0}
    found.save()


def explanation(path):
    tensor = Tensor(
        "x", "int8", 8, 0.1, 0, (-1.0, 2.0), (-1.0, 1.0), None, 0.0, float("inf"), ("c",), Histogram(-1.0, 1.0, (3, 4))
    )
    layer = ExplainedLayer("c", "Convolution", ("c", "r"), ("x",), "r", 40.0, 41.0, None, float("inf"), None, 39.0)
    picture = Prediction(0, None, "cat", "cat", "dog", 0.5, 0.4, 0.1)
    outputs, classes = [Output("r", 38.0, 0.5)], Classes("r", 1.0, 0, None, None, None, None)
    measured = Measured(2, 2, 1, outputs, classes, [layer], [tensor], [picture])
    found = Explanation(
        measured,
        [NodeReport("c", "Convolution", "int8", "")],
        [Finding("info", "dead", "c", "1 of 8", "nothing")],
        title="t",
    )
    found.to_json(path)


def show(path):
    found = Explanation.load(path)
    assert isinstance(found.worst(3), list) and isinstance(f"{found}{found.report()}{found.to_json()}", str)
    page = found.to_html()
    assert len(page) < 100_000 and MARKUP not in page  # axes are short, texts are no code


JSON = {
    "table": (table, lambda path: str(CalibTable.load(path).extended())),
    "state": (state, lambda path: SearchState(path, IDENTITY, RANGES).save()),
    "explanation": (explanation, show),
}


@parameterized.expand([(name,) for name in JSON])
def test_every_field_of_a_document_is_checked(name):
    save, load = JSON[name]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file.json")
        save(path)
        load(path)
        with open(path) as file:
            document = json.load(file)
        refusals = 0
        for place in places(document):
            for value in [..., *STRANGE]:
                put(path, json.dumps(changed(document, place, value)))
                refusals += not loads_or_explains(load, path)
        assert refusals > 5 * len(list(places(document)))  # most of it cannot be right


@parameterized.expand([(name,) for name in JSON])
def test_documents_that_are_cut_or_changed_anywhere(name):
    save, load = JSON[name]
    rng = random.Random(name)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file.json")
        save(path)
        with open(path, "rb") as file:
            whole = file.read()
        for _ in range(150 * MORE):
            put(path, damaged_anywhere(rng, whole))
            loads_or_explains(load, path)
        for text in (NESTED, '{"a":' * 100_000, "", "null", "\xff", "9" * 10**5):
            put(path, text)
            assert not loads_or_explains(load, path)


FIELDS = [
    ("table", ("ranges", "conv0", "min"), "a", "ranges/conv0/min is 'a'", "a finite number"),
    ("table", ("ranges", "fc:1"), [0, 1], "ranges/fc:1 is [0, 1]", "an object"),
    ("table", ("ranges", "conv0", "max"), ..., "ranges/conv0/max is missing"),
    ("table", ("num_examples",), -3, "num_examples is -3", "an integer from 0"),
    ("table", ("channel_means", "conv0"), "1 x", "channel_means/conv0 is '1 x'", "numbers"),
    ("table", ("data_shapes", "data"), "(" * 9000, "data_shapes/data is", "a shape"),
    ("table", ("modes",), [1], "modes is [1]", "an object"),
    ("state", ("noise", "conv0"), -0.5, "noise/conv0 is -0.5", "from 0"),
    ("state", ("noise", "conv0"), float("nan"), "noise/conv0 is nan"),
    ("state", ("scores", 1, "metric"), "good", "scores/1/metric is 'good'"),
    ("state", ("reference", "bytes"), 2**63, "reference/bytes is 9223372036854775808"),
    ("state", ("float",), None, "float is None", "a number"),
    ("state", ("ranges", "conv0"), [1], "ranges/conv0 is [1]", "a list of 2"),
    ("explanation", ("layers", 0, "local"), [], "layers/0/local is []", "a finite number"),
    ("explanation", ("tensors", 0, "histogram", "counts", 1), "4", "tensors/0/histogram/counts/1 is '4'"),
    ("explanation", ("findings", 0, "severity"), "bad", "findings/0/severity is 'bad'", "error, warning, info"),
    ("explanation", ("classes", "size"), 3, "classes/size is 3", "nothing"),
]


@parameterized.expand([(f"{name}_{'_'.join(map(str, place))}", name, place, *rest) for name, place, *rest in FIELDS])
def test_the_error_names_the_field(_, name, place, value, *parts):
    save, load = JSON[name]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file.json")
        save(path)
        with open(path) as file:
            put(path, json.dumps(changed(json.load(file), place, value)))
        assert not loads_or_explains(load, path, *parts)
