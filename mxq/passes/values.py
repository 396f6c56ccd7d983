"""The values of the graph that lowering writes: in which forms each exists, and how a missing one is made.

A value of the source graph exists as float, as the network had it, or as integers, channels first or last. A form that
a reader needs and nobody made yet is made on demand, once. So conversions stand only at the border of the int8
regions, and the layout changes inside them.
"""

import hashlib
from dataclasses import replace
from typing import Dict, Mapping, Optional, Sequence, Tuple

from ..errors import GraphError
from ..network.graph import Graph, Node, Value
from ..network.params import label_inputs
from .forms import Form, integer_input, permutation, representative_range
from .quantize_params import in_qparams

Key = Tuple[int, int]
QUANTIZE, DEQUANTIZE = "mxq_quantize_v2", "mxq_dequantize"


class Values:
    """The graph so far, and its values by those of the source graph."""

    def __init__(self, source: Graph):
        self.source = source
        self.graph = Graph([], [], {}, ())
        self.graph.notes, self.graph.shapes = dict(source.notes), dict(source.shapes)
        self._float: Dict[Key, Form] = {}
        self._ints: Dict[Tuple[int, int, str], Form] = {}
        self._alias: Dict[Key, Key] = {}  # output of a dequantize node -> output of its quantize node
        self._quantize_of: Dict[Key, Node] = {}  # value -> the quantize node that reads it
        self._parts: Dict[str, Value] = {}  # weights for inputs in two parts
        self._halves: Dict[Tuple[int, int], Value] = {}  # whole steps or rests of a tensor in two parts
        self._relaid: Dict[Tuple[int, int, str], Form] = {}  # float values in another layout
        self._copied: Dict[int, Node] = {}  # id of a node that stays float -> its copy
        self._by_id = {id(n): n for n in source.nodes}
        self._uses = source.uses()
        self._labels = label_inputs(source)  # regression heads infer theirs, and only where nothing is known of it

    def q(self, value: Value, layout: str = None, rank: int = None) -> Form:
        """The integers of a quantized value, in `layout` or, without one, as they are."""
        key = self._alias.get(key_of(value), key_of(value))
        order = [layout] if layout else ["last", "first"]
        for wanted in order:
            if key + (wanted,) in self._ints:
                return self._ints[key + (wanted,)]
        present = [self._ints[key + (stored,)] for stored in ("last", "first") if key + (stored,) in self._ints]
        form = present[0] if present else self._quantize(key, layout or "first", rank)
        if form.rank is None and rank is not None:
            form = replace(form, rank=rank)
        if layout and form.layout != layout:
            form = self._relayout(form, layout, value)
        self._ints[key + (form.layout,)] = form
        return form

    def flat(self, value: Value, name: str = None) -> Form:
        """The integers as (N, K) in the order the network has them."""
        form = self.q(value)
        if form.layout == "first" and form.rank == 2:
            return form
        key = self._alias.get(key_of(value), key_of(value)) + ("flat",)
        if key not in self._ints:
            layout = "channels_last" if form.layout == "last" else ""
            node = self.emit("mxq_flatten", name or f"{value.node.name}_flatten", [form.value], {"layout": layout})
            self._ints[key] = self._like(form, node, "first", 2)
        return self._ints[key]

    def rows(self, value: Value) -> Form:
        """The integers in the order the network has them; those of more than 8 bits with both parts along the last
        axis, which is what rows are multiplied along."""
        node = self._by_id.get(self._alias.get(key_of(value), key_of(value))[0])
        if node is None or int(node.get("fine_steps", 1)) == 1:
            return self.q(value, "first")
        key = key_of(node.out())
        if key + ("rows",) not in self._ints:
            self._ints[key + ("rows",)] = self._quantize(key, "rows", None)
        return self._ints[key + ("rows",)]

    def is_float(self, value: Value) -> bool:
        """Whether a unit reads the float value, with no quantize/dequantize pair before it."""
        return value.node.op != DEQUANTIZE

    def real(self, value: Value, layout: str, rank: int) -> Form:
        """The float value in `layout`."""
        form = self._float_form(value, rank)
        if form.layout == layout or rank <= 2:
            return replace(form, layout=layout, rank=rank)
        key = key_of(value) + (layout,)
        if key not in self._relaid:
            axes = permutation(rank, layout)
            node = self.emit("mxq_transpose", f"{value.node.name}_{layout}", [form.value], {"axes": axes})
            self._relaid[key] = Form(node.out(), layout, rank)
        return self._relaid[key]

    def emit(self, op: str, name: str, inputs: Sequence[Value], attrs: Mapping = None) -> Node:
        """A native node; `node` in its attributes names it in errors."""
        node = self.graph.add(op, name, inputs, attrs)
        node.attrs["node"] = node.name
        return node

    def param(self, value: Value) -> Value:
        """A parameter variable of the source graph in the new one, made once."""
        key = key_of(value)
        if key not in self._float:
            new = self.graph.add_param(value.node.name, self.source.params[value.node.name])
            self._float[key] = Form(new, "first")
        return self._float[key].value

    # -- inside --------------------------------------------------------------------------------------------------

    def _half(self, x: Form, which: int, channels: int) -> Value:
        """The whole steps (0) or the rests (1) of a tensor in two parts, channels last."""
        key = id(x.value.node), which
        if key not in self._halves:
            free = (None,) * (x.rank - 1)
            ends = {"begin": (*free, which * channels), "end": (*free, (which + 1) * channels)}
            self._halves[key] = self.emit("mxq_slice", f"{x.value.node.name}_half{which}", [x.value], ends).out()
        return self._halves[key]

    @staticmethod
    def _like(x: Form, node: Node, layout: str, rank: Optional[int]) -> Form:
        return Form(node.out(), layout, rank, x.dtype, x.scale, x.zero_point, x.runtime, x.fine_steps)

    def _quantize(self, key: Key, layout: str, rank: Optional[int]) -> Form:
        node = self._by_id[key[0]]
        source = node.inputs[0]
        shape = self.source.shapes.get((source.node.name, source.index))
        rank = rank or (len(shape) if shape else None)
        moves = layout == "last" and rank is not None and rank > 2
        attrs = {"layout": "channels_last" if moves else "keep", "out_type": node.attrs["out_type"]}
        fine_steps = int(node.get("fine_steps", 1))
        if fine_steps > 1:
            attrs["fine_steps"] = fine_steps
        there = self._float.get(key_of(source))
        stays = moves and there is not None and there.layout == "last"  # its producer wrote channels last already
        if stays:
            attrs["layout"] = "keep"
        if fine_steps > 1 and (stays or layout == "rows"):
            attrs["axis"] = -1
        qparams = in_qparams(node)
        if qparams is not None and qparams == integer_input(source.node):
            return Form(self._as_float(source), "first", rank, qparams.dtype)
        if qparams is not None:
            attrs.update({k: node.attrs[k] for k in ("min_calib_range", "max_calib_range")})
        name = self.graph.unique_name(f"{node.name}_rows") if layout == "rows" else node.name
        new = self.emit(QUANTIZE, name, [there.value if stays else self._as_float(source)], attrs)
        if qparams is None:
            return Form(new.out(), layout, rank, attrs["out_type"], runtime=(new.out(1), new.out(2)))
        return Form(new.out(), layout, rank, qparams.dtype, qparams.scale, qparams.zero_point, fine_steps=fine_steps)

    def _relayout(self, form: Form, layout: str, value: Value) -> Form:
        if form.rank is None:
            raise GraphError(f"the rank of {value} is unknown, so its layout cannot be changed; pass data_shapes")
        if form.rank <= 2:
            return replace(form, layout=layout)
        node = self.emit(
            "mxq_transpose",
            f"{form.value.node.name}_{layout}",
            [form.value],
            {"axes": permutation(form.rank, layout)},
        )
        return replace(form, value=node.out(), layout=layout)

    def _as_float(self, value: Value) -> Value:
        form = self._float_form(value)
        if form.layout == "last":
            key = key_of(value) + ("first",)
            if key not in self._relaid:
                self._relaid[key] = Form(self._float_first(value, form), "first", form.rank)
            form = self._relaid[key]
        return form.value

    def _float_form(self, value: Value, rank: int = None) -> Form:
        """The float value in the layout that it was computed in."""
        key = key_of(value)
        copy = self._copied.get(key[0])
        if copy is None and key not in self._float and value.node.name in self.source.params:
            self.param(value)  # a parameter that is quantized as values are
        if key not in self._float:
            self._float[key] = Form(copy.out(key[1]), "first", rank) if copy else self._dequantize(value, self.q(value))
        return self._float[key]

    def _dequantize(self, value: Value, form: Form) -> Form:
        moves = form.layout == "last" and (form.rank is None or form.rank > 2)
        attrs = {"layout": "channels_first" if moves else "keep"}
        inputs = [form.value]
        if form.runtime is not None:
            attrs["ranges"] = "tensor"
            inputs += list(form.runtime)
        else:
            lo, hi = representative_range(form.qparams)
            attrs.update(min_calib_range=lo, max_calib_range=hi)
        base = value.node.inputs[0].node.inputs[0].node if value.node.op == DEQUANTIZE else value.node
        return Form(self.emit(DEQUANTIZE, f"{base.name}_dequantize", inputs, attrs).out(), "first", form.rank)

    def _float_first(self, value: Value, form: Form) -> Value:
        if form.rank is None or form.rank <= 2:
            return form.value
        axes = permutation(form.rank, "first")
        return self.emit("mxq_transpose", f"{value.node.name}_first", [form.value], {"axes": axes}).out()

    def _content_id(self, values: Sequence[Value]) -> str:
        """Tells parameters apart even where memory is reused: the native cache of packed weights keys on it."""
        digest = hashlib.sha1()
        for value in values:
            digest.update(self.graph.params[value.node.name].tobytes())
        return digest.hexdigest()[:16]


def key_of(value: Value) -> Key:
    return id(value.node), value.index
