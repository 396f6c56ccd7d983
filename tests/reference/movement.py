"""The operators that only move integers, in numpy: flatten, reshape, transpose, slice, expand_dims, pad, upsampling."""

from typing import Any, Dict, List, Sequence

import numpy as np


def _channels_first(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    if attrs.get("layout") == "channels_last" and data.ndim > 1:
        return np.ascontiguousarray(np.moveaxis(data, -1, 1))
    return data


def flatten(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    return _channels_first(data, attrs).reshape(len(data), -1)


def reshaped(shape: Sequence[int], codes: Sequence[int]) -> List[int]:
    """What MXNet's special codes stand for, as its documentation of `reshape` has it."""
    source, rest, out = list(shape), list(codes), []
    while rest:
        code = rest.pop(0)
        if code == -2:
            out, source = out + source, []
        elif code == -3:
            out.append(source.pop(0) * source.pop(0))
        elif code == -4:
            whole, left, right = source.pop(0), rest.pop(0), rest.pop(0)
            out += [whole // right if left == -1 else left, whole // left if right == -1 else right]
        elif code == 0:
            out.append(source.pop(0))
        else:
            source = source[1:]
            out.append(code)
    if -1 in out:
        at = out.index(-1)
        out[at] = 1
        # MXNet writes the size at the position that -1 has among the codes. Behind -2 and -4 that is another one.
        among_codes = _position_of_inferred(codes)
        if among_codes < len(out) and out[among_codes] == 1:
            at = among_codes
        out[at] = int(np.prod(shape)) // int(np.prod(out))
    return out


def _position_of_inferred(codes: Sequence[int]) -> int:
    at = 0
    while codes[at] != -1:
        at += 3 if codes[at] == -4 else 1
    return at


def reshape(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    data = _channels_first(data, attrs)
    return data.reshape(reshaped(data.shape, attrs["shape"]))


def transpose(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    return np.ascontiguousarray(np.transpose(data, attrs.get("axes")))


def slice_(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    steps = attrs.get("step") or (None,) * len(attrs["begin"])
    return np.ascontiguousarray(data[tuple(slice(*s) for s in zip(attrs["begin"], attrs["end"], steps))])


def expand_dims(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    return np.expand_dims(data, attrs["axis"])


def pad(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    width = attrs["pad_width"]
    pairs = list(zip(width[::2], width[1::2]))
    mode = attrs.get("mode", "constant")
    options = {"constant_values": attrs.get("value", 0)} if mode == "constant" else {}
    return np.pad(data, pairs, mode=mode, **options)


def upsampling(data: np.ndarray, attrs: Dict[str, Any]) -> np.ndarray:
    first = 1 if attrs.get("layout") == "channels_last" else 2
    return data.repeat(attrs["scale"], axis=first).repeat(attrs["scale"], axis=first + 1)
