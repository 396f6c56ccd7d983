"""What several networks answer to the same examples, beside the first of them."""

from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..costs.result import Classes, Output
from ..data.batches import Batch, batches
from ..data.files import Examples
from ..data.progress import Progress
from ..errors import ConfigError
from ..explanation.outcome import Outcome
from ..network.batch_sizes import BatchSizes, arranged
from ..network.graph import Graph, input_dtypes
from ..network.identity import tensor_key
from ..network.part import Runner
from .network import Network

#: Examples that run at once.
AT_ONCE = 8


class Compared(NamedTuple):
    """One network beside the first.

    Attributes:
        name: of the network.
        outputs: SQNR in dB and largest error of each output beside the first network's; empty where its outputs have
            other shapes than those.
        classes: its top-1 classes (`correct_int8`, ...) beside those of the first network (`correct_float`, ...); None
            where no output looks like scores of classes.
        note: what else there is to know.
    """

    name: str
    outputs: Tuple[Output, ...]
    classes: Optional[Classes]
    note: str = ""


class Answers(NamedTuple):
    """All of them, the first being what the others are compared with."""

    examples: int
    networks: Tuple[Compared, ...]
    note: str = ""


def compare(
    networks: Sequence[Network],
    data: Callable[[str], object],
    *,
    labels: Optional[Sequence[int]] = None,
    folders: Sequence[str] = (),
    progress: Optional[bool] = None,
    total: Optional[int] = None,
) -> Answers:
    """Runs every network on all of the data, operator by operator (float ones are not fused), and compares.

    Args:
        networks: the first is the reference.
        data: from 'float32', 'uint8' or 'int8' to examples as networks with such inputs take them, of any kind that
            mxq.quantize_model does; the same examples for all.
        labels: class number of every example.
        folders: names of the class folders that labels count in order, where nothing else says which class they are:
            labels are left out if the network has another number of classes.
        progress: see mxq.data.progress; `total` is how many examples there are.

    Raises:
        ConfigError, CalibrationError, GraphError: data that cannot be used, or does not fit a network.
    """
    first = networks[0]
    parts = [_Parts(network, data(network.dtype)) for network in networks]
    outcomes: List[Outcome] = []
    notes = [""] * len(networks)
    note, done = "", 0
    with Progress(total, "comparing", show=progress) as bar:
        for found in zip(*parts):
            counts = {n for _, n in found}
            if len(counts) != 1:
                raise ConfigError(f"networks take batches of {sorted(counts)} examples: compare them apart")
            n = counts.pop()
            exact = found[0][0]
            if not outcomes:
                labels, note = _usable(labels, folders, [a.shape for a in exact], n)
                names = [tensor_key(value) for value in first.graph.outputs]
                outcomes = [Outcome(names, labels) for _ in networks]
            for index, (outputs, _) in enumerate(found):
                if [a.shape for a in outputs] == [a.shape for a in exact]:
                    outcomes[index].add(exact, outputs, None, n)
                else:
                    shapes = [[a.shape for a in some] for some in (outputs, exact)]
                    notes[index] = f"outputs of shapes {shapes[0]}, those of {first.name} are {shapes[1]}"
            done += n
            bar.step(n)
    rows = [_row(*of) for of in zip(networks, outcomes, notes)]
    return Answers(done, tuple(rows), note)


def _row(network: Network, outcome: Outcome, note: str) -> Compared:
    if note:
        return Compared(network.name, (), None, note)
    return Compared(network.name, tuple(outcome.outputs()), outcome.classes())


def usable_labels(network: Network, examples: Examples) -> Tuple[Optional[np.ndarray], str]:
    """Labels of the examples, if they can be the network's classes; else None and why not."""
    if examples.labels is None:
        return None, ""
    outputs, n = next(iter(_Parts(network, examples.take(np.arange(1)).data)))
    return _usable(examples.labels, examples.folders, [output.shape for output in outputs], n)


def _usable(labels, folders: Sequence[str], shapes: Sequence[tuple], n: int) -> Tuple[Optional[np.ndarray], str]:
    if labels is None:
        return None, ""
    classes = next((s[1] for s in shapes if len(s) >= 2 and s[0] == n and int(np.prod(s)) == n * s[1]), None)
    if classes is None:
        return None, "labels are not used: no output looks like scores of classes"
    labels = np.asarray(labels)
    if folders and len(folders) != classes:
        return None, (
            f"labels are not used: there are {len(folders)} folders of classes and the network has {classes}; "
            "--classes FILE with a name a line says which is which"
        )
    if labels.size and not (0 <= labels.min() and labels.max() < classes):
        return None, f"labels are not used: they go up to {labels.max()}, and the network has {classes} classes"
    return labels, ""


class _Parts:
    """Outputs of a network, part by part: (arrays, examples)."""

    def __init__(self, network: Network, data):
        graph = network.graph
        self._examples = arranged(batches(data, network.data_names, sizes_differ=True), BatchSizes(graph))
        self._run = Runner([graph]).part(graph, {}, graph.outputs)
        self._dtypes = input_dtypes(graph)

    def __iter__(self) -> Iterator[Tuple[List[np.ndarray], int]]:
        for batch in self._examples:
            for part in _cut(batch, self._dtypes):
                yield [part.valid(output.asnumpy()) for output in self._run.run(part.arrays)], part.n_valid


def _cut(batch: Batch, dtypes: Dict[str, object]) -> Iterator[Batch]:
    typed = {name: array.astype(dtypes[name], copy=False) for name, array in batch.arrays.items()}
    if batch.whole:
        yield Batch(typed, batch.n_valid).as_whole()
        return
    for start in range(0, batch.n_valid, AT_ONCE):
        n = min(AT_ONCE, batch.n_valid - start)
        yield Batch({name: array[start : start + n] for name, array in typed.items()}, n)


def graph_of(model) -> Graph:
    """The int8 network of a QuantizedModel."""
    return Graph.from_symbol(model.symbol, model.arg_params, model.aux_params)
