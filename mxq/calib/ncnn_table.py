"""The calibration table of ncnn (ncnn2table) and of caffe-int8-convert-tools, as text.

A line ``NAME_param_0 s0 s1 ...`` for the weights of each layer, one scale for each output or group, then a line
``NAME s`` for the input of each. A scale is ``127 / largest magnitude``: the reciprocal of mxq's. A weight of zeros may
have scale 0.
"""

import math
import os
from typing import Dict, Mapping, Sequence, Tuple, Union

from ..errors import CalibrationError
from ..network.atomic import write_atomically
from .table import CalibTable

_WEIGHTS = "_param_0"
_LONGEST = 1 << 28  # bytes of a file


class NcnnTable:
    """Scales of weights and inputs by the names of layers.

    >>> table = NcnnTable({"conv1": (12.5, 0.0)}, {"conv1": 0.84})
    >>> table.inputs["conv1"], len(table)
    (0.84, 1)

    Args:
        weights: layer -> ``127 / largest weight``, one for each output, for each group, or for all.
        inputs: layer -> ``127 / largest magnitude`` of what it reads.

    Attributes: as the arguments. Raises CalibrationError for what no such file can hold.
    """

    #: No such file says which shapes the data had.
    data_shapes: Mapping[str, Tuple[int, ...]] = {}

    def __init__(self, weights: Mapping[str, Sequence[float]], inputs: Mapping[str, float]):
        self.weights: Dict[str, Tuple[float, ...]] = {name: tuple(map(float, s)) for name, s in weights.items()}
        self.inputs: Dict[str, float] = {name: float(s) for name, s in inputs.items()}
        for name in (*self.weights, *self.inputs):
            if not name or any(c.isspace() for c in name):
                raise CalibrationError(f"layer {name!r}: a name in an ncnn table is not empty and has no spaces")
        for name, scales in self.weights.items():
            if not scales or not all(0 <= s < math.inf for s in scales):
                raise CalibrationError(f"layer {name!r}: the scales of its weights must be finite, and 0 at least")
        for name, scale in self.inputs.items():
            if not 0 < scale < math.inf:
                raise CalibrationError(f"layer {name!r} has scale {scale} for its input: it must be finite and above 0")

    def __len__(self) -> int:
        return len(self.inputs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NcnnTable) and vars(self) == vars(other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"<NcnnTable: {len(self)} layers>"

    @classmethod
    def load(cls, path: str) -> "NcnnTable":
        """Reads a file. Raises CalibrationError, with the line, for one that is no such table."""
        path = os.fspath(path)
        weights: Dict[str, Tuple[float, ...]] = {}
        inputs: Dict[str, float] = {}
        if os.path.getsize(path) > _LONGEST:
            raise CalibrationError(f"{path}: {os.path.getsize(path)} bytes are too many for an ncnn table")
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            fields = line.split()
            if not fields:
                continue
            try:
                scales = tuple(map(float, fields[1:]))
            except ValueError:
                raise CalibrationError(f"{path}, line {number}: scales behind {fields[0]!r} are no numbers") from None
            into: Dict = weights if fields[0].endswith(_WEIGHTS) else inputs
            name = fields[0][: -len(_WEIGHTS)] if into is weights else fields[0]
            if name in into or not scales or (into is inputs and len(scales) > 1):
                wrong = "stands twice" if name in into else f"has {len(scales)} scales"
                raise CalibrationError(f"{path}, line {number}: {fields[0]!r} {wrong}")
            into[name] = scales if into is weights else scales[0]
        if not inputs:
            raise CalibrationError(
                f"{path}: no scale of an input; a table has lines 'NAME{_WEIGHTS} s0 s1 ...' and 'NAME s'"
            )
        try:
            return cls(weights, inputs)
        except CalibrationError as error:
            raise CalibrationError(f"{path}: {error}") from None

    def save(self, path: str) -> None:
        """Writes the file, whole or not at all: weights first, then inputs, no empty line."""
        lines = [" ".join([name + _WEIGHTS, *map(_number, scales)]) for name, scales in self.weights.items()]
        lines += [f"{name} {_number(scale)}" for name, scale in self.inputs.items()]

        def write(temporary: str) -> None:
            with open(temporary, "w", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in lines)

        write_atomically(os.fspath(path), write)


def _number(scale: float) -> str:
    return f"{scale:.9g}" if scale % 1 else f"{scale:.1f}"


def load_table(path: str) -> Union[CalibTable, NcnnTable]:
    """A calibration table from a file: mxq's own, or one of ncnn's.

    Raises CalibrationError for a file that is neither, FileNotFoundError if there is none.
    """
    with open(path, "rb") as file:
        own = file.read(64).lstrip()[:1] in (b"{", b"")
    return CalibTable.load(path) if own else NcnnTable.load(path)
