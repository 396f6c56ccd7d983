"""Statistics of all tensors of a network that calibration watches, of one pass or of several that merge."""

import copy
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..errors import CalibrationError, nearest
from .kept import KeptExamples
from .samples import Layer, Samples
from .statistics_file import load, save
from .tensor_statistics import NUM_BINS, TensorStatistics


class Statistics(Mapping):
    """Statistics per tensor key, samples of what layers read, and of how many examples of which network.

    Reads like a dict: ``statistics["conv0"].max``.

    Attributes:
        samples: by `Layer.source`, see mxq.calib.samples.
        examples: a few whole ones, see mxq.calib.kept.
        num_examples: how many were seen.
        graph_hash: of the float network; "" if unknown.
        data_shapes: input name -> shape of a batch.
        stream: hash of the examples in their order, which a resumed run must repeat; None after a merge.
    """

    def __init__(self, keys: Iterable[str] = (), *, layers: Sequence[Layer] = (), num_bins: int = NUM_BINS):
        self._tensors: Dict[str, TensorStatistics] = {key: TensorStatistics(num_bins) for key in keys}
        self.samples = Samples(layers)
        self.examples = KeptExamples()
        self.num_examples = 0
        self.graph_hash = ""
        self.data_shapes: Dict[str, Tuple[int, ...]] = {}
        self.stream: Optional[str] = ""
        self._scales: Dict[str, np.ndarray] = {}

    def __getitem__(self, key: str) -> TensorStatistics:
        try:
            tensor = self._tensors[key]
        except KeyError:
            raise CalibrationError(f"no statistics of tensor {key!r}{nearest(key, self._tensors)}") from None
        if key not in self._scales:
            return tensor
        try:
            return tensor.scaled(self._scales[key])
        except CalibrationError as error:
            raise CalibrationError(f"tensor {key!r}: {error}") from None

    def __contains__(self, key: object) -> bool:
        return key in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def scaled(self, scales: Mapping[str, np.ndarray]) -> "Statistics":
        """A view with some tensors' channels multiplied by factors, as an equalized network has them."""
        twin = object.__new__(Statistics)
        twin.__dict__.update(self.__dict__)
        twin._scales = {key: scale for key, scale in scales.items() if key in self}
        return twin

    @property
    def scales(self) -> Mapping[str, np.ndarray]:
        """Tensor key -> factors that its channels are multiplied by in this view; samples are those without."""
        return dict(self._scales)

    def copy(self) -> "Statistics":
        """Statistics that go on by themselves."""
        return copy.deepcopy(self)

    def merge(self, other: "Statistics") -> None:
        """Adds what `other` has seen of the same tensors of the same network: the result is that of one pass over both.

        >>> a, b = Statistics(["x"]), Statistics(["x"])
        >>> a["x"].update(np.float32([1, 2])), b["x"].update(np.float32([3]))
        (None, None)
        >>> a.merge(b)
        >>> a["x"].count, a["x"].max
        (3, 3.0)

        Raises CalibrationError if the tensors, the layers or the networks differ.
        """
        ours, theirs = {*self, *self.samples}, {*other, *other.samples}
        if ours != theirs:
            odd: List[str] = sorted(ours ^ theirs)[:3]
            raise CalibrationError(f"statistics of different tensors do not merge; only one has {', '.join(odd)}")
        if self.graph_hash != other.graph_hash:
            raise CalibrationError(
                f"statistics of different networks do not merge: their hashes are {self.graph_hash} and "
                f"{other.graph_hash}"
            )
        for key, tensor in self._tensors.items():
            tensor.merge(other._tensors[key])
        for source, rows in self.samples.items():
            rows.merge(other.samples[source])
        self.examples.merge(other.examples)
        self.num_examples += other.num_examples
        self.data_shapes = self.data_shapes or other.data_shapes
        self.stream = None

    def extremes(self) -> Dict[str, Tuple[float, float]]:
        return {key: (self[key].min, self[key].max) for key in self}

    def save(self, path: str) -> None:
        """Writes a file that `load` reads; a reader sees the old file or the whole new one. Not for views."""
        save(self, path)

    @classmethod
    def load(cls, path: str) -> "Statistics":
        """Reads a file of `save`. CalibrationError if it is none, FileNotFoundError if there is none."""
        return load(path, cls)
