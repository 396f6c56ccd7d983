"""Changes to a right call that a file could hold: of attributes, shapes, types, and of the text of a region."""

import random
from typing import Any, Dict, List

import numpy as np

from .corpus import Call

NUMBERS = [
    "0", "1", "-1", "2", "3", "7", "64", "127", "128", "255", "256", "-128", "-129", "1000", "65536", "1048576",
    "1048577", "2147483647", "2147483648", "-2147483648", "4294967295", "4294967296", "1099511627776",
    "3689348814741910336",
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551616", "1e-45", "1e-38",
    "1e38", "3.4e38", "1e300", "0.5", "-0.5", "nan", "inf", "-inf", "0x10", "", "()", "None", "1e", "--1",
]  # fmt: skip
WORDS = [
    "True", "False", "none", "int8", "uint8", "int32", "float32", "float16", "tensor", "channel", "channels_last",
    "channels_first", "keep", "max", "avg", "valid", "full", "same", "constant", "edge", "reflect", "relu", "clip",
    "leaky", "prelu", "before_act", "after_act",
]  # fmt: skip
DIMS = [0, 1, 1, 2, 3, 4, 5, 7, 8, 16, 17, 63, 64, 65, 255, 256, 2**16, 2**20, 2**31 - 1, 2**31, 2**32 - 2]
DTYPES = ["int8", "uint8", "int32", "float32"]


def value_like(rng: random.Random, text: str) -> str:
    """Another value of an attribute: one number of a tuple, a word, or anything."""
    kind = rng.random()
    if kind < 0.5 and text.startswith("("):
        items = [item for item in text.strip("()").split(",") if item.strip()]
        change = rng.randrange(4)
        if change == 0 or not items:
            items.insert(rng.randint(0, len(items)), rng.choice(NUMBERS))
        elif change == 1:
            del items[rng.randrange(len(items))]
        else:
            items[rng.randrange(len(items))] = rng.choice(NUMBERS + ["1", "2", "3", "4"])
        return "(" + ",".join(items) + ("," if len(items) == 1 else "") + ")"
    return rng.choice(NUMBERS + WORDS) if kind < 0.8 else str(rng.randint(-4, 12))


def attributes(rng: random.Random, attrs: Dict[str, str], known: List[str]) -> Dict[str, str]:
    attrs = dict(attrs)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        change = rng.random()
        if change < 0.7 and attrs:
            key = rng.choice(sorted(attrs))
            attrs[key] = value_like(rng, attrs[key])
        elif change < 0.8 and attrs:
            del attrs[rng.choice(sorted(attrs))]
        else:
            key = rng.choice(known)
            attrs[key] = value_like(rng, "(1, 1)" if rng.random() < 0.5 else "1")
    return attrs


def shape(rng: random.Random, old: Any) -> tuple:
    dims = list(old)
    change = rng.random()
    if change < 0.7 and dims:
        dims[rng.randrange(len(dims))] = rng.choice(DIMS)
    elif change < 0.85:
        dims.insert(rng.randint(0, len(dims)), rng.choice([0, 1, 2, 3]))
    elif dims:
        del dims[rng.randrange(len(dims))]
    return tuple(dims)


def text(rng: random.Random, old: str) -> str:
    """The text of a region with some of it changed: numbers, references, fields, lines, single characters."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        lines = old.split("\n")
        at = rng.randrange(len(lines))
        fields = lines[at].split("\t")
        change = rng.random()
        if change < 0.45 and len(fields) > 3:
            i = rng.randrange(3, len(fields))
            key, _, value = fields[i].partition("=")
            fields[i] = f"{key}={value_like(rng, value)}"
        elif change < 0.6 and len(fields) > 2:
            refs = fields[2].split(" ")
            refs[rng.randrange(len(refs))] = rng.choice(
                ["i0", "i1", "i2", "i99", "0", "1", "2", "0:1", "5", "16777217"]
            )
            if rng.random() < 0.2:
                refs.append(rng.choice(refs))
            fields[2] = " ".join(refs)
        elif change < 0.7:
            fields[rng.randrange(len(fields))] = rng.choice(
                NUMBERS + WORDS + ["6x3x3x3", "0x1", "9999999999x9999999999"]
            )
        elif change < 0.8:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
        elif change < 0.87 and len(lines) > 1:
            lines[at], lines[at - 1] = lines[at - 1], lines[at]
            fields = lines[at].split("\t")
        elif old:
            i = rng.randrange(len(old))
            old = old[:i] + chr(rng.choice([9, 10, 32, 37, 45, 48, 57, 58, 61, 105, 120, 255])) + old[i + 1 :]
            continue
        if at < len(lines):
            lines[at] = "\t".join(fields)
        old = "\n".join(lines)
    return old


def fresh(rng: random.Random, array: np.ndarray) -> np.ndarray:
    """Other values of the kind: whole ranges of integers, the scale of floats kept."""
    values = np.random.RandomState(rng.randrange(2**32))
    if array.dtype.kind == "f":
        return (array * values.uniform(0.5, 2, array.shape)).astype(array.dtype)
    if array.dtype == np.int32:
        return values.randint(-(2**13), 2**13, array.shape).astype(np.int32)
    info = np.iinfo(array.dtype)
    return values.randint(info.min, info.max + 1, array.shape).astype(array.dtype)


def reshaped(rng: random.Random, call: Call) -> Call:
    arrays = list(call.arrays)
    i = rng.randrange(len(arrays))
    new = shape(rng, arrays[i].shape)
    dtype = rng.choice(DTYPES) if rng.random() < 0.2 else arrays[i].dtype
    if np.prod([float(d) for d in new]) <= 2**20:
        arrays[i] = np.random.RandomState(rng.randrange(2**32)).randint(0, 100, new).astype(dtype)
    else:  # no memory behind it: types and shapes are asked for, nothing runs
        arrays[i] = np.lib.stride_tricks.as_strided(np.zeros(1, dtype), new, (0,) * len(new))
    return call._replace(arrays=tuple(arrays))
