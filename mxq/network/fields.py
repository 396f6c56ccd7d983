"""Values read from mxq's own files, which may be damaged or somebody else's: an error names the file and the field.

>>> import mxq.errors
>>> source = Source("net.json", "table", mxq.errors.CalibrationError, "mend it")
>>> Field({"ranges": {"conv0": {"min": "a"}}}, source)["ranges"]["conv0"]["min"].number()
Traceback (most recent call last):
mxq.errors.CalibrationError: net.json: damaged table: ranges/conv0/min is 'a'; accepted is a finite number; mend it
"""

import json
import math
import typing
from typing import Dict, List, NamedTuple, Type

from ..errors import MXQError

#: Counts fit into int64.
MOST = 2**63 - 1


class Source(NamedTuple):
    """Where fields come from.

    Attributes:
        path: of the file.
        what: it should hold.
        error: what is raised.
        advice: what to do about a file that is damaged.
    """

    path: str
    what: str
    error: Type[MXQError]
    advice: str

    def damaged(self, text: str) -> MXQError:
        """The error to raise for a file that is ours, but damaged."""
        return self.error(f"{self.path}: damaged {self.what}: {text}; {self.advice}")

    def foreign(self, text: str) -> MXQError:
        """The error to raise for what may be any file."""
        return self.error(f"{self.path}: no {self.what}: {text}; {self.advice}")


class Field:
    """A value of a JSON document, and its place there. Methods return what it must be, or raise `source.error`."""

    def __init__(self, value: object, source: Source, name: str = ""):
        self.value, self._source, self._name = value, source, name

    def wrong(self, accepted: str) -> MXQError:
        """The error to raise for a value that is not accepted."""
        text = repr(self.value)
        shown = text if len(text) <= 60 else f"{text[:56]}..."
        return self._source.damaged(f"{self._name or 'its content'} is {shown}; accepted is {accepted}")

    def __getitem__(self, key: str) -> "Field":
        """A member of an object, which must be there."""
        if key not in self.members():
            raise self._source.damaged(f"{self._below(key)} is missing")
        return Field(self.value[key], self._source, self._below(key))

    def get(self, key: str, default: object = None) -> "Field":
        """A member of an object, or a field with another value where there is none."""
        return Field(self.members().get(key, default), self._source, self._below(key))

    def members(self) -> Dict[str, object]:
        if not isinstance(self.value, dict) or not all(map(_is_text, self.value)):
            raise self.wrong("an object")
        return self.value

    def fields(self) -> Dict[str, "Field"]:
        """All members of an object."""
        return {key: self[key] for key in self.members()}

    def items(self) -> List["Field"]:
        """The items of a list."""
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [Field(item, self._source, self._below(str(i))) for i, item in enumerate(self.value)]

    def text(self) -> str:
        if not _is_text(self.value):
            raise self.wrong("a string")
        return self.value

    def integer(self, least: int = 0, most: int = MOST) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not least <= self.value <= most:
            raise self.wrong(f"an integer from {least}" + (f" to {most}" if most < MOST else ""))
        return self.value

    def number(self, least: float = -math.inf, *, infinite: bool = False) -> float:
        """float64, finite unless `infinite` are accepted, too. Never NaN."""
        try:
            value = math.nan if isinstance(self.value, (bool, str)) else float(self.value)
        except (TypeError, OverflowError):
            value = math.nan
        if not value >= least or not (infinite or math.isfinite(value)):
            kind = "a number" if infinite else "a finite number"
            raise self.wrong(kind if least == -math.inf else f"{kind} from {least:g}")
        return value

    def typed(self, kind):
        """What a type annotation says: str, int, float, bool, dict, Optional, Tuple, List or a NamedTuple of these.

        Infinities are strings, "inf" and "-inf", because JSON has none.
        """
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Union:  # Optional
            return None if self.value is None else self.typed(inner[0])
        if origin in (tuple, list):
            items = self.items()
            if origin is tuple and inner[-1] is not Ellipsis:
                if len(items) != len(inner):
                    raise self.wrong(f"a list of {len(inner)}")
                return tuple(item.typed(part) for item, part in zip(items, inner))
            return origin(item.typed(inner[0]) for item in items)
        if hasattr(kind, "_fields"):
            hints = typing.get_type_hints(kind)
            unknown = sorted(set(self.members()) - set(hints))
            if unknown:
                raise self[unknown[0]].wrong("nothing under this name")
            given = [name for name in hints if name in self.value or name not in kind._field_defaults]
            return kind(**{name: self[name].typed(hints[name]) for name in given})
        if kind is bool and isinstance(self.value, bool):
            return self.value
        if kind is float:
            infinite = self.value in ("inf", "-inf")
            return float(self.value) if infinite else self.number()
        if kind in (str, int):
            return self.text() if kind is str else self.integer(least=-MOST)
        raise self.wrong(f"a {kind.__name__}")

    def _below(self, key: str) -> str:
        return f"{self._name}/{key}" if self._name else key


def _is_text(value: object) -> bool:
    """Whether it can be written again: JSON has escapes for halves of characters."""
    return isinstance(value, str) and value == value.encode(errors="ignore").decode()


def read_json(source: Source) -> Field:
    """The document of a JSON file. OSError as it is."""
    with open(source.path, "rb") as file:
        return parse_json(file.read(), source)


def parse_json(text: bytes, source: Source) -> Field:
    """The document that the bytes of a file hold."""
    try:
        return Field(json.loads(text.decode("utf-8")), source)
    except RecursionError:
        raise source.foreign("nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, an integer of thousands of digits
        raise source.foreign(f"not JSON, perhaps cut short ({error})") from None


def check_format(document: Field, name: str, version: int) -> None:
    """Refuses a document of another format or version."""
    source, content = document._source, document.value
    if not isinstance(content, dict) or content.get("format") != name:
        raise source.foreign(f"its 'format' must be {name!r}")
    if content.get("version") != version:
        raise source.foreign(f"it has version {content.get('version')!r}, this mxq reads version {version}")
