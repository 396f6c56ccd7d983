"""The wire format of protocol buffers, read field by field, without a schema and without trust.

>>> [(f.number, f.value) for f in fields(memoryview(bytes([0x08, 0x96, 0x01])))]
[(1, 150)]

Nothing is copied and nothing is allocated on the word of the file: a length is compared with what is there first.
Source: the encoding as protobuf.dev documents it.
"""

from typing import Iterator, NamedTuple, Union

import numpy as np

from ..errors import GraphError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireError(GraphError):
    """Bytes that are no message; says where."""


class Field(NamedTuple):
    """A field: its number, its wire type, and an int or, of type BYTES, the bytes themselves."""

    number: int
    kind: int
    value: Union[int, memoryview]

    def message(self) -> memoryview:
        """The bytes of a message, a string or a packed array."""
        if self.kind != BYTES:
            raise WireError(f"field {self.number} is a number where bytes should stand")
        return self.value  # type: ignore[return-value]

    def text(self) -> str:
        """The text of a string."""
        try:
            return bytes(self.message()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError(f"field {self.number} is no text ({error})") from None

    def integer(self) -> int:
        """The value of a varint, signed."""
        if self.kind != VARINT:
            raise WireError(f"field {self.number} is no integer")
        value = int(self.value)  # type: ignore[arg-type]
        return value - (1 << 64) if value >> 63 else value

    def integers(self) -> Iterator[int]:
        """One varint, or a packed array of them."""
        if self.kind == VARINT:
            yield self.integer()
            return
        data, at = self.message(), 0
        while at < len(data):
            value, at = _varint(data, at)
            yield value - (1 << 64) if value >> 63 else value

    def floats(self, dtype: str = "<f4") -> np.ndarray:
        """One float32 ('<f4') or float64 ('<f8'), or a packed array of them."""
        size = np.dtype(dtype).itemsize
        if self.kind in (FIXED32, FIXED64):
            if (self.kind == FIXED32) != (size == 4):
                raise WireError(f"field {self.number} has numbers of another size than {size} bytes")
            return np.frombuffer(int(self.value).to_bytes(size, "little"), dtype)  # type: ignore[arg-type]
        data = self.message()
        if len(data) % size:
            raise WireError(f"field {self.number} has {len(data)} bytes, no multiple of {size}")
        return np.frombuffer(data, dtype)


def fields(data: memoryview) -> Iterator[Field]:
    """The fields of one message, in order. Raises WireError where the bytes end or make no sense."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError(f"field 0 at byte {at}: no message stands here")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield Field(number, kind, value)
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise WireError(f"field {number} at byte {at} has wire type {kind}; accepted are 0, 1, 2 and 5")
        if size > len(data) - at:
            raise WireError(f"field {number} claims {size} bytes at byte {at}, {len(data) - at} are there; cut off?")
        part = data[at : at + size]
        yield Field(number, kind, part if kind == BYTES else int.from_bytes(part, "little"))
        at += size


def _varint(data: memoryview, at: int):
    value = shift = 0
    while True:
        if at >= len(data):
            raise WireError(f"the bytes end inside a number at byte {at}; cut off?")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
        if shift > 63:
            raise WireError(f"a number at byte {at} has more than ten bytes")
