"""Turns ``dequantize -> float unit -> quantize`` into one int8 operator that reads and writes integers.

The walk visits nodes in order and keeps, for every value, the forms it exists in: float as the network had it, integers
channels-first or channels-last. A form that a reader needs and nobody made yet is made on demand, once. So conversions
stand only at the border of the int8 regions, and the layout changes inside them.

Which lowering an operator has stands in its row of the op table (`mxq/ops`); this file only offers the verbs they use.
It is one class, and long, because all verbs share the state of the walk.
"""

import hashlib
from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..arithmetic.qmath import QMAX, QMIN, QParams, dequantize, quantize
from ..errors import GraphError
from ..network.attributes import attr_text
from ..network.graph import Graph, Node, Value
from ..network.params import label_inputs
from ..ops import UNIT, Unit
from ..ops.fuse import FLATTEN, LIMIT, read_chain
from ..ops.unary import evaluate
from .annotate import units
from .forms import Form, integer_input, permutation, representative_range
from .quantize_params import in_qparams

Key = Tuple[int, int]
QUANTIZE, DEQUANTIZE = "mxq_quantize_v2", "mxq_dequantize"


def lower(graph: Graph) -> Graph:
    """Returns the graph with every unit as one native operator; input: the graph after `quantize_params`."""
    return Lowering(graph).run()


class Lowering:
    """One walk. The methods without underscore are what the rows of the op table call."""

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

    def run(self) -> Graph:
        last_of = {id(u.output.node): u for u in units(self.source)}
        for node in self.source.nodes:
            if node.op == QUANTIZE:
                self._quantize_of[_key(node.inputs[0])] = node
        for node in self.source.nodes:
            if node.op == DEQUANTIZE and node.inputs[0].node.op == QUANTIZE:
                self._alias[_key(node.out())] = _key(node.inputs[0])
            elif UNIT in node.attrs:
                if id(node) in last_of:
                    unit = last_of[id(node)]
                    unit.spec.lower(self, unit)
            elif node.op not in (QUANTIZE, DEQUANTIZE):
                self._copy(node)
        self.graph.outputs = [self._as_float(v) for v in self.source.outputs]
        self._name_outputs()
        self.graph.sort()
        self.graph.prune()
        return self.graph

    # -- reading -------------------------------------------------------------------------------------------------

    def q(self, value: Value, layout: str = None, rank: int = None) -> Form:
        """The integers of a quantized value, in `layout` or, without one, as they are."""
        key = self._alias.get(_key(value), _key(value))
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
        key = self._alias.get(_key(value), _key(value)) + ("flat",)
        if key not in self._ints:
            layout = "channels_last" if form.layout == "last" else ""
            node = self.emit("mxq_flatten", name or f"{value.node.name}_flatten", [form.value], {"layout": layout})
            self._ints[key] = self._like(form, node, "first", 2)
        return self._ints[key]

    def is_float(self, value: Value) -> bool:
        """Whether a unit reads the float value, with no quantize/dequantize pair before it."""
        return value.node.op != DEQUANTIZE

    def writes_float(self, unit: Unit) -> bool:
        """Whether nobody reads integers from the unit."""
        return self._out_qparams(unit) is None

    def is_quantized(self, unit: Unit) -> bool:
        """Whether somebody reads integers from the unit, whatever their range."""
        return any(_key(value) in self._quantize_of for value in unit.outputs)

    def is_read_as_it_is(self, node: Node) -> bool:
        """Whether a float operator or the network's user reads the node."""
        readers = [u.node for u in self._uses.get((id(node), 0), [])]
        return any(r is None or (UNIT not in r.attrs and r.op not in (QUANTIZE, DEQUANTIZE)) for r in readers)

    def real(self, value: Value, layout: str, rank: int) -> Form:
        """The float value in `layout`."""
        form = self._float_form(value, rank)
        if form.layout == layout or rank <= 2:
            return replace(form, layout=layout, rank=rank)
        key = _key(value) + (layout,)
        if key not in self._relaid:
            axes = permutation(rank, layout)
            node = self.emit("mxq_transpose", f"{value.node.name}_{layout}", [form.value], {"axes": axes})
            self._relaid[key] = Form(node.out(), layout, rank)
        return self._relaid[key]

    # -- writing -------------------------------------------------------------------------------------------------

    def emit(self, op: str, name: str, inputs: Sequence[Value], attrs: Mapping = None) -> Node:
        """A native node; `node` in its attributes names it in errors."""
        node = self.graph.add(op, name, inputs, attrs)
        node.attrs["node"] = node.name
        return node

    def weighted(self, op: str, unit: Unit, x: Form, attrs: Dict, layout: str, rank: int) -> None:
        """Emits a convolution or fully connected operator with the unit's weights, activation and sum."""
        head, chain = unit.head, read_chain(unit.nodes, unit.head, self.source)
        weight, weight_scale = head.inputs[1].node.inputs
        if x.fine_steps > 1 and int(head.get("num_group", 1)) > 1:
            self._weighted_part_by_part(op, unit, x, attrs, layout, rank)
            return
        weight = self._in_parts(weight, x.fine_steps) if x.fine_steps > 1 else self.param(weight)
        weight_scale = self.param(weight_scale)
        inputs = [x.value, weight, weight_scale]
        attrs = {**attrs, "no_bias": len(head.inputs) < 3, "in_scale": x.scale, "in_zero_point": x.zero_point}
        if x.runtime is not None:
            self._weighted_at_run_time(op, unit, x, inputs, attrs, layout, rank)
            return
        if len(head.inputs) > 2:
            inputs.append(self.param(head.inputs[2].node.inputs[0]))
        if chain.slope is not None:
            inputs.append(self.param(chain.slope))
        attrs["content_id"] = self._content_id(inputs[1:])
        attrs.update(chain.attrs)
        residual, late = chain.residual, None
        limits = chain.limits if chain.limits is not None and self._limits_show(unit, chain.limits, attrs) else None
        if limits is not None and attrs.get("sum") == "after_act":
            residual, late = None, chain.residual
            del attrs["sum"]
        in_float = residual is not None and self.is_float(residual)
        if residual is not None:
            inputs.append(self._residual(residual, attrs, layout, rank))
        if limits is not None:
            self._write_limited(op, unit, inputs, attrs, limits, layout, rank, late)
        elif in_float:
            self._write_float(op, unit, inputs, attrs, layout, rank)
        else:
            self._write(op, unit, inputs, attrs, layout, rank)

    def in_float(self, op: str, unit: Unit, forms: List[Form], attrs: Dict, layout: str, rank: int) -> None:
        """Emits an operator that reads and writes float."""
        self._write_float(op, unit, [f.value for f in forms], attrs, layout, rank)

    def rescale(self, op: str, unit: Unit, x: Form, attrs: Dict, layout: str, rank: int) -> None:
        """Emits an operator that reads one tensor and writes in a scale of its own, or float."""
        if x.runtime is not None:
            attrs = {
                **attrs,
                "in_scale": 1.0,
                "in_zero_point": x.zero_point,
                "out_type": x.dtype,
                "out_scale": 1.0,
                "out_zero_point": x.zero_point,
            }
            node = self.emit(op, unit.name, [x.value], attrs)
            self._set(unit, self._like(x, node, layout, rank))
            return
        attrs = {**attrs, "in_scale": x.scale, "in_zero_point": x.zero_point}
        self._write(op, unit, [x.value], attrs, layout, rank)

    def flatten_output(self, unit: Unit) -> None:
        """Brings what was emitted for the unit into (N, K), if a Flatten ends the unit."""
        last, key = unit.nodes[-1], _key(unit.output)
        if last.op not in FLATTEN:
            return
        quantize_node = self._quantize_of.get(key)
        floats = self._float.pop(key, None)
        found = [floats] if floats else []
        for alias in [key] + ([_key(quantize_node.out())] if quantize_node else []):
            found += [self._ints.pop(alias + (k,)) for k in ("first", "last") if alias + (k,) in self._ints]
        x = found[0]
        layout = "channels_last" if x.layout == "last" else ""
        form = self._like(x, self.emit("mxq_flatten", last.name, [x.value], {"layout": layout}), "first", 2)
        if floats:
            self._float[key] = form
        else:
            self._set(unit, form)

    def combine(
        self,
        op: str,
        unit: Unit,
        forms: List[Form],
        attrs: Dict,
        layout: str,
        rank: Optional[int],
        *,
        params: Sequence[Value] = (),
        limits=None,
    ) -> None:
        """Emits an operator of several tensors with rescaling; `params` are inputs behind them, `limits` per channel
        hold behind it."""
        inputs = [f.value for f in forms] + list(params)
        if limits is not None and self._limits_show(unit, limits, attrs):
            self._write_limited(op, unit, inputs, attrs, limits, layout, rank)
        else:
            self._write(op, unit, inputs, attrs, layout, rank)

    def select(
        self, op: str, unit: Unit, x: Form, attrs: Dict, layout: str, rank: Optional[int], *, output: int = None
    ) -> None:
        """Emits an operator whose output has the scale of its input, or is float as that is; `output` is which one of
        the unit it computes."""
        name = unit.name if output is None else f"{unit.name}_{output}"
        form = self._like(x, self.emit(op, name, [x.value], attrs), layout, rank)
        if form.dtype == "float32":
            self._float[_key(unit.outputs[output or 0])] = form
        else:
            self._set(unit, form, output or 0)

    def pass_through(self, unit: Unit, form: Form) -> None:
        """Says that the unit's output is this form already."""
        self._set(unit, form)

    def table(self, unit: Unit, x: Form) -> None:
        """Emits the 256-entry table of the unit's function."""
        levels = np.arange(256, dtype=np.int64) + QMIN[x.dtype]
        result = evaluate(list(unit.nodes), self.source, dequantize(levels, x.qparams))
        out = self._out_qparams(unit)
        table = result.astype(np.float32) if out is None else quantize(result, out)
        entry = self.graph.add_param(f"{unit.name}_table", table)
        attrs = {"in_type": x.dtype}
        if table.ndim == 2:
            attrs["axis"] = -1 if x.layout == "last" else 1
        layout = x.layout
        if x.value.node.is_variable and x.rank in (3, 4):  # raw pixels on their way to a convolution
            attrs["layout"], layout = "channels_last", "last"
        node = self.emit("mxq_lut", unit.name, [x.value, entry], attrs)
        self._finish(unit, node, out, layout, x.rank)

    def param(self, value: Value) -> Value:
        """A parameter variable of the source graph in the new one, made once."""
        key = _key(value)
        if key not in self._float:
            new = self.graph.add_param(value.node.name, self.source.params[value.node.name])
            self._float[key] = Form(new, "first")
        return self._float[key].value

    # -- inside --------------------------------------------------------------------------------------------------

    def _write(self, op: str, unit: Unit, inputs: List[Value], attrs: Dict, layout: str, rank: Optional[int]) -> None:
        out = self._out_qparams(unit)
        if out is None:
            attrs = {**attrs, "out_type": "float32"}
        else:
            attrs = {**attrs, "out_type": out.dtype, "out_scale": out.scale, "out_zero_point": out.zero_point}
        self._finish(unit, self.emit(op, unit.name, inputs, attrs), out, layout, rank)

    def _write_float(self, op, unit: Unit, inputs: List[Value], attrs: Dict, layout: str, rank: int) -> None:
        """The output is float even where it is quantized afterwards, by a node of its own."""
        self._finish(unit, self.emit(op, unit.name, inputs, {**attrs, "out_type": "float32"}), None, layout, rank)

    def _limits_show(self, unit: Unit, limits: Value, attrs: Mapping) -> bool:
        """Whether limits per channel change what the unit writes: not where its integers end before them."""
        out = self._out_range(unit)
        if out is None or attrs.get("sum") == "after_act":
            return True
        return bool((quantize(self.source.params[limits.node.name], out) < QMAX[out.dtype]).any())

    def _write_limited(self, op, unit: Unit, inputs, attrs: Dict, limits: Value, layout: str, rank: int, late=None):
        """The operator in float, the limits, and a sum that comes after them."""
        value = self.emit(op, unit.name, inputs, {**attrs, "out_type": "float32"}).out()
        array = self.source.params[limits.node.name].reshape(-1)
        shape = (1, array.size) + (1,) * (rank - 2) if layout == "first" else (1,) * (rank - 1) + (array.size,)
        param = self.graph.add_param(limits.node.name, array.reshape(shape))
        value = self.graph.add(LIMIT, f"{unit.name}_limited", [value, param]).out()
        if late is not None:
            value = self.graph.add(
                "elemwise_add", f"{unit.name}_sum", [value, self.real(late, layout, rank).value]
            ).out()
        self._float[_key(unit.output)] = Form(value, layout, rank)

    def _in_parts(self, weight: Value, fine_steps: int) -> Value:
        """Weights for both halves of the channels: the second half counts parts of a step."""
        name = f"{weight.node.name}_parts"
        if name not in self.graph.params:
            whole = self.source.params[weight.node.name]
            rest = _round_sums(whole / np.float64(fine_steps)).astype(np.int8)
            self._parts[name] = self.graph.add_param(name, np.concatenate([whole, rest], axis=1))
        return self._parts[name]

    def _finish(self, unit: Unit, node: Node, out: Optional[QParams], layout: str, rank: Optional[int]) -> None:
        if out is None:
            self._float[_key(unit.output)] = Form(node.out(), layout, rank)
        else:
            self._set(unit, Form(node.out(), layout, rank, out.dtype, out.scale, out.zero_point))

    def _weighted_part_by_part(self, op: str, unit: Unit, x: Form, attrs: Dict, layout: str, rank: int) -> None:
        """A grouped convolution of whole steps, with bias and residual, and one of the rests on top: the parts of a
        group do not lie side by side."""
        head, chain = unit.head, read_chain(unit.nodes, unit.head, self.source)
        weights = [self.param(v) for v in head.inputs[1].node.inputs]
        channels = self.source.params[weights[0].node.name].shape[1] * int(head.get("num_group"))
        bias = [self.param(head.inputs[2].node.inputs[0])] if len(head.inputs) > 2 else []
        content = self._content_id([*weights, *bias])
        attrs = {**attrs, "in_zero_point": x.zero_point, "out_type": "float32"}
        whole = {**attrs, "in_scale": x.scale, "no_bias": not bias, "content_id": content}
        inputs = [self._half(x, 0, channels), *weights, *bias]
        if chain.residual is not None:
            inputs.append(self._residual(chain.residual, whole, layout, rank))
            whole["sum"] = chain.attrs["sum"]
        steps = self.emit(op, f"{unit.name}_whole", inputs, whole).out()
        slope = [] if chain.slope is None else [self.param(chain.slope)]
        rest = {**attrs, "in_scale": x.scale / x.fine_steps, "no_bias": True}
        rest.update({key: value for key, value in chain.attrs.items() if key != "sum"}, sum="before_act")
        rest["content_id"] = self._content_id([*weights, *slope])
        inputs = [self._half(x, 1, channels), *weights, *slope, steps]
        if chain.limits is not None and self._limits_show(unit, chain.limits, rest):
            self._write_limited(op, unit, inputs, rest, chain.limits, layout, rank)
        else:
            self._write_float(op, unit, inputs, rest, layout, rank)

    def _half(self, x: Form, which: int, channels: int) -> Value:
        """The whole steps (0) or the rests (1) of a tensor in two parts, channels last."""
        key = id(x.value.node), which
        if key not in self._halves:
            free = (None,) * (x.rank - 1)
            ends = {"begin": (*free, which * channels), "end": (*free, (which + 1) * channels)}
            self._halves[key] = self.emit("mxq_slice", f"{x.value.node.name}_half{which}", [x.value], ends).out()
        return self._halves[key]

    def _residual(self, value: Value, attrs: Dict, layout: str, rank: int) -> Value:
        """What an operator adds, float or integers; their scale goes into its attributes."""
        if self.is_float(value):
            return self.real(value, layout, rank).value
        form = self.q(value, layout, rank)
        attrs.update(sum_scale=form.scale, sum_zero_point=form.zero_point)
        return form.value

    def _weighted_at_run_time(self, op, unit, x, inputs, attrs, layout, rank) -> None:
        """int32 sums, then a requantize node that finds the range of what was computed."""
        head = unit.head
        attrs = {**attrs, "no_bias": True, "in_scale": 1.0, "out_type": "int32"}
        attrs["content_id"] = self._content_id(inputs[1:])
        sums = self.emit(op, unit.name, inputs, attrs)
        rest = [sums.out(), *x.runtime, inputs[2]]
        if len(head.inputs) > 2:
            rest.append(self.param(head.inputs[2]))
        quantize_node = self._quantize_of.get(_key(unit.output))
        out_type = "float32" if quantize_node is None else quantize_node.attrs["out_type"]
        node = self.emit(
            "mxq_requantize",
            f"{unit.name}_requantize",
            rest,
            {
                "ranges": "tensor",
                "in_type": x.dtype,
                "no_bias": len(head.inputs) < 3,
                "act": "relu" if len(unit.nodes) > 1 else "none",
                "out_type": out_type,
            },
        )
        if quantize_node is None:
            self._float[_key(unit.output)] = Form(node.out(), layout, rank)
        else:
            self._set(unit, Form(node.out(), layout, rank, out_type, runtime=(node.out(1), node.out(2))))

    def _set(self, unit: Unit, form: Form, output: int = 0) -> None:
        """Registers integers as the unit's output: of its quantize node, and of the value itself for float readers."""
        value = unit.outputs[output]
        quantize_node = self._quantize_of.get(_key(value))
        for key in [_key(value)] + ([_key(quantize_node.out())] if quantize_node else []):
            self._ints[key + (form.layout,)] = form

    def _out_qparams(self, unit: Unit) -> Optional[QParams]:
        """Of what the unit writes; None for float, also where a node of its own makes finer integers of that."""
        node = self._quantize_of.get(_key(unit.output))
        return None if node is None or node.get("fine_steps", 1) > 1 else in_qparams(node)

    def _out_range(self, unit: Unit) -> Optional[QParams]:
        """Of the integers that everybody reads, whoever makes them; None if somebody reads float."""
        node = self._quantize_of.get(_key(unit.output))
        readers = self._uses.get(_key(unit.output), [])
        return None if node is None or any(use.node is not node for use in readers) else in_qparams(node)

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
        there = self._float.get(_key(source))
        stays = moves and there is not None and there.layout == "last"  # its producer wrote channels last already
        if stays:
            attrs["layout"] = "keep"
            attrs.update({"axis": -1} if fine_steps > 1 else {})
        qparams = in_qparams(node)
        if qparams is not None and qparams == integer_input(source.node):
            return Form(self._as_float(source), "first", rank, qparams.dtype)
        if qparams is not None:
            attrs.update({k: node.attrs[k] for k in ("min_calib_range", "max_calib_range")})
        new = self.emit(QUANTIZE, node.name, [there.value if stays else self._as_float(source)], attrs)
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
            key = _key(value) + ("first",)
            if key not in self._relaid:
                self._relaid[key] = Form(self._float_first(value, form), "first", form.rank)
            form = self._relaid[key]
        return form.value

    def _float_form(self, value: Value, rank: int = None) -> Form:
        """The float value in the layout that it was computed in."""
        key = _key(value)
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

    def _copy(self, node: Node) -> None:
        if node.is_variable:
            if node.name in self.source.params and not self.is_read_as_it_is(node):
                return
            new = Node(node.op, node.name, node.attrs, (), node.subgraphs)
            self.graph.nodes.append(new)
            if node.name in self.source.params:
                self.graph.params[node.name] = self.source.params[node.name]
                if node.name in self.source.aux:
                    self.graph.aux.add(node.name)
            elif (node.name, 0) in self.source.shapes and node.name not in self._labels:
                # A known rank with unknown sizes: without it MXNet writes past a buffer where an extension operator
                # meets this input during shape inference without data.
                new.attrs.setdefault("__shape__", attr_text((0,) * len(self.source.shapes[node.name, 0])))
        elif self._is_there_already(node):
            self._float[_key(node.out())] = replace(self._float_form(node.inputs[0]), layout="first")
            return
        else:
            new = Node(node.op, node.name, node.attrs, [self._as_float(v) for v in node.inputs], node.subgraphs)
            self.graph.nodes.append(new)
        self._copied[id(node)] = new

    def _is_there_already(self, node: Node) -> bool:
        """Whether a float transpose to channels last, as heads of detectors have it, reads what is channels last."""
        if node.op != "transpose" or _key(node.inputs[0]) not in self._float:
            return False
        form = self._float_form(node.inputs[0])
        rank = form.rank or 0
        return form.layout == "last" and rank > 2 and tuple(node.get("axes", ())) == permutation(rank, "last")

    def _content_id(self, values: Sequence[Value]) -> str:
        """Tells parameters apart even where memory is reused: the native cache of packed weights keys on it."""
        digest = hashlib.sha1()
        for value in values:
            digest.update(self.graph.params[value.node.name].tobytes())
        return digest.hexdigest()[:16]

    def _name_outputs(self) -> None:
        """The symbol's outputs keep their names: whatever now computes one takes its node's name."""
        by_name = {n.name: n for n in self.graph.nodes}
        for old, new in zip(self.source.outputs, self.graph.outputs):
            while old.node.op in (QUANTIZE, DEQUANTIZE):
                old = old.node.inputs[0]
            name, node = old.node.name, new.node
            if node.name == name or node.is_variable:
                continue
            holder = by_name.get(name)
            if holder is not None:
                holder.name = self.graph.unique_name(f"{name}_int8")
                by_name[holder.name] = holder
            node.name = name
            by_name[name] = node
            for renamed in (node, holder):
                if renamed is not None and "node" in renamed.attrs:
                    renamed.attrs["node"] = renamed.name


def _round_sums(weight: np.ndarray) -> np.ndarray:
    """Rounds to nearest, but for as many as it takes to get the sum of each output channel right.

    Rests are never negative: times weights whose errors have a mean they would shift the output.
    """
    rows = weight.reshape(len(weight), -1)
    rounded = np.rint(rows)
    missing = np.rint((rows - rounded).sum(axis=1)).astype(int)
    for row, (count, error) in enumerate(zip(missing, rows - rounded)):
        chosen = np.argsort(-error * np.sign(count), kind="stable")[: abs(count)]
        rounded[row, chosen] += np.sign(count)
    return rounded.reshape(weight.shape)


def _key(value: Value) -> Key:
    return id(value.node), value.index
