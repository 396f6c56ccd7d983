"""From statistics to a calibration table."""

import inspect
from typing import Callable, Dict, Iterable, Mapping, Optional, Tuple, Union

from ..errors import CalibrationError, ConfigError, nearest
from . import thresholds
from .aciq import aciq
from .bins import Histogram
from .clip_cost import ClipCost
from .statistics import Statistics
from .table import CalibTable

#: How a range is chosen, by the mode's name.
MODES: Dict[str, Callable] = {
    "minmax": thresholds.minmax,
    "entropy": thresholds.entropy,
    "percentile": thresholds.percentile,
    "mse": thresholds.mse,
    "aciq": aciq,
}
#: Every mode is tried, and the one with the least error is taken, tensor by tensor.
AUTO = "auto"
ALIASES = {"naive": "minmax"}
#: Finer steps leave room for values beyond those of calibration. Measured on two image networks: 1.5 gives 0.4 and
#: 0.9 dB over 1, 2 is no better than 1.
FINE_MARGIN = 1.5
DTYPES = ("auto", "int8", "uint8")


def check_mode(mode: str) -> str:
    """The mode's own name. Raises ConfigError for an unknown one."""
    name = ALIASES.get(mode, mode) if isinstance(mode, str) else None
    if name not in MODES and name != AUTO:
        known = (*MODES, AUTO, *ALIASES)
        raise ConfigError(f"calibration mode {mode!r}: accepted are {', '.join(known)}{nearest(str(mode), known)}")
    return name


def choose(
    statistics: Statistics,
    mode: str,
    *,
    keys: Iterable[str] = None,
    graph_hash: str = "",
    dtype: Union[str, Mapping[str, str]] = "auto",
    fine_steps: Mapping[str, int] = None,
    clip_cost: ClipCost = None,
    **options,
) -> CalibTable:
    """Decides the range of every tensor.

    >>> import numpy as np
    >>> statistics = Statistics(["relu"])
    >>> statistics["relu"].update(np.float32([0, 1, 6]))
    >>> choose(statistics, "minmax").range("relu")
    (0.0, 6.0)

    Args:
        statistics: what `collect` returns.
        mode: a key of MODES; 'naive' is 'minmax'.
        keys: the tensors; all of the statistics by default.
        graph_hash: of the calibrated graph, for the table.
        dtype: what the tensors become: 'int8' (symmetric), 'uint8' (affine, contains 0), or 'auto': uint8 where no
            value is negative. One for all, or by tensor key (those not named: 'auto').
        fine_steps: by tensor key, into how many parts a step is divided (11-bit tensors: 8); 1 where not named. 'mse'
            weighs clipping against rounding, so it clips those less, and leaves them a margin of FINE_MARGIN.
        clip_cost: for 'auto', how much clipping a tensor costs. The error that is compared is the expected squared
            error over the tensor's histogram with clipping counted so many times; CLIP_WEIGHT times without it, and for
            tensors that no layer reads. Tensors with finer steps have 'mse'.
        options: passed to the mode: ``percentile=99.9`` for 'percentile'.

    Raises:
        ConfigError: an unknown mode, type or option.
        CalibrationError: a tensor without data.
    """
    name = check_mode(mode)
    known = [] if name == AUTO else list(inspect.signature(MODES[name]).parameters)[2:]
    for option in options:
        if option not in known:
            raise ConfigError(f"mode {name!r} has no option {option!r}; it has {', '.join(known) or 'none'}")
    ranges, modes = {}, {}
    tensors = {key: statistics[key] for key in (statistics if keys is None else keys)}
    for key, tensor in tensors.items():
        try:
            histogram = tensor.histogram()
        except CalibrationError as error:
            raise CalibrationError(f"tensor {key!r}: {error}") from None
        kind = dtype if isinstance(dtype, str) else dtype.get(key, "auto")
        if kind not in DTYPES:
            raise ConfigError(f"dtype {kind!r} of tensor {key!r}: accepted are {', '.join(DTYPES)}")
        if kind == "auto":
            kind = "uint8" if histogram.min >= 0 else "int8"
        parts = (fine_steps or {}).get(key, 1)
        if name in ("mse", AUTO) and parts > 1:  # rounding errors are 1 / parts as large
            weight = options.get("clip_weight", thresholds.CLIP_WEIGHT) * parts**2
            lo, hi = thresholds.mse(histogram, kind, **{**options, "clip_weight": weight})
            ranges[key] = FINE_MARGIN * lo, FINE_MARGIN * hi
        elif name == AUTO:
            modes[key], ranges[key] = _least(key, histogram, kind, clip_cost)
        else:
            ranges[key] = MODES[name](histogram, kind, **options)
    means = {key: tensor.channel_mean for key, tensor in tensors.items()}
    means = {key: mean for key, mean in means.items() if mean is not None}
    return CalibTable(ranges, name, graph_hash, statistics.num_examples, channel_means=means, modes=modes)


def _least(key: str, histogram: Histogram, kind: str, clip_cost: Optional[ClipCost]) -> Tuple[str, Tuple[float, float]]:
    """The mode with the least error, and its range."""
    cost = None if clip_cost is None else clip_cost(key)
    cost = thresholds.CLIP_WEIGHT if cost is None else max(cost, 1.0)
    error = thresholds.expected_error(histogram, kind, cost)
    found = {mode: function(histogram, kind) for mode, function in MODES.items()}
    found["mse"] = thresholds.mse(histogram, kind, clip_weight=cost)
    best = min(found, key=lambda mode: error(*found[mode]))
    return best, found[best]
