"""Leaves units float that are slower in int8 on this machine, conversions included, by measurement.

A unit is timed among its neighbours: cut out of the network together with the int8 units it reads and those that read
it, once with all of them int8 and once with the unit itself float. So every conversion that its being float costs or
spares is there, and those at the outer border are the same in both. Islands, int8 units that touch no other int8 unit
than each other, are timed as a whole too: leaving one of them float may cost conversions that leaving all of them float
does not. Both networks take turns, and the float one must be clearly ahead.
"""

import logging
import time
from statistics import median
from typing import Callable, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from ..data.progress import Progress
from ..errors import ConfigError
from ..network.batch_sizes import BatchSizes
from ..network.graph import TYPE_FLAGS, VARIABLE, Graph, Node, Value
from ..network.identity import tensor_key
from ..network.shapes import infer_shapes
from ..ops import Unit
from ..passes.annotate import leave_float, units

_log = logging.getLogger(__name__)

#: Rounds, each with a turn of both networks.
ROUNDS = 11
#: A turn repeats its network for about so many seconds.
TURN = 0.001
#: The float network must take at most this share of the int8 network's time in the median and at its best, and less in
#: most rounds: what is about as fast stays int8, and so does what a busy machine cannot tell.
AHEAD, MOST = 0.95, 0.75
#: How often to look again at the neighbours of what became float.
PASSES = 3
_DTYPES = {flag: name for name, flag in TYPE_FLAGS.items()}


class Times(NamedTuple):
    """Seconds of one run, a number for each round."""

    int8: Sequence[float]
    float: Sequence[float]

    @property
    def float_is_faster(self) -> bool:
        """Whether float is clearly ahead."""
        wins = sum(f < i for f, i in zip(self.float, self.int8))
        ahead = all(best(self.float) <= AHEAD * best(self.int8) for best in (median, min))
        return ahead and wins >= MOST * len(self.int8)


#: From a cut-out annotated graph and the names of its units that become float to the times of both.
Measure = Callable[[Graph, FrozenSet[str]], Times]


def float_where_faster(
    annotated: Graph,
    measure: Measure,
    *,
    mode: str = "smart",
    integer_inputs: Iterable[str] = (),
    show: Optional[bool] = None,
) -> Graph:
    """Returns the annotated graph without the units for which float is faster.

    Args:
        annotated: output of `annotate`, with the shapes that count.
        measure: times a part of the network, see `Stopwatch`.
        mode, integer_inputs: as for `annotate`.
        show: see mxq.data.progress.
    """
    for group in islands(annotated):
        if len(group) > 1:
            annotated = _try(annotated, group, group, measure, mode, integer_inputs)
    doubtful = {unit.name for unit in units(annotated)}
    for _ in range(PASSES):
        changed: Set[str] = set()
        with Progress(len(doubtful), "float or int8", show=show, unit="layer") as bar:
            for name in [unit.name for unit in units(annotated) if unit.name in doubtful]:
                bar.step()
                around = neighbours(annotated).get(name)
                if around is None:  # it went together with another one
                    continue
                after = _try(annotated, {name}, around | {name}, measure, mode, integer_inputs)
                if after is not annotated:
                    annotated = after
                    changed |= around
        doubtful = changed & {unit.name for unit in units(annotated)}
        if not doubtful:
            break
    return annotated


def _try(annotated: Graph, left: Set[str], among: Set[str], measure: Measure, mode: str, integers) -> Graph:
    times = measure(cut(annotated, [unit for unit in units(annotated) if unit.name in among]), frozenset(left))
    if not times.float_is_faster:
        return annotated
    ours, theirs = (f"{1e6 * median(seconds):.0f} us" for seconds in (times.float, times.int8))
    among_what = f"{len(left)} nodes together" if len(left) > 1 else "with its neighbours"
    reason = f"faster in float on this machine: {ours} against {theirs} in int8, {among_what}, conversions included"
    _log.info("%s: %s", ", ".join(sorted(left)), reason)
    return leave_float(annotated, dict.fromkeys(left, reason), mode=mode, integer_inputs=integers)


# -- the network's parts -----------------------------------------------------------------------------------------------


def neighbours(annotated: Graph) -> Dict[str, Set[str]]:
    """Unit -> the units that it reads and that read it."""
    found: Dict[str, Set[str]] = {}
    producer = {}
    for unit in units(annotated):
        producer.update(((id(value.node), value.index), unit.name) for value in unit.outputs)
        found[unit.name] = set()
    for unit in units(annotated):
        for value in unit.inputs:
            other = producer.get((id(value.node), value.index))
            if other is not None:
                found[unit.name].add(other)
                found[other].add(unit.name)
    return found


def islands(annotated: Graph) -> List[Set[str]]:
    """Units that hang together, in the order of the network."""
    around = neighbours(annotated)
    groups: List[Set[str]] = []
    seen: Set[str] = set()
    for start in around:
        if start in seen:
            continue
        group, stack = set(), [start]
        while stack:
            name = stack.pop()
            if name not in group:
                group.add(name)
                stack.extend(around[name])
        seen |= group
        groups.append(group)
    return groups


def cut(annotated: Graph, among: Sequence[Unit]) -> Graph:
    """The graph of these units alone. Values they read from outside are variables under the value's tensor key."""
    inside = {id(node) for unit in among for node in unit.nodes}
    copies: Dict[int, Node] = {}
    fed: Dict[Tuple[int, int], Node] = {}
    shapes = {}
    outputs_of: Dict[str, List[Tuple[str, int]]] = {node.name: [] for node in annotated.nodes}
    for key in annotated.shapes:
        outputs_of.get(key[0], []).append(key)

    def twin_of(value: Value) -> Value:
        if id(value.node) in copies:
            return copies[id(value.node)].out(value.index)
        key = (id(value.node), value.index)
        if key not in fed:
            variable = value.node.is_variable
            fed[key] = Node(VARIABLE, tensor_key(value), value.node.attrs if variable else {})
            if (value.node.name, value.index) in annotated.shapes:
                shapes[fed[key].name, 0] = annotated.shapes[value.node.name, value.index]
        return fed[key].out()

    for node in annotated.nodes:
        if id(node) in inside:
            copies[id(node)] = Node(node.op, node.name, node.attrs, map(twin_of, node.inputs), node.subgraphs)
            shapes.update((key, annotated.shapes[key]) for key in outputs_of[node.name])
    uses = annotated.uses()
    outputs = [
        twin_of(value)
        for unit in among
        for value in unit.outputs
        if not all(
            use.node is not None and id(use.node) in inside for use in uses.get((id(value.node), value.index), [])
        )
    ]
    nodes = [*fed.values(), *copies.values()]
    names = {node.name for node in nodes}
    params = {name: array for name, array in annotated.params.items() if name in names}
    part = Graph(nodes, outputs, params, annotated.aux & names)
    part.shapes = shapes
    return part


# -- timing ------------------------------------------------------------------------------------------------------------


class Stopwatch:
    """Times a cut-out part of a network in int8 and partly in float, taking turns.

    Args:
        convert: from an annotated graph to ``(symbol, arg_params, aux_params)`` of the int8 network.
    """

    def __init__(self, convert: Callable[[Graph], tuple]):
        self._convert = convert

    def __call__(self, part: Graph, left: FrozenSet[str]) -> Times:
        import mxnet as mx

        partly = leave_float(part, dict.fromkeys(left, ""), mode="full")
        runs = []
        for graph in (part, partly):
            symbol, args, aux = self._convert(graph) if units(graph) else graph.to_symbol()
            given = {**args, **aux, **_data(part)}
            operator = mx.nd.CachedOp(symbol, [("static_alloc", "true"), ("static_shape", "true")])
            inputs = [given[name] for name in symbol.list_inputs()]
            runs.append(lambda operator=operator, inputs=inputs: operator(*inputs))
        with mx.autograd.pause(train_mode=False):
            once = [min(_seconds(run, 1) for _ in range(3)) for run in runs]  # the first of them prepares
            repeats = [max(1, min(1000, round(TURN / max(seconds, 1e-6)))) for seconds in once]
            rounds = [[_seconds(run, n) for run, n in zip(runs, repeats)] for _ in range(ROUNDS)]
        return Times(*zip(*rounds))


def _data(part: Graph) -> Mapping[str, object]:
    """Values of about the size that networks have; time does not depend on them."""
    import mxnet as mx

    rng = np.random.RandomState(0)
    found = {}
    for node in part.inputs:
        dtype = _DTYPES[node.get("__dtype__", 0)]
        found[node.name] = mx.nd.array(rng.normal(0, 1, part.shapes[node.name, 0]).astype(dtype), dtype=dtype)
    return found


def _seconds(run: Callable, times: int) -> float:
    import mxnet as mx

    mx.nd.waitall()
    start = time.perf_counter()
    for _ in range(times):
        run()
    mx.nd.waitall()
    return (time.perf_counter() - start) / times


def shaped(annotated: Graph, data_shapes: Optional[Mapping[str, Sequence[int]]]) -> Graph:
    """A copy of the graph with its shapes at the batch size that is timed: that in `data_shapes`, else 1.

    A network that takes no batch of 1 is timed at the size of a calibration batch.

    Raises:
        ConfigError: the shapes of the data are not known.
    """
    graph = annotated.copy()
    known = {node.name: annotated.shapes[node.name, 0] for node in graph.inputs if (node.name, 0) in annotated.shapes}
    if not known:
        raise ConfigError("float_where_faster times the network: give data_shapes, or calibration data that tell them")
    given = {name: (shape or (0,))[0] for name, shape in (data_shapes or {}).items()}
    sizes = {name: given[name] if (given.get(name) or 0) > 0 else 1 for name in known}
    wanted = {name: (sizes[name], *shape[1:]) for name, shape in known.items()}
    refused = BatchSizes(graph).refusal(wanted)
    if refused is None:
        graph.shapes = infer_shapes(graph, wanted)
    else:
        _log.warning("timed with batches of shapes %s: %s", known, refused)
    return graph
