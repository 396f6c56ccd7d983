"""The checks, and what they say."""

import logging
from typing import List, Mapping, Optional, Sequence

import numpy as np

from ..choice.decisions import before_decisions, decides
from ..costs.layers import LayerMeter
from ..data.batches import Batch
from ..data.progress import Progress
from ..errors import GraphError
from ..model import QuantizedModel
from ..network.graph import Graph
from ..network.identity import tensor_key
from ..network.part import Runner
from ..report.verification import CheckedOutput, Verification, Worst
from .beside import Outputs, differences, run
from .few import FewExamples
from .shapes import shapes_follow

_log = logging.getLogger(__name__)

#: Calibration examples that both networks run on, at most; of few an eighth, so that it takes little of calibration's
#: time, but two, to see whether outputs depend on the data.
FEW_EXAMPLES = 8
_PART, _LEAST = 8, 2
#: Examples that operators are measured on where an output is poor.
_MEASURED = 2
#: dB below which an output is called poor.
POOR = 15.0
#: An output of float varies if its values, or those of different examples, differ by more than this part of its peak.
VARIES = 0.02


def verify(
    model: QuantizedModel,
    network: Graph,
    few: FewExamples,
    shapes: Mapping[str, tuple],
    options,
) -> Verification:
    """Looks at an int8 network: its shapes follow from the data, it runs, outputs are finite, vary where those of float
    do, and are near them. The float network runs operator by operator, without MXNet's fusion.

    Args:
        model: what is to be returned.
        network: the float network that it stands for.
        few: some of the calibration examples. None there: shapes are verified alone.
        shapes: data input -> shape, where known.
        options: mxq.api.Options; `verify='warn'` logs what else is an error.

    Raises:
        GraphError: the int8 network cannot be bound or run, or an output is NaN, or constant where float's varies.
    """
    if model.report.count("int8") == 0:
        return Verification(0)
    calibrated = 0 if model.statistics is None else model.statistics.num_examples
    parts = few.parts(min(FEW_EXAMPLES, max(calibrated // _PART, _LEAST)))
    if parts:
        shapes = {name: tuple(array.shape) for name, array in parts[0].arrays.items()}
    shapes_follow(model, network, shapes)
    if not parts:
        return Verification(0)
    int8 = Graph.from_symbol(model.symbol, model.arg_params, model.aux_params)
    exact, found = (_run(graph, parts, options.ctx) for graph in (network, int8))
    names = [tensor_key(value) for value in network.outputs]
    rows = zip(names, differences(exact, found), map(decides, network.outputs))
    outputs = tuple(CheckedOutput(name, d.noise.db, d.max_error, jumps) for name, d, jumps in rows)
    verified = Verification(sum(part.n_valid for part in parts), outputs)
    if any(output.decides for output in outputs):
        verified = verified._replace(layers=_before_decisions(model, parts, options.ctx))
    wrong = [(name, what_is_wrong(a, b)) for name, a, b in zip(names, zip(*exact), zip(*found))]
    wrong = [f"output {name!r} {what}" for name, what in wrong if what]
    if wrong or verified.poor(POOR):
        hardest = hardest_examples(parts, exact, found, _MEASURED)
        verified = verified._replace(worst=_worst(model, hardest, options.ctx))
        advice = f"{_say(verified.worst)}{_advice(verified.worst, options)}"
        if wrong and options.verify != "warn":
            raise GraphError(
                f"the int8 network cannot be used: {'; '.join(wrong)}; {advice}; verify='warn' returns it nevertheless"
            )
        what = "; ".join(wrong) or "is far from float"
        _log.warning("the int8 network %s. %s; %s", what, verified.summary(), advice)
    return verified


def hardest_examples(parts: Sequence[Batch], exact: Sequence[Outputs], found: Sequence[Outputs], count: int) -> Batch:
    """Those with the most noise, about `count` of them: others may say nothing about where it comes from.

    Args:
        parts: batches of which both networks ran.
        exact, found: their outputs.
    """
    signal = [sum(float(np.square(np.float64(a)).sum()) for a in output) or 1.0 for output in zip(*exact)]
    noise = [
        sum(_noise_of_rows(a, b, part.n_valid) / s for a, b, s in zip(wanted, got, signal))
        for part, wanted, got in zip(parts, exact, found)
    ]
    worst = max(range(len(parts)), key=lambda i: noise[i].max())
    part = parts[worst]
    if part.whole:
        return part
    rows = np.sort(np.argsort(-noise[worst], kind="stable")[:count])
    return Batch({name: array.take(_indices(rows, array)) for name, array in part.arrays.items()}, len(rows))


def _indices(rows: np.ndarray, like):
    import mxnet as mx

    return mx.nd.array(rows, ctx=like.context)


def _noise_of_rows(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Squared error of each of `n` examples; of outputs without an axis for them the same for all."""
    squares = np.nan_to_num(np.square(np.float64(a) - b), nan=np.inf)
    return squares.reshape(n, -1).sum(axis=1) if squares.size % n == 0 else np.full(n, squares.sum() / n)


def what_is_wrong(exact: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> Optional[str]:
    """What makes an output useless, whatever its SQNR: NaN, or nothing of the data in it; None if it is sound.

    Args:
        exact, found: the output of the float and of the int8 network, batch by batch.
    """
    alike = len({array.shape[1:] for array in exact}) == 1  # images of several sizes give maps of several sizes
    a, b = (np.concatenate([np.atleast_1d(x) if alike else x.reshape(-1) for x in xs]) for xs in (exact, found))
    if not a.size or not np.isfinite(a).all():
        return None
    if not np.isfinite(b).all():
        return f"has {int((~np.isfinite(b)).sum())} values of {b.size} that are NaN or infinite, and float's has none"
    least = VARIES * float(np.abs(a).max())
    if b.max() == b.min() and float(a.max()) - float(a.min()) > least:
        return f"is {b.flat[0]:.6g} everywhere, and float's goes from {a.min():.6g} to {a.max():.6g}"
    if len(b) > 1 and (b == b[:1]).all() and float(np.abs(a - a[:1]).max()) > least:
        return f"is the same for all {len(b)} examples, and float's is not"
    return None


def _run(graph: Graph, parts: Sequence[Batch], ctx) -> List[Outputs]:
    return run(Runner([graph], ctx).part(graph, {}, graph.outputs), parts)


def _before_decisions(model: QuantizedModel, parts: Sequence[Batch], ctx) -> tuple:
    """Results of the last layers before outputs that decide, in the network with explicit quantization."""
    keys, (floats, qdq) = before_decisions(model.floats, model.qdq)
    found = differences(_run(floats, parts, ctx), _run(qdq, parts, ctx))
    return tuple(CheckedOutput(key, d.noise.db, d.max_error, False) for key, d in zip(keys, found))


def _worst(model: QuantizedModel, part: Batch, ctx) -> Optional[Worst]:
    """The operator whose rounding alone costs the outputs most, measured on one part."""

    floats, qdq = model.floats, model.qdq
    if any(map(decides, floats.outputs)):
        _, (floats, qdq) = before_decisions(floats, qdq)
    meter = LayerMeter(Runner([floats, qdq], ctx), floats, qdq, effects=True)
    with Progress(len(meter.names), "looking for the worst operator", show=False) as bar:
        meter.add(part.arrays, bar, effects=True)
    layers = meter.layers()
    if not layers:
        return None
    layer = min(layers, key=lambda layer: layer.effect)
    tensor = None
    if layer.local_weights is None or layer.local_inputs <= layer.local_weights:
        read = [t for t in meter.tensors(None) if t.name in layer.inputs]
        tensor = min(read, key=lambda t: t.sqnr).name if read else None
    return Worst(layer.name, layer.op, layer.share, layer.effect, tensor)


def _say(worst: Optional[Worst]) -> str:
    if worst is None:
        return ""
    why = f"the rounding of {worst.tensor!r}, which it reads" if worst.tensor else "the rounding of its weights"
    return (
        f"{worst.op} {worst.name!r} costs most, {100 * worst.share:.0f} % of the noise (alone {worst.effect:.1f} dB), "
        f"by {why}: "
    )


def _advice(worst: Optional[Worst], options) -> str:
    tries = []
    if worst is not None:
        tries.append(f"excluded_sym_names=[{worst.name!r}]")
    if options.activation_bits == 8:
        tries.append("preset='best'")
    if options.metric is None:
        tries.append("metric='sqnr', min_metric=25 (keeps layers float until it is reached)")
    return f"try {', '.join(tries)}; mxq.explain shows every operator"
