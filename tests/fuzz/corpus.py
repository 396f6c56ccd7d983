"""Calls that are right: those that the tests of operators generate, recorded while they run on the host's stand-in."""

import glob
import importlib
import os
import random
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from ..host import abi, standin
from ..host.__main__ import ABOUT_PROCESSORS, NOT_OPERATORS, fewer_examples

_LARGEST = 20_000  # elements of all arrays of a call
_EACH = 120  # calls of an operator


class Call(NamedTuple):
    op: str
    attrs: Dict[str, str]
    arrays: Tuple[np.ndarray, ...]


def record() -> List[Call]:
    """Some of the calls of every operator. Needs the stand-in to be installed."""
    fewer_examples(1000)
    calls: Dict[str, List[Call]] = {}
    chosen = random.Random(0)
    real = abi.call

    def recording(device: Any, library: abi.Library, op: str, arrays: Any, attrs: Dict[str, Any]) -> Any:
        if sum(a.size for a in arrays) <= _LARGEST:
            given = {k: str(v) for k, v in attrs.items() if v is not None and k != "backend"}
            found = calls.setdefault(op, [])
            found.append(Call(op, given, tuple(np.array(a) for a in arrays)))
            if len(found) > 2 * _EACH:
                del found[chosen.randrange(len(found))]
        return real(device, library, op, arrays, attrs)

    abi.call = recording
    try:
        for path in sorted(glob.glob(os.path.join(standin.REPO, "tests", "ops", "test_*.py"))):
            if os.path.basename(path)[: -len(".py")] not in NOT_OPERATORS:
                _run_tests(os.path.basename(path)[: -len(".py")])
    finally:
        abi.call = real
    return [call for op in sorted(calls) for call in calls[op][:: max(1, len(calls[op]) // _EACH)]]


def _run_tests(module: str) -> None:
    try:
        found = importlib.import_module(f"tests.ops.{module}")
    except BaseException:  # needs MXNet itself
        return
    for name, function in sorted(vars(found).items()):
        if name.startswith("test") and callable(function) and name not in ABOUT_PROCESSORS:
            try:
                function()
            except BaseException:  # the tests say so themselves
                continue
