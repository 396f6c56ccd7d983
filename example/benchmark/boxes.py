"""Boxes from the outputs of detectors: each as the network's own code decodes them, in numpy.

A decoder takes the outputs of a batch, in the network's order, and gives `Boxes` for each image, overlaps suppressed.
Anchors and strides are those of the authors' configurations: insightface's RetinaFace (`generate_anchors`, base 16),
Yolo-Fastest's `yolo-fastest-1.1.cfg`, MTCNN's cells of 12 pixels two apart, LFFD's `configuration_64_512_16L_3scales`.
"""

from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence

import numpy as np

from mxq.choice.detection import Boxes, intersection_over_union

Outputs = Sequence[np.ndarray]


def suppressed(boxes: Boxes, overlap: float) -> Boxes:
    """Best first, without boxes that overlap a better one of their class by more than `overlap`."""
    left = list(np.argsort(-boxes.scores, kind="stable"))
    kept: List[int] = []
    overlaps = intersection_over_union(boxes.corners, boxes.corners)
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if overlaps[best, i] <= overlap or boxes.ids[i] != boxes.ids[best]]
    return Boxes(boxes.ids[kept], boxes.scores[kept], boxes.corners[kept])


def _chosen(scores: np.ndarray, corners: np.ndarray, ids: np.ndarray, least: float, overlap: float) -> Boxes:
    """Boxes with at least this score, overlaps suppressed."""
    found = scores >= least
    return suppressed(Boxes(ids[found], scores[found], corners[found]), overlap)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.float64(x)))


def retinaface(outputs: Outputs, *, score: float = 0.5, overlap: float = 0.4) -> Iterator[Boxes]:
    """Strides 32, 16 and 8, each with scores (n, 4, h, w), offsets (n, 8, h, w) and landmarks; two square anchors."""
    for image in range(len(outputs[0])):
        all_scores, all_corners = [], []
        for place, (stride, sizes) in enumerate(((32, (512, 256)), (16, (128, 64)), (8, (32, 16)))):
            probability, offsets = (np.float64(outputs[3 * place + i][image]) for i in (0, 1))
            _, height, width = probability.shape
            y, x = np.mgrid[:height, :width] * stride + 7.5
            for anchor, size in enumerate(sizes):
                dx, dy, dw, dh = offsets[4 * anchor : 4 * anchor + 4]
                centre, half = np.stack([x + dx * size, y + dy * size]), (size * np.exp(np.stack([dw, dh])) - 1) / 2
                all_scores.append(probability[2 + anchor].ravel())
                all_corners.append(np.concatenate([centre - half, centre + half]).reshape(4, -1).T)
        scores = np.concatenate(all_scores)
        yield _chosen(scores, np.concatenate(all_corners), np.zeros(len(scores)), score, overlap)


def yolo(outputs: Outputs, *, size: int = 320, score: float = 0.3, overlap: float = 0.45) -> Iterator[Boxes]:
    """Two heads (n, 3 * 85, h, w): for each of three anchors x, y, w, h, objectness and 80 classes."""
    anchors = (((115, 73), (119, 199), (242, 238)), ((12, 18), (37, 49), (52, 132)))
    for image in range(len(outputs[0])):
        parts = []
        for head, of_head in zip(outputs, anchors):
            height, width = head.shape[2:]
            y, x = np.mgrid[:height, :width]
            for values, (w, h) in zip(np.float64(head[image]).reshape(3, -1, height, width), of_head):
                centre = np.stack([(x + _sigmoid(values[0])) / width, (y + _sigmoid(values[1])) / height]) * size
                half = np.stack([w * np.exp(values[2]), h * np.exp(values[3])]) / 2
                classes = _sigmoid(values[4]) * _sigmoid(values[5:])
                corners = np.concatenate([centre - half, centre + half])
                parts.append([classes.max(0).ravel(), corners.reshape(4, -1).T, classes.argmax(0).ravel()])
        yield _chosen(*(np.concatenate(part) for part in zip(*parts)), score, overlap)


def pnet(outputs: Outputs, *, score: float = 0.6, overlap: float = 0.5) -> Iterator[Boxes]:
    """Offsets (n, 4, h, w) and probabilities (n, 2, h, w) of windows of 12 pixels, two pixels apart."""
    for offsets, probability in zip(*map(np.float64, outputs[:2])):
        y, x = np.mgrid[: probability.shape[1], : probability.shape[2]] * 2 + 1
        corners = np.stack([x, y, x + 12, y + 12]) + 12 * offsets
        scores = probability[1].ravel()
        yield _chosen(scores, corners.reshape(4, -1).T, np.zeros(len(scores)), score, overlap)


def rnet(outputs: Outputs, *, score: float = 0.7) -> Iterator[Boxes]:
    """Offsets (n, 4) and probabilities (n, 2) of crops of 24 pixels: one box or none for each."""
    for offsets, probability in zip(*map(np.float64, outputs[:2])):
        corners = np.float64([0, 0, 24, 24]) + 24 * offsets
        yield _chosen(probability[1:2], corners[None], np.zeros(1), score, 1.0)


def lffd(outputs: Outputs, *, score: float = 0.5, overlap: float = 0.4) -> Iterator[Boxes]:
    """Three scales, each with scores (n, 1, h, w) and distances (n, 4, h, w) from the centres of receptive fields."""
    for image in range(len(outputs[0])):
        all_scores, all_corners = [], []
        for scale, (stride, field) in enumerate(((16, 128), (32, 256), (64, 512))):
            scores, distances = (np.float64(outputs[2 * scale + i][image]) for i in (0, 1))
            y, x = np.mgrid[: scores.shape[1], : scores.shape[2]] * stride + stride - 1
            all_scores.append(scores.ravel())
            all_corners.append((np.stack([x, y, x, y]) - distances * field / 2).reshape(4, -1).T)
        found = np.concatenate(all_scores)
        yield _chosen(found, np.concatenate(all_corners), np.zeros(len(found)), score, overlap)


DECODERS: Dict[str, Callable[[Outputs], Iterator[Boxes]]] = {
    "retinaface": retinaface,
    "yolo": yolo,
    "pnet": pnet,
    "rnet": rnet,
    "lffd": lffd,
}


class Match(NamedTuple):
    """Boxes of a network beside those of float, over all images.

    Attributes:
        wanted, found: how many boxes float and the other network have.
        pairs: how many of them match.
        overlaps: the sum of their intersections over unions.
    """

    wanted: int = 0
    found: int = 0
    pairs: int = 0
    overlaps: float = 0.0

    def plus(self, wanted: Boxes, found: Boxes, least: float = 0.5) -> "Match":
        """With one more image. Best first, a box takes the box of float, of its class, that it overlaps most."""
        overlap = intersection_over_union(found.corners, wanted.corners)
        overlap[found.ids[:, None] != wanted.ids[None, :]] = -1
        pairs, overlaps = self.pairs, self.overlaps
        for i in np.argsort(-found.scores, kind="stable"):
            best = int(overlap[i].argmax()) if overlap.shape[1] else -1
            if best >= 0 and overlap[i, best] >= least:
                pairs, overlaps = pairs + 1, overlaps + float(overlap[i, best])
                overlap[:, best] = -1
        return Match(self.wanted + len(wanted.ids), self.found + len(found.ids), pairs, overlaps)

    @property
    def f1(self) -> float:
        """Percent: twice the matches over the boxes of both; 100 where neither has any."""
        return 200.0 * self.pairs / (self.wanted + self.found) if self.wanted + self.found else 100.0

    @property
    def mean_iou(self) -> float:
        """Percent, of the matches."""
        return 100.0 * self.overlaps / self.pairs if self.pairs else float("nan")
