"""Small changes of sources, for ci/mutate.py: of Python by its syntax tree, of C++ by tokens."""

import ast
import itertools
import re
from typing import Iterator, List, NamedTuple, Tuple


class Mutant(NamedTuple):
    """One change: `old` stands at `begin` of the file and becomes `new`."""

    path: str
    begin: int
    old: str
    new: str

    def text(self, source: str) -> str:
        assert source.startswith(self.old, self.begin)
        return source[: self.begin] + self.new + source[self.begin + len(self.old) :]

    def key(self, source: str) -> str:
        """Names the change whatever the number of its line."""
        first = source.rfind("\n", 0, self.begin) + 1
        last = source.find("\n", self.begin)
        line, changed = source[first:last], self.text(source)[first : last + len(self.new) - len(self.old)]
        return f"{self.path}: {line.strip()} -> {changed.strip()}"


# -- Python ------------------------------------------------------------------------------------------------------------

_COMPARE = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.In: (" in ", " not in "), ast.NotIn: (" not in ", " in "),
    ast.Is: (" is ", " is not "), ast.IsNot: (" is not ", " is "),
}  # fmt: skip
_BINARY = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}


def python_mutants(path: str, source: str) -> Iterator[Mutant]:
    """Changes of what is computed: no annotations, docstrings, messages, defaults of names."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    sizes = itertools.accumulate((len(character.encode()) for character in source), initial=0)
    offsets = None if source.isascii() else {size: i for i, size in enumerate(sizes)}

    def at(line: int, column: int) -> int:
        byte = starts[line - 1] + column
        return byte if offsets is None else offsets[byte]

    def span(node) -> Tuple[int, int]:
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    def between(left, right, old: str, new: str) -> Iterator[Mutant]:
        begin, end = span(left)[1], span(right)[0]
        place = source.find(old, begin, end + 1)
        if place >= 0:
            yield Mutant(path, place, old, new)

    tree = ast.parse(source)
    open_axes = {  # NumPy takes any negative number for the open axis
        id(argument.operand)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "reshape"
        for argument in ast.walk(call)
        if isinstance(argument, ast.UnaryOp) and isinstance(argument.op, ast.USub)
    }
    for node in _computed(tree):
        if id(node) in open_axes:
            continue
        if isinstance(node, ast.Compare):
            for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators):
                if type(op) in _COMPARE:
                    yield from between(left, right, *_COMPARE[type(op)])
        elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY and not isinstance(node.left, ast.JoinedStr):
            yield from between(node.left, node.right, *_BINARY[type(node.op)])
        elif isinstance(node, ast.BoolOp):
            old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            yield from between(node.values[0], node.values[1], old, new)
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            begin, end = span(node)
            value = node.value
            new = not value if type(value) is bool else value + 1 if type(value) is int else value * 1.5 or 1.0
            yield Mutant(path, begin, source[begin:end], repr(new))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            begin, end = span(node)
            yield Mutant(path, begin, source[begin:end], f"bool({source[slice(*span(node.operand))]})")
        elif isinstance(node, ast.Call):
            name = node.func
            word = name.id if isinstance(name, ast.Name) else name.attr if isinstance(name, ast.Attribute) else None
            if word in _NAMES:
                end = span(name)[1]
                yield Mutant(path, end - len(word), word, _NAMES[word])


def _computed(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a tree but for annotations, messages of errors and logs, and decorators."""
    stack: List[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list") or isinstance(node, (ast.Raise, ast.JoinedStr)):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _is_log(child):
                    stack.append(child)


def _is_log(node: ast.AST) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    func = call.func if isinstance(call, ast.Call) else None
    return isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id in ("_log", "logger")


# -- C++ ---------------------------------------------------------------------------------------------------------------

_TOKENS = (
    (r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "), (r" == ", " != "), (r" != ", " == "),
    (r" \+ ", " - "), (r" - ", " + "), (r" \* (?=[a-z0-9(])", " / "), (r" / ", " * "), (r" && ", " || "),
    (r" \|\| ", " && "), (r"\bstd::min\b", "std::max"), (r"\bstd::max\b", "std::min"), (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"), (r"(?<=[=(,] )0(?=[;,)])", "1"), (r"(?<=[=(,] )1(?=[;,)])", "2"),
    (r" \+= ", " -= "),
)  # fmt: skip


_NO_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|^[ \t]*#[^\n]*|template <[^\n]*|constexpr[^\n]*', re.S | re.M
)


def cpp_mutants(path: str, source: str) -> Iterator[Mutant]:
    """Changes of single tokens outside of comments, strings, templates and preprocessor lines."""
    plain = _NO_CODE.sub(lambda found: re.sub(r"[^\n]", "\x00", found[0]), source)
    for pattern, new in _TOKENS:
        for found in re.finditer(pattern, plain):
            yield Mutant(path, found.start(), found[0], new)
