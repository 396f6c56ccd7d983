"""Arguments as MXNet's module takes them: its checks, its spellings and those of MXNet 2.0."""

import itertools
import logging
import os
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import mxnet as mx

from ..errors import ConfigError
from ..network.files import load_symbol
from ..network.fused import fuse, inner_names

_log = logging.getLogger(__name__)

DTYPES = ("int8", "uint8", "auto")
#: MXNet's 'tensor-wise' concerns fully connected layers only: its fused convolutions have a scale per channel anyway.
GRANULARITIES = {"tensor-wise": {"FullyConnected": "tensor-wise"}, "channel-wise": "channel-wise"}
#: Modes that choose ranges by themselves; MXNet has the first two.
MODES = ("naive", "entropy", "minmax", "percentile", "mse")
#: A caller's own collector, in MXNet 1.9's spelling and 2.0's.
CUSTOM = ("customize", "custom")

#: Operators as they are called after MXNet's fusion or quantization -> what they are in a float network.
_FLOAT_OPS: Dict[str, Tuple[str, ...]] = {
    "conv": ("Convolution",),
    "fully_connected": ("FullyConnected",),
    "pooling": ("Pooling",),
    "concat": ("Concat",),
    "flatten": ("Flatten",),
    "act": ("Activation",),
    "elemwise_add": ("elemwise_add", "_Plus", "_plus"),
    "elemwise_mul": ("elemwise_mul", "_Mul", "_mul"),
    "batch_norm": ("BatchNorm",),
    "embedding": ("Embedding",),
}
_OP_PREFIXES = ("_sg_mkldnn_", "_sg_onednn_", "_contrib_quantized_", "quantized_")


def symbol_of(sym):
    """A Symbol, or the one in a file."""
    return load_symbol(sym) if isinstance(sym, (str, os.PathLike)) else sym


def context_of(ctx, device) -> mx.Context:
    """The one context; `device` is MXNet 2.0's name of `ctx`."""
    chosen = ctx if device is None else device
    if not isinstance(chosen, mx.Context):
        raise ConfigError(f"currently only supports single ctx, while received {chosen!r}: give one mx.Context")
    return chosen


def check_choices(quantized_dtype: str, quantize_granularity: str) -> None:
    if quantized_dtype not in DTYPES:
        raise ConfigError(f"unknown quantized_dtype {quantized_dtype!r}: accepted are {', '.join(DTYPES)}")
    if quantize_granularity not in GRANULARITIES:
        raise ConfigError(
            f"unknown quantize_granularity {quantize_granularity!r}: accepted are {', '.join(GRANULARITIES)}"
        )


def mode_of(calib_mode: Optional[str], custom: bool) -> str:
    """The mode in one spelling; `custom` says whether the caller's own collector is possible."""
    accepted = ("none", *MODES, *(CUSTOM if custom else ()))
    if calib_mode is None:
        return "none"
    if calib_mode not in accepted:
        raise ConfigError(f"unknown calibration mode {calib_mode!r}: accepted are {', '.join(accepted)}")
    return CUSTOM[0] if calib_mode in CUSTOM else calib_mode


def names_list(label: str, given) -> List[str]:
    """A copy of a list of names; None is an empty one."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise ConfigError(f"{label} must be a list of strings, while received {type(given).__name__}")
    for item in given:
        if not isinstance(item, str):
            raise ConfigError(f"{label} must be a list of strings, while it has {item!r}")
    return list(given)


def float_names(sym, names: Sequence[str]) -> List[str]:
    """Node names, with names of fused nodes replaced by those of the nodes inside."""
    if not any(name.startswith("sg_") for name in names):
        return list(names)
    inside = {**inner_names(sym), **inner_names(fuse(sym, "MKLDNN_QUANTIZE"))}
    return list(dict.fromkeys(itertools.chain.from_iterable(inside.get(name, [name]) for name in names)))


def float_ops(present: Iterable[str], ops: Sequence[str]) -> List[str]:
    """Operator names as the float network has them; what stands for nothing in it stays, to be refused by its name.

    >>> float_ops(["Convolution", "FullyConnected"], ["_sg_mkldnn_conv"])
    ['Convolution']
    """
    present = set(present)
    found: List[str] = []
    for op in ops:
        prefix = next((p for p in _OP_PREFIXES if op.startswith(p)), None)
        candidates = _FLOAT_OPS.get(op[len(prefix) :], ()) if prefix else ()
        found += [c for c in candidates if c in present] or [op]
    return list(dict.fromkeys(found))


def first_batches(data, count: Optional[int]):
    """`data`, or what gives its first `count` batches: MXNet 2.0 counts calibration data so."""
    if count is None or data is None:
        return data
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigError(f"num_calib_batches={count!r}: accepted is an integer from 1")
    if isinstance(data, mx.io.DataIter):
        return _FirstOfIter(data, count)
    if hasattr(data, "shape") or isinstance(data, (dict, tuple)) or not hasattr(data, "__iter__"):
        raise ConfigError(f"num_calib_batches counts what a loader yields; for a {type(data).__name__} give examples")
    return _First(data, count)


class _First:
    def __init__(self, data, count: int):
        self._data, self._count = data, count

    def __iter__(self):
        return itertools.islice(iter(self._data), self._count)

    def reset(self) -> None:
        getattr(self._data, "reset", lambda: None)()


class _FirstOfIter(mx.io.DataIter):
    def __init__(self, data: mx.io.DataIter, count: int):
        super().__init__(data.batch_size)
        self._data, self._count, self._left = data, count, count
        self.provide_data, self.provide_label = data.provide_data, data.provide_label

    def reset(self) -> None:
        self._data.reset()
        self._left = self._count

    def next(self) -> mx.io.DataBatch:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._data.next()


def check_collector(mode: str, collector) -> None:
    """Refuses customize without a collector; says that one is not used in the other modes."""
    if mode == CUSTOM[0]:
        if not hasattr(collector, "collect"):
            raise ConfigError(
                "calib_mode='customize' needs LayerOutputCollector, an object with collect(name, arr); got "
                f"{type(collector).__name__}"
            )
    elif collector is not None:
        _log.warning("LayerOutputCollector is for calib_mode='customize'; with %r it is not used", mode)


def tell(logger, model) -> None:
    if logger:
        logger.info("mxq: %s", model.report.summary())
        for row in model.report.floats():
            logger.debug("mxq: %s (%s) stays float: %s", row.node, row.op, row.reason)
