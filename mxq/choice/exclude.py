"""Which nodes the caller wants left in float."""

import logging
import re
from collections import Counter
from typing import Dict, Iterable

from ..errors import ConfigError, nearest
from ..network.graph import Graph

_log = logging.getLogger(__name__)


def excluded_nodes(
    graph: Graph, names: Iterable[str] = (), ops: Iterable[str] = (), patterns: Iterable[str] = ()
) -> Dict[str, str]:
    """Node name -> reason, for nodes excluded by name, operator or regular expression.

    Args:
        graph: the network as the caller knows it, before anything was folded.
        names: node names.
        ops: operator names as in the symbol, for example 'Convolution'.
        patterns: regular expressions searched in node names.

    Raises:
        ConfigError: a string where a list is expected, a pattern that is none, or one that matches nothing; with the
            nearest names.
    """
    found: Dict[str, str] = {}
    nodes = [n for n in graph.nodes if not n.is_variable]
    for label, given in (("excluded_sym_names", names), ("excluded_op_names", ops), ("excluded_patterns", patterns)):
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
            raise ConfigError(f"{label}={given!r}: give a list of strings")
        for item in given:
            if not isinstance(item, str):
                raise ConfigError(f"{label} has {item!r}: give strings")
    known = [n.name for n in nodes]
    for name in names:
        if name not in known:
            raise ConfigError(f"excluded_sym_names: no node is named {name!r}{nearest(name, known)}")
        found[name] = "excluded by name"
    for op in ops:
        matching = [n.name for n in nodes if n.op == op]
        if not matching:
            present = sorted({n.op for n in nodes})
            hint = nearest(op, present) or f"; the network has {', '.join(present)}"
            raise ConfigError(f"excluded_op_names: no node is a {op!r}{hint}")
        found.update((name, f"excluded: every {op} is") for name in matching if name not in found)
    for pattern in patterns:
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"excluded_patterns: {pattern!r} is no regular expression: {error}") from None
        matching = [name for name in known if expression.search(name)]
        if not matching:
            raise ConfigError(f"excluded_patterns: {pattern!r} matches no node{nearest(pattern, known)}")
        found.update((name, f"excluded by pattern {pattern!r}") for name in matching if name not in found)
    return found


def follow_folding(excluded: Dict[str, str], graph: Graph) -> Dict[str, str]:
    """Excluded nodes of the simplified graph: a folded BatchNorm takes the layer that absorbed it along."""
    from ..passes.folded import folded_names

    found = dict(excluded)
    for node in graph.nodes:
        for name in folded_names(node):
            if name in excluded:
                found.setdefault(node.name, f"{excluded[name]} ({name}, folded into it)")
    along = [node for node in graph.nodes if node.name in found and node.name not in excluded]
    if along:
        counts = " and ".join(f"{n} {op}" for op, n in Counter(node.op for node in along).items())
        names = ", ".join(node.name for node in along[:3]) + (", ..." if len(along) > 3 else "")
        _log.warning("%s (%s) stay float, too, because what is excluded is folded into them", counts, names)
    return found
