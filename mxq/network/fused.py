"""Symbols that MXNet's oneDNN backend has fused, taken apart again.

``sym.get_backend_symbol('MKLDNN_QUANTIZE')``, which scripts call before they quantize, hides convolutions and fully
connected layers with all that follows them inside ``_sg_mkldnn_conv`` and ``_sg_mkldnn_fully_connected`` nodes. Each
holds the float nodes it replaced, under their own names.
"""

import json
from typing import Dict, Iterator, List, Tuple

from ..errors import GraphError
from .symbol_json import symbol_of

PREFIXES = ("_sg_mkldnn_", "_sg_onednn_")
#: What operators of int8 networks begin with, and who makes them.
QUANTIZED = {
    "mxq_": "mxq",
    "_contrib_quantize": "MXNet",
    "_contrib_dequantize": "MXNet",
    "_contrib_requantize": "MXNet",
}


def inner_names(sym) -> Dict[str, List[str]]:
    """Name of each fused node -> names of the operators inside, the one that gives its output last."""
    found = {}
    for item in json.loads(sym.tojson())["nodes"]:
        if item["op"].startswith(PREFIXES):
            inner = item["subgraphs"][0]
            head = inner["heads"][0][0]
            names = [n["name"] for i, n in enumerate(inner["nodes"]) if n["op"] != "null" and i != head]
            found[item["name"]] = [*names, inner["nodes"][head]["name"]]
    return found


def fuse(sym, backend: str):
    """What MXNet makes of a float symbol, or the symbol itself where its fusion fails."""
    from mxnet.base import MXNetError

    try:
        return sym.get_backend_symbol(backend)
    except MXNetError:
        return sym


def quantized_nodes(raw: dict) -> Iterator[Tuple[str, str, str]]:
    """Name and operator of every node that is int8 in a symbol's JSON, and who made it."""
    for item in raw["nodes"]:
        maker = next((maker for start, maker in QUANTIZED.items() if item["op"].startswith(start)), None)
        if maker:
            yield item["name"], item["op"], maker


def unfuse(sym):
    """The float symbol that was fused; a symbol without fused nodes comes back as it is.

    Raises:
        GraphError: the network is int8 already, or MXNet's fusion has lost a connection (it does for ``x + f(x)`` where
            x is a convolution).
    """
    raw = json.loads(sym.tojson())
    for name, op, maker in quantized_nodes(raw):
        raise GraphError(
            f"node {name!r} is a {op}: this network was quantized already, by {maker}; give the float network that it "
            "was made from"
        )
    if not any(item["op"].startswith(PREFIXES) for item in raw["nodes"]):
        return sym
    nodes: List[dict] = []
    place: Dict[Tuple[int, int], List[int]] = {}  # output of an old node -> output of a new one

    def add(item: dict, inputs: List[List[int]]) -> int:
        nodes.append({**item, "inputs": inputs})
        return len(nodes) - 1

    for old, item in enumerate(raw["nodes"]):
        inputs = [[*_place(place, i, item["name"])[:2], *i[2:]] for i in item["inputs"]]
        if not item["op"].startswith(PREFIXES):
            new = add(item, inputs)
            place.update(((old, k), [new, k]) for k in range(_num_outputs(raw, old)))
            continue
        inner = item["subgraphs"][0]
        if len(inner["arg_nodes"]) != len(inputs):
            raise _broken(item["name"])
        inside = {(i, 0): given for i, given in zip(inner["arg_nodes"], inputs)}
        for i, node in enumerate(inner["nodes"]):
            if i not in inner["arg_nodes"]:
                new = add(node, [[*_place(inside, e, item["name"])[:2], *e[2:]] for e in node["inputs"]])
                inside.update(((i, k), [new, k]) for k in range(_num_outputs(inner, i)))
        place.update(((old, k), _place(inside, head, item["name"])) for k, head in enumerate(inner["heads"]))
    heads = [[*_place(place, h, "an output")[:2], *h[2:]] for h in raw["heads"]]
    variables = [i for i, item in enumerate(nodes) if item["op"] == "null"]
    rows = list(range(len(nodes) + 1))
    return symbol_of({**raw, "nodes": nodes, "arg_nodes": variables, "heads": heads, "node_row_ptr": rows})


def _num_outputs(graph: dict, index: int) -> int:
    return graph["node_row_ptr"][index + 1] - graph["node_row_ptr"][index]


def _place(place: Dict, entry: List[int], name: str) -> List[int]:
    found = place.get((entry[0], entry[1]))
    if found is None:
        raise _broken(name)
    return found


def _broken(name: str) -> GraphError:
    return GraphError(
        f"the symbol was fused by MXNet, which lost a connection of {name!r}; pass the symbol as it was before "
        "get_backend_symbol or optimize_for: mxq fuses by itself"
    )
