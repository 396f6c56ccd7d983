"""Per layer: what its own rounding costs, at its output and at the network's, and what has accumulated there.

The float network runs once with all inner values. Each int8 operator then runs alone on its float inputs, and what
comes behind it runs from its output on: a layer's effect costs the part of a forward that lies behind it.
"""

from typing import Dict, List, Mapping, NamedTuple, Optional

import numpy as np

from ..arithmetic.noise import Noise, decibel, mean_ratio
from ..calib.statistics import Statistics
from ..data.progress import Progress
from ..network.graph import Graph, Value
from ..network.identity import tensor_key
from ..network.params import label_inputs
from ..network.part import Part, Runner, by_key
from ..ops import COMPUTE, Unit
from ..passes.annotate import units
from ..passes.equalize import ADDED
from .pairs import is_pair, source_of
from .result import Layer, Tensor
from .tensors import TensorMeter


class _Meters(NamedTuple):
    """Noise of one layer; `effects` one per output of the network."""

    local: Noise
    inputs: Noise
    weights: Noise
    accumulated: Noise
    effects: List[Noise]


class _Behind(NamedTuple):
    """What follows a value: the part from it to the outputs that depend on it."""

    outputs: List[int]
    fed: Dict[str, Value]
    part: Optional[Part]


class LayerMeter:
    """Measures every layer over batches of examples.

    Args:
        floats: float graph.
        qdq: the same with quantize/dequantize pairs and int8 weights; nodes have the same names.
        effects: whether effects on the network's outputs will be measured.
    """

    def __init__(self, runner: Runner, floats: Graph, qdq: Graph, *, effects: bool):
        self._runner = runner
        self._floats = floats
        self._units = units(qdq)
        self._pairs = {tensor_key(source_of(node)): node for node in qdq.nodes if is_pair(node)}
        self._float_values = {node.name: node for node in floats.nodes}
        self._outputs = [tensor_key(value) for value in floats.outputs]
        self._alone: Dict[str, Part] = {}
        self._alone_in_float: Dict[str, Part] = {}
        self._float_params: Dict[str, Dict[str, object]] = {}
        self._behind: Dict[str, _Behind] = {}
        for unit in self._units:
            self._alone[unit.name] = runner.part(qdq, by_key(unit.inputs), [unit.output])
            if unit.kind == COMPUTE:
                fed = by_key([*unit.inputs, *unit.head.inputs[1:]])
                self._alone_in_float[unit.name] = runner.part(qdq, fed, [unit.output])
                self._float_params[unit.name] = self._params_of(unit)
            if effects:
                self._behind[unit.name] = self._follow(self._float(tensor_key(unit.output)))
        self._round = {
            key: runner.part(qdq, by_key([source_of(pair)]), [pair.out()]) for key, pair in self._pairs.items()
        }
        self._watched = self._watch()
        computed = [value for value in self._watched.values() if not value.node.is_variable]
        self._computed = by_key(computed)
        self._run_floats = runner.part(floats, {}, self._computed.values()) if computed else None
        read = [self._pairs[k].out() if k in self._pairs else u.output for u, k in zip(self._units, self._unit_keys())]
        self._run_int8 = runner.part(qdq, {}, read) if read else None
        self._meters = {
            unit.name: _Meters(Noise(), Noise(), Noise(), Noise(), [Noise() for _ in self._outputs])
            for unit in self._units
        }
        self._tensors = {key: TensorMeter(pair) for key, pair in self._pairs.items()}

    @property
    def names(self) -> List[str]:
        return [unit.name for unit in self._units]

    def add(self, arrays: Mapping[str, object], bar: Progress, *, effects: bool) -> None:
        """Measures one batch (NDArrays by input name), with or without effects; `bar` makes a step for each layer."""
        if not self._units:
            return
        known = dict(arrays)
        for key, value in self._watched.items():
            if value.node.is_variable and key not in known:
                known[key] = self._runner.param(key)
        if self._run_floats is not None:
            known.update(zip(self._computed, self._run_floats.run(arrays)))
        exact = _AsNumpy(known)
        for unit, key, result in zip(self._units, self._unit_keys(), self._run_int8.run(arrays)):
            self._meters[unit.name].accumulated.add(exact[key], result.asnumpy())
        rounded = {}
        for key, part in self._round.items():
            rounded[key] = part.run({key: known[key]})[0]
            self._tensors[key].add(exact[key], rounded[key].asnumpy())
        for unit, key in zip(self._units, self._unit_keys()):
            both = self._measure(unit, key, known, rounded, exact)
            if effects:
                self._measure_effect(unit, key, both, known, exact)
            bar.step()

    def _measure(self, unit: Unit, key: str, known: Dict, rounded: Dict, exact: "_AsNumpy"):
        """Returns the unit's output."""
        meters, alone = self._meters[unit.name], self._alone[unit.name]
        as_float = {tensor_key(v): known[_key(v)] for v in unit.inputs}
        as_int8 = {tensor_key(v): rounded[_key(v)] if is_pair(v.node) else known[_key(v)] for v in unit.inputs}
        both = alone.run(as_int8)[0]
        meters.local.add(exact[key], both.asnumpy())
        if unit.kind == COMPUTE:
            meters.weights.add(exact[key], alone.run(as_float)[0].asnumpy())
            as_int8.update(self._float_params[unit.name])
            meters.inputs.add(exact[key], self._alone_in_float[unit.name].run(as_int8)[0].asnumpy())
        return both

    def _measure_effect(self, unit: Unit, key: str, both, known: Dict, exact: "_AsNumpy") -> None:
        behind, meters = self._behind[unit.name], self._meters[unit.name]
        fed = {k: known[k] for k in behind.fed}
        fed[key] = both
        results = behind.part.run(fed) if behind.part is not None else []
        changed = {index: result.asnumpy() for index, result in zip(behind.outputs, results)}
        for index, name in enumerate(self._outputs):
            if name == key:
                changed[index] = both.asnumpy()
            meters.effects[index].add(exact[name], changed.get(index, exact[name]))

    def layers(self) -> List[Layer]:
        """The results, in the network's order."""
        ratios = {name: mean_ratio(meters.effects) for name, meters in self._meters.items()}
        total = sum(ratios.values())
        found = []
        for unit in self._units:
            meters, measured = self._meters[unit.name], bool(self._behind)
            weighted = unit.kind == COMPUTE
            found.append(
                Layer(
                    unit.name,
                    unit.head.op,
                    tuple(node.name for node in unit.nodes if ADDED not in node.attrs),
                    tuple(_inputs(unit)),
                    tensor_key(unit.output),
                    meters.local.db,
                    meters.inputs.db if weighted else meters.local.db,
                    meters.weights.db if weighted else None,
                    decibel(ratios[unit.name]) if measured else None,
                    (ratios[unit.name] / total if total else 0.0) if measured else None,
                    meters.accumulated.db,
                )
            )
        return found

    def tensors(self, calibrated: Optional[Statistics]) -> List[Tensor]:
        """The tensors that become integers, in the network's order; `calibrated`: what calibration remembers."""
        readers: Dict[str, List[str]] = {}
        for unit in self._units:
            for key in dict.fromkeys(_key(value) for value in unit.inputs if is_pair(value.node)):
                readers.setdefault(key, []).append(unit.name)
        before = calibrated or {}
        return [
            meter.result(key, readers.get(key, ()), before[key] if key in before else None)
            for key, meter in self._tensors.items()
        ]

    # -- which values ------------------------------------------------------------------------------------------------

    def _unit_keys(self) -> List[str]:
        return [tensor_key(unit.output) for unit in self._units]

    def _params_of(self, unit: Unit) -> Dict[str, object]:
        """The float weight and bias of a unit, by the keys of the values that stand for them; no bias: zeros."""
        import mxnet as mx

        names = [value.node.name for value in self._float_values[unit.name].inputs[1:]]
        found = {}
        for index, value in enumerate(unit.head.inputs[1:]):
            weight = self._runner.param(names[0])
            present = index < len(names)
            array = self._runner.param(names[index]) if present else mx.nd.zeros(weight.shape[:1], ctx=self._runner.ctx)
            found[tensor_key(value)] = array
        return found

    def _float(self, key: str) -> Value:
        """The value of the float graph that has this key."""
        name, colon, index = key.rpartition(":")
        if colon and name in self._float_values:
            return self._float_values[name].out(int(index))
        return self._float_values[key].out()

    def _watch(self) -> Dict[str, Value]:
        """Everything that is needed of the float network's run."""
        keys = [key for unit in self._units for key in _inputs(unit)] + self._unit_keys() + self._outputs
        keys += [key for behind in self._behind.values() for key in behind.fed]
        return {key: self._float(key) for key in dict.fromkeys(keys)}

    def _follow(self, value: Value) -> _Behind:
        """The part of the float network that depends on `value`."""
        graph = self._floats
        graph.sort()
        behind = set()
        for node in graph.nodes:
            if any(v == value or id(v.node) in behind for v in node.inputs):
                behind.add(id(node))
        indices = [i for i, v in enumerate(graph.outputs) if id(v.node) in behind]
        fed = {tensor_key(value): value}
        for node in graph.nodes:
            for v in node.inputs if id(node) in behind else ():
                if id(v.node) not in behind and graph.param_of(v) is None and not _is_label(graph, v):
                    fed[tensor_key(v)] = v
        heads = [graph.outputs[i] for i in indices]
        return _Behind(indices, fed, self._runner.part(graph, fed, heads) if heads else None)


class _AsNumpy(dict):
    """The numpy arrays of NDArrays, each converted once."""

    def __init__(self, arrays: Mapping[str, object]):
        super().__init__()
        self._arrays = arrays

    def __missing__(self, key: str) -> np.ndarray:
        self[key] = self._arrays[key].asnumpy()
        return self[key]


def _is_label(graph: Graph, value: Value) -> bool:
    return value.node.is_variable and value.node.name in label_inputs(graph)


def _key(value: Value) -> str:
    """The float network's key of what a unit reads, through a pair or (some units) as float."""
    return tensor_key(source_of(value.node) if is_pair(value.node) else value)


def _inputs(unit: Unit) -> List[str]:
    """Keys of the values that a unit of the graph with pairs reads."""
    return list(dict.fromkeys(map(_key, unit.inputs)))
