"""The verbs with which the rows of the op table (`mxq/ops`) write native operators."""

from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from ..arithmetic.parts import weights_in_parts
from ..arithmetic.qmath import QMAX, QMIN, QParams, dequantize, quantize
from ..network.graph import Node, Value
from ..ops import Unit
from ..ops.fuse import FLATTEN, LIMIT, read_chain
from ..ops.unary import evaluate
from .forms import Form
from .quantize_params import in_qparams
from .values import Values, key_of


class Writing(Values):
    """Emits a unit's operator: with integers or float on either side, as its neighbours need."""

    def writes_float(self, unit: Unit) -> bool:
        """Whether nobody reads integers from the unit."""
        return self._out_qparams(unit) is None

    def is_quantized(self, unit: Unit) -> bool:
        """Whether somebody reads integers from the unit, whatever their range."""
        return any(key_of(value) in self._quantize_of for value in unit.outputs)

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
        last, key = unit.nodes[-1], key_of(unit.output)
        if last.op not in FLATTEN:
            return
        quantize_node = self._quantize_of.get(key)
        floats = self._float.pop(key, None)
        found = [floats] if floats else []
        for alias in [key] + ([key_of(quantize_node.out())] if quantize_node else []):
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
            self._float[key_of(unit.outputs[output or 0])] = form
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
        self._float[key_of(unit.output)] = Form(value, layout, rank)

    def _in_parts(self, weight: Value, fine_steps: int) -> Value:
        """Weights for both halves of the channels: the second half counts parts of a step."""
        name = f"{weight.node.name}_parts"
        if name not in self.graph.params:
            whole = self.source.params[weight.node.name]
            self._parts[name] = self.graph.add_param(name, weights_in_parts(whole, fine_steps))
        return self._parts[name]

    def _finish(self, unit: Unit, node: Node, out: Optional[QParams], layout: str, rank: Optional[int]) -> None:
        if out is None:
            self._float[key_of(unit.output)] = Form(node.out(), layout, rank)
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
        quantize_node = self._quantize_of.get(key_of(unit.output))
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
            self._float[key_of(unit.output)] = Form(node.out(), layout, rank)
        else:
            self._set(unit, Form(node.out(), layout, rank, out_type, runtime=(node.out(1), node.out(2))))

    def _set(self, unit: Unit, form: Form, output: int = 0) -> None:
        """Registers integers as the unit's output: of its quantize node, and of the value itself for float readers."""
        value = unit.outputs[output]
        quantize_node = self._quantize_of.get(key_of(value))
        for key in [key_of(value)] + ([key_of(quantize_node.out())] if quantize_node else []):
            self._ints[key + (form.layout,)] = form

    def _out_qparams(self, unit: Unit) -> Optional[QParams]:
        """Of what the unit writes; None for float, also where a node of its own makes finer integers of that."""
        node = self._quantize_of.get(key_of(unit.output))
        return None if node is None or node.get("fine_steps", 1) > 1 else in_qparams(node)

    def _out_range(self, unit: Unit) -> Optional[QParams]:
        """Of the integers that everybody reads, whoever makes them; None if somebody reads float."""
        node = self._quantize_of.get(key_of(unit.output))
        readers = self._uses.get(key_of(unit.output), [])
        return None if node is None or any(use.node is not node for use in readers) else in_qparams(node)
