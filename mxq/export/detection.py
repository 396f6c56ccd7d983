"""Detectors: anchors, and suppression of boxes that overlap, by ONNX' NonMaxSuppression and what sorts around it."""

from typing import Tuple

import numpy as np

from ..network.graph import Node
from .builder import Builder
from .table import Refused, emits

_NONE = -np.inf  # score of what does not compete
_LOWEST = np.finfo(np.float32).min


@emits(
    "_contrib_MultiBoxPrior", sizes=(1.0,), ratios=(1.0,), clip=False, steps=(-1.0, -1.0), offsets=(0.5, 0.5),
    shape_only=(0,),
)  # fmt: skip
def multibox_prior(b: Builder, node: Node, a) -> str:
    raise Refused("the shape of its input does not follow from that of the data")  # with it, it is a constant


def _sorted_rows(b: Builder, rows: str, scores: str, count: int) -> Tuple[str, str]:
    """The best rows (B, count, K), best first, and their scores; among equal ones the first comes first."""
    best, order = b("TopK", [scores, b.constant([count], "int64")], outputs=2, axis=1)
    b.retype(order, "int64")
    return _rows_at(b, rows, order), best


def _rows_at(b: Builder, rows: str, order: str) -> str:
    """Rows of each example in another order."""
    index = b("Unsqueeze", [order, b.constant([2], "int64")])
    size = b("Shape", [rows], dtype="int64")
    wide = b("Slice", [size, b.constant([2], "int64"), b.constant([3], "int64"), b.constant([0], "int64")])
    tall = b("Shape", [order], dtype="int64")
    return b("GatherElements", [rows, b("Expand", [index, b("Concat", [tall, wide], axis=0)])], axis=1)


def _column(b: Builder, rows: str, index: int) -> str:
    """One number of each row, (B, N)."""
    return b("Squeeze", [b.slice(rows, [2], [index], [index + 1]), b.constant([2], "int64")])


def _kept(b: Builder, boxes: str, scores: str, classes: str, threshold: float, center: bool, shape: Tuple) -> str:
    """Which of the sorted boxes (B, N, 4) stay, as bool (B, N). Boxes of one class suppress each other.

    Args:
        scores: (B, N), -inf of what does not compete.
        classes: (B, N); '' where all are of one.
        shape: (B, N).
    """
    if not 0 <= threshold <= 1:
        raise Refused(f"its threshold is {threshold}; 0 to 1 have an ONNX form")
    competing = b("Unsqueeze", [scores, b.constant([1], "int64")])
    if classes:
        known = b("Unique", [b.reshape(classes, (-1,))], outputs=1, sorted=1)
        same = b(
            "Equal",
            [b("Unsqueeze", [classes, b.constant([1], "int64")]), b.reshape(known, (1, -1, 1))],
            dtype="bool",
        )
        competing = b("Where", [same, competing, b.constant(_NONE)], dtype="float32")
    if not center:  # a box whose ends are in the wrong order has no area
        low, high = b.slice(boxes, [2], [0], [2]), b.slice(boxes, [2], [2], [4])
        boxes = b("Concat", [low, b("Max", [low, high])], axis=2)
    limits = [b.constant([shape[1]], "int64"), b.constant([threshold]), b.constant([_LOWEST])]
    chosen = b("NonMaxSuppression", [boxes, competing, *limits], dtype="int64", center_point_box=int(center))
    places = b("Gather", [chosen, b.constant([0, 2], "int64")], axis=1)
    count = b("Slice", [b("Shape", [places], dtype="int64"), *(b.constant([i], "int64") for i in (0, 1, 0))])
    ones = b("Expand", [b.constant(1.0), count])
    marks = b("ScatterND", [b.constant(np.zeros(shape)), places, ones], dtype="float32")
    return b("Greater", [marks, b.constant(0.5)], dtype="bool")


_FORMATS = ("corner", "center")


@emits(
    "_contrib_box_nms", "_contrib_box_non_maximum_suppression", overlap_thresh=0.5, valid_thresh=0.0, topk=-1,
    coord_start=2, score_index=1, id_index=-1, background_id=-1, force_suppress=False, in_format="corner",
    out_format="corner",
)  # fmt: skip
def box_nms(b: Builder, node: Node, a) -> str:
    """What is left of each example comes first, by score; the rows behind are -1."""
    if a.in_format != a.out_format or a.in_format not in _FORMATS:
        raise Refused(f"its in_format is {a.in_format} and its out_format {a.out_format}; equal ones have an ONNX form")
    whole = b.shape(node.inputs[0])
    examples, n, width = int(np.prod(whole[:-2])), whole[-2], whole[-1]
    rows = b.reshape(b.read(node.inputs[0]), (examples, n, width))
    scores = _column(b, rows, a.score_index)
    valid = b("Greater", [scores, b.constant(a.valid_thresh)], dtype="bool")
    if a.id_index >= 0 and a.background_id >= 0:
        background = b("Equal", [_column(b, rows, a.id_index), b.constant(float(a.background_id))], dtype="bool")
        valid = b("And", [valid, b("Not", [background])])
    scores = b("Where", [valid, scores, b.constant(_NONE)], dtype="float32")
    count = n if a.topk < 0 else min(a.topk, n)
    rows, scores = _sorted_rows(b, rows, scores, count)
    boxes = b.slice(rows, [2], [a.coord_start], [a.coord_start + 4])
    classes = "" if a.force_suppress or a.id_index < 0 else _column(b, rows, a.id_index)
    kept = _kept(b, boxes, scores, classes, a.overlap_thresh, a.in_format == "center", (examples, count))
    behind = b.constant(np.arange(count, 0, -1)[None])
    first = b("Where", [kept, behind, b.constant(0.0)], dtype="float32")
    rows, places = _sorted_rows(b, rows, first, count)
    there = b("Unsqueeze", [b("Greater", [places, b.constant(0.5)], dtype="bool"), b.constant([2], "int64")])
    y = b("Where", [there, rows, b.constant(-1.0)], dtype="float32")
    if count < n:
        y = b("Concat", [y, b.constant(np.full((examples, n - count, width), -1.0))], axis=1)
    return b.reshape(y, whole)


@emits(
    "_contrib_MultiBoxDetection", clip=True, threshold=0.01, background_id=0, nms_threshold=0.5, force_suppress=False,
    variances=(0.1, 0.1, 0.2, 0.2), nms_topk=-1,
)  # fmt: skip
def multibox_detection(b: Builder, node: Node, a) -> str:
    """Rows of class, score and box, those with a class first, by score; a suppressed one loses its class alone."""
    if a.background_id != 0:
        raise Refused(f"its background_id is {a.background_id}; MXNet computes as if it were 0")
    examples, classes, n = b.shape(node.inputs[0])
    probabilities, moves, anchors = b.inputs(node)
    objects = b.slice(probabilities, [1], [1], [classes])
    scores = b("Squeeze", [b.reduce("ReduceMax", objects, [1]), b.constant([1], "int64")])
    ids = b.cast(b("ArgMax", [objects], dtype="int64", axis=1, keepdims=0), "float32")
    valid = b("Not", [b("Less", [scores, b.constant(np.float32(a.threshold))], dtype="bool")])
    boxes = _decoded(b, b.reshape(moves, (examples, n, 4)), b.reshape(anchors, (1, n, 4)), a.variances)
    if a.clip:
        boxes = b("Min", [b("Max", [boxes, b.constant(0.0)]), b.constant(1.0)])
    columns = [b("Unsqueeze", [part, b.constant([2], "int64")]) for part in (ids, scores)]
    rows = b("Concat", [*columns, boxes], axis=2)
    competing = b("Where", [valid, scores, b.constant(_NONE)], dtype="float32")
    unsorted = rows
    rows, competing = _sorted_rows(b, rows, competing, n)
    best = np.arange(n)[None] < a.nms_topk
    cut = 0 < a.nms_threshold <= 1 and 0 < a.nms_topk < n
    if cut:  # MXNet sorts the best to the front; behind them stand rows as they were, without a class
        places = b("Where", [valid, b.constant(np.arange(n, 0, -1)[None]), b.constant(_NONE)], dtype="float32")
        unsorted, _ = _sorted_rows(b, unsorted, places, n)
        rows = b("Where", [b.constant(best[:, :, None], "bool"), rows, unsorted], dtype="float32")
    there = b("Greater", [competing, b.constant(_LOWEST)], dtype="bool")
    stays = there
    if 0 < a.nms_threshold <= 1:
        if cut:
            competing = b("Where", [b.constant(best, "bool"), competing, b.constant(_NONE)], dtype="float32")
        same = "" if a.force_suppress else _column(b, rows, 0)
        # MXNet suppresses what overlaps by the threshold itself, ONNX what overlaps by more.
        below = float(np.nextafter(np.float32(a.nms_threshold), np.float32(0)))
        stays = _kept(b, b.slice(rows, [2], [2], [6]), competing, same, below, False, (examples, n))
    last = b.constant([2], "int64")
    ids = b("Where", [b("Unsqueeze", [stays, last]), b.slice(rows, [2], [0], [1]), b.constant(-1.0)], dtype="float32")
    rows = b("Concat", [ids, b.slice(rows, [2], [1], [6])], axis=2)
    return b("Where", [b("Unsqueeze", [there, last]), rows, b.constant(-1.0)], dtype="float32")


def _decoded(b: Builder, moves: str, anchors: str, variances: Tuple[float, ...]) -> str:
    """Corners of anchors that were moved and scaled: in the order of operations that MXNet has."""
    low, high = b.slice(anchors, [2], [0], [2]), b.slice(anchors, [2], [2], [4])
    size = b("Sub", [high, low])
    middle = b("Mul", [b("Add", [low, high]), b.constant(0.5)])
    shift = b("Mul", [b.slice(moves, [2], [0], [2]), b.constant(np.float32(variances[:2]))])
    growth = b("Mul", [b.slice(moves, [2], [2], [4]), b.constant(np.float32(variances[2:]))])
    middle = b("Add", [b("Mul", [shift, size]), middle])
    half = b("Mul", [b("Mul", [b("Exp", [growth]), size]), b.constant(0.5)])
    return b("Concat", [b("Sub", [middle, half]), b("Add", [middle, half])], axis=2)


@emits("_contrib_box_decode", std0=1.0, std1=1.0, std2=1.0, std3=1.0, clip=-1.0, format="center")
def box_decode(b: Builder, node: Node, a) -> str:
    """Corners of anchors, given as corners or by their centres, that were moved and scaled."""
    if a.format not in _FORMATS:
        raise Refused(f"its format is {a.format}; {', '.join(_FORMATS)} have an ONNX form")
    moves, anchors = b.inputs(node)
    first, second = b.slice(anchors, [2], [0], [2]), b.slice(anchors, [2], [2], [4])
    middle, size = first, second
    if a.format == "corner":
        size = b("Sub", [second, first])
        middle = b("Add", [first, b("Mul", [size, b.constant(0.5)])])
    shift = b("Mul", [b.slice(moves, [2], [0], [2]), b.constant([a.std0, a.std1])])
    growth = b("Mul", [b.slice(moves, [2], [2], [4]), b.constant([a.std2, a.std3])])
    if a.clip > 0:
        growth = b("Min", [growth, b.constant(a.clip)])
    middle = b("Add", [b("Mul", [shift, size]), middle])
    half = b("Mul", [b("Mul", [b("Exp", [growth]), size]), b.constant(0.5)])
    return b("Concat", [b("Sub", [middle, half]), b("Add", [middle, half])], axis=2)
