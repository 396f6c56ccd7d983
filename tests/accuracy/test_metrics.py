"""Every built-in metric against values found by hand, in one batch and in several."""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.accuracy import BUILT_IN, Detection, as_metric
from mxq.choice.detection import intersection_over_union
from mxq.data.batches import Batch

from ..refusals import refused


def score(metric, outputs, reference, labels=()):
    """The metric over examples given at once, which must be what it is over them one by one."""
    metric = as_metric(metric)
    values = []
    n = len(reference[0])
    for size in (n, 1):
        metric.reset()
        for start in range(0, n, size):
            rows = slice(start, start + size)
            batch = Batch({}, len(reference[0][rows])).labelled(tuple(label[rows] for label in labels))
            metric.update([a[rows] for a in outputs], [a[rows] for a in reference], batch)
        values.append(metric.value())
    assert np.isclose(*values, rtol=1e-12, equal_nan=True), values
    return values[0]


REFERENCE = np.float32([[9, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6], [1, 7, 0, 0, 0, 0, 0], [3, 2, 1, 0, 0, 0, 0]])
#: Best classes 0, 6, 1, 0. Here: 0 stays; 6 comes last of seven; 1 comes second; 0 ties with 1 and is first.
OUTPUTS = np.float32([[9, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [8, 7, 0, 0, 0, 0, 0], [3, 3, 1, 0, 0, 0, 0]])


@parameterized.expand([("top1", 50.0), ("top5", 75.0)])
def test_agreement_of_classes(name, expected):
    assert score(name, [OUTPUTS], [REFERENCE]) == expected
    assert score(name, [OUTPUTS.reshape(4, 7, 1, 1)], [REFERENCE.reshape(4, 7, 1, 1)]) == expected
    assert score(name, [REFERENCE], [REFERENCE]) == 100.0


def test_accuracy_reads_labels():
    assert score("accuracy", [OUTPUTS], [REFERENCE], labels=[np.float32([0, 0, 1, 1])]) == 50.0
    assert score("accuracy", [OUTPUTS], [REFERENCE], labels=[np.int64([[0], [0], [0], [0]])]) == 100.0


def test_cosine():
    a, b = np.float32([[1, 0], [0, 0], [0, 2]]), np.float32([[1, 1], [0, 0], [0, -3]])
    assert np.isclose(score("cosine", [a], [b]), (1 / np.sqrt(2) + 1 - 1) / 3)
    assert np.isclose(score("cosine", [a, b], [b, b]), ((1 / np.sqrt(2) + 1) + 2 + (-1 + 1)) / 6)


def test_sqnr_is_that_of_the_worst_output():
    wanted = np.float32([[3, 4], [0, 5]])
    assert np.isclose(score("sqnr", [wanted + np.float32([[1, 0], [0, 0]])], [wanted]), 10 * np.log10(50))
    assert np.isclose(score("sqnr", [wanted, wanted + 1], [wanted, wanted]), 10 * np.log10(50 / 4))
    assert score("sqnr", [wanted], [wanted]) == float("inf")
    assert score("sqnr", [wanted], [0 * wanted]) == float("-inf")


def test_miou_of_maps():
    wanted = np.int64([[[0, 0], [1, 1]], [[0, 2], [2, 2]]])
    found = np.int64([[[0, 1], [1, 1]], [[0, 2], [2, 0]]])
    # class 0: 2 of 4, class 1: 2 of 3, class 2: 2 of 3
    expected = 100 * (2 / 4 + 2 / 3 + 2 / 3) / 3
    assert np.isclose(score("miou", [found], [wanted]), expected)
    scores = [np.eye(5, dtype=np.float32)[classes].transpose(0, 3, 1, 2) for classes in (found, wanted)]
    assert np.isclose(score("miou", scores[:1], scores[1:]), expected)  # two classes that nobody sees do not count


BOXES = np.float32([[0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 10, 10], [50, 50, 60, 60]])


def detections(rows, size=6):
    """ids, scores and bboxes of images, each a list of (id, score, corners), filled up with -1."""
    filled = np.full((len(rows), size, 6), -1, np.float32)
    for i, image in enumerate(rows):
        for j, (label, confidence, corners) in enumerate(image):
            filled[i, j] = [label, confidence, *corners]
    return [filled[..., :1], filled[..., 1:2], filled[..., 2:]]


def test_overlaps_of_boxes():
    """A box overlaps itself wholly, without an area or without an end, too."""
    inf = np.inf
    boxes = np.float32([[0, 0, 2, 2], [1, 0, 3, 2], [1, 1, 1, 1], [0, 0, inf, inf], [0, 0, 2, 4]])
    found = intersection_over_union(boxes, boxes)
    np.testing.assert_array_equal(np.diag(found), 1.0)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found[0, 1:], [1 / 3, 0, 0, 1 / 2])
    np.testing.assert_allclose(found[1, 2:], [0, 0, 1 / 5])


def test_detection():
    wanted = [[(1, 0.9, BOXES[0]), (2, 0.8, BOXES[1]), (1, 0.4, BOXES[3])], [(0, 0.7, BOXES[0])], []]
    found = [
        [
            (1, 0.9, BOXES[0] + 1),  # overlap 81 / 119: a pair
            (1, 0.8, BOXES[0]),  # the better overlap, but taken by a better score
            (2, 0.7, BOXES[1] + 5),  # overlap 25 / 175: none
            (1, 0.3, BOXES[3]),  # below the least score, on both sides
        ],
        [(1, 0.9, BOXES[0])],  # another class
        [],
    ]
    # one pair; 3 + 1 boxes found, 2 + 1 wanted
    assert np.isclose(score("detection", detections(found), detections(wanted)), 200 * 1 / 7)
    joined = [np.concatenate(detections(rows), axis=2) for rows in (found, wanted)]
    assert np.isclose(score("detection", joined[:1], joined[1:]), 200 * 1 / 7)
    loose = Detection(score=0.25, iou=0.1)
    assert np.isclose(score(loose, detections(found), detections(wanted)), 200 * 3 / 9)
    assert score("detection", detections([[], []]), detections([[], []])) == 100.0
    assert score("detection", detections(wanted), detections(wanted)) == 100.0
    infinite = [[(1, 0.9, (0, 0, np.inf, np.inf)), (1, 0.8, (5, 5, 5, 5))]]
    assert score("detection", detections(infinite), detections(infinite)) == 100.0


# -- metrics of others -------------------------------------------------------------------------------------------------


def test_a_function_gives_a_mean_or_a_sum_with_a_count():
    def share(outputs, reference, batch):
        return np.float32((outputs[0] > 0).mean())

    def per_row(outputs, reference, batch):
        return (outputs[0] - reference[0]).sum(), len(outputs[0]) * 2

    per_row.higher_is_better = False
    x = np.float32([[1], [-1], [1], [1]])
    assert as_metric(share).name == "share" and as_metric(share).higher_is_better
    assert score(share, [x], [x]) == 0.75
    assert score(per_row, [x + 1], [x]) == 0.5
    assert not as_metric(per_row).higher_is_better


@parameterized.expand(
    [("text", "0.5"), ("nothing", None), ("nan", float("nan")), ("array", np.ones(3)), ("of", (1, -1))]
)
def test_a_function_that_returns_no_number_is_refused(_, returned):
    def broken(outputs, reference, batch):
        return returned

    refused(lambda: score(broken, [OUTPUTS], [REFERENCE]), "metric broken returned", "a number", error=mxq.ConfigError)


def test_metrics_of_mxnet():
    labels = [np.float32([0, 0, 1, 1])]
    assert score(mx.metric.Accuracy(), [OUTPUTS], [REFERENCE], labels) == 0.5
    assert as_metric(mx.metric.Accuracy()).higher_is_better
    assert not as_metric(mx.metric.RMSE()).higher_is_better
    wanted = -np.mean(np.log(np.float64([0.5, 0.25])))
    probabilities = np.float32([[0.5, 0.5], [0.75, 0.25]])
    found = score(mx.metric.CrossEntropy(), [probabilities], [probabilities], [np.float32([0, 1])])
    assert np.isclose(found, wanted)


REFUSED = [
    ("name", "top2", "metric='top2'", "nearest: top", "'miou'"),
    ("number", 3, "metric=3", "'top1'", "EvalMetric"),
    ("class", mx.metric.Accuracy, "metric=<class", "EvalMetric"),
    (
        "several",
        mx.metric.CompositeEvalMetric([mx.metric.Accuracy(), mx.metric.F1()]),
        "several values",
        "accuracy, f1",
    ),
]


@parameterized.expand(REFUSED)
def test_what_is_no_metric_is_refused(_, given, *parts):
    refused(lambda: as_metric(given), *parts, error=mxq.ConfigError)


def test_outputs_that_do_not_fit_are_refused():
    maps = np.zeros((2, 3, 4, 4), np.float32)
    for name in ("top1", "top5", "accuracy"):
        refused(lambda: score(name, [maps], [maps]), f"metric='{name}'", "(2, 3, 4, 4)", error=mxq.ConfigError)  # noqa: B023
    refused(lambda: score("miou", [OUTPUTS], [REFERENCE]), "(N, classes, H, W)", "(4, 7)", error=mxq.ConfigError)
    refused(lambda: score("miou", [maps[0] - 1], [maps[0]]), "class -1", error=mxq.ConfigError)
    refused(lambda: score("detection", [maps], [maps]), "ids (N, M, 1)", "(2, 3, 4, 4)", error=mxq.ConfigError)
    refused(lambda: score("accuracy", [OUTPUTS], [REFERENCE]), "labels", "eval_data", error=mxq.ConfigError)
    refused(lambda: score("accuracy", [OUTPUTS], [REFERENCE], [np.zeros((4, 2))]), "8 numbers", error=mxq.ConfigError)
    refused(lambda: score(mx.metric.Accuracy(), [OUTPUTS], [REFERENCE]), "needs labels", error=mxq.ConfigError)
    three = [np.zeros((4, 3, 2), np.float32)]
    refused(lambda: score(mx.metric.Accuracy(), [OUTPUTS], [REFERENCE], three), "(4, 3, 2)", error=mxq.ConfigError)
    refused(lambda: Detection(iou=2), "iou=2", "0 to 1", error=mxq.ConfigError)


def test_every_metric_says_what_it_is():
    for name, kind in BUILT_IN.items():
        metric = kind()
        assert metric.name == name and metric.higher_is_better and isinstance(metric.unit, str)
