"""Local response normalization across channels (AlexNet, GoogLeNet)."""

from typing import Optional

from ..network.graph import Graph, Node
from .spec import MERGE, OpSpec, Unit, activations, alone, register

#: Attribute -> MXNet's default. Ranges are those of mxq_lrn.
_DEFAULTS = {"nsize": 0, "alpha": 1e-4, "beta": 0.75, "knorm": 2.0}


def _attrs(node: Node) -> dict:
    return {key: type(default)(node.get(key, default)) for key, default in _DEFAULTS.items()}


def refuse_lrn(node: Node, graph: Graph) -> Optional[str]:
    attrs = _attrs(node)
    if attrs["nsize"] < 1 or attrs["nsize"] % 2 == 0:
        return f"nsize {attrs['nsize']}; odd numbers have an int8 form"
    if attrs["alpha"] < 0 or not 1e-30 <= attrs["knorm"] <= 1e30:
        return f"alpha {attrs['alpha']}, knorm {attrs['knorm']}; alpha of 0 or more and knorm above 0 have an int8 form"
    if abs(attrs["beta"]) > 16:
        return f"beta {attrs['beta']}; -16 to 16 have an int8 form"
    return None


def lower_lrn(lowering, unit: Unit) -> None:
    value = unit.inputs[0]
    x = lowering.real(value, "last", 4) if lowering.is_float(value) else lowering.q(value, "last", 4)
    attrs = _attrs(unit.head)
    if x.dtype != "float32":
        attrs.update(in_scale=x.scale, in_zero_point=x.zero_point)
    lowering.combine("mxq_lrn", unit, [x], attrs, "last", 4)


register(
    OpSpec(
        name="local response normalization",
        mx_names=("LRN",),
        kind=MERGE,
        native=("mxq_lrn",),
        refuse=refuse_lrn,
        grow=alone,
        inputs=activations,
        lower=lower_lrn,
        reads_float=True,
        note="what a convolution computes is read without rounding it in between",
    )
)
