"""The calibration table: which range each tensor of one network has, as readable JSON.

>>> table = CalibTable({"conv0": (0.0, 6.0)}, mode="minmax", graph_hash="ab12", num_examples=256)
>>> table.range("conv0")
(0.0, 6.0)
"""

import json
import os
import re
from typing import Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..arithmetic.qmath import QMAX
from ..errors import CalibrationError, nearest
from ..network.atomic import write_atomically
from ..network.fields import Field, Source, check_format, read_json
from ..network.graph import Graph
from ..network.identity import graph_hash

FORMAT = "mxq-calibration-table"
VERSION = 1
_LARGEST = float(np.finfo(np.float32).max)
_FIELDS = ("channel_means", "channel_factors", "data_shapes", "modes", "dtypes", "finer")
_SMALLEST = float(np.finfo(np.float32).tiny)


def _float32(arrays: Optional[Mapping[str, Sequence[float]]]) -> Dict[str, Tuple[float, ...]]:
    return {key: tuple(np.asarray(array, np.float32).tolist()) for key, array in (arrays or {}).items()}


class CalibTable:
    """Ranges by tensor key for one network.

    Args:
        ranges: tensor key (see tensor_key) -> (min, max).
        mode: how the ranges were chosen.
        graph_hash: of the float graph that was calibrated (see graph_hash).
        num_examples: how many examples were seen.
        channel_means: tensor key -> mean per channel (axis 1), for bias correction; stored as float32.
        channel_factors: layer -> factor per output channel that equalized the network (see mxq.passes.equalize).
        modes: tensor key -> how its range was chosen, where `mode` leaves that open ('auto').
        finer: keys of tensors that are read with more than 8 bits (see mxq.choice.budget).
        dtypes: tensor key -> 'int8' or 'uint8' (with a zero point), where both were possible and errors decided.
        data_shapes: input name -> shape of a calibration batch, so that the table alone gives the same network again.
    """

    def __init__(
        self,
        ranges: Mapping[str, Tuple[float, float]],
        mode: str,
        graph_hash: str,
        num_examples: int,
        *,
        channel_means: Mapping[str, Sequence[float]] = None,
        data_shapes: Mapping[str, Sequence[int]] = None,
        channel_factors: Mapping[str, Sequence[float]] = None,
        modes: Mapping[str, str] = None,
        dtypes: Mapping[str, str] = None,
        finer: Sequence[str] = (),
    ):
        self.ranges: Dict[str, Tuple[float, float]] = {}
        for key, (lo, hi) in ranges.items():
            lo, hi = float(lo), float(hi)
            if not -_LARGEST <= lo <= hi <= _LARGEST:
                raise CalibrationError(
                    f"tensor {key!r} has range ({lo}, {hi}): both ends must be finite float32 and in order"
                )
            self.ranges[key] = (lo, hi)
        self.mode = mode
        self.graph_hash = graph_hash
        self.num_examples = int(num_examples)
        self.modes: Dict[str, str] = {str(key): str(value) for key, value in (modes or {}).items()}
        self.finer = tuple(str(key) for key in finer)
        self.dtypes: Dict[str, str] = {str(key): str(value) for key, value in (dtypes or {}).items()}
        for key, value in self.dtypes.items():
            if value not in QMAX:
                raise CalibrationError(f"tensor {key!r} has type {value!r}: accepted are {', '.join(QMAX)}")
        self.channel_means = _float32(channel_means)
        self.channel_factors = _float32(channel_factors)
        self.data_shapes = {name: tuple(int(n) for n in shape) for name, shape in (data_shapes or {}).items()}
        for what, arrays, least in (
            ("channel means", self.channel_means, -_LARGEST),
            ("channel factors", self.channel_factors, _SMALLEST),
        ):
            for key, values in arrays.items():
                for value in values:
                    if not least <= value <= _LARGEST:
                        above = " above 0" if least > 0 else ""
                        raise CalibrationError(f"{what} of {key!r} have {value}: accepted are finite float32{above}")

    def extended(self, **fields) -> "CalibTable":
        """A copy with other `ranges`, `channel_means`, `channel_factors`, `data_shapes`, `modes`, `dtypes`, `finer`."""
        kept = {name: getattr(self, name) for name in _FIELDS}
        ranges = fields.pop("ranges", self.ranges)
        return CalibTable(ranges, self.mode, self.graph_hash, self.num_examples, **{**kept, **fields})

    def range(self, key: str) -> Tuple[float, float]:
        """(min, max) of a tensor. Raises CalibrationError, with the nearest keys, if it has none."""
        try:
            return self.ranges[key]
        except KeyError:
            raise CalibrationError(
                f"the calibration table has no range of tensor {key!r}{nearest(key, self.ranges)}; calibrate again"
            ) from None

    def __contains__(self, key: object) -> bool:
        return key in self.ranges

    def __len__(self) -> int:
        return len(self.ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CalibTable) and vars(self) == vars(other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"<CalibTable {self.mode}: {len(self)} tensors, {self.num_examples} examples>"

    def check(self, graph: Graph) -> None:
        """Raises CalibrationError if the table was made for another network."""
        found = graph_hash(graph)
        if found != self.graph_hash:
            raise CalibrationError(
                f"the calibration table was made for another network: its hash is {self.graph_hash}, this network's is "
                f"{found}; use the symbol, parameters and preprocessing options the table was made with, or calibrate "
                "again"
            )

    def save(self, path: str) -> None:
        """Writes the table, with full precision. A reader sees the old file or the whole new one."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "mode": self.mode,
            "graph_hash": self.graph_hash,
            "num_examples": self.num_examples,
            "data_shapes": {name: str(shape) for name, shape in self.data_shapes.items()},
            "ranges": {key: {"min": lo, "max": hi} for key, (lo, hi) in self.ranges.items()},
            "modes": self.modes,
            "dtypes": self.dtypes,
            "finer": list(self.finer),
            # One string a tensor: a list would fill a line with every number.
            "channel_means": {key: " ".join(map(repr, mean)) for key, mean in self.channel_means.items()},
            "channel_factors": {key: " ".join(map(repr, factor)) for key, factor in self.channel_factors.items()},
        }
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"

        def write(temporary: str) -> None:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)

        write_atomically(os.fspath(path), write)

    @classmethod
    def load(cls, path: str) -> "CalibTable":
        """Reads a table. Raises CalibrationError for a file that is not one, FileNotFoundError if there is none."""
        document = read_json(Source(os.fspath(path), "calibration table", CalibrationError, "calibrate again"))
        check_format(document, FORMAT, VERSION)
        ranges, shapes = document["ranges"].fields(), document.get("data_shapes", {}).fields()
        try:
            return cls(
                {key: (entry["min"].number(), entry["max"].number()) for key, entry in ranges.items()},
                document["mode"].text(),
                document["graph_hash"].text(),
                document["num_examples"].integer(),
                channel_means=_numbers(document.get("channel_means", {})),
                channel_factors=_numbers(document.get("channel_factors", {})),
                data_shapes={name: _shape(field) for name, field in shapes.items()},
                modes=_texts(document.get("modes", {})),
                dtypes=_texts(document.get("dtypes", {})),
                finer=[field.text() for field in document.get("finer", []).items()],
            )
        except CalibrationError as error:  # of the constructor: values that do not go together
            raise error if str(error).startswith(str(path)) else CalibrationError(f"{path}: {error}") from None


def _texts(document: Field) -> Dict[str, str]:
    return {key: field.text() for key, field in document.fields().items()}


def _numbers(document: Field) -> Dict[str, Tuple[float, ...]]:
    """Key -> numbers, which are one string."""
    found = {}
    for key, field in document.fields().items():
        try:
            found[key] = tuple(map(float, field.text().split()))
        except ValueError:
            raise field.wrong("numbers with spaces between them") from None
    return found


def _shape(field: Field) -> Tuple[int, ...]:
    if not re.fullmatch(r"\((-?\d{1,18}(, ?-?\d{1,18})*)?,?\)", field.text()):
        raise field.wrong("a shape such as '(1, 3, 224, 224)'")
    return tuple(map(int, re.findall(r"-?\d+", field.value)))
