"""One case against the library: it answers with the integers of the reference, or refuses with words."""

import random
from typing import Any, Dict, List, Optional

import numpy as np

from ..host import abi, devices
from . import hostile
from .corpus import Call

_MOST = 1 << 22  # bytes of an output that is computed


class Finding(Exception):
    """An answer that is wrong."""


class Operators:
    """Calls with other attributes, shapes, types and numbers of arrays."""

    def __init__(
        self, library: abi.Library, corpus: List[Call], implementations: Dict[str, List[str]], regions: bool
    ) -> None:
        self.library, self.implementations = library, implementations
        self.calls = [call for call in corpus if (call.op == "mxq_region") == regions]
        self.known = {
            op: sorted({key for call in self.calls if call.op == op for key in call.attrs}) or ["node"]
            for op in library.operators
        }

    def case(self, seed: int) -> str:
        """Runs one case; says what came of it."""
        rng = random.Random(seed)
        call = rng.choice(self.calls)
        kind = rng.random()
        call = call._replace(arrays=tuple(map(lambda a: self._values(rng, call, a), call.arrays)))
        if kind < 0.15:
            return self.run(call, rng)
        if call.op == "mxq_region" and kind < 0.9:
            attrs = dict(call.attrs)
            key = rng.choice(["graph", "graph", "graph", "packed", "outputs", "num_inputs"])
            attrs[key] = hostile.text(rng, attrs.get(key, ""))
            if rng.random() < 0.7:
                attrs.pop("digest", None)  # whoever changes the text can change that
            call = call._replace(attrs=attrs)
        elif kind < 0.65:
            call = call._replace(attrs=hostile.attributes(rng, call.attrs, self.known[call.op]))
        if kind > 0.55:
            call = hostile.reshaped(rng, call)
        return self.run(call, rng)

    @staticmethod
    def _values(rng: random.Random, call: Call, array: np.ndarray) -> np.ndarray:
        packed = call.op == "mxq_region" and array.ndim == 1 and array.dtype == np.int8
        return array if packed or rng.random() < 0.3 else hostile.fresh(rng, array)

    def run(self, call: Call, rng: random.Random) -> str:
        attrs = dict(call.attrs)
        try:
            reference = self._answer(call, {**attrs, "backend": "ref"}, rng)
        except abi.HostError as error:
            if not str(error).split(": ", 1)[-1].strip():
                raise Finding(f"refused without words: {call.op} {attrs}") from None
            reference, refusal = None, str(error)
        backends = ["auto"] + ([rng.choice(self.implementations[call.op])] if rng.random() < 0.4 else [])
        for backend in backends:
            try:
                answer = self._answer(call, {**attrs, "backend": backend}, rng)
            except abi.HostError as error:
                named = "backend=" in attrs.get("graph", "")  # one that the reference does not look at
                if reference is not None and backend == "auto" and "digest" not in str(error) and not named:
                    raise Finding(
                        f"{backend} refuses what the reference computes: {error}; {call.op} {attrs}"
                    ) from None
                continue
            if answer is None or reference is None:
                if reference is None and answer is not None and "out of memory" not in refusal:
                    raise Finding(f"{backend} computes what the reference refuses: {refusal}; {call.op} {attrs}")
                continue
            self._compare(call, attrs, backend, reference, answer)
        return "refused" if reference is None else "computed"

    def _compare(self, call: Call, attrs: Dict[str, str], backend: str, expected: List[Any], got: List[Any]) -> None:
        for k, (a, b) in enumerate(zip(expected, got)):
            if np.array_equal(a, b, equal_nan=a.dtype == np.float32):
                continue
            # oneDNN computes a few values of an output stage one level apart; float32 differs in the last digits.
            difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
            near = np.isclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True) if a.dtype == np.float32 else difference <= 1
            few = np.count_nonzero(difference) <= max(2, difference.size // 50)
            if np.all(near) and (few or a.dtype == np.float32) and call.op in _BY_ONEDNN:
                continue
            shapes = [(str(x.dtype), x.shape) for x in call.arrays]
            raise Finding(
                f"{backend} differs from the reference in {np.count_nonzero(difference)} of {a.size} values of output "
                f"{k}, by {difference.max()}: {call.op} {attrs} {shapes}"
            )

    def _answer(self, call: Call, attrs: Dict[str, str], rng: random.Random) -> Optional[List[np.ndarray]]:
        """Outputs; None where types and shapes are accepted and the arrays are too large to run."""
        device = devices.Cpu()
        node = self.library.operators[call.op].bind(attrs)
        arrays = call.arrays
        types, shapes = [str(a.dtype) for a in arrays], [a.shape for a in arrays]
        if len(arrays) != node.num_in:
            node.num_in = len(arrays)  # as a file would have it: the library has to notice
        _, out_types = node.infer_types(types)
        _, out_shapes = node.infer_shapes(shapes)
        sizes = [float(np.prod([float(d) for d in shape])) for shape in [*shapes, *out_shapes]]
        if max(sizes, default=0) * 4 > _MOST or sum(sizes) * 4 > 4 * _MOST or self._work(call, out_shapes) > 3e7:
            if max(sizes) < 2**26:  # kernels have tables for each place along an axis
                with node.create_state(device, types, shapes):
                    pass
            return None
        inputs = [device.put(a) for a in arrays]
        outputs = [device.empty(t, s) for t, s in zip(out_types, out_shapes)]
        with node.create_state(device, types, shapes) as state:
            state.forward([b.array for b in inputs], [b.array for b in outputs])
        for buffer in inputs + outputs:
            buffer.check()
        return [b.numpy() for b in outputs]

    @staticmethod
    def _work(call: Call, out_shapes: Any) -> float:
        """Products that the reference computes, about."""
        if call.op not in ("mxq_conv", "mxq_fully_connected"):
            return 0.0
        weight = call.arrays[1].shape
        return float(np.prod([float(d) for d in out_shapes[0]])) * float(np.prod([float(d) for d in weight[1:]]))


_BY_ONEDNN = ("mxq_conv", "mxq_fully_connected", "mxq_region")
