"""From a quantized model and data to an Explanation."""

from typing import Iterable, Iterator, List, Mapping, Optional, Sequence, Union

import numpy as np

from ..calib.collect import SUB_BATCH
from ..costs.layers import LayerMeter
from ..costs.result import Measured
from ..data.batches import Batch, batches
from ..data.progress import Progress
from ..errors import ConfigError
from ..gluon import QuantizedBlock
from ..model import QuantizedModel
from ..network.batch_sizes import BatchSizes, arranged
from ..network.graph import Graph, input_dtypes
from ..network.identity import tensor_key
from ..network.params import default_data_names, label_inputs, require_params
from ..network.part import Runner
from ..network.shapes import infer_shapes
from ..version import __version__
from .explanation import Explanation, Fact
from .outcome import Outcome

#: Examples that layers are measured on.
LAYER_EXAMPLES = 32
#: Examples that effects on the network's outputs are measured on.
EFFECT_EXAMPLES = 16


def explain(
    model: Union[QuantizedModel, QuantizedBlock],
    data,
    *,
    labels: Sequence[int] = None,
    class_names: Union[Sequence[str], Mapping[int, str]] = None,
    images: Sequence[np.ndarray] = None,
    num_examples: Optional[int] = None,
    layer_examples: int = LAYER_EXAMPLES,
    effect_examples: int = EFFECT_EXAMPLES,
    title: str = "",
    data_names: Sequence[str] = None,
    batch_size: int = 32,
    sub_batch: Optional[int] = SUB_BATCH,
    ctx=None,
    progress: Optional[bool] = None,
) -> Explanation:
    """Says what is int8 and why, and where the difference from float comes from.

    >>> model = mxq.quantize_model(sym, params, calibration)  # doctest: +SKIP
    >>> explanation = mxq.explain(model, images, labels=classes)  # doctest: +SKIP
    >>> print(explanation)  # doctest: +SKIP
    >>> explanation.to_html("resnet50.html")  # doctest: +SKIP

    All of `data` goes through both networks, for the outputs and the classes. The first `layer_examples` go through the
    float network with all its inner values; on them every int8 operator runs alone with its float inputs (local), the
    rest of the float network runs behind it (effect), and the network with explicit quantization says what has
    accumulated. Channels were equalized before, so inner values are those of the equalized float network.

    Args:
        model: what quantize_model or quantize_net returned, in this process: a saved network has lost its float half.
        data: inputs as for calibration (see quantize_model), as the int8 network takes them.
        labels: class number of every example, in order.
        class_names: name by class number.
        images: every example as people see it: uint8 (height, width, 3) in RGB order, (height, width), or channels
            first. Without them a few inputs of the network are shown, stretched from black to white.
        num_examples: use exactly so many of the data; all by default.
        layer_examples: how many of them layers are measured on.
        effect_examples: how many of those effects on the network's outputs are measured on; 0: none. They cost about
            half a forward per int8 operator.
        title: of the page.
        data_names: inputs that are data, in the order of `data`; all that are no label by default.
        batch_size: for data that comes in one piece.
        sub_batch: so many examples run at once; None: batches as they come.
        ctx: context that the networks run on; the CPU by default.
        progress: True or False to show a progress bar or not; by default where a person is watching.

    Returns:
        Explanation: ``print`` shows a table; ``to_json(path)``, ``to_html(path)``.

    Raises:
        ConfigError: an argument that is not accepted. CalibrationError: data that cannot be used. GraphError: data
        that does not fit the network, or names that it does not have.
    """
    if not isinstance(model, (QuantizedModel, QuantizedBlock)):
        raise ConfigError(f"model is a {type(model).__name__}: give what quantize_model or quantize_net returned")
    if getattr(model, "floats", None) is None:
        raise ConfigError("model.floats is None: the float network is needed; quantize again and keep it")
    for name, value, least in (
        ("layer_examples", layer_examples, 1),
        ("effect_examples", effect_examples, 0),
        ("sub_batch", 1 if sub_batch is None else sub_batch, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ConfigError(f"{name}={value!r}: accepted is an integer from {least}")
    floats, qdq = model.floats, model.qdq
    names = list(data_names) if data_names is not None else default_data_names(floats)
    require_params(floats, names, label_inputs(floats))
    examples = batches(data, names, batch_size=batch_size, num_examples=num_examples, sizes_differ=True)
    examples = arranged(examples, BatchSizes(floats))
    runner = Runner([floats, qdq], ctx)
    run_float = runner.part(floats, {}, floats.outputs)
    int8 = _int8_graph(model)
    run_int8 = Runner([int8], ctx).part(int8, {}, int8.outputs)
    facts = _facts(model, int8)
    outcome = Outcome([tensor_key(value) for value in floats.outputs], labels, class_names, images)
    kept: List[Batch] = []
    with Progress(num_examples, "comparing", show=progress) as bar:
        for part in _parts(examples, floats, sub_batch):
            arrays, n = part
            if not outcome.examples:
                infer_shapes(floats, {name: array.shape for name, array in arrays.items()})  # or an error in words
            missing = layer_examples - sum(k.n_valid for k in kept)
            if missing > 0:
                few = min(missing, n)
                as_it_is = sub_batch is None or part.whole
                kept.append(part if as_it_is else Batch({k: v[:few] for k, v in arrays.items()}, few))
            exact, found = ([part.valid(o.asnumpy()) for o in run.run(arrays)] for run in (run_float, run_int8))
            outcome.add(exact, found, arrays[names[0]].asnumpy(), n)
            bar.step(n)
    del run_float, run_int8, int8
    meter = LayerMeter(runner, floats, qdq, effects=effect_examples > 0)
    with Progress(len(meter.names) * len(kept), "measuring", show=progress, unit="layer") as bar:
        done = with_effects = 0
        for arrays, n in kept:
            meter.add(arrays, bar, effects=done < effect_examples)
            with_effects += n if done < effect_examples else 0
            done += n
    measured = Measured(
        outcome.examples,
        done,
        with_effects,
        outcome.outputs(),
        outcome.classes(),
        meter.layers(),
        meter.tensors(model.statistics),
        outcome.predictions(),
    )
    return Explanation(measured, model.report.nodes, model.findings, facts=facts, title=title)


def _facts(model: Union[QuantizedModel, QuantizedBlock], int8: Graph) -> List[Fact]:
    """With what the network was made, and its size."""
    ranges = "ranges found at run time"
    if model.table is not None:
        ranges = f"ranges by {model.table.mode} from {model.table.num_examples} examples"
    before, after = (sum(array.nbytes for array in graph.params.values()) for graph in (model.floats, int8))
    size = f"{after / before:.2f} of {before / 1e6:.3g} MB in float" if before else ""
    return [Fact("made by", f"mxq {__version__}", ranges), Fact("parameters", f"{after / 1e6:.3g} MB", size)]


def _parts(found: Iterable[Batch], floats: Graph, sub_batch: Optional[int]) -> Iterator[Batch]:
    """Batches of at most `sub_batch` examples, where they can be cut, as the network's types."""
    dtypes = input_dtypes(floats)
    for batch in found:
        n = batch.n_valid
        step = min(sub_batch or n, n)
        typed = {name: array.astype(dtypes[name], copy=False) for name, array in batch.arrays.items()}
        if batch.whole:
            yield Batch(typed, n).as_whole()
        else:
            for start in range(0, n, step):
                cut = {name: array[start : start + step] for name, array in typed.items()}
                yield Batch(cut, min(step, n - start))


def _int8_graph(model: Union[QuantizedModel, QuantizedBlock]) -> Graph:
    """The network that was made, as it will run."""
    if isinstance(model, QuantizedModel):
        return Graph.from_symbol(model.symbol, model.arg_params, model.aux_params)
    arrays = {name: p.data(p.list_ctx()[0]) for name, p in model.collect_params().items()}
    return Graph.from_symbol(model.symbol, arrays)
