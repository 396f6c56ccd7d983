"""What a search has measured so far, in a file, so that a killed one goes on where it stopped."""

import json
import os
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional

import numpy as np

from ..errors import ConfigError
from ..network.atomic import write_atomically
from ..network.fields import Field, Source, check_format, read_json
from .running import Written

FORMAT = "mxq-accuracy-search"
VERSION = 1
#: Ranges of the same data calibrated again differ at most so much; floating point sums may depend on the threads.
_SAME_RANGE = 1e-3


class SearchState:
    """Measurements of one search, saved after each.

    >>> state = SearchState(None, {"network": "ab12"}, {})
    >>> state.scores[frozenset()] = 71.5

    Args:
        path: the file; None keeps everything in memory. What the float network returned lies beside it, in
            ``PATH.outputs``.
        identity: what must be the same for measurements to hold: network, data, options, metric.
        ranges: calibrated ranges by tensor.

    Raises:
        ConfigError: the file belongs to another search, or is none.
    """

    def __init__(self, path: Optional[str], identity: Mapping[str, object], ranges: Mapping):
        self.path = None if path is None else os.fspath(path)
        self._identity = json.loads(json.dumps(dict(identity)))
        self._ranges = {key: list(pair) for key, pair in ranges.items()}
        #: Noise-to-signal ratio of the last layers' results where only this layer is int8.
        self.noise: Dict[str, float] = {}
        #: Layers kept float -> the metric.
        self.scores: Dict[FrozenSet[str], float] = {}
        self.float_score: Optional[float] = None
        self.reference: Optional[Written] = None
        if self.path is not None and os.path.exists(self.path):
            self._load()

    @property
    def outputs_path(self) -> Optional[str]:
        """Where the float network's outputs are kept."""
        return None if self.path is None else f"{self.path}.outputs"

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        if self.path is None:
            return
        content = {
            "format": FORMAT,
            "version": VERSION,
            "identity": self._identity,
            "ranges": self._ranges,
            "float": self.float_score,
            "reference": None if self.reference is None else self.reference._asdict(),
            "noise": self.noise,
            "scores": [{"float_layers": sorted(layers), "metric": value} for layers, value in self.scores.items()],
        }

        def write(temporary: str) -> None:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)

        write_atomically(self.path, write)

    def _load(self) -> None:
        source = Source(self.path, "state of a search", ConfigError, "delete it or give another path as search_state")
        document = read_json(source)
        check_format(document, FORMAT, VERSION)
        identity = document["identity"].members()
        ranges = {key: [ends.number() for ends in _items(pair, 2)] for key, pair in document["ranges"].fields().items()}
        self.noise = {layer: x.number(0.0, infinite=True) for layer, x in document["noise"].fields().items()}
        for entry in document["scores"].items():
            layers = frozenset(layer.text() for layer in entry["float_layers"].items())
            self.scores[layers] = entry["metric"].number(infinite=True)
        if document["reference"].value is not None:
            reference = document["reference"]
            self.float_score = document["float"].number(infinite=True)
            self.reference = Written(
                reference["batches"].integer(), reference["bytes"].integer(), reference["digest"].text()
            )
        different = sorted(
            key for key in {**identity, **self._identity} if identity.get(key) != self._identity.get(key)
        )
        if not different and not _same_ranges(ranges, self._ranges):
            different = ["ranges"]
        if different:
            raise ConfigError(
                f"search_state={self.path!r} belongs to another search: "
                f"{_differences(different, identity, self._identity)}; delete it or give another path"
            )

    @property
    def has_outputs(self) -> bool:
        """Whether the float network's outputs lie in their file, whole."""
        return (
            self.reference is not None
            and self.path is not None
            and os.path.exists(self.outputs_path)
            and os.path.getsize(self.outputs_path) == self.reference.bytes
        )


def _items(field: Field, number: int) -> List[Field]:
    items = field.items()
    if len(items) != number:
        raise field.wrong(f"a list of {number}")
    return items


def _same_ranges(a: Mapping, b: Mapping) -> bool:
    if set(a) != set(b):
        return False
    found, wanted = (np.array([x[key] for key in sorted(a)], np.float64).reshape(-1, 2) for x in (a, b))
    largest = np.abs(wanted).max(axis=1, keepdims=True, initial=0.0)
    return bool((np.abs(found - wanted) <= _SAME_RANGE * largest).all())


def _differences(keys: Iterable[str], old: Mapping, new: Mapping) -> str:
    def short(value: object) -> str:
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:36]}..."

    return ", ".join(
        f"its {key} differ" if key == "ranges" else f"its {key} is {short(old.get(key))}, here {short(new.get(key))}"
        for key in keys
    )
