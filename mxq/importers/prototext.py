"""The text format of protocol buffers, as ``.prototxt`` files have it, without a schema.

>>> message = parse('name: "net" layer { type: "ReLU" top: "a" top: "b" }')
>>> message.one("name"), message.sub("layer").all("top")
('net', ['a', 'b'])
"""

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

from ..errors import GraphError

#: Messages inside messages; real networks have four.
MAX_DEPTH = 32
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*|//[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?f?|inf(?:inity)?\b|nan\b))
    |(?P<word>[A-Za-z_][\w.\-/]*)
    |(?P<mark>[{}<>\[\]:;,])""",
    re.VERBOSE,
)
_CLOSING = {"{": "}", "<": ">"}


class TextError(GraphError):
    """Text that is no message; says the line."""


class Token(NamedTuple):
    kind: str
    text: str
    line: int


class Message:
    """Fields by name, each a list of values: str, int, float, bool, or Message. Names of enums are strings."""

    def __init__(self, line: int = 0):
        self.fields: Dict[str, List[Any]] = {}
        self.line = line

    def all(self, name: str) -> List[Any]:
        """Every value of a field, in order."""
        return self.fields.get(name, [])

    def one(self, name: str, default: Any = None) -> Any:
        """The last value of a field, as the format wants it; of the type that `default` has.

        Raises TextError for a value of another type.
        """
        values = self.all(name)
        if not values:
            return default
        value = values[-1]
        if isinstance(default, bool) or default is None:
            fits = default is None or isinstance(value, bool)
        elif isinstance(default, float):
            fits = isinstance(value, (int, float)) and not isinstance(value, bool)
            value = float(value) if fits else value
        else:
            fits = isinstance(value, type(default)) and not isinstance(value, bool)
        if not fits:
            shown = "a message" if isinstance(value, Message) else repr(value)
            raise TextError(f"line {self.line}: {name} is {shown}; accepted is a {type(default).__name__}")
        return value

    def sub(self, name: str) -> "Message":
        """The last message of a field; an empty one where there is none."""
        value = self.one(name)
        if value is None:
            return Message(self.line)
        if not isinstance(value, Message):
            raise TextError(f"line {self.line}: {name} is {value!r}; accepted is a message in braces")
        return value

    def accept(self, what: str, names: Sequence[str]) -> "Message":
        """Refuses fields that nobody reads: they would change the meaning in silence."""
        for name in self.fields:
            if name not in names:
                raise TextError(f"line {self.line}: {what} has {name!r}; accepted are {', '.join(sorted(names))}")
        return self


def parse(text: str) -> Message:
    """Reads a whole file.

    Raises:
        TextError: what is wrong, and in which line.
    """
    tokens = list(_tokens(text))
    tokens.append(Token("end", "the end of the file", tokens[-1].line if tokens else 1))
    root = Message(1)
    stack = [(root, "")]
    at = 0
    while True:
        message, closing = stack[-1]
        token = tokens[at]
        if token.kind == "end" or token.text == closing:
            if (token.kind == "end") != (closing == ""):
                raise TextError(f"line {token.line}: {token.text!r} where {closing!r} closes line {message.line}")
            if token.kind == "end":
                return root
            stack.pop()
            at += 1
            at += tokens[at].text in (";", ",") and tokens[at].kind == "mark"
            continue
        if token.kind != "word":
            raise TextError(f"line {token.line}: {token.text!r} where the name of a field should stand")
        values = message.fields.setdefault(token.text, [])
        at += 1
        has_colon = tokens[at].text == ":" and tokens[at].kind == "mark"
        at += has_colon
        following = tokens[at]
        if following.kind == "mark" and following.text in _CLOSING:
            if len(stack) > MAX_DEPTH:
                raise TextError(f"line {following.line}: messages stand more than {MAX_DEPTH} deep in each other")
            inner = Message(following.line)
            values.append(inner)
            stack.append((inner, _CLOSING[following.text]))
            at += 1
            continue
        if not has_colon:
            raise TextError(f"line {following.line}: {following.text!r} where ':' or '{{' should stand")
        at = _values(tokens, at, values)
        at += tokens[at].text in (";", ",") and tokens[at].kind == "mark"


def _values(tokens: List[Token], at: int, values: List[Any]) -> int:
    """Reads one value, or a list of them in brackets; returns where the next token stands."""
    if not (tokens[at].kind == "mark" and tokens[at].text == "["):
        text = _value(tokens[at])
        at += 1
        while isinstance(text, str) and tokens[at - 1].kind == "string" and tokens[at].kind == "string":
            text += _value(tokens[at])  # strings side by side are one
            at += 1
        values.append(text)
        return at
    at += 1
    while tokens[at].text != "]":
        values.append(_value(tokens[at]))
        at += 1
        at += tokens[at].text == ","
    return at + 1


def _value(token: Token) -> Any:
    if token.kind == "string":
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m.group(1), m.group(1)), token.text[1:-1])
    if token.kind == "number":
        text = token.text.rstrip("f") if not token.text.lower().startswith(("0x", "inf")) else token.text
        return int(text, 0) if re.fullmatch(r"[-+]?(0[xX][0-9a-fA-F]+|[1-9]\d*|0)", text) else float(text)
    if token.kind == "word":
        return {"true": True, "false": False}.get(token.text, token.text)
    raise TextError(f"line {token.line}: {token.text!r} where a value should stand")


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise TextError(f"line {line}: {text[at : at + 20]!r} is no text of a protocol buffer")
        if found.lastgroup != "space":
            yield Token(found.lastgroup or "", found.group(), line)
        line += found.group().count("\n")
        at = found.end()
