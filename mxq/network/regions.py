"""Regions: several int8 operators as one node, and back.

A node ``mxq_region`` holds its operators as text in the attribute ``graph``, which src_ops/ops/region.h describes. The
same text read back gives the nodes again: :func:`expand_regions`.
"""

import hashlib
from typing import Dict, List, Mapping, NamedTuple, Sequence, Set, Tuple

import numpy as np

from ..errors import GraphError
from .graph import VARIABLE, Graph, Node, Value
from .names import unused

REGION = "mxq_region"
#: Attribute of the identity node that carries an output's name out of a region with several outputs.
OUTPUT = "__mxq_output__"

_ESCAPES = (("%", "%25"), ("\t", "%09"), ("\n", "%0A"))


#: Packed parameters begin at multiples of so many bytes.
ALIGN = 64
#: Bytes of the digest behind them (BLAKE2b).
DIGEST_BYTES = 16
#: Types that a packed parameter can have.
PACKED_DTYPES = ("int8", "uint8", "int32", "float32")


class PackedParam(NamedTuple):
    """A parameter in the last input of a region.

    Attributes:
        name: of the variable that it was.
        dtype, shape: of the array.
        offset: in bytes, a multiple of `ALIGN`.
    """

    name: str
    dtype: str
    shape: Tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """In bytes."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def of(self, array: np.ndarray) -> np.ndarray:
        """The parameter's part of the array that holds it, a view."""
        return array[self.offset : self.offset + self.size].view(self.dtype).reshape(self.shape)


class Line(NamedTuple):
    """One operator of a region.

    Attributes:
        op, name, attrs: as of a Node.
        inputs: ``(None, i)`` is input `i` of the region or, from the number of its inputs on, a packed parameter;
            ``(line, i)`` is output `i` of another line.
    """

    op: str
    name: str
    attrs: Dict[str, str]
    inputs: List[Tuple[object, int]]


def pack(params: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, List[PackedParam]]:
    """One int8 vector that holds arrays and behind them a digest of all its bytes, and where each array is.

    >>> vector, (w, b) = pack({"w": np.int8([[1, 2]]), "b": np.int32([7])})
    >>> len(vector), w, b.of(vector)
    (144, PackedParam(name='w', dtype='int8', shape=(1, 2), offset=0), array([7], dtype=int32))
    """
    packed: List[PackedParam] = []
    end = 0
    for name, array in params.items():
        packed.append(PackedParam(name, array.dtype.name, tuple(array.shape), -(-end // ALIGN) * ALIGN))
        end = packed[-1].offset + packed[-1].size
    end = -(-end // ALIGN) * ALIGN
    vector = np.zeros(end + DIGEST_BYTES, np.int8)
    for param in packed:
        param.of(vector)[:] = params[param.name]
    seal(vector)
    return vector, packed


def seal(vector: np.ndarray) -> str:
    """Writes the digest of packed parameters behind them; returns it as `digest_of` does."""
    digest = hashlib.blake2b(vector[:-DIGEST_BYTES].tobytes(), digest_size=DIGEST_BYTES).digest()
    vector[-DIGEST_BYTES:] = np.frombuffer(digest, np.int8)
    return digest.hex()


def digest_of(vector: np.ndarray) -> str:
    """The digest that packed parameters carry, in hexadecimal digits."""
    return vector[-DIGEST_BYTES:].tobytes().hex()


def encode(
    nodes: Sequence[Node],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    packed: Sequence[Tuple[Value, PackedParam]] = (),
    digest: str = "",
) -> Dict[str, str]:
    """The attributes of a region node that computes `outputs` of `nodes` from `inputs`.

    Args:
        nodes: in topological order; everything they read is among them, `inputs` or `packed`.
        inputs: what the region reads, in the order of its inputs, without the packed parameters.
        outputs: values of `nodes`, in the order of the region's outputs.
        packed: variables whose arrays are in the input behind `inputs`, with their places there.
        digest: of that input, as `digest_of` has it. The native library compares it with the parameters that it runs
            with. Without one every byte of them is read whenever the host may have replaced them.
    """
    line_of = {id(node): i for i, node in enumerate(nodes)}
    num_inputs = len(inputs) + bool(packed)
    input_of = {(id(v.node), v.index): i for i, v in enumerate(inputs)}
    input_of.update(((id(v.node), v.index), num_inputs + i) for i, (v, _) in enumerate(packed))

    def reference(value: Value) -> str:
        if id(value.node) not in line_of:
            return f"i{input_of[id(value.node), value.index]}"
        return f"{line_of[id(value.node)]}" + (f":{value.index}" if value.index else "")

    lines = []
    for node in nodes:
        fields = [node.op, _escaped(node.name), " ".join(reference(v) for v in node.inputs)]
        fields += [f"{key}={_escaped(text)}" for key, text in sorted(node.attrs.items()) if key != "node"]
        lines.append("\t".join(fields))
    text = "\n".join(lines)
    attrs = {"num_inputs": str(num_inputs), "graph": text, "outputs": " ".join(reference(v) for v in outputs)}
    if packed:
        attrs["packed"] = "\n".join(
            "\t".join((_escaped(p.name), p.dtype, "x".join(map(str, p.shape)), str(p.offset))) for _, p in packed
        )
    if digest:
        attrs["digest"] = digest
    attrs["content_id"] = hashlib.sha1("\n".join(attrs.values()).encode()).hexdigest()[:16]
    return attrs


def decode(node: Node) -> Tuple[List[Line], List[Tuple[int, int]]]:
    """The operators of a region node, and its outputs as ``(line, output)``.

    Raises:
        GraphError: text that `encode` did not write.
    """
    try:
        lines = []
        for text in node.attrs["graph"].split("\n"):
            op, name, inputs, *attrs = text.split("\t")
            pairs = (item.split("=", 1) for item in attrs)
            values = {key: _unescaped(value) for key, value in pairs}
            lines.append(Line(op, _unescaped(name), values, [_value(v) for v in inputs.split(" ")]))
        outputs = [_value(v) for v in node.attrs["outputs"].split(" ")]
    except (KeyError, ValueError, IndexError) as error:
        raise GraphError(f"region {node.name!r} cannot be read ({error!r}); make the network again") from error
    count = len(node.inputs) + len(packed_params(node))
    for place, (line, index) in [(i, v) for i, row in enumerate(lines) for v in row.inputs] + [
        (len(lines), v) for v in outputs
    ]:
        if index >= count if line is None else line >= place:
            raise GraphError(f"region {node.name!r}: line {place} reads what is not there; make the network again")
    return lines, outputs


def packed_params(node: Node) -> List[PackedParam]:
    """The parameters in the last input of a region node, in the order in which its operators count them.

    Raises:
        GraphError: text that `encode` did not write.
    """
    try:
        found = []
        for text in filter(None, node.attrs.get("packed", "").split("\n")):
            name, dtype, shape, offset = text.split("\t")
            if dtype not in PACKED_DTYPES:
                raise ValueError(f"type {dtype}")
            found.append(PackedParam(_unescaped(name), dtype, tuple(map(int, shape.split("x"))), int(offset)))
        return found
    except ValueError as error:
        raise GraphError(
            f"the packed parameters of region {node.name!r} cannot be read ({error!r}); make the network again"
        ) from error


def expand_regions(graph: Graph) -> Graph:
    """The graph with every region as the operators it consists of, and their parameters, under their own names.

    >>> graph = expand_regions(Graph.from_symbol(model.symbol, model.arg_params))  # doctest: +SKIP

    Args:
        graph: any stage; stays as it is.

    Returns:
        a new Graph that computes the same, integer for integer. A graph without regions comes as a copy.

    Raises:
        GraphError: a region whose text cannot be read.
    """
    graph = graph.copy()
    taken = {n.name for n in graph.nodes if n.op != REGION and OUTPUT not in n.attrs}
    nodes: List[Node] = []
    moved: Dict[Tuple[int, int], Value] = {}
    for node in graph.nodes:
        node.inputs = [moved.get((id(v.node), v.index), v) for v in node.inputs]
        if node.op == REGION:
            made: List[Node] = []
            lines, outputs = decode(node)
            values = node.inputs + _unpacked(graph, node, taken, nodes)
            for line in lines:
                name = unused(line.name, taken)
                inputs = [values[i] if at is None else made[at].out(i) for at, i in line.inputs]
                made.append(Node(line.op, name, {**line.attrs, "node": name}, inputs))
            nodes += made
            moved.update(((id(node), k), made[at].out(i)) for k, (at, i) in enumerate(outputs))
        elif OUTPUT in node.attrs:
            moved[id(node), 0] = node.inputs[0]
        else:
            nodes.append(node)
    graph.nodes = nodes
    graph.outputs = [moved.get((id(v.node), v.index), v) for v in graph.outputs]
    graph.sort()
    graph.prune()
    return graph


def _unpacked(graph: Graph, region: Node, taken: Set[str], nodes: List[Node]) -> List[Value]:
    """Variables for a region's packed parameters, with their arrays if the graph has them. Adds to `taken`, `nodes`."""
    values = []
    for param in packed_params(region):
        name = unused(param.name, taken)
        nodes.append(Node(VARIABLE, name))
        array = graph.param_of(region.inputs[-1])
        if array is not None:
            graph.params[name] = param.of(array)
        values.append(nodes[-1].out())
    return values


def _value(text: str) -> Tuple[object, int]:
    if text.startswith("i"):
        return None, int(text[1:])
    line, _, index = text.partition(":")
    return int(line), int(index or 0)


def _escaped(text: str) -> str:
    for plain, code in _ESCAPES:
        text = text.replace(plain, code)
    return text


def _unescaped(text: str) -> str:
    for plain, code in reversed(_ESCAPES):
        text = text.replace(code, plain)
    return text
