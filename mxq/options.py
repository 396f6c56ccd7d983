"""The options of quantize_model and quantize_net: types, defaults, and the sets of them that presets name.

`Options` is the one list. The two functions spell their signatures out, so that help(), editors and type checkers show
them; tests/test_options.py holds all three together.
"""

import functools
import inspect
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union, cast

from .calib.collect import SUB_BATCH
from .calib.statistics import Statistics
from .calib.table import CalibTable
from .errors import ConfigError, nearest

#: Preset -> options that it changes. 'best' reads activations with 11 bits: about twice the multiplications.
PRESETS: Dict[str, Mapping[str, Any]] = {
    "default": {},
    "best": {"activation_bits": 11},
}
#: Options that a preset may change: None in a signature, where nothing is given.
BY_PRESET = tuple(sorted({option for changed in PRESETS.values() for option in changed}))

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Options(NamedTuple):
    """Everything that decides how a graph becomes int8; the keyword arguments of quantize_model, checked."""

    preset: str = "default"
    calib_mode: str = "mse"
    num_calib_examples: Optional[int] = None
    calib_table: Optional[CalibTable] = None
    statistics: Optional[Statistics] = None
    quantized_dtype: str = "auto"
    zero_points: bool = True
    quantize_mode: str = "smart"
    quantize_granularity: Union[str, Mapping[str, str]] = "channel-wise"
    weight_rounding: str = "adaptive"
    weight_bits: Union[int, Mapping[str, int]] = 8
    equalize: bool = True
    bias_correction: bool = True
    activation_bits: int = 8
    precision_budget: float = 0.15
    range_headroom: float = 0.05
    regions: bool = True
    excluded_sym_names: Sequence[str] = ()
    excluded_op_names: Sequence[str] = ()
    excluded_patterns: Sequence[str] = ()
    data_names: Optional[Sequence[str]] = None
    label_names: Sequence[str] = ("softmax_label",)
    keep_labels: bool = False
    data_shapes: Optional[Mapping[str, Tuple[int, ...]]] = None
    mean: Optional[Sequence[float]] = None
    std: Optional[Sequence[float]] = None
    input_dtype: str = "float32"
    batch_size: int = 32
    sub_batch: Optional[int] = SUB_BATCH
    ctx: object = None
    preflight: bool = True
    verify: Union[bool, str] = True
    progress: Optional[bool] = None
    metric: object = None
    max_drop: Optional[float] = None
    min_metric: Optional[float] = None
    eval_data: object = None
    search_state: Optional[str] = None
    float_where_faster: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """Of the arguments of a function; where one that a preset decides is None, the preset does.

        >>> Options.of({"sym": 1, "preset": "best", "activation_bits": None}).activation_bits
        11

        Raises ConfigError for an unknown preset.
        """
        name = given.get("preset", "default")
        if not isinstance(name, str) or name not in PRESETS:
            raise ConfigError(f"preset={name!r}: accepted are {', '.join(PRESETS)}{nearest(str(name), PRESETS)}")
        chosen = {
            option: value
            for option, value in given.items()
            if option in cls._fields and not (value is None and option in BY_PRESET)
        }
        return cls(**{**PRESETS[name], **chosen})


def refuse_unknown(function: _Function) -> _Function:
    """Names the nearest option where a caller gives one that does not exist, and what is given by position, in place of
    Python's TypeError."""
    accepted = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    known = set(inspect.signature(function).parameters)
    in_order = [p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY]

    @functools.wraps(function)
    def checked(*args, **options):
        for name in options:
            if name not in known:
                raise ConfigError(f"{function.__name__} has no option {name!r}{nearest(name, accepted)}")
        if len(args) > len(in_order):
            both = (
                "; arg_params and aux_params are one: params=(arg_params, aux_params)"
                if "params" in known
                else "; mxq.quantize_model takes a symbol and parameters"
            )
            raise ConfigError(
                f"{function.__name__} takes {', '.join(in_order)} by position, {len(args)} arguments were given{both}"
            )
        return function(*args, **options)

    return cast(_Function, checked)
