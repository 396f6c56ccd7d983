"""The table of emitters: one row for each MXNet operator, with the attributes that it reads.

An emitter is a function ``(builder, node, attributes) -> names`` of the ONNX values that the node's outputs are. It
refuses what ONNX cannot say exactly by raising Refused. A file a family registers its rows here.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Callable, Dict, List, Mapping, Optional, Tuple, Union

from ..network.graph import Node

FLOAT = ("float32",)
NUMBERS = ("float32", "int32", "int64")
ANY = ("float32", "float16", "float64", "int32", "int64", "int8", "uint8", "bool")

#: Attributes that say how MXNet computes, not what.
_MEANINGLESS = frozenset("num_args workspace cudnn_tune cudnn_off ctx_group lr_mult wd_mult force_mirroring".split())

Names = Union[str, List[str]]


class Refused(Exception):
    """An emitter's reason why a node has no exact form; the walk adds the node."""


@dataclass(frozen=True)
class Emitter:
    """One row.

    Attributes:
        function: ``(builder, node, attributes) -> names``.
        attributes: name -> MXNet's default. The type of the default says how the text is read; a default of None leaves
            the value as it is written.
        dtypes: what the inputs may be.
        shape_only: inputs of which only the shape matters, by index.
        folds: whether a node whose inputs are constant becomes a constant.
    """

    function: Callable[..., Names]
    attributes: Mapping[str, object]
    dtypes: Tuple[str, ...]
    shape_only: Tuple[int, ...] = ()
    folds: bool = True


TABLE: Dict[str, Emitter] = {}


def emits(
    *names: str,
    dtypes: Tuple[str, ...] = FLOAT,
    shape_only: Tuple[int, ...] = (),
    folds: bool = True,
    table: Dict[str, Emitter] = TABLE,
    **attributes,
) -> Callable:
    """Registers the decorated function for MXNet operators; keywords are their attributes with MXNet's defaults."""

    def register(function: Callable[..., Names]) -> Callable[..., Names]:
        for name in names:
            assert name not in table, f"{name} is in the table of emitters twice"
            table[name] = Emitter(function, attributes, dtypes, shape_only, folds)
        return function

    return register


def lookup(node: Node) -> Optional[Emitter]:
    """The row of a node's operator, or None."""
    return TABLE.get(node.op)


def read_attributes(node: Node, row: Emitter) -> SimpleNamespace:
    """The node's attributes as the row declares them. Refuses one that the row does not know.

    >>> row = Emitter(lambda b, node, a: "", {"kernel": (), "global_pool": False}, FLOAT)
    >>> read_attributes(Node("Pooling", "pool", {"kernel": "3", "global_pool": "1"}), row)
    namespace(kernel=(3,), global_pool=True)
    """
    for key in node.attrs:
        if key not in row.attributes and key not in _MEANINGLESS and not key.startswith("__"):
            raise Refused(f"its attribute {key}={node.attrs[key]} is not known")
    return SimpleNamespace(**{key: _read(node, key, default) for key, default in row.attributes.items()})


def _read(node: Node, key: str, default):
    value = node.get(key, default)
    try:
        if value is None or value == "None":
            return default
        if isinstance(default, bool):
            return bool(value)
        if isinstance(default, tuple):
            return tuple(value) if isinstance(value, (tuple, list)) else (int(value),)
        return value if default is None else type(default)(value)
    except (TypeError, ValueError):
        raise Refused(f"its attribute {key}={node.attrs.get(key)} is no {type(default).__name__}") from None
