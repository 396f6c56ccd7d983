"""Tensors that an ONNX file stores as integers of 8 bits, between QuantizeLinear and DequantizeLinear.

Here such a tensor is one of real numbers, with its scale beside it (`onnx_quantized.py`). What reads the integers of
the file as they are is then right only if it is one of the quantized operators, or moves them without looking at them:
a Relu of integers, or a Cast of them to float, would mean something else.
"""

from .onnx_net import OnnxNet, Op

#: They move or select integers; what they give is stored as their input is.
MOVES = frozenset(
    "Concat DepthToSpace Flatten GlobalMaxPool Identity MaxPool Pad Reshape Resize Slice SpaceToDepth Split Squeeze "
    "Transpose Unsqueeze Upsample".split()
)
#: Their scales depend on the data.
AT_RUN_TIME = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")


def refuse_integers(net: OnnxNet, op: Op) -> None:
    """Refuses what would compute with integers as if they were the real numbers that they stand for."""
    found = [name for name in op.inputs if name in net.stored]
    if not found or op.type in MOVES or op.type.startswith("QLinear") or op.type in ("DequantizeLinear", "QGemm"):
        kinds = {(net.stored.get(name), net.tops[name].qparams) for name in op.inputs if name in net.tops}
        if op.type == "Concat" and found and len(kinds) > 1:
            raise op.error("joins integers of several scales", "accepted are integers of one, or QLinearConcat")
        return
    raise op.error(
        f"reads {found[0]!r}, which is stored as {net.stored[found[0]]}",
        f"accepted for integers are DequantizeLinear, QLinear operators, {', '.join(sorted(MOVES))}",
    )


def pass_integers(net: OnnxNet, op: Op) -> None:
    """What moves integers gives integers."""
    if op.type in MOVES and op.inputs and op.inputs[0] in net.stored:
        net.stored.update(dict.fromkeys(filter(None, op.outputs), net.stored[op.inputs[0]]))
