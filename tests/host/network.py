"""A saved int8 network without MXNet: its symbol and parameters read from their files, its operators run by the host.

Operators that are MXNet's own (a softmax behind the last int8 operator) are left out; one in the middle is an error.
"""

import json
import struct
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from . import abi

_LIST_MAGIC, _ARRAY_MAGICS = 0x112, (0xF993FAC9, 0xF993FACA)


def read_params(path: str) -> Dict[str, np.ndarray]:
    """Arrays of a ``.params`` file by plain names (the layout is NDArray::Save of MXNet 1.x; dense arrays only)."""
    arrays: List[np.ndarray] = []
    with open(path, "rb") as file:

        def take(layout: str) -> tuple:
            return struct.unpack(layout, file.read(struct.calcsize(layout)))

        magic, _, count = take("<QQQ")
        if magic != _LIST_MAGIC:
            raise ValueError(f"{path} does not begin as a parameter file")
        for _ in range(count):
            magic, storage, rank = take("<Iii")
            if magic not in _ARRAY_MAGICS or storage != 0 or rank < 1:
                raise ValueError(f"{path} holds an array that is not dense or of an old format")
            shape = take(f"<{rank}q")
            _, _, flag = take("<iii")
            dtype = np.dtype(abi.NAMES[flag])
            data = file.read(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
            arrays.append(np.frombuffer(data, dtype).reshape(shape))
        (count,) = take("<Q")
        names = [file.read(take("<Q")[0]).decode() for _ in range(count)]
    return {name.partition(":")[2] or name: array for name, array in zip(names, arrays)}


class _Step:
    """An operator of the network with its state and its arrays."""

    def __init__(self, state: abi.State, inputs: Sequence[abi.Array], outputs: Sequence[abi.Array]) -> None:
        self.state, self.inputs, self.outputs = state, inputs, outputs

    def run(self) -> None:
        self.state.forward(self.inputs, self.outputs)


class Network:
    """A network bound to a device and a shape of its data, with every array allocated once."""

    def __init__(self, library: abi.Library, device: Any, prefix: str, data: np.ndarray, epoch: int = 0) -> None:
        with open(f"{prefix}-symbol.json") as file:
            graph = json.load(file)
        params = read_params(f"{prefix}-{epoch:04d}.params")
        self.device = device
        self.steps: List[_Step] = []
        self._buffers: List[Any] = []
        values: Dict[Tuple[int, int], Any] = {}
        skipped = set()
        for i, node in enumerate(graph["nodes"]):
            inputs = [(item[0], item[1]) for item in node["inputs"]]
            if node["op"] == "null":
                if node["name"] in params:
                    values[i, 0] = self._keep(device.put(params[node["name"]]))
                elif node["name"] == "data":
                    self.data = values[i, 0] = self._keep(device.put(data))
            elif not node["op"].startswith("mxq_"):
                skipped.add(i)
            elif any(source in skipped for source, _ in inputs):
                raise ValueError(f"{node['name']} reads what an operator of MXNet's own computes; the host has none")
            else:
                self._add(library, node, [values[key] for key in inputs], values, i)
        self.outputs = [self._last(key, graph, values) for key in ((h[0], h[1]) for h in graph["heads"])]

    def _keep(self, buffer: Any) -> Any:
        self._buffers.append(buffer)
        return buffer

    def _add(self, library: abi.Library, node: dict, inputs: List[Any], values: Dict, index: int) -> None:
        attrs = {k: v for k, v in node.get("attrs", {}).items() if not k.startswith("__")}
        bound = library.operators[node["op"]].bind(attrs)
        types, shapes = [b.dtype for b in inputs], [b.shape for b in inputs]
        _, out_types = bound.infer_types(types)
        _, out_shapes = bound.infer_shapes(shapes)
        outputs = [self._keep(self.device.empty(t, s)) for t, s in zip(out_types, out_shapes)]
        state = bound.create_state(self.device, types, shapes)
        self.steps.append(_Step(state, [b.array for b in inputs], [b.array for b in outputs]))
        values.update({(index, k): buffer for k, buffer in enumerate(outputs)})

    def _last(self, key: Tuple[int, int], graph: dict, values: Dict) -> Any:
        """What the int8 operators before an output compute."""
        while key not in values:
            source = graph["nodes"][key[0]]["inputs"][0]
            key = (source[0], source[1])
        return values[key]

    def forward(self) -> None:
        """Launches all operators; does not wait for them."""
        for step in self.steps:
            step.run()
