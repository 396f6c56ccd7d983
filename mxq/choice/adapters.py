"""Whatever a caller gives as `metric`, as a Metric."""

import math
import numbers
from typing import Callable, Dict, Union

import numpy as np

from ..data.batches import Batch
from ..errors import ConfigError, nearest
from .detection import Detection
from .metrics import Accuracy, Cosine, MeanIoU, Metric, Outputs, Sqnr, Top1, Top5

BUILT_IN: Dict[str, Callable[[], Metric]] = {
    kind.name: kind for kind in (Top1, Top5, Accuracy, Sqnr, Cosine, Detection, MeanIoU)
}
#: Metrics of MXNet of which less is better, by class name.
_LESS_IS_BETTER = ("MAE", "MSE", "RMSE", "CrossEntropy", "NegativeLogLikelihood", "Perplexity", "Loss", "Torch")


def as_metric(given: Union[str, Metric, Callable, object]) -> Metric:
    """The metric that `given` stands for.

    Args:
        given: one of the names in BUILT_IN; a Metric; an mx.metric.EvalMetric, which gets the labels that come with
            the data and the outputs; or a function ``metric(outputs, reference, batch)`` that returns a number, the
            mean over the batch, or a pair ``(sum, count)``. An attribute ``higher_is_better = False`` turns an
            EvalMetric's or function's direction.

    Raises:
        ConfigError: it is none of these.
    """
    import mxnet as mx

    if isinstance(given, str):
        if given not in BUILT_IN:
            raise _not_accepted(given, nearest(given, BUILT_IN))
        return BUILT_IN[given]()
    if isinstance(given, Metric):
        return given
    if isinstance(given, mx.metric.EvalMetric):
        return _OfMXNet(given)
    if callable(given) and not isinstance(given, type):
        return _OfFunction(given)
    raise _not_accepted(given)


def _not_accepted(given: object, hint: str = "") -> ConfigError:
    return ConfigError(
        f"metric={given!r}{hint}; accepted are {', '.join(map(repr, BUILT_IN))}, an mx.metric.EvalMetric, an "
        "mxq.accuracy.Metric or a function metric(outputs, reference, batch)"
    )


class _OfFunction(Metric):
    def __init__(self, function: Callable):
        self.name = getattr(function, "__name__", type(function).__name__)
        self.unit = getattr(function, "unit", "")
        self.higher_is_better = bool(getattr(function, "higher_is_better", True))
        self._function = function
        self.reset()

    def reset(self) -> None:
        self._sum, self._count = 0.0, 0.0

    def update(self, outputs: Outputs, reference: Outputs, batch: Batch) -> None:
        found = self._function(outputs, reference, batch)
        pair = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        numbers_ = [_number(x) for x in pair]
        if numbers_[0] is None or (pair[1] is not None and (numbers_[1] is None or numbers_[1] < 0)):
            raise ConfigError(
                f"metric {self.name} returned {found!r}: it must return a number, the mean over the batch, or a pair "
                "(sum, count)"
            )
        total, count = numbers_
        self._sum += total if count is not None else total * batch.n_valid
        self._count += count if count is not None else batch.n_valid

    def value(self) -> float:
        return self._sum / self._count if self._count else float("nan")


class _OfMXNet(Metric):
    def __init__(self, metric):
        name = metric.get()[0]
        if not isinstance(name, str):
            raise ConfigError(f"metric={metric!r} has several values ({', '.join(name)}): give the one that counts")
        self.name = name
        default = type(metric).__name__ not in _LESS_IS_BETTER
        self.higher_is_better = bool(getattr(metric, "higher_is_better", default))
        self._metric = metric

    def reset(self) -> None:
        self._metric.reset()

    def update(self, outputs: Outputs, reference: Outputs, batch: Batch) -> None:
        import mxnet as mx

        if not batch.labels:
            raise ConfigError(f"metric {self.name!r} of MXNet needs labels: give eval_data that yields them")
        labels, predictions = ([mx.nd.array(a, dtype=a.dtype) for a in arrays] for arrays in (batch.labels, outputs))
        try:
            self._metric.update(labels, predictions)
        except (ValueError, AssertionError, IndexError, TypeError) as error:
            shapes = [[array.shape for array in arrays] for arrays in (labels, predictions)]
            raise ConfigError(
                f"metric {self.name!r} of MXNet refuses labels of shapes {shapes[0]} with outputs of shapes "
                f"{shapes[1]}: {error}"
            ) from error

    def value(self) -> float:
        return float(self._metric.get()[1])


def _number(given):
    """A finite float, or None."""
    if isinstance(given, (numbers.Real, np.number)) or (hasattr(given, "shape") and np.prod(given.shape) == 1):
        value = float(given.asscalar() if hasattr(given, "asscalar") else given)
        return value if math.isfinite(value) else None
    return None
