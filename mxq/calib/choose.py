"""From statistics to a calibration table."""

from typing import Callable, Dict, Mapping, Union

from ..errors import ConfigError, nearest
from . import thresholds
from .statistics import Statistics
from .table import CalibTable

#: How a range is chosen, by the mode's name.
MODES: Dict[str, Callable] = {"minmax": thresholds.minmax}
ALIASES = {"naive": "minmax"}
DTYPES = ("auto", "int8", "uint8")


def choose(
    statistics: Statistics,
    mode: str,
    *,
    graph_hash: str = "",
    dtype: Union[str, Mapping[str, str]] = "auto",
    **options,
) -> CalibTable:
    """Decides the range of every tensor.

    Args:
        statistics: what `collect` returns.
        mode: a key of MODES; 'naive' is 'minmax'.
        graph_hash: of the calibrated graph, for the table.
        dtype: what the tensors become: 'int8' (symmetric), 'uint8' (affine, contains 0), or 'auto': uint8 where no value
            is negative. One for all, or by tensor key (those not named: 'auto').
        options: passed to the mode, for example ``percentile=99.9``.

    Raises:
        ConfigError: an unknown mode or type.
    """
    name = ALIASES.get(mode, mode)
    if name not in MODES:
        known = (*MODES, *ALIASES)
        raise ConfigError(f"calibration mode {mode!r}: accepted are {', '.join(known)}{nearest(str(mode), known)}")
    ranges = {}
    for key, tensor in statistics.items():
        histogram = tensor.histogram()
        kind = dtype if isinstance(dtype, str) else dtype.get(key, "auto")
        if kind not in DTYPES:
            raise ConfigError(f"dtype {kind!r} of tensor {key!r}: accepted are {', '.join(DTYPES)}")
        if kind == "auto":
            kind = "uint8" if histogram.min >= 0 else "int8"
        ranges[key] = MODES[name](histogram, kind, **options)
    return CalibTable(ranges, name, graph_hash, statistics.num_examples)
