"""What "as good as float" means: a number over a data set, from the outputs of two networks.

>>> import numpy as np
>>> from mxq.data.batches import Batch
>>> metric = Top1()
>>> float_scores, int8_scores = np.float32([[1, 2], [3, 1]]), np.float32([[1, 2], [1, 2]])
>>> metric.update([int8_scores], [float_scores], Batch({}, 2))
>>> metric.value()
50.0
"""

from typing import List, Sequence

import numpy as np

from ..arithmetic.noise import Noise
from ..data.batches import Batch
from ..errors import ConfigError

Outputs = Sequence[np.ndarray]


class Metric:
    """A number over a data set, summed up batch by batch. Derive from it to write one of your own.

    Attributes:
        name: how reports call it.
        unit: what its number is in; `max_drop` and `min_metric` are in it too.
        higher_is_better: False for errors and losses.
    """

    name = "metric"
    unit = ""
    higher_is_better = True

    def reset(self) -> None:
        """Forgets what was seen."""
        raise NotImplementedError

    def update(self, outputs: Outputs, reference: Outputs, batch: Batch) -> None:
        """Takes one batch in.

        Args:
            outputs: arrays that the network under test returns, first axis = batch where it is.
            reference: what the float network returns for the same data.
            batch: the data (`arrays`, by input name), how many examples it holds (`n_valid`), and its `labels`.
        """
        raise NotImplementedError

    def value(self) -> float:
        """The number for all batches since `reset`."""
        raise NotImplementedError


class Mean(Metric):
    """Base of metrics that are a mean over examples: `examples` gives a number for each."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self._sum, self._count = 0.0, 0

    def update(self, outputs: Outputs, reference: Outputs, batch: Batch) -> None:
        found = np.asarray(self.examples(outputs, reference, batch), np.float64)
        self._sum += float(found.sum())
        self._count += found.size

    def value(self) -> float:
        return self._sum / self._count if self._count else float("nan")

    def examples(self, outputs: Outputs, reference: Outputs, batch: Batch) -> np.ndarray:
        raise NotImplementedError


class Top1(Mean):
    """Percent of examples with the same best class as float. The first output holds scores, (N, classes)."""

    name, unit = "top1", "%"

    def examples(self, outputs: Outputs, reference: Outputs, batch: Batch) -> np.ndarray:
        return 100.0 * (scores(self, outputs).argmax(axis=1) == scores(self, reference).argmax(axis=1))


class Top5(Mean):
    """Percent of examples whose best class in float is among the best five. The first output holds (N, classes)."""

    name, unit = "top5", "%"

    def examples(self, outputs: Outputs, reference: Outputs, batch: Batch) -> np.ndarray:
        best = np.argsort(-scores(self, outputs), axis=1, kind="stable")[:, :5]
        return 100.0 * (best == scores(self, reference).argmax(axis=1)[:, None]).any(axis=1)


class Accuracy(Mean):
    """Percent of examples whose best class is the label. The first output holds scores, the first label classes."""

    name, unit = "accuracy", "%"

    def examples(self, outputs: Outputs, reference: Outputs, batch: Batch) -> np.ndarray:
        found = scores(self, outputs)
        if not batch.labels:
            raise ConfigError(
                "metric='accuracy' needs labels: give eval_data that yields them behind the data; 'top1' compares with "
                "the float network and needs none"
            )
        labels = np.asarray(batch.labels[0]).reshape(-1)
        if len(labels) != len(found):
            raise ConfigError(
                f"metric='accuracy': the first label of a batch of {len(found)} examples has {labels.size} numbers; "
                "one class per example is needed"
            )
        return 100.0 * (found.argmax(axis=1) == labels)


class Cosine(Mean):
    """Mean cosine between the outputs and those of float, -1 to 1: for embeddings. Several outputs count alike."""

    name, unit = "cosine", ""

    def examples(self, outputs: Outputs, reference: Outputs, batch: Batch) -> np.ndarray:
        return np.stack([_cosines(a, b) for a, b in zip(outputs, reference)]).mean(axis=0)


class Sqnr(Metric):
    """Signal-to-noise ratio of the outputs in dB; of several outputs the worst. Float itself has infinity."""

    name, unit = "sqnr", "dB"

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self._noises: List[Noise] = []

    def update(self, outputs: Outputs, reference: Outputs, batch: Batch) -> None:
        self._noises = self._noises or [Noise() for _ in reference]
        for noise, wanted, found in zip(self._noises, reference, outputs):
            noise.add(wanted, found)

    def value(self) -> float:
        return min((noise.db for noise in self._noises), default=float("nan"))


class MeanIoU(Metric):
    """Mean intersection over union with the classes that float gives to each pixel, in percent: for segmentation.

    The first output holds scores (N, classes, H, W), or classes (N, H, W). Intersections and unions are summed over
    all examples; the mean is over classes that either network gives to any pixel.
    """

    name, unit = "miou", "%"

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self._intersection = np.zeros(0)
        self._union = np.zeros(0)

    def update(self, outputs: Outputs, reference: Outputs, batch: Batch) -> None:
        found, wanted = _classes(outputs[0]), _classes(reference[0])
        count = int(max(found.max(), wanted.max(), len(self._union) - 1)) + 1
        both = np.bincount(wanted[found == wanted], minlength=count)
        union = np.bincount(found.ravel(), minlength=count) + np.bincount(wanted.ravel(), minlength=count) - both
        self._intersection = _longer(self._intersection, count) + both
        self._union = _longer(self._union, count) + union

    def value(self) -> float:
        seen = self._union > 0
        return 100.0 * float((self._intersection[seen] / self._union[seen]).mean()) if seen.any() else float("nan")


def scores(metric: Metric, outputs: Outputs) -> np.ndarray:
    """The first output as (N, classes). Raises ConfigError where it is something else."""
    found = np.asarray(outputs[0])
    found = found.reshape(found.shape[:2]) if found.ndim > 2 and found[0, 0].size == 1 else found
    if found.ndim != 2:
        raise ConfigError(
            f"metric={metric.name!r} reads scores (N, classes) from the first output, which has shape {found.shape}; "
            "'miou' is for maps, 'cosine' and 'sqnr' take any outputs, and so does a function of your own"
        )
    return found


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (a, b))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = (a == b).all(axis=1)  # two zeros too
    return np.where(same, 1.0, (a * b).sum(axis=1) / np.where(norms > 0, norms, 1))


def _classes(output: np.ndarray) -> np.ndarray:
    output = np.asarray(output)
    if output.ndim not in (3, 4):
        raise ConfigError(
            f"metric='miou' reads scores (N, classes, H, W) or classes (N, H, W) from the first output, which has "
            f"shape {output.shape}"
        )
    found = (output.argmax(axis=1) if output.ndim == 4 else output).astype(np.int64)
    if found.min() < 0:
        raise ConfigError(f"metric='miou': the first output has class {found.min()}; classes are integers from 0")
    return found


def _longer(counts: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([counts, np.zeros(size - len(counts))])
