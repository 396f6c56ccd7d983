"""The C functions of MXNet's extension interface (``lib_api.h``, version 11) from the host's side, by ctypes.

What MXNet does with an operator, in this order: it reads the registrations once; for each node it has the attributes
parsed, types and shapes inferred and a state created for a context; for each forward it passes pointers, shapes, types,
versions and contexts of all arrays, two allocators and the CUDA stream. All of it goes through this file.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

MXNET_VERSION = 10901
LIBRARY_VERSION = 11
#: MXNet's type flags.
FLAGS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
NAMES = {flag: name for name, flag in FLAGS.items()}
Shape = Tuple[int, ...]
Malloc = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_int)


class HostError(Exception):
    """An operator refused or failed, with the text that MXNet would show."""


class Array(NamedTuple):
    """Memory on a device as an operator sees it."""

    pointer: int
    dtype: str
    shape: Shape
    version: int = 1


def _strings(texts: Sequence[str]) -> Any:
    return (c_char_p * max(len(texts), 1))(*[text.encode() for text in texts])


class Library:
    """A loaded extension library and the operators that it registers."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lib = ctypes.CDLL(path)
        for name in ("_opRegGet", "_opCallFree", "_opCallDestroyOpState", "_msgGet"):
            getattr(self.lib, name).restype = None
        if self.lib._opVersion() != LIBRARY_VERSION:
            raise HostError(f"{path} has interface version {self.lib._opVersion()}; expected {LIBRARY_VERSION}")
        if not self.lib.initialize(MXNET_VERSION):
            raise HostError(f"{path} does not initialize: {self.message()}")
        self.operators: Dict[str, Operator] = {}
        for i in range(self.lib._opRegSize()):
            operator = Operator(self, i)
            self.operators[operator.name] = operator

    def message(self) -> str:
        texts = []
        for i in range(self.lib._msgSize()):
            text = c_char_p()
            self.lib._msgGet(i, byref(text))
            texts.append((text.value or b"").decode())
        return "\n".join(texts)

    def check(self, status: int, what: str) -> None:
        if not status:
            raise HostError(f"{what}: {self.message()}")


class Operator:
    """One registration: the callbacks it was made with, and the contexts that it has states for."""

    def __init__(self, library: Library, index: int) -> None:
        self.library = library
        name = c_char_p()
        is_subgraph, forwards, backwards, creators = c_int(), c_int(), c_int(), c_int()
        contexts = POINTER(c_char_p)()
        create = POINTER(c_void_p)()
        unused = [c_void_p() for _ in range(4)]
        self.parse_fn, self.type_fn, self.stype_fn, self.shape_fn, mutate = (c_void_p() for _ in range(5))
        library.lib._opRegGet(
            index,
            byref(name),
            byref(is_subgraph),
            byref(unused[0]),
            byref(unused[1]),
            byref(forwards),
            byref(unused[2]),
            byref(unused[3]),
            byref(backwards),
            byref(contexts),
            byref(create),
            byref(creators),
            byref(self.parse_fn),
            byref(self.type_fn),
            byref(self.stype_fn),
            byref(self.shape_fn),
            byref(mutate),
        )
        self.name = (name.value or b"").decode()
        self.create = {contexts[i].decode(): create[i] for i in range(creators.value)}
        # What MXNet asks of a stateful operator; it refuses to register others.
        assert self.parse_fn.value and self.type_fn.value and self.shape_fn.value and self.create, self.name
        assert not forwards.value and not is_subgraph.value, self.name

    def bind(self, attrs: Dict[str, Any]) -> "Node":
        return Node(self, attrs)


class Node:
    """An operator with attributes, as MXNet keeps them: strings."""

    def __init__(self, operator: Operator, attrs: Dict[str, Any]) -> None:
        self.operator = operator
        self.attrs = {key: str(value) for key, value in attrs.items() if value is not None}
        self._keys, self._values = _strings(list(self.attrs)), _strings(list(self.attrs.values()))
        num_in, num_out = c_int(-1), c_int(-1)
        status = self._lib._opCallParseAttrs(
            operator.parse_fn, self._keys, self._values, len(self.attrs), byref(num_in), byref(num_out)
        )
        operator.library.check(status, f"parsing the attributes of {operator.name}")
        self.num_in, self.num_out = num_in.value, num_out.value

    @property
    def _lib(self) -> ctypes.CDLL:
        return self.operator.library.lib

    def infer_types(self, types: Sequence[str]) -> Tuple[List[str], List[str]]:
        """Types of inputs ('' where unknown) and outputs."""
        ins = (c_int * max(self.num_in, 1))(*[FLAGS[t] if t else -1 for t in types])
        outs = (c_int * max(self.num_out, 1))(*[-1] * self.num_out)
        status = self._lib._opCallInferType(
            self.operator.type_fn, self._keys, self._values, len(self.attrs), ins, self.num_in, outs, self.num_out
        )
        self.operator.library.check(status, f"inferring the types of {self.operator.name}")
        return [NAMES.get(t, "") for t in ins[: self.num_in]], [NAMES.get(t, "") for t in outs[: self.num_out]]

    def infer_shapes(self, shapes: Sequence[Shape]) -> Tuple[List[Shape], List[Shape]]:
        """Shapes of inputs (-1 for an unknown dimension) and outputs."""
        dims, ndims = _dims(shapes, c_uint)
        mod_dims, out_dims = POINTER(POINTER(c_uint))(), POINTER(POINTER(c_uint))()
        mod_ndims, out_ndims = POINTER(c_int)(), POINTER(c_int)()
        status = self._lib._opCallInferShape(
            self.operator.shape_fn,
            self._keys,
            self._values,
            len(self.attrs),
            dims,
            ndims,
            self.num_in,
            byref(mod_dims),
            byref(mod_ndims),
            byref(out_dims),
            byref(out_ndims),
            self.num_out,
        )
        self.operator.library.check(status, f"inferring the shapes of {self.operator.name}")
        return self._take(mod_dims, mod_ndims, self.num_in), self._take(out_dims, out_ndims, self.num_out)

    def _take(self, dims: Any, ndims: Any, count: int) -> List[Shape]:
        """Reads what the library allocated and gives it back, as MXNet does."""
        shapes = [tuple(dims[i][j] for j in range(ndims[i])) for i in range(count)]
        for i in range(count):
            self._lib._opCallFree(dims[i])
        self._lib._opCallFree(dims)
        self._lib._opCallFree(ndims)
        return shapes

    def create_state(self, device: Any, types: Sequence[str], shapes: Sequence[Shape]) -> "State":
        if device.context not in self.operator.create:
            raise HostError(f"{self.operator.name} has no state for context {device.context}")
        dims, ndims = _dims(shapes, c_uint)
        flags = (c_int * max(len(types), 1))(*[FLAGS[t] for t in types])
        state = c_void_p()
        status = self._lib._opCallCreateOpState(
            c_void_p(self.operator.create[device.context]),
            self._keys,
            self._values,
            len(self.attrs),
            device.context.encode(),
            device.index,
            dims,
            ndims,
            len(shapes),
            flags,
            byref(state),
        )
        self.operator.library.check(status, f"creating the state of {self.operator.name}")
        return State(self.operator, device, state)


class State:
    """One node of one executor."""

    def __init__(self, operator: Operator, device: Any, pointer: c_void_p) -> None:
        self.operator, self.device, self.pointer = operator, device, pointer

    def __enter__(self) -> "State":
        return self

    def __exit__(self, *unused: Any) -> None:
        if self.pointer:
            self.operator.library.lib._opCallDestroyOpState(self.pointer)
            self.pointer = c_void_p()

    def forward(self, inputs: Sequence[Array], outputs: Sequence[Array], is_forward: bool = True) -> None:
        """Runs the operator on memory of the device, on the device's stream; does not wait for it."""
        ins, outs = _Arguments(inputs, self.device), _Arguments(outputs, self.device)
        # As in MXNet: every request within one forward gets the same temporary space.
        on_cpu = Malloc(lambda _, size: self.device.host_workspace(size))
        on_gpu = Malloc(lambda _, size: self.device.workspace(size))
        nothing = c_void_p()
        status = self.operator.library.lib._opCallFStatefulCompute(
            int(is_forward),
            self.pointer,
            *ins.leading,
            *outs.leading,
            on_cpu,
            nothing,
            on_gpu,
            nothing,
            c_void_p(self.device.stream),
            nothing,
            nothing,
            ins.storage,
            outs.storage,
            *[nothing] * 10,
        )
        self.operator.library.check(status, f"running {self.operator.name}")


class _Arguments:
    def __init__(self, arrays: Sequence[Array], device: Any) -> None:
        n = max(len(arrays), 1)
        shapes, ndims = _dims([a.shape for a in arrays], c_int64)
        self.leading = (
            shapes,
            ndims,
            (c_void_p * n)(*[a.pointer for a in arrays]),
            (c_int * n)(*[FLAGS[a.dtype] for a in arrays]),
            (c_size_t * n)(*[a.version for a in arrays]),
            _strings([device.context] * len(arrays)),
            (c_int * n)(*[device.index] * len(arrays)),
            len(arrays),
        )
        self.storage = (c_int * n)(*[0] * len(arrays))


def _dims(shapes: Sequence[Shape], kind: Any) -> Tuple[Any, Any]:
    rows = [(kind * max(len(shape), 1))(*[d % 2**32 if kind is c_uint else d for d in shape]) for shape in shapes]
    pointers = (POINTER(kind) * max(len(shapes), 1))(*[ctypes.cast(row, POINTER(kind)) for row in rows])
    pointers.rows = rows  # kept alive with the pointers
    return pointers, (c_int * max(len(shapes), 1))(*[len(shape) for shape in shapes])


def call(device: Any, library: Library, op: str, arrays: Sequence[np.ndarray], attrs: Dict[str, Any]) -> List[Any]:
    """One operator on numpy arrays by way of the device: the buffers of its outputs."""
    if op not in library.operators:
        raise HostError(f"{library.path} has no operator {op}")
    node = library.operators[op].bind(attrs)
    if len(arrays) != node.num_in:
        raise HostError(f"{op} takes {node.num_in} inputs; given are {len(arrays)}")
    types = [str(a.dtype) for a in arrays]
    shapes = [a.shape for a in arrays]
    _, out_types = node.infer_types(types)
    _, out_shapes = node.infer_shapes(shapes)
    inputs = [device.put(a) for a in arrays]
    outputs = [device.empty(t, s) for t, s in zip(out_types, out_shapes)]
    with node.create_state(device, types, shapes) as state:
        state.forward([b.array for b in inputs], [b.array for b in outputs])
        device.synchronize()
        if getattr(device, "take_fault", None):
            device.take_fault(library)
    for buffer in inputs + outputs:
        buffer.check()
    return outputs
