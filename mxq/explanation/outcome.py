"""What the int8 network says beside the float one: its outputs, its classes, its flips."""

from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from ..arithmetic.noise import Noise
from ..costs.result import Classes, Output, Prediction
from ..errors import ConfigError
from .png import picture

#: Examples that are shown: flips first, then those where the two best classes are closest.
SHOWN = 12


class _Candidate(NamedTuple):
    """An example that may be shown; the smallest sort first."""

    calm: bool
    margin: float
    example: int
    classes: tuple
    scores: tuple
    array: np.ndarray


class Outcome:
    """Compares outputs over batches.

    Args:
        names: of the network's outputs.
        labels: class of every example, in order, or None.
        class_names: by class, or None.
        images: the examples for people, in order: (height, width[, 3]) or (channels, height, width), 0 to 255.
    """

    def __init__(self, names: Sequence[str], labels=None, class_names=None, images=None):
        self._names = list(names)
        self._labels = None if labels is None else _classes(labels)
        self._class_names, self._images = class_names, images
        self._noise = [Noise() for _ in names]
        self._max_error = [0.0 for _ in names]
        self._ranked: Optional[int] = None
        self._same = self._right_float = self._right_int8 = self._lost = self._won = 0
        self._candidates: List[_Candidate] = []
        self.examples = 0

    def add(self, exact: List[np.ndarray], int8: List[np.ndarray], data: Optional[np.ndarray], n: int) -> None:
        """Outputs of `n` examples by both networks, and the examples (None: not to be shown)."""
        for index, (a, b) in enumerate(zip(exact, int8)):
            self._noise[index].add(a, b)
            if a.size:
                self._max_error[index] = max(self._max_error[index], float(np.abs(a - b).max()))
        if not self.examples:
            self._ranked = next((i for i, a in enumerate(exact) if a.shape[:1] == (n,) and _scores(a)), None)
        if self._ranked is not None and exact[self._ranked].shape[0] == n:
            self._add_classes(exact[self._ranked].reshape(n, -1), int8[self._ranked].reshape(n, -1), data)
        self.examples += n

    def _add_classes(self, exact: np.ndarray, int8: np.ndarray, data: Optional[np.ndarray]) -> None:
        chosen, found = exact.argmax(axis=1), int8.argmax(axis=1)
        ordered = np.sort(exact, axis=1)
        margins = ordered[:, -1] - ordered[:, -2]
        same = chosen == found
        self._same += int(same.sum())
        if self._labels is not None:
            labels = self._labels[self.examples : self.examples + len(exact)]
            if len(labels) < len(exact):
                raise ConfigError(f"labels has {len(self._labels)} classes, the data has more examples: give one each")
            right, still = chosen == labels, found == labels
            self._right_float += int(right.sum())
            self._right_int8 += int(still.sum())
            self._lost += int((right & ~still).sum())
            self._won += int((~right & still).sum())
        for i in np.lexsort((margins, same))[:SHOWN]:
            self._candidates.append(
                _Candidate(
                    bool(same[i]),
                    float(margins[i]),
                    self.examples + int(i),
                    (int(chosen[i]), int(found[i])),
                    (float(exact[i, chosen[i]]), float(int8[i, found[i]])),
                    None if data is None else data[i].copy(),
                )
            )
        self._candidates = sorted(self._candidates, key=lambda c: c[:3])[:SHOWN]

    def outputs(self) -> List[Output]:
        rows = zip(self._names, self._noise, self._max_error)
        return [Output(name, noise.db, error) for name, noise, error in rows]

    def classes(self) -> Optional[Classes]:
        """None if no output looks like class scores."""
        if self._ranked is None:
            return None
        if self._labels is not None and len(self._labels) != self.examples:
            raise ConfigError(f"labels has {len(self._labels)} classes for {self.examples} examples: give one each")
        right = [None] * 4
        if self._labels is not None:
            right = [self._right_float / self.examples, self._right_int8 / self.examples, self._lost, self._won]
        return Classes(self._names[self._ranked], self._same / self.examples, self.examples - self._same, *right)

    def predictions(self) -> List[Prediction]:
        """The examples to show."""
        shown = []
        for c in self._candidates:
            image = None
            if self._images is not None:
                image = picture(_image(self._images, c.example), stretch=False)
            elif c.array is not None:
                image = picture(c.array, stretch=True)
            label = None if self._labels is None else self._name(int(self._labels[c.example]))
            names = [self._name(index) for index in c.classes]
            shown.append(Prediction(c.example, image, label, *names, *c.scores, c.margin))
        return shown

    def _name(self, index: int) -> str:
        names = self._class_names
        if names is None:
            return str(index)
        if isinstance(names, Dict):
            return str(names.get(index, index))
        return str(names[index]) if index < len(names) else str(index)


def _scores(array: np.ndarray) -> bool:
    """Whether an output can be class scores: one number for each of several classes."""
    return array.ndim >= 2 and array.shape[1] >= 2 and int(np.prod(array.shape[2:])) == 1


def _classes(labels) -> np.ndarray:
    array = np.asarray(labels.asnumpy() if hasattr(labels, "asnumpy") else labels)
    if (
        array.ndim != 1
        or array.dtype.kind not in "iuf"
        or (array.dtype.kind == "f" and (array != np.rint(array)).any())
    ):
        raise ConfigError(
            f"labels of shape {array.shape} and type {array.dtype}: give the class number of each example"
        )
    return array.astype(np.int64)


def _image(images, index: int) -> np.ndarray:
    try:
        image = images[index]
    except (IndexError, KeyError, TypeError) as error:
        raise ConfigError(f"images has no image for example {index} ({error}): give one for each example") from None
    return image.asnumpy() if hasattr(image, "asnumpy") else np.asarray(image)
