"""A scale, a shift and an activation with parameters for each channel, where no layer can take them along.

    BatchNorm -> PReLU        PReLU alone, behind a pooling, a concat or a sum that no layer adds        BatchNorm alone

A table would hold 256 entries a channel and read 8 bits; `mxq_affine` holds two or three numbers a channel and reads
what a layer computes without rounding it. Without a PReLU a table it stays, unless its input is float anyway
(``activation_bits=11``): integers that networks have stay what they were.
"""

from typing import Dict, List, NamedTuple, Optional

import numpy as np

from ..network.graph import Graph, Node, Value
from .fuse import native_activation
from .spec import UNARY, OpSpec, Unit, activations, alone, register

_SCALARS = {
    "_mul_scalar": lambda scale, shift, s: (scale * s, shift * s),
    "_div_scalar": lambda scale, shift, s: (scale / s, shift / s),
    "_plus_scalar": lambda scale, shift, s: (scale, shift + s),
    "_minus_scalar": lambda scale, shift, s: (scale, shift - s),
}


class Affine(NamedTuple):
    """What a cone computes: ``act(x * scale + shift)``, float64 per channel, the activation as native attributes."""

    scale: np.ndarray
    shift: np.ndarray
    act: Dict[str, object]
    slope: Optional[Value]


def affine_of(nodes: List[Node], graph: Graph) -> Optional[Affine]:
    """What these nodes are as a scale, a shift and an activation per channel; None where they are something else.

    Args:
        nodes: a function of one value, in topological order.
        graph: with the shape of that value.
    """
    source = activations(nodes, graph)[0]
    shape = graph.shapes.get((source.node.name, source.index), ())
    if len(shape) < 2 or shape[1] < 1:
        return None
    scale, shift, act, slope = np.ones(shape[1]), np.zeros(shape[1]), {}, None
    for node in nodes:
        own = [v for v in node.inputs if graph.param_of(v) is None]
        if act or own != [source]:
            return None  # nothing follows the activation, and every node reads the one before it
        source = node.out()
        if node.op in ("BatchNorm", "BatchNorm_v1"):
            moments = _batchnorm(node, graph)
            if moments is None or moments[0].size != shape[1]:
                return None
            scale, shift = scale * moments[0], shift * moments[0] + moments[1]
        elif node.op in _SCALARS:
            scale, shift = _SCALARS[node.op](scale, shift, float(node.get("scalar", 0)))
        else:
            act = native_activation(node, graph)
            if act is None:
                return None
            slope = node.inputs[1] if act["act"] == "prelu" else None
            if slope is not None and graph.param_of(slope).size != shape[1]:
                return None
    limit = np.finfo(np.float32).max
    return Affine(scale, shift, act, slope) if max(np.abs(scale).max(), np.abs(shift).max()) < limit else None


def _batchnorm(node: Node, graph: Graph) -> Optional[tuple]:
    """Scale and shift of a BatchNorm on axis 1, float64; None where they do not follow from parameters."""
    arrays = [graph.param_of(v) for v in node.inputs[1:]]
    if len(arrays) != 4 or any(a is None for a in arrays) or int(node.get("axis", 1)) != 1:
        return None
    gamma, beta, mean, var = (np.asarray(a, np.float64).reshape(-1) for a in arrays)
    with np.errstate(all="ignore"):
        scale = (np.ones_like(gamma) if node.get("fix_gamma", True) else gamma) / np.sqrt(
            var + float(node.get("eps", 1e-3))
        )
        shift = beta - mean * scale
    return (scale, shift) if np.isfinite(scale).all() and np.isfinite(shift).all() else None


def has_slopes(nodes: List[Node], graph: Graph) -> bool:
    """Whether these nodes end in a PReLU with a slope for each channel and are otherwise a scale and a shift."""
    found = affine_of(nodes, graph)
    return found is not None and found.slope is not None


def lower_affine(lowering, unit: Unit) -> None:
    """Emits `mxq_affine` for a unit that `affine_of` knows, on integers or on float, as the unit reads."""
    value = unit.inputs[0]
    rank = len(lowering.source.shapes[unit.output.node.name, unit.output.index])
    affine = affine_of(list(unit.nodes), lowering.source)
    x = lowering.real(value, "last", rank) if lowering.is_float(value) else lowering.q(value, "last", rank)
    params = [
        lowering.graph.add_param(f"{unit.name}_affine_{name}", array.astype(np.float32))
        for name, array in (("scale", affine.scale), ("shift", affine.shift))
    ]
    if affine.slope is not None:
        params.append(lowering.param(affine.slope))
    attrs = dict(affine.act)
    if x.dtype != "float32":
        attrs.update(in_scale=x.scale, in_zero_point=x.zero_point)
    lowering.combine("mxq_affine", unit, [x], attrs, "last", rank, params=params)


AFFINE_SPEC = register(
    OpSpec(
        name="affine",
        mx_names=(),
        kind=UNARY,
        native=("mxq_affine",),
        refuse=lambda node, graph: None,
        grow=alone,
        inputs=lambda nodes, graph: activations(nodes, graph)[:1],
        lower=lower_affine,
        reads_float=True,
        note="PReLU per channel, also behind a BatchNorm, where no layer is in front of it; BatchNorm with 11 bits",
    )
)
