"""Names of NumPy that MXNet 1.9.1 reads and that newer versions have dropped.

MXNet 1.9.1 is of 2022: `import mxnet` fails on NumPy from 1.24 on. `import mxq` puts these names back before it imports
MXNet, each as what it was; those that NumPy has are left alone.
"""

import importlib
import types
from typing import Any, Callable, Dict


def supply(np: Any) -> None:
    """Puts back what `np`, the module numpy, lacks.

    >>> import types
    >>> old = types.SimpleNamespace(bool_=int, NINF="as it is", nan=float("nan"))
    >>> supply(old)
    >>> old.bool, old.NINF
    (<class 'bool'>, 'as it is')
    """
    for name, make in _NAMES.items():
        if name not in vars(np):
            try:
                vars(np)[name] = make(np)
            except (AttributeError, ImportError):  # of a NumPy that has neither the name nor what took its place
                continue


def _same(value: Any) -> Callable[[Any], Any]:
    return lambda np: value


def _now(name: str) -> Callable[[Any], Any]:
    """What has the name `name` now."""
    return lambda np: getattr(np, name)


def _compat(np: Any) -> Any:
    return types.SimpleNamespace(basestring=str, unicode=str, long=int)


def _msort(np: Any) -> Any:
    return lambda a: np.sort(a, axis=0)


def _moved(name: str) -> Callable[[Any], Any]:
    """A function of finance that NumPy refused to compute from 1.20 on; MXNet only names it."""

    def refuse(*args: Any, **options: Any) -> None:
        raise RuntimeError(f"numpy.{name} is in the package numpy_financial")

    return _same(refuse)


_NAMES: Dict[str, Callable[[Any], Any]] = {
    # from 1.24 on
    "bool": _same(bool),
    "int": _same(int),
    "float": _same(float),
    "complex": _same(complex),
    "object": _same(object),
    "str": _same(str),
    # from 1.25 and 2.0 on
    "alltrue": _now("all"),
    "compat": _compat,
    "core": lambda np: importlib.import_module("numpy._core"),
    "cumproduct": _now("cumprod"),
    "float_": _now("float64"),
    "in1d": _now("isin"),
    "Inf": _same(float("inf")),
    "Infinity": _same(float("inf")),
    "infty": _same(float("inf")),
    "msort": _msort,
    "NaN": _same(float("nan")),
    "NAN": _same(float("nan")),
    "NINF": _same(float("-inf")),
    "NZERO": _same(-0.0),
    "PINF": _same(float("inf")),
    "product": _now("prod"),
    "PZERO": _same(0.0),
    "round_": _now("round"),
    "row_stack": _now("vstack"),
    "sometrue": _now("any"),
    "string_": _now("bytes_"),
    "trapz": _now("trapezoid"),
    "unicode_": _now("str_"),
    **{name: _moved(name) for name in ("fv", "ipmt", "irr", "mirr", "nper", "npv", "pmt", "ppmt", "pv", "rate")},
}
