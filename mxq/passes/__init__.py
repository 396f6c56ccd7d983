"""Graph passes: one module each, with one public function ``name(graph, ...) -> graph`` that copies before it changes.

>>> from mxq.passes import run
>>> from mxq.passes.drop_noops import drop_noops
>>> from mxq.passes.fold_batchnorm import fold_batchnorm
>>> graph = run(graph, [drop_noops, fold_batchnorm])  # doctest: +SKIP

A pass that leaves a node alone says why in ``graph.notes``. It raises GraphError only for a graph that is wrong.
"""

import functools
import logging
from typing import Callable, List, Sequence

from ..errors import CalibrationError, ConfigError, GraphError
from ..network.graph import Graph
from ..network.verify import verify

Pass = Callable[[Graph], Graph]
_log = logging.getLogger(__name__)


def run(graph: Graph, passes: Sequence[Pass], *, stage: str = "float") -> Graph:
    """Runs passes one after the other and verifies the graph before the first and after each.

    Args:
        graph: stays as it is.
        passes: functions of a graph; give other arguments with ``functools.partial``.
        stage: the stage the graphs are in, see :func:`mxq.network.verify.verify`.

    Returns:
        the graph of the last pass.

    Raises:
        GraphError: names the pass that raised or whose result breaks a rule, and the passes before it.
        CalibrationError, ConfigError: as a pass raises them.
    """
    verify(graph, stage)
    done: List[str] = []
    for step in passes:
        name = pass_name(step)
        try:
            result = step(graph)
            if not isinstance(result, Graph):
                raise GraphError(f"it returned {type(result).__name__}, not a Graph")
            verify(result, stage)
        except (CalibrationError, ConfigError):  # the caller's table or arguments, not the network
            raise
        except Exception as error:  # whatever happened: say in which pass
            what = str(error) if isinstance(error, GraphError) else f"{type(error).__name__}: {error}"
            raise GraphError(f"pass {name!r} failed (ran before it: {', '.join(done) or 'none'}): {what}") from error
        _log.debug("pass %s: %d -> %d nodes", name, len(graph.nodes), len(result.nodes))
        graph = result
        done.append(name)
    return graph


def pass_name(step: Pass) -> str:
    """The name of a pass, also behind ``functools.partial``."""
    while isinstance(step, functools.partial):
        step = step.func
    return getattr(step, "__name__", type(step).__name__)
