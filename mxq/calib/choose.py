"""From statistics to a calibration table."""

import functools
import inspect
from typing import Callable, Dict, Iterable, Mapping, NamedTuple, Optional, Tuple, Union

from ..arithmetic.qmath import QMAX, range_to_qparams
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
#: Modes that weigh what clipping costs against what rounding does. The others have ranges by definition.
WEIGHING = ("mse", AUTO)
ALIASES = {"naive": "minmax"}
#: Finer steps leave room for values beyond those of calibration. Measured on two image networks: 1.5 gives 0.4 and
#: 0.9 dB over 1, 2 is no better than 1.
FINE_MARGIN = 1.5
DTYPES = ("auto", "int8", "uint8")
#: How much smaller the expected squared error of a tensor with negative values must be for a zero point. Of pixels
#: scaled to [-1, 1], one would put every value between two levels.
WORTH_A_ZERO_POINT = 0.9


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
    zero_points: bool = True,
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
            value is negative or where that makes the error clearly smaller; the table's `dtypes` says which. One for
            all, or by tensor key (those not named: 'auto').
        zero_points: whether 'auto' gives tensors with negative values a zero point where that is better.
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
    ranges, modes, dtypes = {}, {}, {}
    tensors = {key: statistics[key] for key in (statistics if keys is None else keys)}
    for key, tensor in tensors.items():
        try:
            histogram = tensor.histogram()
        except CalibrationError as error:
            raise CalibrationError(f"tensor {key!r}: {error}") from None
        kind = dtype if isinstance(dtype, str) else dtype.get(key, "auto")
        if kind not in DTYPES:
            raise ConfigError(f"dtype {kind!r} of tensor {key!r}: accepted are {', '.join(DTYPES)}")
        parts = (fine_steps or {}).get(key, 1)
        cost = clip_cost(key) if name == AUTO and parts == 1 and clip_cost is not None else None
        how = functools.partial(_choose, histogram, mode=name, parts=parts, cost=cost, options=options)
        if kind != "auto":
            chosen = how(kind)
        elif histogram.min >= 0:
            chosen = how("uint8")
        else:
            chosen = how("int8")
            affine = how("uint8") if zero_points else chosen
            holds_rests = range_to_qparams(*affine.range, "uint8").zero_point <= QMAX["uint8"] - parts
            if holds_rests and affine.error < WORTH_A_ZERO_POINT * chosen.error:
                chosen, dtypes[key] = affine, "uint8"
            elif zero_points:
                dtypes[key] = "int8"
        ranges[key] = chosen.range
        if name == AUTO and parts == 1:
            modes[key] = chosen.mode
    means = {key: tensor.channel_mean for key, tensor in tensors.items()}
    means = {key: mean for key, mean in means.items() if mean is not None}
    return CalibTable(
        ranges, name, graph_hash, statistics.num_examples, channel_means=means, modes=modes, dtypes=dtypes
    )


class _Chosen(NamedTuple):
    """A range, how it was found and the expected squared error with it, clipping counted more than once."""

    range: Tuple[float, float]
    mode: str
    error: float


def _choose(
    histogram: Histogram, dtype: str, *, mode: str, parts: int, cost: Optional[float], options: Mapping
) -> _Chosen:
    """The range of one tensor of a certain type."""
    weight = options.get("clip_weight", thresholds.CLIP_WEIGHT)
    if mode in WEIGHING and parts > 1:  # rounding errors are 1 / parts as large
        weight *= parts**2
        lo, hi = thresholds.mse(histogram, dtype, **{**options, "clip_weight": weight})
        return _Chosen((FINE_MARGIN * lo, FINE_MARGIN * hi), mode, _error(histogram, dtype, weight, lo, hi))
    if mode == AUTO:
        weight = weight if cost is None else max(cost, 1.0)
        found = {m: function(histogram, dtype) for m, function in MODES.items()}
        found["mse"] = thresholds.mse(histogram, dtype, clip_weight=weight)
        error = thresholds.expected_error(histogram, dtype, weight)
        best = min(found, key=lambda m: error(*found[m]))
        return _Chosen(found[best], best, error(*found[best]))
    chosen = MODES[mode](histogram, dtype, **options)
    return _Chosen(chosen, mode, _error(histogram, dtype, weight, *chosen))


def _error(histogram: Histogram, dtype: str, weight: float, lo: float, hi: float) -> float:
    return thresholds.expected_error(histogram, dtype, weight)(lo, hi)
