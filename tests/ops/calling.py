"""Calls native operators from numpy, with every implementation that they have."""

import contextlib
import unittest
from typing import Any, Callable, Dict, Iterator, List, Sequence

import mxnet as mx
import numpy as np
from hypothesis import strategies as st

import mxq
from mxq.native import library as native

LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}

assert mxq.library_path()  # importing mxq has registered the operators


def nd(array: np.ndarray):
    return mx.nd.array(array, dtype=array.dtype)


def call(op: str, inputs: Sequence[np.ndarray], attrs: Dict[str, Any]) -> List[np.ndarray]:
    out = getattr(mx.nd, op)(*[nd(np.asarray(a)) for a in inputs], **attrs)
    return [o.asnumpy() for o in (out if isinstance(out, list) else [out])]


def check_all(op: str, inputs: Sequence[np.ndarray], attrs: Dict[str, Any], expected: Sequence[np.ndarray]) -> None:
    """Every implementation gives the expected arrays, exactly: types, shapes and values."""
    for backend in native.info()["ops"][op] + ["auto"]:
        try:
            got = call(op, inputs, {**attrs, "backend": backend})
        except mx.MXNetError as error:
            # An implementation may refuse a case, but never the reference, and never all of them.
            assert backend not in ("ref", "auto") and "no implementation applies" in str(error), (backend, attrs, error)
            continue
        assert len(got) == len(expected), (backend, attrs)
        for i, (a, b) in enumerate(zip(got, expected)):
            where = f"output {i}, backend {backend}, {attrs}, inputs {[(x.dtype, x.shape) for x in inputs]}"
            assert a.dtype == b.dtype and a.shape == b.shape, f"{where}: {a.dtype} {a.shape}, not {b.dtype} {b.shape}"
            if not np.array_equal(a, b):
                at = tuple(np.argwhere(a != b)[0])
                raise AssertionError(f"{where}: at {at} {a[at]}, expected {b[at]}; {np.sum(a != b)} values differ")


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Operators use so many threads, and regions that are bound now are planned for them."""
    before = mxq.num_threads()
    mxq.set_num_threads(count)
    try:
        yield
    finally:
        mxq.set_num_threads(before)


def need_vnni() -> None:
    """Skips the test where an implementation for AVX-512 VNNI, asked for by its name, would refuse."""
    if "avx512_vnni" not in native.info()["cpu"]["features"]:
        raise unittest.SkipTest("this processor has no AVX-512 VNNI")


def error_of(body: Callable[[], Any]) -> str:
    """The text of the MXNetError that the call must give."""
    try:
        out = body()
        for array in out if isinstance(out, list) else [out]:
            array.asnumpy()
    except mx.MXNetError as error:
        return str(error)
    raise AssertionError("expected an MXNetError")


@st.composite
def shapes(draw, min_rank: int = 2, max_rank: int = 5) -> tuple:
    """Small shapes of all ranks with odd sizes, and now and then a larger one that fills several tiles."""
    rank = draw(st.integers(min_rank, max_rank))
    if draw(st.integers(0, 7)) == 0 and rank >= 3:
        big = [draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 3, 16, 65, 130]))]
        return tuple(big + [1] * (rank - 3) + [draw(st.sampled_from([17, 255, 256, 300]))])
    return tuple(draw(st.integers(1, 20 if i == 1 else 7)) for i in range(rank))


def integers(rng: np.random.RandomState, dtype: str, shape: Sequence[int]) -> np.ndarray:
    """Values of the whole range of the type, both ends included where there is room."""
    info = np.iinfo(dtype)
    array = rng.randint(info.min, int(info.max) + 1, shape, dtype=np.int64).astype(dtype)
    if array.size > 1:
        array.flat[0], array.flat[-1] = info.min, info.max
    return array


#: Attributes of activations that convolutions fuse.
ACTS = [
    {},
    {"act": "relu"},
    {"act": "clip", "act_alpha": -20.0, "act_beta": 60.0},
    {"act": "leaky", "act_alpha": 0.2},
    {"act": "prelu"},
]


def slopes(rng: np.random.RandomState, attrs: Dict[str, Any], channels: int) -> List[np.ndarray]:
    """The input that act=prelu has, some of its slopes negative and some above 1; else none."""
    return [rng.uniform(-1.2, 1.2, channels).astype(np.float32)] if attrs.get("act") == "prelu" else []


def channels_last(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def channels_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))
