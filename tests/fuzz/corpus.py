"""Calls that are right: those that the tests of operators generate, recorded while they run on the host's stand-in."""

import glob
import importlib
import os
import random
import threading
from typing import Any, Dict, List, NamedTuple, Set, Tuple

import hypothesis
import numpy as np

from ..host import abi, standin
from ..host.__main__ import ABOUT_PROCESSORS, NOT_OPERATORS, fewer_examples

_LARGEST = 20_000  # elements of all arrays of a call
_EACH = 160  # calls of an operator
_MORE = ("test_region",)  # tests of which more cases are drawn than of others: few operators are as various


class Call(NamedTuple):
    op: str
    attrs: Dict[str, str]
    arrays: Tuple[np.ndarray, ...]


def record(thinned: int) -> List[Call]:
    """Some of the calls of every operator, each with attributes and shapes of its own. Needs the stand-in.

    The same ones every time: a case of the fuzzers is known by its number.

    Args:
        thinned: of so many generated cases of a test one is drawn.
    """
    every = hypothesis.settings
    fewer_examples(max(1, thinned // 8))
    more, hypothesis.settings = hypothesis.settings, every
    fewer_examples(thinned)
    fewer = hypothesis.settings
    calls: Dict[str, List[Call]] = {}
    seen: Dict[str, Set[Any]] = {}
    chosen = random.Random(0)
    real = abi.call

    def keep(op: str, arrays: Any, attrs: Dict[str, Any]) -> None:
        given = {k: str(v) for k, v in attrs.items() if v is not None and k != "backend"}
        kind = (tuple(sorted(given.items())), *((str(a.dtype), a.shape) for a in arrays))
        if kind in seen.setdefault(op, set()):
            return
        seen[op].add(kind)
        found, call = calls.setdefault(op, []), Call(op, given, tuple(np.array(a) for a in arrays))
        if len(found) < _EACH:
            found.append(call)
        else:  # all that were seen are as likely to stay
            at = chosen.randrange(len(seen[op]))
            if at < _EACH:
                found[at] = call

    def recording(device: Any, library: abi.Library, op: str, arrays: Any, attrs: Dict[str, Any]) -> Any:
        answer = real(device, library, op, arrays, attrs)  # what is refused is no right call
        small = sum(a.size for a in arrays) <= _LARGEST
        if small and threading.current_thread() is threading.main_thread():  # others come in any order
            keep(op, arrays, attrs)
        return answer

    abi.call = recording
    try:
        for path in sorted(glob.glob(os.path.join(standin.REPO, "tests", "ops", "test_*.py"))):
            if os.path.basename(path)[: -len(".py")] not in NOT_OPERATORS:
                name = os.path.basename(path)[: -len(".py")]
                hypothesis.settings = more if name in _MORE else fewer
                _run_tests(name)
    finally:
        abi.call = real
    return [call for op in sorted(calls) for call in calls[op]]


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
