"""How much noise each rounded tensor makes in the network's results, for all tensors at once, by gradients.

Rounding a tensor x by e changes the results by ``J e``. For a random vector v of independent signs the mean of
``(v' J e)**2`` is the power of that change, and one backward pass gives ``g = J' v`` for every tensor of the network.
With few draws of v this mean is rough. Errors of different channels are mostly independent (not within a channel: a
plain background is rounded alike everywhere), and then the sum of ``(g' e)**2`` over channels is the same and much
steadier. The larger of both counts: what goes together is not overlooked, and what counts too much is seen by `alone`.

The estimate costs a few forwards of a few examples whatever the number of tensors, `alone` one for each.
Source: M. F. Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1990.
"""

from typing import Dict, Iterable, List, Mapping, Sequence

import numpy as np

from ..data.batches import Batch
from ..network.graph import VARIABLE, Graph, Node, Value, input_dtypes
from ..network.identity import tensor_key
from ..network.part import Runner
from .pairs import is_pair, source_of

#: Examples times draws of v are at least so many.
_DRAWS = 4
#: Attributes of operators that do something else in training.
_AS_AT_INFERENCE = {
    **dict.fromkeys(("BatchNorm", "BatchNorm_v1", "_contrib_SyncBatchNorm"), {"use_global_stats": "True"}),
    "Dropout": {"p": "0.0"},
}


class NoGradient(Exception):
    """An operator of the network has no gradient; its text says which, in MXNet's words."""


def noise_shares(
    floats: Graph, qdq: Graph, watched: Sequence[Value], batches: Sequence[Batch], ctx
) -> Dict[str, float]:
    """Tensor key -> noise-to-signal ratio, mean over `watched`, that rounding this tensor alone makes, as estimated.

    Args:
        floats: the float graph.
        qdq: the same with quantize/dequantize pairs, whose rounding is meant.
        watched: values of `floats`.
        batches: a few examples.
        ctx: where they run.

    Raises:
        NoGradient: no share can be told.
    """
    dtypes = input_dtypes(floats)
    pairs = {tensor_key(source_of(node)): node for node in qdq.nodes if is_pair(node)}
    # Integers are not rounded.
    pairs = {key: node for key, node in pairs.items() if dtypes.get(key, "float32") == "float32"}
    if not pairs:
        return {}
    runner = Runner([floats, qdq], ctx)
    round_all = runner.part(
        qdq, {key: source_of(node) for key, node in pairs.items()}, [p.out() for p in pairs.values()]
    )
    sources = [value_of(floats, key) for key in pairs]
    by_channel, together = dict.fromkeys(pairs, 0.0), dict.fromkeys(pairs, 0.0)
    network = _Perturbed(floats, dict(zip(pairs, sources)), watched, runner)
    powers = np.zeros(len(watched))
    random = np.random.RandomState(0)
    draws = -(-_DRAWS // sum(batch.n_valid for batch in batches))
    runs = []
    computed = {key: value for key, value in zip(pairs, sources) if not value.node.is_variable}
    values = runner.part(floats, {}, [*computed.values(), *watched])
    for batch in batches:
        outputs = values.run(batch.arrays)
        known = {**batch.arrays, **dict(zip(computed, outputs))}
        known = {key: known[key] if key in known else runner.param(key) for key in pairs}
        powers += [float((output * output).sum().asscalar()) for output in outputs[len(computed) :]]
        errors = {key: r - known[key] for (key, r) in zip(pairs, round_all.run(known))}
        runs.append((batch, errors))
    weights = [1 / np.sqrt(power) if power > 0 else 0.0 for power in powers]
    for batch, errors in runs:
        for gradients in network.gradients(batch, errors, weights, draws, random):
            for key, gradient in gradients.items():
                product = (gradient * errors[key]).asnumpy().reshape(*gradient.shape[:2], -1)
                sums = product.sum(axis=-1, dtype=np.float64)
                by_channel[key] += float(np.square(sums).sum())
                together[key] += float(np.square(sums.reshape(len(sums), -1).sum(axis=1)).sum())
    outputs = max(np.count_nonzero(powers), 1)
    return {key: max(by_channel[key], together[key]) / draws / outputs for key in pairs}


def alone(floats: Graph, qdq: Graph, keys: Iterable[str]) -> Graph:
    """A copy of `floats` in which these tensors, and nothing else, are rounded as in `qdq`."""
    pairs = {tensor_key(source_of(node)): node for node in qdq.nodes if is_pair(node)}
    graph = floats.copy()
    for key in keys:
        value, dequantize = value_of(graph, key), pairs[key]
        users = [use for use in graph.uses_of(value) if use.node is not None]
        quantize = graph.add("mxq_quantize_v2", f"{key}_alone", [value], dequantize.inputs[0].node.attrs)
        graph.replace(
            value, graph.add("mxq_dequantize", f"{key}_rounded", [quantize.out()], dequantize.attrs).out(), users
        )
    graph.sort()
    return graph


class _Perturbed:
    """The float network with something added to each of some values, by which it is differentiated."""

    def __init__(self, floats: Graph, values: Mapping[str, Value], watched: Sequence[Value], runner: Runner):
        import mxnet as mx

        graph = floats.copy()
        graph.outputs = [value_of(graph, tensor_key(value)) for value in watched]
        self._names: Dict[str, str] = {}
        for number, key in enumerate(values):
            value = value_of(graph, key)
            added = Node(VARIABLE, graph.unique_name(f"mxq_added{number}"))
            graph.nodes.append(added)
            uses = [use for use in graph.uses_of(value) if use.node is not None]
            total = graph.add("elemwise_add", graph.unique_name(f"mxq_perturbed{number}"), [value, added.out()])
            graph.replace(value, total.out(), only=uses)
            self._names[key] = added.name
        graph.sort()
        graph.prune()
        # Only what runs for training has gradients in MXNet (poolings keep what they chose), so what behaves in another
        # way then is told not to.
        for node in graph.nodes:
            node.attrs.update(_AS_AT_INFERENCE.get(node.op, {}))
        self._runner, self._symbol = runner, graph.symbol()
        self._inputs = self._symbol.list_inputs()
        self._run = mx.nd.CachedOp(self._symbol)

    def gradients(
        self, batch: Batch, zeros_like: Mapping[str, object], weights: List[float], draws: int, random
    ) -> List[Dict[str, object]]:
        """For each draw the gradients by tensor key, of sums of the results with random signs times `weights`."""
        import mxnet as mx

        added = {self._names[key]: mx.nd.zeros_like(array) for key, array in zeros_like.items()}
        used = {name: array for name, array in added.items() if name in self._inputs}
        for array in used.values():
            array.attach_grad()
        given = {**batch.arrays, **added}
        inputs = [given[name] if name in given else self._runner.param(name) for name in self._inputs]
        if any(array is None for array in inputs):
            missing = [name for name, array in zip(self._inputs, inputs) if array is None]
            raise NoGradient(f"{missing[0]!r} is not known")
        found = []
        try:
            with mx.autograd.record(train_mode=True):
                outputs = self._run(*inputs)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            for draw in range(draws):
                heads = [
                    mx.nd.array(weight * random.choice([-1.0, 1.0], output.shape), ctx=output.context)
                    for weight, output in zip(weights, outputs)
                ]
                mx.autograd.backward(outputs, heads, retain_graph=draw + 1 < draws, train_mode=True)
                found.append({key: added[name].grad.copy() for key, name in self._names.items() if name in used})
                mx.nd.waitall()
        except mx.MXNetError as error:
            raise NoGradient(str(error).strip().splitlines()[-1]) from error
        return found


def value_of(graph: Graph, key: str) -> Value:
    """The value that has this key."""
    for name, index in ((key, "0"), key.rpartition(":")[::2]):
        for node in graph.nodes:
            if node.name == name:
                return node.out(int(index))
    raise KeyError(key)
