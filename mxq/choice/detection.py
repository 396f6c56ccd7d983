"""Agreement of detected boxes with those of float."""

from typing import List, NamedTuple

import numpy as np

from ..data.batches import Batch
from ..errors import ConfigError
from .metrics import Metric, Outputs


class Boxes(NamedTuple):
    """What was found in one image: classes (n,), scores (n,), corners (n, 4)."""

    ids: np.ndarray
    scores: np.ndarray
    corners: np.ndarray


class Detection(Metric):
    """F1 of the detected boxes, in percent, where those of the float network are the truth.

    A box counts if its score is at least `score`. In each image, best score first, a box takes the float box of the
    same class that it overlaps most, if the intersection over union is at least `iou` and nobody has taken it. F1 is
    twice the matched pairs over the boxes of both networks; 100 where neither finds any.

    >>> metric = Detection(score=0.3)  # for quantize_model(..., metric=metric)

    Outputs are those of GluonCV's detectors, ``ids (N, M, 1), scores (N, M, 1), bboxes (N, M, 4)``, or of
    ``MultiBoxDetection``, ``(N, M, 6)``: id, score, corners. Rows with a negative id are none.

    Args:
        score: least score of a box, 0 to 1.
        iou: least overlap of a pair, 0 to 1.
    """

    name, unit = "detection", "%"

    def __init__(self, score: float = 0.5, iou: float = 0.5):
        for label, value in (("score", score), ("iou", iou)):
            if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ConfigError(f"{label}={value!r}: accepted is a number from 0 to 1")
        self.score, self.iou = float(score), float(iou)
        if (score, iou) != (0.5, 0.5):
            self.name = f"detection(score={self.score}, iou={self.iou})"
        self.reset()

    def reset(self) -> None:
        self._pairs = self._boxes = 0

    def update(self, outputs: Outputs, reference: Outputs, batch: Batch) -> None:
        for found, wanted in zip(self._images(outputs), self._images(reference)):
            self._pairs += matched(found, wanted, self.iou)
            self._boxes += len(found.ids) + len(wanted.ids)

    def value(self) -> float:
        return 200.0 * self._pairs / self._boxes if self._boxes else 100.0

    def _images(self, outputs: Outputs) -> List[Boxes]:
        shapes = [np.shape(output) for output in outputs]
        if len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] == 6:
            ids, scores, corners = np.split(np.asarray(outputs[0]), [1, 2], axis=2)
        elif len(shapes) >= 3 and [s[2:] for s in shapes[:3]] == [(1,), (1,), (4,)]:
            ids, scores, corners = (np.asarray(output) for output in outputs[:3])
        else:
            raise ConfigError(
                "metric='detection' reads ids (N, M, 1), scores (N, M, 1) and bboxes (N, M, 4), or one output "
                f"(N, M, 6); the network returns {', '.join(map(str, shapes))}"
            )
        images = []
        for i in range(len(ids)):
            kept = (ids[i, :, 0] >= 0) & (scores[i, :, 0] >= self.score)
            images.append(Boxes(ids[i, kept, 0], scores[i, kept, 0], corners[i, kept]))
        return images


def matched(found: Boxes, wanted: Boxes, least: float) -> int:
    """How many of the boxes `found` pair with one of `wanted`."""
    overlap = intersection_over_union(found.corners, wanted.corners)
    overlap[found.ids[:, None] != wanted.ids[None, :]] = -1
    pairs = 0
    for i in np.argsort(-found.scores, kind="stable"):
        best = int(overlap[i].argmax()) if overlap.shape[1] else -1
        if best >= 0 and overlap[i, best] >= least and overlap[i, best] >= 0:
            pairs += 1
            overlap[:, best] = -1
    return pairs


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) overlaps of corner boxes ``(xmin, ymin, xmax, ymax)``, (n, 4) and (m, 4).

    >>> intersection_over_union(np.float32([[0, 0, 2, 2]]), np.float32([[1, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    a, b = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None]
    with np.errstate(all="ignore"):  # boxes of networks that are not trained can be infinite
        sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
        inside = np.prod(np.maximum(sides, 0), axis=-1)
        areas = [np.prod(np.maximum(x[..., 2:] - x[..., :2], 0), axis=-1) for x in (a, b)]
        found = np.nan_to_num(inside / (areas[0] + areas[1] - inside))
    return np.where((a == b).all(axis=-1), 1.0, found)
