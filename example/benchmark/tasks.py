"""What a network is for: its task in numbers, int8 beside float, on the same examples. Only faces have a ground truth.

A task gives a dict of numbers; `told` puts them into a cell of the table, and `rank` orders networks, the best last.
"""

from typing import Callable, Dict, NamedTuple, Sequence, Tuple

import numpy as np
from boxes import DECODERS, Match

Outputs = Sequence[np.ndarray]


class Task(NamedTuple):
    """Attributes:
    title: what the cell holds.
    measure: numbers, from the outputs of float and of another network.
    told: the cell.
    rank: of the numbers; larger is better.
    """

    title: str
    measure: Callable[..., dict]
    told: Callable[[dict], str]
    rank: Callable[[dict], Tuple[float, ...]]


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = np.float64(rows).reshape(len(rows), -1)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def pairs(exact: Outputs, found: Outputs) -> dict:
    """Rows 2i and 2i+1 are the same person, rows 2i and 2j+1 are two. Pairs are told apart by a threshold on the
    cosine, between two cosines of float: that with float's best balanced accuracy, for both networks. A flip is a pair
    that is decided differently.
    """
    same = np.eye(len(exact[0]) // 2, dtype=bool)
    cosines = [_unit(rows)[::2] @ _unit(rows)[1::2].T for rows in (exact[0], found[0])]

    def balanced(cosine: np.ndarray, threshold: float) -> float:
        decided = cosine >= threshold
        return 50.0 * float(decided[same].mean() + (~decided[~same]).mean())

    known = np.unique(cosines[0])
    threshold = max((known[1:] + known[:-1]) / 2, key=lambda candidate: balanced(cosines[0], candidate))
    return {
        "balanced_float": balanced(cosines[0], threshold),
        "balanced": balanced(cosines[1], threshold),
        "flips": int(((cosines[0] >= threshold) != (cosines[1] >= threshold)).sum()),
        "pairs": int(same.size),
        "cosine": float((_unit(exact[0]) * _unit(found[0])).sum(axis=1).mean()),
    }


def gender_age(exact: Outputs, found: Outputs) -> dict:
    """(n, 202): two scores of gender, a hundred pairs of scores; the age is how often the second one is larger."""
    genders = [rows[0][:, :2].argmax(axis=1) for rows in (exact, found)]
    ages = [rows[0][:, 2:202].reshape(len(rows[0]), 100, 2).argmax(axis=2).sum(axis=1) for rows in (exact, found)]
    apart = np.abs(ages[0] - ages[1])
    return {
        "gender": 100.0 * float((genders[0] == genders[1]).mean()),
        "years": float(apart.mean()),
        "within": 100.0 * float((apart <= 1).mean()),
    }


def boxes(exact: Outputs, found: Outputs, *, decoder: str) -> dict:
    """Boxes that match one of float, of the same class, with an intersection over union of at least 0.5."""
    match = Match()
    for wanted, got in zip(DECODERS[decoder](exact), DECODERS[decoder](found)):
        match = match.plus(wanted, got)
    return {"f1": match.f1, "iou": match.mean_iou, "wanted": match.wanted, "found": match.found, "matched": match.pairs}


def _iou(value: float) -> float:
    return value if value == value else 0.0  # NaN: nothing matched


TASKS: Dict[str, Task] = {
    "pairs": Task(
        "pairs of faces: balanced accuracy, flips beside float, cosine with float",
        pairs,
        lambda v: (
            f"{v['balanced']:.2f} % (float {v['balanced_float']:.2f}), {v['flips']} of {v['pairs']} flip, "
            f"cosine {v['cosine']:.4f}"
        ),
        lambda v: (-v["flips"], v["cosine"]),
    ),
    "gender-age": Task(
        "gender as float, age within a year of float, mean distance in years",
        gender_age,
        lambda v: f"gender {v['gender']:.1f} %, age {v['within']:.1f} %, {v['years']:.2f} years",
        lambda v: (v["gender"], -v["years"]),
    ),
    "boxes": Task(
        "boxes matched with float's at IoU 0.5 (F1), their mean IoU",
        boxes,
        lambda v: f"{v['matched']} of {v['wanted']}, {v['found']} found (F1 {v['f1']:.1f} %), IoU {v['iou']:.1f} %",
        lambda v: (v["f1"], _iou(v["iou"])),
    ),
}


def sqnr(exact: Outputs, found: Outputs) -> list:
    """dB of each output."""
    ratios = []
    for a, b in zip(exact, found):
        noise = float(np.square(np.float64(a) - b).sum())
        ratios.append(10 * float(np.log10(np.square(np.float64(a)).sum() / noise)) if noise else None)
    return ratios
