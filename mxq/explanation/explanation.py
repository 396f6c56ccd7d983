"""The result of mxq.explain: a table for the terminal, JSON, an HTML page."""

import json
import os
from typing import List, NamedTuple, Optional, Sequence, get_type_hints

from ..arithmetic.noise import decibel
from ..costs.result import Classes, Layer, Measured, Output, Prediction, Tensor
from ..errors import ConfigError
from ..network.atomic import write_atomically
from ..network.fields import Source, check_format, read_json
from ..report import Finding, Findings, NodeReport, Report
from ..report.finding import SEVERITIES
from .png import PNG

FORMAT = "mxq-explanation"
VERSION = 1
_MOST_DECIBEL = 3000.0  # either way; as noise power still a float64, and pictures have an axis for it
#: The ratios in dB, by list.
_RATIOS = {
    "outputs": ("sqnr",),
    "layers": ("local", "local_inputs", "local_weights", "effect", "accumulated"),
    "tensors": ("sqnr",),
}


class Fact(NamedTuple):
    """Something about the network as a whole, for people: its name, what it is, and what more there is to say."""

    name: str
    value: str
    more: str = ""


class Explanation:
    """What became int8, and what it costs where.

    >>> explanation = Explanation.load("resnet50.json")  # doctest: +SKIP
    >>> print(explanation.worst(5))  # doctest: +SKIP

    Attributes:
        examples: how many examples outputs and classes are measured on.
        layer_examples, effect_examples: how many layers and their effects are measured on.
        outputs: list of Output.
        classes: Classes, or None if no output looks like class scores.
        layers: list of Layer, in the network's order.
        tensors: list of Tensor, likewise.
        predictions: list of Prediction: flips first, then the closest decisions.
        nodes: list of NodeReport, a line for every node of the original network.
        findings: what preflight found before quantization.
        facts: list of Fact: how it was made, its size.
        title: of the page.
    """

    def __init__(
        self,
        measured: Measured,
        nodes: Sequence[NodeReport],
        findings: Sequence[Finding] = (),
        *,
        facts: Sequence[Fact] = (),
        title: str = "",
    ):
        self.examples = measured.examples
        self.layer_examples, self.effect_examples = measured.layer_examples, measured.effect_examples
        self.outputs: List[Output] = list(measured.outputs)
        self.classes: Optional[Classes] = measured.classes
        self.layers: List[Layer] = list(measured.layers)
        self.tensors: List[Tensor] = list(measured.tensors)
        self.predictions: List[Prediction] = list(measured.predictions)
        self.nodes: List[NodeReport] = list(nodes)
        self.findings = Findings(findings)
        self.facts: List[Fact] = list(facts)
        self.title = title or "int8 network"

    def worst(self, n: Optional[int] = None) -> List[Layer]:
        """The layers whose rounding costs the network most; where no effects were measured, those with the most noise
        of their own."""
        if all(layer.effect is None for layer in self.layers):
            ordered = sorted(self.layers, key=lambda layer: layer.local)
        else:
            ordered = sorted(self.layers, key=lambda layer: layer.effect)
        return ordered[:n]

    @property
    def summed(self) -> Optional[float]:
        """SQNR in dB that the outputs would have if the effects of all layers added up; None if not measured.

        It lies below the measured one where a tensor that is only moved counts for who moves it and for who reads it.
        """
        effects = [layer.effect for layer in self.layers]
        if not effects or None in effects:
            return None
        return decibel(sum(10 ** (-effect / 10) for effect in effects))

    def tensor(self, name: str) -> Optional[Tensor]:
        """The tensor of this name, None if it does not become integers."""
        return next((tensor for tensor in self.tensors if tensor.name == name), None)

    def __repr__(self) -> str:
        return f"<Explanation: {len(self.layers)} int8 operators, {self.examples} examples>"

    def __str__(self) -> str:
        from .text import table

        return table(self)

    # -- files -------------------------------------------------------------------------------------------------------

    def to_json(self, path: Optional[str] = None) -> str:
        """Everything as JSON, for programs; with `path` it is written there too.

        Ratios are numbers in dB, or the string "inf" where nothing is lost; null: not measured.
        """
        content = {
            "format": FORMAT,
            "version": VERSION,
            "title": self.title,
            "facts": [fact._asdict() for fact in self.facts],
            "examples": self.examples,
            "layer_examples": self.layer_examples,
            "effect_examples": self.effect_examples,
            "outputs": [output._asdict() for output in self.outputs],
            "classes": None if self.classes is None else self.classes._asdict(),
            "layers": [layer._asdict() for layer in self.layers],
            "tensors": [{**t._asdict(), "histogram": t.histogram._asdict()} for t in self.tensors],
            "predictions": [prediction._asdict() for prediction in self.predictions],
            "nodes": [node._asdict() for node in self.nodes],
            "findings": [finding._asdict() for finding in self.findings],
        }
        text = json.dumps(_to_plain(content), indent=1, allow_nan=False) + "\n"
        if path is not None:
            _write(path, text)
        return text

    @classmethod
    def load(cls, path: str) -> "Explanation":
        """Reads what :meth:`to_json` wrote. Raises ConfigError for anything else."""
        document = read_json(Source(os.fspath(path), "explanation", ConfigError, "explain again"))
        check_format(document, FORMAT, VERSION)
        measured = Measured(*(document[name].typed(kind) for name, kind in get_type_hints(Measured).items()))
        nodes, findings = document["nodes"].typed(List[NodeReport]), document["findings"].typed(List[Finding])
        for field in document["layers"].items():
            if not field["inputs"].value:
                raise field["inputs"].wrong("a list of one name or more")
        for field, names in _RATIOS.items():
            for measured_one in document[field].items():
                for name in names:
                    _check_ratio(measured_one[name])
        for histogram in (tensor["histogram"] for tensor in document["tensors"].items()):
            if not histogram["counts"].value:
                raise histogram["counts"].wrong("a list of one count or more")
            for count in histogram["counts"].items():
                count.integer()
        for field in document["findings"].items():
            if field["severity"].value not in SEVERITIES:
                raise field["severity"].wrong(f"one of {', '.join(SEVERITIES)}")
        for field in document["predictions"].items():
            if not str(field["picture"].value or PNG).startswith(PNG):
                raise field["picture"].wrong(f"null or {PNG}...")
        facts = document.get("facts", []).typed(List[Fact])  # files of earlier versions have none
        return cls(measured, nodes, findings, facts=facts, title=document["title"].text())

    def to_html(self, path: Optional[str] = None) -> str:
        """One page that needs nothing but a browser; with `path` it is written there too."""
        from .page import page

        text = page(self)
        if path is not None:
            _write(path, text)
        return text

    def report(self) -> Report:
        """The lines of all nodes."""
        return Report(self.nodes)


def _check_ratio(field) -> None:
    if isinstance(field.value, (int, float)) and abs(field.value) > _MOST_DECIBEL:
        raise field.wrong(f"from {-_MOST_DECIBEL:g} to {_MOST_DECIBEL:g} dB")


def _write(path: str, text: str) -> None:
    def write(temporary: str) -> None:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)

    write_atomically(os.fspath(path), write)


def _to_plain(item):
    """The same without infinities, which JSON does not have."""
    if isinstance(item, float):
        return item if abs(item) != float("inf") else str(item)
    if isinstance(item, dict):
        return {key: _to_plain(value) for key, value in item.items()}
    return [_to_plain(value) for value in item] if isinstance(item, (list, tuple)) else item
