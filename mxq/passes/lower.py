"""Turns ``dequantize -> float unit -> quantize`` into one int8 operator that reads and writes integers.

The walk visits nodes in order. Which lowering an operator has stands in its row of the op table (`mxq/ops`); the verbs
that the rows use are in `writing.py`, the forms in which values exist in `values.py`.
"""

from dataclasses import replace

from ..network.attributes import attr_text
from ..network.graph import Graph, Node
from ..ops import UNIT
from .annotate import units
from .forms import permutation
from .values import DEQUANTIZE, QUANTIZE, key_of
from .writing import Writing


def lower(graph: Graph) -> Graph:
    """Returns the graph with every unit as one native operator; input: the graph after `quantize_params`."""
    return Lowering(graph).run()


class Lowering(Writing):
    """One walk."""

    def run(self) -> Graph:
        last_of = {id(u.output.node): u for u in units(self.source)}
        for node in self.source.nodes:
            if node.op == QUANTIZE:
                self._quantize_of[key_of(node.inputs[0])] = node
        for node in self.source.nodes:
            if node.op == DEQUANTIZE and node.inputs[0].node.op == QUANTIZE:
                self._alias[key_of(node.out())] = key_of(node.inputs[0])
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

    def is_read_as_it_is(self, node: Node) -> bool:
        """Whether a float operator or the network's user reads the node."""
        readers = [u.node for u in self._uses.get((id(node), 0), [])]
        return any(r is None or (UNIT not in r.attrs and r.op not in (QUANTIZE, DEQUANTIZE)) for r in readers)

    # -- inside --------------------------------------------------------------------------------------------------

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
            self._float[key_of(node.out())] = replace(self._float_form(node.inputs[0]), layout="first")
            return
        else:
            new = Node(node.op, node.name, node.attrs, [self._as_float(v) for v in node.inputs], node.subgraphs)
            self.graph.nodes.append(new)
        self._copied[id(node)] = new

    def _is_there_already(self, node: Node) -> bool:
        """Whether a float transpose to channels last, as heads of detectors have it, reads what is channels last."""
        if node.op != "transpose" or key_of(node.inputs[0]) not in self._float:
            return False
        form = self._float_form(node.inputs[0])
        rank = form.rank or 0
        return form.layout == "last" and rank > 2 and tuple(node.get("axes", ())) == permutation(rank, "last")

    def _name_outputs(self) -> None:
        """The symbol's outputs keep their names: whatever now computes one takes its node's name."""
        by_name = {n.name: n for n in self.graph.nodes}
        for old, new in zip(self.source.outputs, self.graph.outputs):
            while old.node.op in (QUANTIZE, DEQUANTIZE):
                old = old.node.inputs[0]
            name, node = old.node.name, new.node
            if node.name == name or node.is_variable or old.node.is_variable:  # inputs have the names that data has
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
