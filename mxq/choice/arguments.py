"""Arguments of accuracy control that do not fit together."""

import math
import os

from ..errors import ConfigError
from .adapters import as_metric
from .running import EvalData


def check(options, calib_data) -> None:
    """Refuses arguments of accuracy control that do not fit together, before any work."""
    if options.metric is None:
        for name in ("max_drop", "min_metric", "eval_data", "search_state"):
            if getattr(options, name) is not None:
                raise ConfigError(f"{name} is for accuracy control: give a metric too, such as metric='top1'")
        return
    metric = as_metric(options.metric)
    given = [name for name in ("max_drop", "min_metric") if getattr(options, name) is not None]
    if len(given) != 1:
        raise ConfigError(
            f"metric={metric.name!r} needs either max_drop, how much worse than float is accepted in the metric's own "
            f"unit, or min_metric, its least value; given: {' and '.join(given) or 'neither'}"
        )
    limit = getattr(options, given[0])
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not math.isfinite(limit):
        raise ConfigError(f"{given[0]}={limit!r}: accepted is a finite number")
    if given[0] == "max_drop" and limit < 0:
        raise ConfigError(f"max_drop={limit!r}: accepted is a number from 0, in the unit of the metric")
    if given[0] == "max_drop" and metric.name == "sqnr":
        raise ConfigError(
            "metric='sqnr': float has infinite SQNR; give min_metric=30.0, the least value in dB, instead"
        )
    if given[0] == "min_metric" and not metric.higher_is_better:
        raise ConfigError(f"min_metric is for metrics of which more is better; give max_drop for {metric.name!r}")
    if options.eval_data is None and calib_data is None:
        raise ConfigError(f"metric={metric.name!r} needs eval_data")
    EvalData(calib_data if options.eval_data is None else options.eval_data, [], options)
    state = options.search_state
    if state is not None and not isinstance(state, (str, os.PathLike)):
        raise ConfigError(f"search_state={state!r}: give the path of a file")
    folder = os.path.dirname(os.path.abspath(state)) if state is not None else None
    if folder is not None and not os.path.isdir(folder):
        raise ConfigError(f"search_state={state!r}: folder {folder!r} does not exist; create it first")
